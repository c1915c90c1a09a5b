//! Tentative changes, kept or undone as a whole.
//! Owns the undo log: a search changes the state only through here.
//! May not read a clock, talk to a driver, or know why a change is wanted.

use crate::state::{State, Whereabouts};
use crate::units::PodId;

/// The state with changes that are not yet final. Dropping it undoes whatever was not kept.
pub struct Trial<'a> {
    state: &'a mut State,
    /// Pods that were changed, and where they were before.
    done: Vec<(PodId, Whereabouts)>,
}

/// A moment to come back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

impl<'a> Trial<'a> {
    /// Starts with nothing changed.
    pub fn on(state: &'a mut State) -> Self {
        Trial { state, done: Vec::new() }
    }

    /// The state as it would be.
    pub fn state(&self) -> &State {
        self.state
    }

    /// Moves a pod to another stage or place; the caller has found room for it.
    pub fn set(&mut self, pod: PodId, new: Whereabouts) {
        let old = self.state.set(pod, new);
        self.done.push((pod, old));
    }

    /// Remembers this moment.
    pub fn mark(&self) -> Mark {
        Mark(self.done.len())
    }

    /// Takes back everything since the mark, newest first.
    pub fn undo_to(&mut self, mark: Mark) {
        while self.done.len() > mark.0
            && let Some((pod, old)) = self.done.pop()
        {
            self.state.set(pod, old);
        }
    }

    /// What was changed since the mark: each pod once, with where it was at the mark, by id.
    pub fn changed_since(&self, mark: Mark) -> std::collections::BTreeMap<PodId, &Whereabouts> {
        // The oldest entry of a pod is the one that counts.
        self.done[mark.0..].iter().rev().map(|(pod, old)| (*pod, old)).collect()
    }

    /// Makes all changes final.
    pub fn keep(mut self) {
        self.done.clear();
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.undo_to(Mark(0));
    }
}
