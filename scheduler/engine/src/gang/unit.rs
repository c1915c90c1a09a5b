//! What can be taken from a running gang next: the least of its surplus, or the whole gang.

use crate::gang::{Counts, Gang};
use crate::units::PodId;

/// Pods that are taken together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) pods: Vec<PodId>,
    /// Above a minimum: the gang goes on without them.
    pub(crate) surplus: bool,
}

/// The next unit of a gang of which the `active` pods are left.
pub(crate) fn next_unit(gang: &Gang, active: impl Fn(PodId) -> bool) -> Option<Unit> {
    let left: Vec<Vec<PodId>> =
        gang.members.iter().map(|members| members.pods.iter().copied().filter(|pod| active(*pod)).collect()).collect();
    let counts: Counts = left.iter().map(|pods| pods.len() as u32).collect();
    if let Some(pods) = surplus(gang, &left, &counts, 0) {
        return Some(Unit { pods, surplus: true });
    }
    let pods: Vec<PodId> = left.into_iter().flatten().collect();
    (!pods.is_empty()).then_some(Unit { pods, surplus: false })
}

fn surplus(gang: &Gang, left: &[Vec<PodId>], counts: &Counts, at: usize) -> Option<Vec<PodId>> {
    let (tree, needed) = (&gang.tree, gang.tree.branch(at).min_member);
    if tree.is_leaf(at) {
        let last = left[at].last().filter(|_| counts[at] > needed);
        return last.map(|pod| vec![*pod]);
    }
    let order = tree.in_order(at, counts);
    if let Some(pods) = order.iter().rev().find_map(|child| surplus(gang, left, counts, *child)) {
        return Some(pods);
    }
    if tree.allocated(at, counts) <= needed {
        return None;
    }
    let spare = order.iter().rev().filter(|child| tree.is_satisfied(**child, counts));
    spare.map(|child| below(gang, left, *child)).find(|pods| !pods.is_empty())
}

fn below(gang: &Gang, left: &[Vec<PodId>], at: usize) -> Vec<PodId> {
    let mut pods = left[at].clone();
    for child in &gang.tree.branch(at).children {
        pods.extend(below(gang, left, *child));
    }
    pods
}
