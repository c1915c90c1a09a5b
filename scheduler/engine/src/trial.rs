//! Tentative changes to the cluster, kept or undone as a whole.
//! Owns the undo log: a search changes the cluster only through here.
//! May not read a clock, talk to a driver, or know why a change is wanted.

use crate::cluster::{Cluster, Placement};
use crate::units::PodId;

/// The cluster with changes that are not yet final. Dropping it undoes whatever was not kept.
pub struct Trial<'a> {
    cluster: &'a mut Cluster,
    done: Vec<Change>,
}

enum Change {
    Placed(PodId),
    Released(PodId, Placement),
}

/// A moment to come back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

impl<'a> Trial<'a> {
    /// Starts with nothing changed.
    pub fn on(cluster: &'a mut Cluster) -> Self {
        Trial { cluster, done: Vec::new() }
    }

    /// The cluster as it would be.
    pub fn cluster(&self) -> &Cluster {
        self.cluster
    }

    /// Puts a pod where the caller has found room for it.
    pub fn place(&mut self, pod: PodId, placement: Placement) {
        self.cluster.place(pod, placement);
        self.done.push(Change::Placed(pod));
    }

    /// Takes a pod off its node, if it has one.
    pub fn release(&mut self, pod: PodId) {
        if let Some(placement) = self.cluster.release(pod) {
            self.done.push(Change::Released(pod, placement));
        }
    }

    /// Remembers this moment.
    pub fn mark(&self) -> Mark {
        Mark(self.done.len())
    }

    /// Takes back everything since the mark, newest first.
    pub fn undo_to(&mut self, mark: Mark) {
        while self.done.len() > mark.0 {
            match self.done.pop() {
                Some(Change::Placed(pod)) => {
                    self.cluster.release(pod);
                }
                Some(Change::Released(pod, placement)) => self.cluster.place(pod, placement),
                None => break,
            }
        }
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
