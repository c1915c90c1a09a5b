//! A pod that wants a GPU may name the models it accepts.

use crate::cluster::{NodeShape, PodShape};

pub(super) fn allows(node: &NodeShape, pod: &PodShape) -> bool {
    !pod.wants_gpu() || pod.gpu_models.is_empty() || pod.gpu_models.contains(&node.gpu_model)
}
