//! An independent judge: is a cluster's booking possible at all? Shares no code with the search.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, GpuRequest, NodeState, Placement};
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

/// One node: what its pods hold, against what it has and what it says is left.
fn judge(name: &str, state: &NodeState, placed: &[(&PodId, &Placement)], wrong: &mut Vec<String>) {
    let (shape, free) = (&state.shape, &state.free);
    let (mut cpu, mut memory) = (0u128, 0u128);
    let mut per_gpu = vec![0u64; shape.gpus];
    for (pod, placement) in placed {
        let asked = &placement.shape;
        cpu += u128::from(asked.cpu_milli);
        memory += u128::from(asked.memory_bytes);
        let (count, each) = match asked.gpu {
            GpuRequest::None => (0, 0),
            GpuRequest::Share(share) => (1, u64::from(share.0)),
            GpuRequest::Whole(count) => (count, 1000),
        };
        if placement.gpus.len() != count {
            wrong.push(format!("{pod} asked for {count} GPUs and holds {}", placement.gpus.len()));
        }
        for gpu in &placement.gpus {
            match per_gpu.get_mut(usize::from(*gpu)) {
                Some(used) => *used += each,
                None => wrong.push(format!("{pod} holds GPU {gpu} of `{name}`, which has {}", shape.gpus)),
            }
        }
        if count > 0 && !asked.gpu_models.is_empty() && !asked.gpu_models.contains(&shape.gpu_model) {
            wrong.push(format!("{pod} runs on GPU model `{}`, which it does not accept", shape.gpu_model));
        }
        if asked.node_selector.iter().any(|(key, value)| shape.labels.get(key) != Some(value)) {
            wrong.push(format!("{pod} runs on `{name}`, which lacks a label it selects by"));
        }
    }
    let mut account = |what: &str, used: u128, left: u128, all: u128| {
        if used > all || used + left != all {
            wrong.push(format!("`{name}`: {used} {what} used and {left} left of {all}"));
        }
    };
    account("thousandths of a core", cpu, free.cpu_milli.into(), shape.cpu_milli.into());
    account("bytes of memory", memory, free.memory_bytes.into(), shape.memory_bytes.into());
    account("pods", placed.len() as u128, free.pods.into(), shape.pods.into());
    for (index, (used, left)) in per_gpu.iter().zip(&free.gpus).enumerate() {
        account(&format!("thousandths of GPU {index}"), (*used).into(), u128::from(left.0), 1000);
    }
}
