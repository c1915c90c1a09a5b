//! `best-fit`: the node that is left with least, CPU and GPU weighed equally. Source: fgd-protocol, section 1.

use super::{Loss, gpus};
use crate::cluster::{NodeState, PodShape};

/// The largest node of the published cluster: what counts as "all of a resource" for every node.
pub(super) const CPU_MILLI_FULL: f64 = 128_000.0;
/// Eight GPUs, in thousandths.
pub(super) const GPU_MILLI_FULL: f64 = 8_000.0;

pub(super) fn loss(node: &NodeState, pod: &PodShape) -> Loss {
    let cpu_left = (node.free.cpu_milli - pod.cpu_milli) as f64 / CPU_MILLI_FULL;
    let gpu_left = node.free.gpu_milli().saturating_sub(pod.gpu.milli_on(&node.shape)) as f64 / GPU_MILLI_FULL;
    let score = (100.0 * (1.0 - 0.5 * cpu_left - 0.5 * gpu_left)) as i64;
    Loss { loss: 100 - score, gpus: gpus::fullest(node, pod) }
}
