//! `berth`: our own policy.

use super::{Loss, fullest_gpu};
use crate::cluster::{NodeState, PodShape};

pub(super) fn loss(node: &NodeState, pod: &PodShape) -> Loss {
    Loss { loss: node.free.gpu_milli() as i64, gpu: fullest_gpu(node, pod) }
}
