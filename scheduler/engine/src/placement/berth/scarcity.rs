//! What scarce supply costs: some pods can only use part of the cluster (certain GPU models, several GPUs of one node).
//! Whoever takes from that part without being confined to it pays the chance that it will be missed.
//!
//! For each confined demand: supply = Σ over nodes of what it could use there; expected demand = its share of all GPU
//! demand, times the idle GPU of the cluster, since that is how much more will fit. The price is the probability that
//! demand exceeds supply (a newsvendor's booking limit), which needs no horizon.

use super::super::gpus::GpuSet;
use super::super::typical::TypicalPods;
use crate::cluster::{ClassId, Classes, GpuRequest, NodeState, PodShape};
use crate::units::GPU;

/// Demand that only part of the cluster can serve.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Confined {
    /// To these models; empty = any.
    models: Vec<String>,
    /// To nodes with this many whole GPUs free together; 1 = no such limit.
    group: usize,
    /// Its share of all GPU demand, 0..=1.
    share: f64,
    /// GPU it asks for per CPU, millionths of a GPU per core.
    micro_gpu_per_core: u64,
    /// Mean GPU per pod, weighed by GPU; thousandths.
    pod_milli: f64,
}

/// How far ahead of its exhaustion a supply gets its price: spread of demand in standard deviations of independent
/// arrivals. Arrivals come in waves, and a price that comes late is no use.
const SPREAD: f64 = 8.0;
/// Prices are rounded to this many steps, so that they stand still long enough for losses to be remembered.
const PRICE_STEPS: f64 = 32.0;
/// Group sizes that have a price: the sizes GPU pods are asked for in.
const GROUPS: [usize; 3] = [2, 4, 8];

/// A price per confined demand, in steps of 1/32 of what is taken.
pub(in crate::placement) type Prices = Vec<u8>;

/// The confined demands and their supply, kept in step with the cluster.
#[derive(Debug, Default)]
pub(super) struct Scarcity {
    confined: Vec<Confined>,
    /// What each confined demand could use now, thousandths of a GPU.
    supply: Vec<u64>,
    /// What each class slot added to `supply` when last looked at.
    added: Vec<Vec<u64>>,
    seen: u64,
}

impl Confined {
    /// What this demand could use of a node, thousandths of a GPU: CPU and GPU together, since one without the other is
    /// of no use.
    fn usable(&self, node: &NodeState, cpu_milli: u64, idle_milli: u64, whole: usize) -> u64 {
        if !self.models.is_empty() && !self.models.contains(&node.shape.gpu_model) {
            return 0;
        }
        let gpu = if self.group == 1 { idle_milli } else { 1000 * (whole / self.group * self.group) as u64 };
        let by_cpu = u128::from(cpu_milli) * u128::from(self.micro_gpu_per_core) / 1_000_000;
        gpu.min(u64::try_from(by_cpu).unwrap_or(u64::MAX))
    }

    /// Is this pod part of the confined demand itself?
    fn includes(&self, pod: &PodShape) -> bool {
        let confined = !pod.gpu_models.is_empty() && pod.gpu_models.iter().all(|model| self.models.contains(model));
        (self.models.is_empty() || confined) && (self.group == 1 || is_group(pod.gpu, self.group))
    }
}

fn is_group(request: GpuRequest, group: usize) -> bool {
    matches!(request, GpuRequest::Whole(count) if count >= group)
}

impl Scarcity {
    /// Who is confined, as far as arrivals tell.
    pub(super) fn of(typical: &TypicalPods) -> Self {
        let mut sets: Vec<Vec<String>> = typical.classes().map(|(class, _)| distinct(&class.models)).collect();
        sets.sort();
        sets.dedup();
        let mut confined: Vec<Confined> = sets
            .into_iter()
            .filter(|models| !models.is_empty())
            .filter_map(|models| confine(typical, models, 1))
            .collect();
        confined.extend(GROUPS.iter().filter_map(|&group| confine(typical, Vec::new(), group)));
        Scarcity { supply: vec![0; confined.len()], confined, added: Vec::new(), seen: 0 }
    }

