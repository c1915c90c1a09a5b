//! Every distinct way to take GPUs of a node, for searches that must try them all. GPUs of which equal parts are left now
//! and later are interchangeable, so of those only the first ones are taken.

use smallvec::SmallVec;

use super::candidates::Key;
use super::gpus::GpuSet;
use crate::cluster::{Free, GpuIndexes, NodeState, PodShape};
use crate::filter;
use crate::units::{MilliGpu, NodeId};

/// A place that a pod of some shape could take, whoever it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// On this node.
    pub(crate) node: NodeId,
    /// On these of its GPUs, ascending.
    pub(crate) gpus: GpuIndexes,
    /// It would have to wait there until others have left.
    pub(crate) waits: bool,
}

/// The order of places, best first: at once before waiting, then the policy's order of nodes, then the policy's choice
/// of GPUs there, then the fullest ones. Ends in a node id and GPU indexes.
type Order = (bool, i64, u32, NodeId, bool, u64, GpuSet);

/// Interchangeable GPUs of one node, ascending.
type Alike = SmallVec<[u8; 8]>;

/// Adds every way to take a node in this state. `key`: what the policy thinks of the node; `preferred`: the GPUs it would
/// take there.
pub(super) fn add(
    found: &mut Vec<(Order, Place)>,
    key: &Key,
    state: &NodeState,
    pod: &PodShape,
    preferred: Option<&GpuIndexes>,
) {
    let at_once = state.at_once();
    for set in ways(state, pod) {
        let gpus = set.indexes();
        let waits = !filter::resources::fit_on(&state.shape, &at_once, pod, &gpus);
        let left = gpus.iter().map(|gpu| state.later().gpus[usize::from(*gpu)].milli()).sum();
        let order = (waits, key.loss, key.tie, key.first, preferred != Some(&gpus), left, set);
        found.push((order, Place { node: key.first, gpus, waits }));
    }
}

/// Every distinct set of GPUs with room for the pod, later.
fn ways(state: &NodeState, pod: &PodShape) -> Vec<GpuSet> {
    let mut ways = Vec::new();
    choose(&groups(state, pod), pod.gpu.count(), GpuSet::default(), &mut ways);
    ways
}

/// The GPUs with room for the pod, later, by what is left of them now and later.
fn groups(state: &NodeState, pod: &PodShape) -> Vec<Alike> {
    let later = state.later();
    let left = |gpu: u8| {
        let index = usize::from(gpu);
        let of = |free: &Free| -> (MilliGpu, Option<u32>) { (free.gpus[index], free.gpu_mib.get(index).copied()) };
        (of(&state.free), of(later))
    };
    let mut groups: Vec<Alike> = Vec::new();
    for gpu in (0..later.gpus.len() as u8).filter(|gpu| later.room_on(*gpu, &state.shape, pod.gpu)) {
        match groups.iter_mut().find(|group| left(group[0]) == left(gpu)) {
            Some(group) => group.push(gpu),
            None => groups.push(SmallVec::from_slice(&[gpu])),
        }
    }
    groups
}

/// All ways to take `count` GPUs, the first ones of each group.
fn choose(groups: &[Alike], count: usize, taken: GpuSet, ways: &mut Vec<GpuSet>) {
    if count == 0 {
        ways.push(taken);
        return;
    }
    let Some((group, others)) = groups.split_first() else { return };
    if groups.iter().map(|group| group.len()).sum::<usize>() < count {
        return;
    }
    let mut taken = taken;
    for from_here in 0..=count.min(group.len()) {
        if from_here > 0 {
            taken = taken.with(group[from_here - 1]);
        }
        choose(others, count - from_here, taken, ways);
    }
}
