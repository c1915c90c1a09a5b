//! What a gang asks for next: all that is missing to its minimum, or one pod more.

use crate::gang::{Counts, Gang, Stage};
use crate::units::PodId;

/// Pods that are placed together or not at all: by subgroup (position in the tree), in the order in which they start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    /// No subgroup twice, none without pods.
    pub parts: Vec<(usize, Vec<PodId>)>,
}

impl Chunk {
    /// Every pod of it.
    pub fn pods(&self) -> impl Iterator<Item = PodId> + '_ {
        self.parts.iter().flat_map(|(_, pods)| pods.iter().copied())
    }

    /// How many pods it has.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|(_, pods)| pods.len()).sum()
    }

    /// Nothing to place?
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// The next chunk of a gang; empty when nothing waits or nothing that waits could help.
pub(crate) fn next_chunk(gang: &Gang, stage: impl Fn(PodId) -> Stage) -> Chunk {
    let mut chunk = Chunk::default();
    add(gang, &gang.counts(), 0, &stage, &mut chunk);
    chunk
}

fn add(gang: &Gang, active: &Counts, at: usize, stage: &impl Fn(PodId) -> Stage, chunk: &mut Chunk) {
    let (tree, needed) = (&gang.tree, gang.tree.branch(at).min_member);
    if tree.is_leaf(at) {
        let missing = needed.saturating_sub(active[at]).max(1) as usize;
        let waiting = gang.members[at].pods.iter().copied().filter(|pod| stage(*pod) == Stage::Pending);
        let pods: Vec<PodId> = waiting.take(missing).collect();
        if !pods.is_empty() {
            chunk.parts.push((at, pods));
        }
        return;
    }
    let ready = tree.in_order(at, active).into_iter().filter(|child| gang.is_ready(*child));
    if tree.is_satisfied(at, active) {
        let before = chunk.parts.len();
        for child in ready {
            add(gang, active, child, stage, chunk);
            if chunk.parts.len() > before {
                return;
            }
        }
    } else {
        for child in ready.take(needed as usize).filter(|child| !tree.is_satisfied(*child, active)) {
            add(gang, active, child, stage, chunk);
        }
    }
}