    /// Looks at the classes that changed.
    pub(super) fn catch_up(&mut self, classes: &Classes) {
        self.added.resize(classes.slots().len(), Vec::new());
        match classes.changed_since(self.seen).filter(|_| self.seen > 0) {
            Some(changed) => changed.iter().for_each(|class| self.refresh(classes, *class)),
            None => classes.ids().for_each(|class| self.refresh(classes, class)),
        }
        self.seen = classes.now();
    }

    fn refresh(&mut self, classes: &Classes, id: ClassId) {
        let class = classes.get(id);
        let (free, members) = (&class.state.free, class.members.len() as u64);
        let (idle, whole) = (free.gpu_milli(), free.gpus_with(GPU));
        let added = &mut self.added[id.index()];
        added.resize(self.confined.len(), 0);
        for ((confined, supply), added) in self.confined.iter().zip(&mut self.supply).zip(added) {
            let adds = members * confined.usable(&class.state, free.cpu_milli, idle, whole);
            *supply = *supply - *added + adds;
            *added = adds;
        }
    }

    /// The prices a pod has to pay while this much GPU is idle in the cluster.
    pub(super) fn prices(&self, pod: &PodShape, idle_milli: u64) -> Prices {
        let price = |(confined, supply): (&Confined, &u64)| {
            if confined.includes(pod) {
                return 0;
            }
            let demand = confined.share * idle_milli as f64;
            let spread = SPREAD * libm::sqrt(demand * confined.pod_milli);
            let missed = 0.5 * libm::erfc((*supply as f64 - demand) / (spread * std::f64::consts::SQRT_2));
            (missed * PRICE_STEPS + 0.5) as u8
        };
        self.confined.iter().zip(&self.supply).map(price).collect()
    }

    /// What a pod would pay on a node, thousandths of a GPU: the dearest of the supplies it takes from.
    pub(super) fn cost(&self, prices: &Prices, node: &NodeState, pod: &PodShape, share_gpus: GpuSet) -> i64 {
        let free = &node.free;
        let (idle, whole) = (free.gpu_milli(), free.gpus_with(GPU));
        let whole_after = match pod.gpu {
            GpuRequest::None => whole,
            GpuRequest::Share(_) => {
                let is_whole = |gpu: &u8| free.gpus.get(usize::from(*gpu)) == Some(&GPU);
                whole - share_gpus.iter().filter(is_whole).count()
            }
            GpuRequest::Whole(count) => whole - count,
        };
        let cpu_after = free.cpu_milli - pod.cpu_milli;
        let idle_after = idle.saturating_sub(pod.gpu.milli_on(&node.shape));
        let dear = self.confined.iter().zip(prices).filter(|(_, price)| **price > 0);
        let cost = |(confined, price): (&Confined, &u8)| {
            let before = confined.usable(node, free.cpu_milli, idle, whole);
            let taken = before - confined.usable(node, cpu_after, idle_after, whole_after);
            taken * u64::from(*price) / PRICE_STEPS as u64
        };
        dear.map(cost).max().unwrap_or(0) as i64
    }
}

fn distinct(models: &[String]) -> Vec<String> {
    let mut models = models.to_vec();
    models.sort();
    models.dedup();
    models
}

/// The pods confined to these models and at least this many GPUs together; `None` where there are none.
fn confine(typical: &TypicalPods, models: Vec<String>, group: usize) -> Option<Confined> {
    let (mut all, mut gpu, mut cpu, mut weighed) = (0u128, 0u128, 0u128, 0u128);
    for (class, count) in typical.classes() {
        let asked = u128::from(class.per_gpu_milli) * class.gpus as u128;
        all += asked * u128::from(count);
        let inside = !class.models.is_empty() && class.models.iter().all(|model| models.contains(model));
        if class.gpus >= group && (models.is_empty() || inside) {
            gpu += asked * u128::from(count);
            cpu += u128::from(class.cpu_milli) * u128::from(count);
            weighed += asked * asked * u128::from(count);
        }
    }
    (gpu > 0).then(|| Confined {
        models,
        group,
        share: gpu as f64 / all as f64,
        micro_gpu_per_core: u64::try_from(gpu * 1_000_000 / cpu.max(1)).unwrap_or(u64::MAX),
        pod_milli: weighed as f64 / gpu as f64,
    })
}
