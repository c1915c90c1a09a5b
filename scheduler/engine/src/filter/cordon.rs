//! A cordoned node takes no new pods.

use crate::cluster::{NodeShape, PodShape};

pub(super) fn allows(node: &NodeShape, _pod: &PodShape) -> bool {
    !node.unschedulable
}
