//! For one pod shape: what the policy thinks of every node class, kept in step through the cluster's change log.
//! A decision computes losses only for classes that are new since the last one of its shape, and adds prices anew only
//! when they have changed. Searches among some nodes use the same opinions, formed for the classes of those nodes only.

use super::tournament::Tournament;
use super::{Chosen, Loss};
use crate::cluster::{ClassId, Classes, Cluster, NodeClass, NodeState};
use crate::units::NodeId;

/// What the policy and the tie-break say of a state on which the pod fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assessment {
    /// The pod would have to wait until others have left.
    pub(super) waits: bool,
    pub(super) loss: Loss,
    pub(super) tie: u32,
}

/// Who judges the classes for the pod shape at hand.
pub(super) trait Judge {
    /// `None` where the pod does not fit.
    fn assess(&self, node: &NodeState) -> Option<Assessment>;
    /// The loss to order by, as prices stand.
    fn priced(&self, assessment: &Assessment, node: &NodeState) -> i64;
}

/// The opinion on one class slot.
#[derive(Debug, Clone, Copy)]
struct Opinion {
    /// The slot's generation when the opinion was formed.
    generation: u32,
    /// `None` where the pod does not fit.
    assessment: Option<Assessment>,
}

/// The order of choice; ends in a node id, so no two candidates tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) waits: bool,
    pub(super) loss: i64,
    pub(super) tie: u32,
    /// The first node of the class, among those asked about.
    pub(super) first: NodeId,
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
                    let key = self.first_key(classes, class, judge);
                    self.order.set(class.index(), key);
                }
            }
            None => {
                let keys: Vec<_> = classes.ids().map(|class| self.first_key(classes, class, judge)).collect();
                self.order.reset(keys.into_iter());
            }
        }
        self.prices = prices.clone();
        self.seen = classes.now();
    }

    /// The keys of the classes the pod fits on, each by its first node in scope, in no particular order. Needs no
    /// [`Candidates::catch_up`].
    pub(super) fn keys_in(&mut self, cluster: &Cluster, scope: Option<&[NodeId]>, judge: &impl Judge) -> Vec<Key> {
        let classes = cluster.classes();
        self.opinions.resize(classes.slots().len(), None);
        let firsts = cluster.firsts_of_classes(scope).into_iter();
        firsts.filter_map(|(class, first)| self.key(classes, class, first, judge)).collect()
    }

    /// Whether the pod would wait on a node, if it fits there; with the node's state.
    pub(super) fn waits_on<'a>(
        &mut self,
        cluster: &'a Cluster,
        node: NodeId,
        judge: &impl Judge,
    ) -> Option<(bool, NodeId, &'a NodeState)> {
        let classes = cluster.classes();
        self.opinions.resize(classes.slots().len(), None);
        let class = cluster.nodes().get(&node)?.class;
        let key = self.key(classes, class, node, judge)?;
        Some((key.waits, node, &classes.get(class).state))
    }

    fn first_key(&mut self, classes: &Classes, id: ClassId, judge: &impl Judge) -> Option<Key> {
        self.key(classes, id, *classes.get(id).members.first()?, judge)
    }

    /// Forms an opinion where there is none yet on the slot's present state.
    fn key(&mut self, classes: &Classes, id: ClassId, first: NodeId, judge: &impl Judge) -> Option<Key> {
        let class = classes.get(id);
        let known = self.opinions[id.index()].filter(|opinion| opinion.generation == class.generation);
        let form = || Opinion { generation: class.generation, assessment: judge.assess(&class.state) };
        let opinion = known.unwrap_or_else(form);
        self.opinions[id.index()] = Some(opinion);
        let assessment = opinion.assessment?;
        let loss = judge.priced(&assessment, &class.state);
        Some(Key { waits: assessment.waits, loss, tie: assessment.tie, first, slot: id.index() as u32 })
    }

    /// The opinion behind a key.
    pub(super) fn assessment(&self, key: &Key) -> Option<Assessment> {
        self.opinions[key.slot as usize]?.assessment
    }

    /// The best node, if the pod fits anywhere; after [`Candidates::catch_up`].
    pub(super) fn best(&self) -> Option<Chosen> {
        let best = self.order.first()?;
        self.chosen(best, self.order.first_but(best.slot as usize))
    }

    /// The best of these keys.
    pub(super) fn best_of(&self, keys: &[Key]) -> Option<Chosen> {
        let best = keys.iter().min()?;
        self.chosen(*best, keys.iter().filter(|key| *key != best).min().copied())
    }

    fn chosen(&self, best: Key, next: Option<Key>) -> Option<Chosen> {
        let Assessment { waits, loss, .. } = self.assessment(&best)?;
        let next_loss = next.map(|next| next.loss);
        Some(Chosen { node: best.first, gpus: loss.gpus, waits, loss: best.loss, next_loss })
    }

    /// The classes the pod fits on, with whether it would wait there; after [`Candidates::catch_up`].
    pub(super) fn fitting<'a>(&'a self, classes: &'a Classes) -> impl Iterator<Item = (bool, &'a NodeClass)> {
        let inhabited = classes.slots().iter().zip(&self.opinions).filter(|(class, _)| !class.members.is_empty());
        inhabited.filter_map(|(class, opinion)| Some((opinion.as_ref()?.assessment?.waits, class)))
    }
}
