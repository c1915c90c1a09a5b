//! `gpu-clustering`: next to GPU pods of the same kind (a share, or the same number of GPUs), on the fullest such node.
//! Source: fgd-protocol, section 1.

use super::Loss;
use super::gpus::{self, GpuSet};
use crate::cluster::{GpuKinds, GpuRequest, NodeState, PodShape};

pub(super) fn loss(node: &NodeState, pod: &PodShape) -> Loss {
    if pod.gpu == GpuRequest::None {
        return Loss { loss: 0, gpus: GpuSet::default() };
    }
    // Eight GPUs count as all of a node, so a larger node never looks better than an empty one of eight.
    let used = 8_000_u64.saturating_sub(node.free.gpu_milli());
    let kind = GpuKinds::of(pod.gpu);
    let company = if node.kinds == kind {
        75
    } else if node.kinds.contain(kind) {
        50
    } else if node.kinds.is_empty() {
        25
    } else {
        0
    };
    let score = 25 * used / 8_000 + company;
    Loss { loss: 100 - score as i64, gpus: gpus::fullest(node, pod) }
}
