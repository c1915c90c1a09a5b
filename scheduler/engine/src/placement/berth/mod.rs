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
use super::gpus::{GpuSet, least_loss};
use super::typical::TypicalPods;
use crate::cluster::{Cluster, NodeState, PodShape};
pub(super) use scarcity::Prices;
use scarcity::Scarcity;
use worth::{Outlook, Worth};

/// Losses closer than this are equal, thousandths of a GPU: finer differences are noise of the estimate, and filling
/// nodes in a fixed order is worth more.
const LOSS_STEP: i64 = 10;

/// Everything the policy expects.
#[derive(Debug)]
pub(super) struct Berth {
    outlook: Outlook,
    /// By GPU model and number of GPUs.
    worth: BTreeMap<String, BTreeMap<usize, Worth>>,
    scarcity: Scarcity,
    /// Node shapes up to this number have their worth.
    shapes_seen: u32,
}

impl Berth {
    pub(super) fn expecting(pods: &TypicalPods) -> Self {
        let (outlook, scarcity) = (Outlook::of(pods), Scarcity::of(pods));
        Berth { outlook, worth: BTreeMap::new(), scarcity, shapes_seen: 0 }
    }

    /// Looks at what changed in the cluster.
    pub(super) fn catch_up(&mut self, cluster: &Cluster) {
        if cluster.shapes_known() > self.shapes_seen {
            for shape in cluster.shapes() {
                let by_count = self.worth.entry(shape.gpu_model.clone()).or_default();
                by_count.entry(shape.gpus).or_insert_with(|| Worth::of(&self.outlook, shape));
            }
            self.shapes_seen = cluster.shapes_known();
        }
        self.scarcity.catch_up(cluster.classes());
    }

    /// What the pod has to pay for scarce supply at present.
    pub(super) fn prices(&self, cluster: &Cluster, pod: &PodShape) -> Prices {
        self.scarcity.prices(pod, cluster.gpu_capacity_milli().saturating_sub(cluster.gpu_used_milli()))
    }

    /// The loss with what is scarce paid for.
    pub(super) fn priced(&self, prices: &Prices, loss: Loss, node: &NodeState, pod: &PodShape) -> i64 {
        let cost = self.scarcity.cost(prices, node, pod, loss.gpus);
        (loss.loss + cost + LOSS_STEP - 1).div_euclid(LOSS_STEP)
    }

    /// Worth lost, thousandths of a GPU.
    pub(super) fn loss(&self, node: &NodeState, pod: &PodShape) -> Loss {
        let by_count = self.worth.get(&node.shape.gpu_model);
        let Some(worth) = by_count.and_then(|by_count| by_count.get(&node.shape.gpus)) else {
            return Loss { loss: 0, gpus: GpuSet::default() };
        };
        let free = &node.free;
        let before = worth.node(&self.outlook, free.cpu_milli, free.memory_bytes, &free.gpus);
        let (cpu_after, memory_after) = (free.cpu_milli - pod.cpu_milli, free.memory_bytes - pod.memory_bytes);
        least_loss(node, pod, |gpus_after| {
            libm::round(before - worth.node(&self.outlook, cpu_after, memory_after, gpus_after)) as i64
        })
    }
}
