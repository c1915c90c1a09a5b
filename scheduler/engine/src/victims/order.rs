//! In which order the gangs of a queue give way: the serving order reversed. The lowest priority first, then surplus, then the
//! youngest or whoever loses least.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::asking::First;
use super::by_node::NodeCosts;
use super::consolidate::Left;
use super::{Action, Claim, holds};
use crate::cycle::Context;
use crate::gang::{Gang, next_unit};
use crate::queue::amounts::{self, Amounts};
use crate::rules::{Rules, VictimOrder};
use crate::state::State;
use crate::units::{GangId, PodId, QueueId, Timestamp};

/// A gang's place among the victims of its queue: the least gives way first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    priority: i64,
    health: Reverse<u8>,
    /// GPU-thousandths times ms that would be lost; 0 where that does not matter.
    loss: i128,
    created: Reverse<Timestamp>,
    name: Reverse<Arc<str>>,
    pub(super) gang: Reverse<GangId>,
}

/// Who could give way, by leaf queue: sorted when a leaf is first asked in a pass, and kept in step from then on.
#[derive(Debug, Default)]
pub(crate) struct VictimIndex {
    /// What is left of the cluster, once somebody has asked.
    pub(super) left: Option<Left>,
    pub(super) costs: NodeCosts,
    pub(super) leaves: BTreeMap<QueueId, BTreeSet<Place>>,
    /// Whoever of a leaf gives way first, if nothing about the claimant forbids it.
    pub(super) firsts: BTreeMap<QueueId, Option<First>>,
    places: BTreeMap<GangId, Place>,
    /// All that queues were given a share of.
    pub(super) total: Amounts,
}

impl VictimIndex {
    /// The leaves that a claimant may ask, with their preemptible gangs sorted.
    pub(super) fn prepare(&mut self, context: &Context<'_>, action: Action, claim: &Claim) -> Vec<QueueId> {
        let Context { state, rules, now, .. } = context;
        self.total.clone_from(&state.queues.divided);
        let mut askable = Vec::new();
        for (&leaf, gangs) in state.evictable.iter().filter(|(leaf, _)| action.may_ask_queue(state, claim, **leaf)) {
            askable.push(leaf);
            if let Entry::Vacant(unknown) = self.leaves.entry(leaf) {
                unknown.insert(BTreeSet::new());
                gangs.iter().for_each(|(_, gang)| self.refresh(state, rules, *now, *gang));
            }
            if !self.firsts.contains_key(&leaf) {
                let first = First::of(context, action, self.leaves[&leaf].iter());
                self.firsts.insert(leaf, first);
            }
        }
        askable
    }

    /// Puts one gang where it belongs by now.
    pub(crate) fn refresh(&mut self, state: &State, rules: &Rules, now: Timestamp, id: GangId) {
        let Some(gang) = state.gangs.get(&id) else { return };
        let Some(leaf) = self.leaves.get_mut(&gang.spec.queue) else { return };
        self.firsts.remove(&gang.spec.queue);
        if let Some(old) = self.places.remove(&id) {
            leaf.remove(&old);
        }
        if gang.spec.preemptible && gang.active() > 0 {
            let place = place(state, rules, now, id, gang, &BTreeSet::new());
            leaf.insert(place.clone());
            self.places.insert(id, place);
        }
    }
}

pub(super) fn place(
    state: &State,
    rules: &Rules,
    now: Timestamp,
    id: GangId,
    gang: &Gang,
    gone: &BTreeSet<PodId>,
) -> Place {
    let loss = match rules.victims {
        VictimOrder::Youngest => 0,
        VictimOrder::LeastLoss => loss(state, rules, now, gang, gone),
    };
    Place {
        priority: gang.spec.priority,
        health: Reverse(rules.serve_health(gang.health_without(|pod| gone.contains(&pod)))),
        loss,
        created: Reverse(gang.spec.created),
        name: Reverse(Arc::clone(&gang.spec.name)),
        gang: Reverse(id),
    }
}

/// What is lost when the next unit of a gang is taken.
fn loss(state: &State, rules: &Rules, now: Timestamp, gang: &Gang, gone: &BTreeSet<PodId>) -> i128 {
    let unit = next_unit(gang, |pod| is_active(state, pod) && !gone.contains(&pod));
    unit.map_or(0, |unit| unit_loss(state, rules, now, gang, &unit.pods))
}

/// What is lost with some pods: their work since the last checkpoint, and the time to start again.
pub(crate) fn unit_loss(state: &State, rules: &Rules, now: Timestamp, gang: &Gang, pods: &[PodId]) -> i128 {
    let gpu: i64 = pods.iter().map(|pod| holds(state, *pod).get(amounts::GPU)).sum();
    let saved = gang.spec.last_checkpoint.max(gang.spec.started);
    let unsaved = saved.map_or(0, |saved| now.0.saturating_sub(saved.0));
    i128::from(gpu.max(1)) * i128::from(unsaved + rules.restart_cost_ms)
}

pub(super) fn is_active(state: &State, pod: PodId) -> bool {
    state.pods.get(&pod).is_some_and(|pod| pod.stage.is_active())
}
