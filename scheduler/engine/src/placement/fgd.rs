//! `fgd`: fragmentation gradient descent (Weng et al., ATC 2023), to the letter of fgd-protocol, section 1: down to the
//! order of additions, the truncation of scores and the choice among equal GPUs.

use std::collections::BTreeMap;

use super::Loss;
use super::gpus::least_loss;
use super::typical::{TypicalPod, TypicalPods};
use crate::cluster::{NodeState, PodShape};
use crate::units::MilliGpu;

/// A typical pod as one model of GPU sees it.
#[derive(Debug, Clone)]
struct Target {
    cpu_milli: u64,
    per_gpu_milli: u64,
    gpus: usize,
    allowed: bool,
    weight: f64,
}

/// The typical pods, by node model.
#[derive(Debug)]
pub(super) struct Targets {
    by_model: BTreeMap<String, Vec<Target>>,
    other_models: Vec<Target>,
}

impl Targets {
    pub(super) fn of(typical: &TypicalPods) -> Self {
        let list = typical.list();
        let targets = |model: &str| {
            let target = |pod: &TypicalPod| Target {
                cpu_milli: pod.class.cpu_milli,
                per_gpu_milli: pod.class.per_gpu_milli,
                gpus: pod.class.gpus,
                allowed: pod.class.allows(model),
                weight: pod.weight,
            };
            list.iter().map(target).collect::<Vec<_>>()
        };
        let models = list.iter().flat_map(|pod| &pod.class.models);
        let by_model = models.map(|model| (model.clone(), targets(model))).collect();
        Targets { by_model, other_models: targets("") }
    }

    pub(super) fn loss(&self, node: &NodeState, pod: &PodShape) -> Loss {
        let targets = self.by_model.get(&node.shape.gpu_model).unwrap_or(&self.other_models);
        let free = &node.free;
        let before = fragment(targets, free.cpu_milli, &free.gpus);
        let cpu_after = free.cpu_milli - pod.cpu_milli;
        least_loss(node, pod, |gpus_after| 100 - score(before - fragment(targets, cpu_after, gpus_after)))
    }
}

/// 50 = fragmentation unchanged; truncated to 0..=100.
fn score(decrease_milli: f64) -> i64 {
    (100.0 / (1.0 + libm::exp(-decrease_milli / 1000.0))) as i64
}

/// Expected idle GPU on a node that the typical pods cannot use, thousandths of a GPU.
fn fragment(targets: &[Target], cpu_milli: u64, gpus: &[MilliGpu]) -> f64 {
    let idle: u64 = gpus.iter().map(|left| left.milli()).sum();
    let (mut lacks_both, mut lacks_gpu, mut lacks_cpu) = (0.0, 0.0, 0.0);
    let (mut cpu_only_fits, mut cpu_only_lacks, mut wrong_model) = (0.0, 0.0, 0.0);
    for target in targets {
        let all = target.weight * idle as f64;
        let enough_cpu = cpu_milli >= target.cpu_milli;
        if target.gpus == 0 {
            *(if enough_cpu { &mut cpu_only_fits } else { &mut cpu_only_lacks }) += all;
            continue;
        }
        if !target.allowed {
            wrong_model += all;
            continue;
        }
        let (mut roomy, mut slivers) = (0, 0);
        for left in gpus {
            if left.milli() >= target.per_gpu_milli { roomy += 1 } else { slivers += left.milli() }
        }
        match (roomy >= target.gpus, enough_cpu) {
            (true, true) => lacks_gpu += target.weight * slivers as f64,
            (true, false) => lacks_cpu += all,
            (false, true) => lacks_gpu += all,
            (false, false) => lacks_both += all,
        }
    }
    lacks_both + lacks_gpu + lacks_cpu + cpu_only_fits + cpu_only_lacks + wrong_model
}
