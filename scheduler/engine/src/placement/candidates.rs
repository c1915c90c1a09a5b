//! For one pod shape: what the policy thinks of every node class, kept in step through the cluster's change log.
//! A decision computes losses only for classes that are new since the last one of its shape, and adds prices anew only
//! when they have changed.

use super::tournament::Tournament;
use super::{Chosen, Loss};
use crate::cluster::{ClassId, Classes, NodeState};
use crate::units::NodeId;

/// Who judges the classes for the pod shape at hand.
pub(super) trait Judge {
    /// What the policy and the tie-break say of a state; `None` where the pod does not fit.
    fn assess(&self, node: &NodeState) -> Option<(Loss, u32)>;
    /// The loss to order by, as prices stand.
    fn priced(&self, loss: Loss, node: &NodeState) -> i64;
}

/// The opinion on one class slot.
#[derive(Debug, Clone, Copy)]
struct Opinion {
    /// The slot's generation when the opinion was formed.
    generation: u32,
    /// `None` where the pod does not fit.
    loss: Option<(Loss, u32)>,
}

/// The order of choice; ends in a node id, so no two candidates tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    loss: i64,
    tie: u32,
    first: NodeId,
    slot: u32,
}

/// The classes a pod shape fits on, best first.
#[derive(Debug, Default)]
pub(super) struct Candidates<P> {
    seen: u64,
    prices: P,
    opinions: Vec<Option<Opinion>>,
    order: Tournament<Key>,
}

impl<P: PartialEq + Clone> Candidates<P> {
    /// Looks at what changed: classes since the last look, and prices.
    pub(super) fn catch_up(&mut self, classes: &Classes, prices: &P, judge: &impl Judge) {
        let slots = classes.slots().len();
        let changed =
            if slots > self.order.len() || *prices != self.prices { None } else { classes.changed_since(self.seen) };
        self.opinions.resize(slots, None);
        match changed {
            Some(changed) => {
                for &class in changed {
                    let key = self.key(classes, class, judge);
                    self.order.set(class.index(), key);
                }
            }
            None => {
                let keys: Vec<_> = classes.ids().map(|class| self.key(classes, class, judge)).collect();
                self.order.reset(keys.into_iter());
            }
        }
        self.prices = prices.clone();
        self.seen = classes.now();
    }

    /// Forms an opinion where there is none yet on the slot's present state.
    fn key(&mut self, classes: &Classes, id: ClassId, judge: &impl Judge) -> Option<Key> {
        let class = classes.get(id);
        let first = *class.members.first()?;
        let known = self.opinions[id.index()].filter(|opinion| opinion.generation == class.generation);
        let form = || Opinion { generation: class.generation, loss: judge.assess(&class.state) };
        let opinion = known.unwrap_or_else(form);
        self.opinions[id.index()] = Some(opinion);
        let (loss, tie) = opinion.loss?;
        Some(Key { loss: judge.priced(loss, &class.state), tie, first, slot: id.index() as u32 })
    }

    /// The best node, if the pod fits anywhere.
    pub(super) fn best(&self) -> Option<Chosen> {
        let best = self.order.first()?;
        let slot = best.slot as usize;
        let (Loss { gpu, .. }, _) = self.opinions[slot]?.loss?;
        let next_loss = self.order.first_but(slot).map(|next| next.loss);
        Some(Chosen { node: best.first, gpu, loss: best.loss, next_loss })
    }

    /// The slots of the classes the pod fits on now.
    pub(super) fn fitting_slots<'a>(&'a self, classes: &'a Classes) -> impl Iterator<Item = usize> + 'a {
        let fits = |slot: &usize| self.opinions.get(*slot).is_some_and(|o| o.is_some_and(|o| o.loss.is_some()));
        (0..classes.slots().len()).filter(|slot| !classes.slots()[*slot].members.is_empty()).filter(fits)
    }
}
