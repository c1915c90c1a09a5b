//! For one pod shape: what the policy thinks of every node class, kept in step through the cluster's change log.
//! A decision computes losses only for classes that are new since the last one of its shape.

use super::{Chosen, Loss};
use crate::cluster::{ClassId, Classes, NodeState};
use crate::units::NodeId;

/// The opinion on one class slot.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// The slot's generation when the opinion was formed.
    generation: u32,
    /// `loss` is meaningful only where the pod fits and the class has members.
    fits: bool,
    inhabited: bool,
    gpu: u8,
    tie: u32,
    first: NodeId,
    loss: i64,
}

impl Candidate {
    /// The order of choice; ends in a node id, so no two candidates tie.
    fn order(&self) -> (i64, u32, NodeId) {
        (self.loss, self.tie, self.first)
    }
}

/// Candidates in class-slot order.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    seen: u64,
    slots: Vec<Option<Candidate>>,
}

impl Candidates {
    /// Looks at what changed. `assess` says what the policy thinks of a state, or `None` where the pod does not fit.
    pub(super) fn catch_up(&mut self, classes: &Classes, assess: impl Fn(&NodeState) -> Option<(Loss, u32)>) {
        let changed = classes.changed_since(self.seen);
        match changed {
            Some(changed) if self.seen > 0 => {
                self.slots.resize(classes.slots().len(), None);
                for &class in changed {
                    self.refresh(classes, class, &assess);
                }
            }
            _ => {
                self.slots.resize(classes.slots().len(), None);
                for class in classes.ids() {
                    self.refresh(classes, class, &assess);
                }
            }
        }
        self.seen = classes.now();
    }

    fn refresh(&mut self, classes: &Classes, id: ClassId, assess: impl Fn(&NodeState) -> Option<(Loss, u32)>) {
        let class = classes.get(id);
        let slot = &mut self.slots[id.index()];
        let Some(&first) = class.members.first() else {
            if let Some(candidate) = slot {
                candidate.inhabited = false;
            }
            return;
        };
        if let Some(candidate) = slot
            && candidate.generation == class.generation
        {
            (candidate.first, candidate.inhabited) = (first, true);
            return;
        }
        let opinion = assess(&class.state);
        let (loss, tie) = opinion.unwrap_or((Loss { loss: 0, gpu: 0 }, 0));
        *slot = Some(Candidate {
            generation: class.generation,
            fits: opinion.is_some(),
            inhabited: true,
            gpu: loss.gpu,
            tie,
            first,
            loss: loss.loss,
        });
    }

    /// The classes the pod fits on now.
    fn fitting(&self) -> impl Iterator<Item = (usize, &Candidate)> {
        let slots = self.slots.iter().enumerate();
        slots
            .filter_map(|(index, slot)| slot.as_ref().map(|candidate| (index, candidate)))
            .filter(|(_, candidate)| candidate.fits && candidate.inhabited)
    }

    /// The slots of the classes the pod fits on now.
    pub(super) fn fitting_slots(&self) -> impl Iterator<Item = usize> {
        self.fitting().map(|(index, _)| index)
    }

    /// The best node, if the pod fits anywhere.
    pub(super) fn best(&self) -> Option<Chosen> {
        let mut best: Option<&Candidate> = None;
        let mut next_loss: Option<i64> = None;
        for (_, candidate) in self.fitting() {
            let loser = match best {
                Some(champion) if champion.order() <= candidate.order() => Some(candidate.loss),
                _ => best.replace(candidate).map(|champion| champion.loss),
            };
            next_loss = match (next_loss, loser) {
                (Some(next), Some(loser)) => Some(next.min(loser)),
                (next, loser) => next.or(loser),
            };
        }
        best.map(|best| Chosen { node: best.first, gpu: best.gpu, loss: best.loss, next_loss })
    }
}
