//! `dot-product`: the least product of what is free and what is asked, so that big pods find big holes untouched.
//! Source: fgd-protocol, section 1.

use super::best_fit::{CPU_MILLI_FULL, GPU_MILLI_FULL};
use super::{Loss, gpus};
use crate::cluster::{NodeState, PodShape};

pub(super) fn loss(node: &NodeState, pod: &PodShape) -> Loss {
    let cpu = (node.free.cpu_milli as f64 / CPU_MILLI_FULL) * (pod.cpu_milli as f64 / CPU_MILLI_FULL);
    let gpu = (node.free.gpu_milli() as f64 / GPU_MILLI_FULL) * (pod.gpu.milli_on(&node.shape) as f64 / GPU_MILLI_FULL);
    let score = (100.0 * (1.0 - 0.5 * (cpu + gpu))) as i64;
    Loss { loss: 100 - score, gpus: gpus::fullest(node, pod) }
}
