//! Whose turn it is: from the roots down, the sibling that stands best, then the first gang of the leaf. Made for one pass
//! and kept in step as gangs are served: only the standings on the way from a changed leaf to its root are worked out anew.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use priority_queue::PriorityQueue;

use crate::gang::Turn;
use crate::queue::amounts::Amounts;
use crate::queue::standing::Standing;
use crate::state::{Assume, State};
use crate::units::{GangId, QueueId};

/// Least first; hashing is the same on every machine and only finds entries, it orders nothing.
type LeastFirst<K, P> = PriorityQueue<K, Reverse<P>, BuildHasherDefault<DefaultHasher>>;

/// The gangs of one pass, `K` being what stands in line: a gang or a line of equal ones.
#[derive(Debug)]
pub(crate) struct Serving<K: std::hash::Hash + Eq> {
    leaves: BTreeMap<QueueId, LeastFirst<K, Turn>>,
    siblings: BTreeMap<Option<QueueId>, LeastFirst<QueueId, Standing>>,
    /// The next piece of work under each queue that has some.
    next: BTreeMap<QueueId, Amounts>,
    /// Gangs that are not served here but stand before some that are: a queue is judged by the first gang that waits in it,
    /// whoever is served.
    heads: BTreeMap<QueueId, Turn>,
    total: Amounts,
}

impl<K: std::hash::Hash + Eq + Copy> Serving<K> {
    /// All of these, each in its leaf queue.
    pub(crate) fn of(state: &State, entries: impl Iterator<Item = (QueueId, K, Turn)>) -> Self {
        Serving::among(state, entries, BTreeMap::new())
    }

    /// The same, while others wait as well: `heads` has the first of them in each leaf.
    pub(crate) fn among(
        state: &State,
        entries: impl Iterator<Item = (QueueId, K, Turn)>,
        heads: BTreeMap<QueueId, Turn>,
    ) -> Self {
        let (leaves, siblings, next, total) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), state.queues().divided.clone());
        let mut serving = Serving { leaves, siblings, next, heads, total };
        for (queue, key, turn) in entries {
            serving.leaves.entry(queue).or_default().push(key, Reverse(turn));
        }
        for leaf in serving.leaves.keys().copied().collect::<Vec<_>>() {
            serving.restand(state, leaf);
        }
        serving
    }

    /// Who is served next, and in which line it stands.
    pub(crate) fn peek(&self) -> Option<(QueueId, K, GangId)> {
        let mut at = None;
        while let Some((&queue, _)) = self.siblings.get(&at).and_then(PriorityQueue::peek) {
            at = Some(queue);
            if let Some((&key, turn)) = self.leaves.get(&queue).and_then(PriorityQueue::peek) {
                return Some((queue, key, turn.0.gang));
            }
        }
        None
    }

    /// Sets or clears (`None`) the place of one entry.
    pub(crate) fn set(&mut self, state: &State, queue: QueueId, key: K, turn: Option<Turn>) {
        let leaf = self.leaves.entry(queue).or_default();
        match turn {
            Some(turn) => {
                leaf.push(key, Reverse(turn));
            }
            None => {
                leaf.remove(&key);
            }
        }
        self.restand(state, queue);
    }

    /// Works out anew how a leaf and the queues above it stand.
    pub(crate) fn restand(&mut self, state: &State, leaf: QueueId) {
        let first = self.leaves.get(&leaf).and_then(PriorityQueue::peek).map(|(_, turn)| &turn.0);
        let first = first.map(|turn| self.heads.get(&leaf).filter(|head| *head < turn).unwrap_or(turn).gang);
        match first {
            Some(gang) => {
                let chunk = state.next_chunk(gang);
                self.next.insert(leaf, state.estimate_all(chunk.pods(), Assume::SmallestMemory));
            }
            None => {
                self.next.remove(&leaf);
            }
        }
        let mut at = Some(leaf);
        while let Some((id, queue)) = at.and_then(|id| Some((id, state.queues().get(id)?))) {
            if id != leaf {
                let best = self.siblings.get(&Some(id)).and_then(PriorityQueue::peek).map(|(child, _)| *child);
                match best.and_then(|child| self.next.get(&child)).cloned() {
                    Some(next) => self.next.insert(id, next),
                    None => self.next.remove(&id),
                };
            }
            let siblings = self.siblings.entry(queue.spec.parent).or_default();
            match self.next.get(&id) {
                Some(more) => {
                    let standing = Standing::of(state.queues(), queue, &queue.allocated, more, &self.total);
                    siblings.push(id, Reverse(standing));
                }
                None => {
                    siblings.remove(&id);
                }
            }
            at = queue.spec.parent;
        }
    }
}
