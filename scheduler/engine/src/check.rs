//! An independent judge: is a cluster's booking possible at all, now and later? Shares no code with the search or the
//! accounts: it adds up what pods asked for anew, each GPU by itself, in MiB where its memory is known.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, Free, GpuRequest, Hold, NodeShape, NodeState, Placement, ShareSize};
use crate::units::{NodeId, PodId};

/// Everything that is wrong with what is booked, one sentence each; empty when all is well.
pub fn violations(cluster: &Cluster) -> Vec<String> {
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
        wrong.extend(misplaced(name, &state.shape, placement).into_iter().map(|what| format!("{pod} {what}")));
    }
    let later = state.later.as_deref().unwrap_or(&state.free);
    for (when, free, other) in [("now", &state.free, Hold::Promised), ("later", later, Hold::Leaving)] {
        let held = placed.iter().map(|(_, placement)| *placement).filter(|placement| placement.hold != other);
        let what = account(&state.shape, free, &held.collect::<Vec<_>>());
        wrong.extend(what.into_iter().map(|what| format!("`{name}`, {when}: {what}")));
    }
    if state.later.as_deref() == Some(&state.free) {
        wrong.push(format!("`{name}`: what is left later is written down though it is the same as now"));
    }
}

/// What speaks against one pod's place, whatever else is there.
fn misplaced(name: &str, shape: &NodeShape, placement: &Placement) -> Vec<String> {
    let (asked, mut wrong) = (&placement.shape, Vec::new());
    let count = match asked.gpu {
        GpuRequest::None => 0,
        GpuRequest::Share(share) => usize::from(share.devices),
        GpuRequest::Whole(count) => count,
    };
    if placement.gpus.len() != count {
        wrong.push(format!("asked for {count} GPUs and holds {}", placement.gpus.len()));
    }
    if !placement.gpus.windows(2).all(|pair| pair[0] < pair[1]) {
        wrong.push(format!("holds GPUs {:?}, out of order or twice", placement.gpus));
    }
    for gpu in placement.gpus.iter().filter(|gpu| usize::from(**gpu) >= shape.gpus) {
        wrong.push(format!("holds GPU {gpu} of `{name}`, which has {}", shape.gpus));
    }
    let picky = count > 0 || !asked.mig.is_empty();
    if picky && !asked.gpu_models.is_empty() && !asked.gpu_models.contains(&shape.gpu_model) {
        wrong.push(format!("runs on GPU model `{}`, which it does not accept", shape.gpu_model));
    }
    if asked.node_selector.iter().any(|(key, value)| shape.labels.get(key) != Some(value)) {
        wrong.push(format!("runs on `{name}`, which lacks a label it selects by"));
    }
    if let GpuRequest::Share(share) = asked.gpu {
        if shape.mig.is_some() {
            wrong.push(format!("shares a GPU of `{name}`, which is split by MIG"));
        }
        if shape.gpu_memory_mib == 0 && matches!(share.size, ShareSize::Memory(_)) {
            wrong.push(format!("holds GPU memory on `{name}`, where nobody knows how much there is"));
        }
    }
    let mixed = shape.mig.as_ref().filter(|mig| !mig.single);
    for (profile, _) in &asked.mig {
        if !mixed.is_some_and(|mig| mig.instances.iter().any(|(offered, _)| offered == profile)) {
            wrong.push(format!("holds MIG instances {profile} of `{name}`, which offers none"));
        }
    }
    wrong
}

/// What these pods take together, against what there is and what is said to be left.
fn account(shape: &NodeShape, free: &Free, held: &[&Placement]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, used: u128, left: u128, all: u128| {
        if used > all || used + left != all {
            wrong.push(format!("{used} {what} used and {left} left of {all}"));
        }
    };
    let sum = |of: fn(&Placement) -> u64| held.iter().map(|placement| u128::from(of(placement))).sum();
    compare("thousandths of a core", sum(|p| p.shape.cpu_milli), free.cpu_milli.into(), shape.cpu_milli.into());
    compare("bytes of memory", sum(|p| p.shape.memory_bytes), free.memory_bytes.into(), shape.memory_bytes.into());
    compare("pods", held.len() as u128, free.pods.into(), shape.pods.into());
    let mixed = shape.mig.as_ref().filter(|mig| !mig.single);
    let instances = mixed.map_or(&[][..], |mig| &mig.instances);
    compare("lines of MIG instances", 0, free.mig.len() as u128, instances.len() as u128);
    for ((profile, all), left) in instances.iter().zip(&free.mig) {
        let asked = held.iter().flat_map(|placement| &placement.shape.mig).filter(|(asked, _)| asked == profile);
        let used = asked.map(|(_, count)| u128::from(*count)).sum();
        compare(&format!("MIG instances {profile}"), used, (*left).into(), (*all).into());
    }
    let known = shape.gpu_memory_mib > 0;
    compare("GPUs", 0, free.gpus.len() as u128, shape.gpus as u128);
    compare("GPU memories", 0, free.gpu_mib.len() as u128, if known { shape.gpus as u128 } else { 0 });
    for (gpu, left) in (0u8..).zip(&free.gpus) {
        let there = held.iter().filter(|placement| placement.gpus.contains(&gpu));
        let used = there.map(|placement| taken_of_a_gpu(placement.shape.gpu, shape.gpu_memory_mib)).sum();
        let Some(&left_mib) = free.gpu_mib.get(usize::from(gpu)) else {
            compare(&format!("thousandths of GPU {gpu}"), used, left.0.into(), 1000);
            continue;
        };
        compare(&format!("MiB of GPU {gpu}"), used, left_mib.into(), shape.gpu_memory_mib.into());
        let floor = u128::from(left_mib) * 1000 / u128::from(shape.gpu_memory_mib.max(1));
        compare(&format!("thousandths of GPU {gpu} by its MiB"), 0, left.0.into(), floor);
    }
    wrong
}

/// What a request takes of each of its GPUs: MiB where a GPU has this many, thousandths where that is unknown (0).
fn taken_of_a_gpu(request: GpuRequest, device_mib: u32) -> u128 {
    match (request, device_mib) {
        (GpuRequest::None, _) => 0,
        (GpuRequest::Whole(_), 0) => 1000,
        (GpuRequest::Whole(_), mib) => mib.into(),
        (GpuRequest::Share(share), mib) => match share.size {
            ShareSize::Memory(asked) => asked.into(),
            ShareSize::Milli(milli) if mib == 0 => milli.0.into(),
            ShareSize::Milli(milli) => u128::max(1, u128::from(mib) * u128::from(milli.0) / 1000),
        },
    }
}
