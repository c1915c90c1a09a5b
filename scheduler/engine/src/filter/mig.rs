//! A node split by MIG gives out no parts of GPUs: its instances are the parts. Asking for a profile that a node does not
//! offer is a lack of instances, as kube-scheduler has it, and not this rule's business.

use crate::cluster::{GpuRequest, NodeShape, PodShape};

pub(crate) fn allows(node: &NodeShape, pod: &PodShape) -> bool {
    node.mig.is_none() || !matches!(pod.gpu, GpuRequest::Share(_))
}
