//! A pod stays off a tainted node unless it tolerates every taint that keeps pods away.

use crate::cluster::{NodeShape, PodShape, TaintEffect};

pub(super) fn allow(node: &NodeShape, pod: &PodShape) -> bool {
    let mut hard = node.taints.iter().filter(|taint| taint.effect != TaintEffect::PreferNoSchedule);
    hard.all(|taint| pod.tolerations.iter().any(|toleration| toleration.covers(taint)))
}
