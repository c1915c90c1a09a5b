//! Who wins among nodes that the policy finds equally good, before the smallest node id decides.

use crate::cluster::{NodeState, PodShape};

/// The order among equal losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TieBreak {
    /// The smallest node id.
    Rank,
    /// The smallest idle share of GPU and CPU together after placement, then the smallest node id.
    LeastIdle,
    /// The least GPU left on the node after placement, then the smallest node id.
    LeastGpu,
}

impl TieBreak {
    /// Every order, the default first.
    pub const ALL: [TieBreak; 3] = [TieBreak::Rank, TieBreak::LeastIdle, TieBreak::LeastGpu];

    /// The name used on command lines and in reports.
    pub fn name(self) -> &'static str {
        match self {
            TieBreak::Rank => "rank",
            TieBreak::LeastIdle => "least-idle",
            TieBreak::LeastGpu => "least-gpu",
        }
    }

    /// Less wins. The pod fits on the node.
    pub(super) fn rank(self, node: &NodeState, pod: &PodShape) -> u32 {
        let gpu_left = node.free.gpu_milli().saturating_sub(pod.gpu.milli_on(&node.shape));
        match self {
            TieBreak::Rank => 0,
            TieBreak::LeastGpu => gpu_left as u32,
            TieBreak::LeastIdle => {
                let cpu_left = node.free.cpu_milli - pod.cpu_milli;
                millionths(gpu_left, 1000 * node.shape.gpus as u64) + millionths(cpu_left, node.shape.cpu_milli)
            }
        }
    }
}

/// `part / whole` in millionths; 0 of nothing is 0.
fn millionths(part: u64, whole: u64) -> u32 {
    if whole == 0 { 0 } else { (u128::from(part) * 1_000_000 / u128::from(whole)) as u32 }
}
