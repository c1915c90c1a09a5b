//! Is a cluster's booking possible at all, now and later, and is what is written down as free what is left?

use std::collections::BTreeMap;

use super::load::{lines, misfit};
use crate::cluster::{Cluster, Free, Hold, NodeShape, NodeState, Placement};
use crate::units::{NodeId, PodId};

/// Everything that is wrong with what is booked, one sentence each; empty when all is well.
pub fn booking(cluster: &Cluster) -> Vec<String> {
    let mut by_node: BTreeMap<NodeId, Vec<(&PodId, &Placement)>> = BTreeMap::new();
    for (pod, placement) in cluster.placed() {
        by_node.entry(placement.node).or_default().push((pod, placement));
    }
    let mut wrong = Vec::new();
    for (id, node) in cluster.nodes() {
        let placed = by_node.remove(id).unwrap_or_default();
        if let Some(state) = cluster.state(*id) {
            judge(&node.name, state, &placed, &mut wrong);
        }
    }
    wrong.extend(by_node.into_keys().map(|node| format!("pods are placed on {node}, which is not there")));
    wrong
}

/// One node: whether its pods may be there, and what they hold now and later against what it has and says is left.
fn judge(name: &str, state: &NodeState, placed: &[(&PodId, &Placement)], wrong: &mut Vec<String>) {
    for (pod, placement) in placed {
        let what = misfit(name, &state.shape, &placement.shape, &placement.gpus);
        wrong.extend(what.into_iter().map(|what| format!("{pod} {what}")));
    }
    for (when, free, other) in [("now", &state.free, Hold::Promised), ("later", state.later(), Hold::Leaving)] {
        let held = placed.iter().map(|(_, placement)| *placement).filter(|placement| placement.hold != other);
        let mut ports: Vec<_> = held.clone().flat_map(|placement| placement.shape.host_ports.iter().cloned()).collect();
        ports.sort();
        if ports != free.ports_taken() {
            wrong.push(format!("`{name}`, {when}: {ports:?} are taken, and written down are {:?}", free.ports_taken()));
        }
        let what = account(&state.shape, free, held);
        wrong.extend(what.into_iter().map(|what| format!("`{name}`, {when}: {what}")));
    }
    if state.later.as_deref() == Some(&state.free) {
        wrong.push(format!("`{name}`: what is left later is written down though it is the same as now"));
    }
}

/// What these pods take together, against what there is and what is said to be left.
fn account<'a>(shape: &NodeShape, free: &Free, held: impl Iterator<Item = &'a Placement>) -> Vec<String> {
    let lines = lines(shape, held.map(|placement| (&*placement.shape, placement.gpus.as_slice())));
    let known = shape.gpu_memory_mib > 0;
    let mut left: Vec<u128> = vec![free.cpu_milli.into(), free.memory_bytes.into(), free.pods.into()];
    left.extend(free.mig.iter().map(|left| u128::from(*left)));
    if known {
        left.extend(free.gpu_mib.iter().map(|mib| u128::from(*mib)));
    } else {
        left.extend(free.gpus.iter().map(|milli| u128::from(milli.0)));
    }
    left.extend(shape.others.keys().map(|name| u128::from(free.other_left(shape, name))));
    let mut wrong = Vec::new();
    if left.len() != lines.len()
        || free.gpus.len() != shape.gpus
        || free.gpu_mib.len() != usize::from(known) * shape.gpus
    {
        wrong.push(format!(
            "{} amounts are written down, of {} GPUs, for {}",
            left.len(),
            free.gpus.len(),
            lines.len()
        ));
    }
    for (line, left) in lines.iter().zip(left) {
        if line.used > line.all || line.used + left != line.all {
            wrong.push(format!("{} {} used and {left} left of {}", line.used, line.what, line.all));
        }
    }
    for (gpu, (milli, mib)) in free.gpus.iter().zip(&free.gpu_mib).enumerate() {
        let floor = u64::from(*mib) * 1000 / u64::from(shape.gpu_memory_mib.max(1));
        if milli.milli() != floor {
            wrong.push(format!("{} thousandths of GPU {gpu} left, {floor} by its MiB", milli.0));
        }
    }
    wrong
}
