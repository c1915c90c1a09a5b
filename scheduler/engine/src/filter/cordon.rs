//! A cordoned node takes no new pods, save those that tolerate the taint by which Kubernetes marks such nodes, whether the
//! taint is there yet or not.

use crate::cluster::{NodeShape, PodShape, Taint, TaintEffect};

pub(super) fn allows(node: &NodeShape, pod: &PodShape) -> bool {
    !node.unschedulable || (!pod.tolerations.is_empty() && tolerates_cordons(pod))
}

fn tolerates_cordons(pod: &PodShape) -> bool {
    let key = "node.kubernetes.io/unschedulable".to_owned();
    let taint = Taint { key, value: String::new(), effect: TaintEffect::NoSchedule };
    pod.tolerations.iter().any(|toleration| toleration.covers(&taint))
}
