//! A node must carry every label the pod selects by.

use crate::cluster::{NodeShape, PodShape};

pub(super) fn allows(node: &NodeShape, pod: &PodShape) -> bool {
    pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
}
