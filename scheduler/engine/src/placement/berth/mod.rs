//! `berth`: our own policy. It keeps the worth of what remains for the pods expected next ([`worth`], with the prices of
//! [`sizes`]), and charges for what is scarce ([`scarcity`]).
//!
//! loss = worth before − worth after + price of scarce supply taken, in hundredths of a GPU

mod scarcity;
mod simplex;
mod sizes;
mod worth;

use std::collections::BTreeMap;

use super::Loss;
use super::typical::{TypicalPod, TypicalPods};
use crate::cluster::{Cluster, GpuRequest, NodeState, PerGpu, PodShape};
use crate::units::{GPU, MilliGpu};
pub(super) use scarcity::Prices;
use scarcity::Scarcity;
use worth::Worth;

/// Losses closer than this are equal, thousandths of a GPU: finer differences are noise of the estimate, and filling
/// nodes in a fixed order is worth more.
const LOSS_STEP: i64 = 10;

/// Everything the policy expects.
#[derive(Debug, Default)]
pub(super) struct Berth {
    typical: Vec<TypicalPod>,
    sizes: BTreeMap<usize, f64>,
    /// By GPU model and number of GPUs.
    worth: BTreeMap<String, BTreeMap<usize, Worth>>,
    scarcity: Scarcity,
    /// Node shapes up to this number have their worth.
    shapes_seen: u32,
}

impl Berth {
    pub(super) fn expecting(pods: &TypicalPods) -> Self {
        let typical = pods.list();
        let sizes = sizes::prices(&typical);
        Berth { typical, sizes, scarcity: Scarcity::of(pods), ..Berth::default() }
    }

    /// Looks at what changed in the cluster.
    pub(super) fn catch_up(&mut self, cluster: &Cluster) {
        let shapes = if cluster.shapes_known() > self.shapes_seen { Some(cluster.shapes()) } else { None };
        for shape in shapes.into_iter().flatten() {
            let by_count = match self.worth.get_mut(&shape.gpu_model) {
                Some(by_count) => by_count,
                None => self.worth.entry(shape.gpu_model.clone()).or_default(),
            };
            let worth = || Worth::of(&self.typical, &self.sizes, &shape.gpu_model, shape.gpus);
            by_count.entry(shape.gpus).or_insert_with(worth);
        }
        self.shapes_seen = cluster.shapes_known();
        self.scarcity.catch_up(cluster.classes());
    }

    /// What the pod has to pay for scarce supply at present.
    pub(super) fn prices(&self, cluster: &Cluster, pod: &PodShape) -> Prices {
        self.scarcity.prices(pod, cluster.gpu_capacity_milli() - cluster.gpu_used_milli())
    }

    /// The loss with what is scarce paid for.
    pub(super) fn priced(&self, prices: &Prices, loss: Loss, node: &NodeState, pod: &PodShape) -> i64 {
        let cost = self.scarcity.cost(prices, node, pod, loss.gpu);
        (loss.loss + cost + LOSS_STEP - 1).div_euclid(LOSS_STEP)
    }

    /// Worth lost, thousandths of a GPU.
    pub(super) fn loss(&self, node: &NodeState, pod: &PodShape) -> Loss {
        let by_count = self.worth.get(&node.shape.gpu_model);
        let Some(worth) = by_count.and_then(|by_count| by_count.get(&node.shape.gpus)) else {
            return Loss { loss: 0, gpu: 0 };
        };
        let gpus = worth.gpus(&node.free.gpus);
        let before = worth::node(node.free.cpu_milli, &gpus);
        let cpu_after = node.free.cpu_milli - pod.cpu_milli;
        let lost = |gpus_after: &worth::PerPrice| libm::round(before - worth::node(cpu_after, gpus_after)) as i64;
        match pod.gpu {
            GpuRequest::None => Loss { loss: lost(&gpus), gpu: 0 },
            GpuRequest::Whole(count) => Loss { loss: lost(&worth.exchange(&gpus, count, GPU, MilliGpu(0))), gpu: 0 },
            GpuRequest::Share(share) => {
                let mut best = Loss { loss: i64::MAX, gpu: 0 };
                let mut tried: PerGpu<MilliGpu> = PerGpu::new();
                for (gpu, &left) in (0u8..).zip(&node.free.gpus) {
                    if left < share || tried.contains(&left) {
                        continue; // equal GPUs lose equally, and the lowest index wins
                    }
                    tried.push(left);
                    let loss = lost(&worth.exchange(&gpus, 1, left, MilliGpu(left.0 - share.0)));
                    if loss < best.loss {
                        best = Loss { loss, gpu };
                    }
                }
                best
            }
        }
    }
}
