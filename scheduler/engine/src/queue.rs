//! Who goes next: waiting pods by priority, then arrival, then id.
//! Owns the waiting pods and what is known to be hopeless for now. May not look at the cluster.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::{PodShape, Shared};
use crate::decision::Unplaceable;
use crate::units::{PodId, Timestamp};

/// A pod's place in the queue. The least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) priority: Reverse<i32>,
    pub(crate) arrived: Timestamp,
    pub(crate) pod: PodId,
}

/// Pods of one shape. Where one does not fit, none does, so they are tried and blocked together.
#[derive(Debug)]
struct Line {
    shape: Shared<PodShape>,
    turns: BTreeSet<Turn>,
    blocked: Option<Arc<Unplaceable>>,
}

/// The waiting pods.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    lines: BTreeMap<u32, Line>,
    /// Heads of the lines that are not blocked.
    heads: BTreeSet<(Turn, u32)>,
    waiting: BTreeMap<PodId, (Turn, u32)>,
    unanswered: BTreeSet<PodId>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn push(&mut self, turn: Turn, shape: Shared<PodShape>) {
        let id = shape.id();
        let line = self.lines.entry(id).or_insert(Line { shape, turns: BTreeSet::new(), blocked: None });
        let old_head = line.turns.first().copied();
        line.turns.insert(turn);
        self.waiting.insert(turn.pod, (turn, id));
        self.unanswered.insert(turn.pod);
        self.fix_head(id, old_head);
    }

    pub(crate) fn remove(&mut self, pod: PodId) -> bool {
        let Some((turn, id)) = self.waiting.remove(&pod) else { return false };
        self.unanswered.remove(&pod);
        if let Some(line) = self.lines.get_mut(&id) {
            let old_head = line.turns.first().copied();
            line.turns.remove(&turn);
            self.fix_head(id, old_head);
        }
        true
    }

    /// The pod whose turn it is, among those not known to be hopeless.
    pub(crate) fn next(&self) -> Option<(Turn, Shared<PodShape>)> {
        let (turn, id) = self.heads.first()?;
        Some((*turn, self.lines.get(id)?.shape.clone()))
    }

    /// Nothing of this shape fits: skip them all until [`Queue::unblock`].
    pub(crate) fn block(&mut self, turn: Turn, shape: &Shared<PodShape>, why: Arc<Unplaceable>) {
        self.heads.remove(&(turn, shape.id()));
        if let Some(line) = self.lines.get_mut(&shape.id()) {
            line.blocked = Some(why);
        }
        self.unanswered.insert(turn.pod);
    }

    /// Room has appeared: everybody may be tried again.
    pub(crate) fn unblock(&mut self) {
        for (&id, line) in &mut self.lines {
            if line.blocked.take().is_some()
                && let Some(&head) = line.turns.first()
            {
                self.heads.insert((head, id));
            }
        }
    }

    /// The pods that are owed an answer, with the reason they wait.
    pub(crate) fn take_answers(&mut self) -> Vec<(PodId, Arc<Unplaceable>)> {
        let owed = std::mem::take(&mut self.unanswered);
        let reason = |pod| {
            let (_, id) = self.waiting.get(&pod)?;
            Some((pod, Arc::clone(self.lines.get(id)?.blocked.as_ref()?)))
        };
        owed.into_iter().filter_map(reason).collect()
    }

    /// Keeps `heads` in step after a line's first turn may have changed, and drops empty lines.
    fn fix_head(&mut self, id: u32, old: Option<Turn>) {
        let Some(line) = self.lines.get(&id) else { return };
        let new = line.turns.first().copied();
        if line.blocked.is_none() && new != old {
            if let Some(old) = old {
                self.heads.remove(&(old, id));
            }
            if let Some(new) = new {
                self.heads.insert((new, id));
            }
        }
        if new.is_none() {
            self.lines.remove(&id);
        }
    }
}
