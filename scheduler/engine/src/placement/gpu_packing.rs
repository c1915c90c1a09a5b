//! `gpu-packing`: GPUs in use first, then free GPUs of nodes in use, then empty nodes. Source: fgd-protocol, section 1.

use super::Loss;
use super::gpus::{self, GpuSet};
use crate::cluster::{GpuRequest, NodeState, PodShape};
use crate::units::GPU;

pub(super) fn loss(node: &NodeState, pod: &PodShape) -> Loss {
    if pod.gpu == GpuRequest::None {
        return Loss { loss: 0, gpus: GpuSet::default() };
    }
    Loss { loss: 100 - score(node, pod), gpus: gpus::fullest(node, pod) }
}

fn score(node: &NodeState, pod: &PodShape) -> i64 {
    let whole_free = node.free.gpus_with(GPU);
    if whole_free == node.shape.gpus {
        return i64::max(33 - whole_free as i64, whole_free as i64);
    }
    let roomy = (0u8..).zip(&node.free.gpus).filter(|(gpu, _)| node.free.room_on(*gpu, &node.shape, pod.gpu));
    let mut fullest_first: Vec<_> = roomy.map(|(_, left)| left).collect();
    fullest_first.sort();
    let chosen = &fullest_first[..pod.gpu.count()];
    let opened = chosen.iter().filter(|left| ***left == GPU).count();
    if opened > 0 {
        return i64::max(50 - opened as i64, 33);
    }
    let left: u64 = chosen.iter().map(|left| left.milli() / 10).sum();
    i64::max(100 - left as i64 / 10, 50)
}
