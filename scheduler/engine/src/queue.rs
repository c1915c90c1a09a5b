//! Who goes next: waiting pods by priority, then arrival, then id.
//! Owns the waiting pods and which of them are not worth trying for now. May not look at the cluster.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{PodShape, Shared};
use crate::decision::Unplaceable;
use crate::filter::Constraint;
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
    /// Pods that have not been told yet that they wait.
    unanswered: BTreeSet<PodId>,
    /// What kept the line out when somebody in it was told last.
    told: Vec<Constraint>,
    blocked: bool,
}

/// The waiting pods.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// By shape.
    lines: BTreeMap<u32, Line>,
    /// First turns of the lines that are not blocked.
    heads: BTreeSet<(Turn, u32)>,
    waiting: BTreeMap<PodId, (Turn, u32)>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a pod. Its line is tried again: the newcomer is owed an answer.
    pub(crate) fn push(&mut self, turn: Turn, shape: Shared<PodShape>) {
        let id = shape.id();
        self.waiting.insert(turn.pod, (turn, id));
        let fresh =
            || Line { shape, turns: BTreeSet::new(), unanswered: BTreeSet::new(), told: Vec::new(), blocked: false };
        let line = self.lines.entry(id).or_insert_with(fresh);
        if let Some(&head) = line.turns.first() {
            self.heads.remove(&(head, id));
        }
        line.turns.insert(turn);
        line.unanswered.insert(turn.pod);
        line.blocked = false;
        if let Some(&head) = line.turns.first() {
            self.heads.insert((head, id));
        }
    }

    /// Takes a pod out; false where it was not waiting.
    pub(crate) fn remove(&mut self, pod: PodId) -> bool {
        let Some((turn, id)) = self.waiting.remove(&pod) else { return false };
        let Some(line) = self.lines.get_mut(&id) else { return false };
        line.turns.remove(&turn);
        line.unanswered.remove(&pod);
        let was_head = self.heads.remove(&(turn, id));
        match line.turns.first() {
            Some(&head) if was_head => {
                self.heads.insert((head, id));
            }
            Some(_) => {}
            None => {
                self.lines.remove(&id);
            }
        }
        true
    }

    /// The pod whose turn it is, among those worth trying.
    pub(crate) fn next(&self) -> Option<(Turn, Shared<PodShape>)> {
        let (turn, id) = self.heads.first()?;
        Some((*turn, self.lines.get(id)?.shape.clone()))
    }

    /// Nothing of this shape fits: skips them all until [`Queue::unblock`].
    pub(crate) fn block(&mut self, shape: &Shared<PodShape>) {
        let Some(line) = self.lines.get_mut(&shape.id()) else { return };
        if let Some(&head) = line.turns.first() {
            self.heads.remove(&(head, shape.id()));
        }
        line.blocked = true;
    }

    /// Who of this shape is to be told that `why` is what it waits for: newcomers, and the first in line when something
    /// else keeps it out than it was told last.
    pub(crate) fn take_untold(&mut self, shape: &Shared<PodShape>, why: &Unplaceable) -> BTreeSet<PodId> {
        let Some(line) = self.lines.get_mut(&shape.id()) else { return BTreeSet::new() };
        let mut owed = std::mem::take(&mut line.unanswered);
        let constraints: Vec<Constraint> = why.ruled_out.iter().map(|rule| rule.constraint).collect();
        if line.told != constraints {
            owed.extend(line.turns.first().map(|head| head.pod));
            line.told = constraints;
        }
        owed
    }

    /// Room has appeared: everybody may be tried again.
    pub(crate) fn unblock(&mut self) {
        for (&id, line) in &mut self.lines {
            if std::mem::take(&mut line.blocked)
                && let Some(&head) = line.turns.first()
            {
                self.heads.insert((head, id));
            }
        }
    }
}
