//! In which order gangs are asked to give way (rule V2): the serving order reversed, queues compared by what they would have
//! left. So the queue furthest above its share gives first, and in it the lowest priority, then surplus, then the youngest or
//! whoever loses least.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use priority_queue::PriorityQueue;

use super::by_node::NodeCosts;
use super::consolidate::Left;
use super::{Action, Claim, budget, holds, is_within};
use crate::gang::{Gang, next_unit};
use crate::queue::amounts::{self, Amounts};
use crate::queue::standing::Standing;
use crate::rules::{Rules, VictimOrder};
use crate::state::State;
use crate::units::{GangId, NodeId, PodId, QueueId, Timestamp};

/// A gang's place among the victims of its queue: the least gives way first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    priority: i64,
    health: Reverse<u8>,
    /// GPU-thousandths times ms that would be lost; 0 where that does not matter.
    loss: i128,
    created: Reverse<Timestamp>,
    name: Reverse<Arc<str>>,
    gang: Reverse<GangId>,
}

/// Who could give way, by leaf queue: sorted when a leaf is first asked in a pass, and kept in step from then on.
#[derive(Debug, Default)]
pub(crate) struct VictimIndex {
    pub(super) left: Option<Left>,
    pub(super) costs: NodeCosts,
    leaves: BTreeMap<QueueId, BTreeSet<Place>>,
    places: BTreeMap<GangId, Place>,
}

impl VictimIndex {
    /// Sorts the preemptible gangs of the leaves that a claimant may ask.
    pub(super) fn prepare(&mut self, state: &State, rules: &Rules, now: Timestamp, action: Action, claim: &Claim) {
        for (&leaf, gangs) in &state.evictable {
            if !self.leaves.contains_key(&leaf) && action.may_ask_queue(state, claim, leaf) {
                self.leaves.insert(leaf, BTreeSet::new());
                gangs.iter().for_each(|(_, gang)| self.refresh(state, rules, now, *gang));
            }
        }
    }

    /// Puts one gang where it belongs by now.
    pub(crate) fn refresh(&mut self, state: &State, rules: &Rules, now: Timestamp, id: GangId) {
        let Some(gang) = state.gangs.get(&id) else { return };
        let Some(leaf) = self.leaves.get_mut(&gang.spec.queue) else { return };
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

fn place(state: &State, rules: &Rules, now: Timestamp, id: GangId, gang: &Gang, gone: &BTreeSet<PodId>) -> Place {
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

/// Something that can be taken.
#[derive(Debug, Clone)]
pub(super) struct Considered {
    pub(super) queue: QueueId,
    pub(super) gang: GangId,
    pub(super) pods: Vec<PodId>,
    /// Its gang goes on without it.
    pub(super) surplus: bool,
    pub(super) amounts: Amounts,
    /// The unit of the same gang that goes before it, as a position in the order of asking.
    pub(super) before: Option<usize>,
    /// Where its pods are.
    pub(super) nodes: BTreeSet<NodeId>,
    /// Of its gang.
    pub(super) priority: i64,
    /// What is lost with it, in GPU-thousandths times ms.
    pub(super) loss: i128,
}

/// The next unit of a leaf.
#[derive(Debug)]
struct Next {
    place: Place,
    unit: Considered,
}

/// Asks gang after gang for one attempt; nothing is changed by asking.
pub(super) struct Asking<'a> {
    action: Action,
    claim: &'a Claim,
    rules: &'a Rules,
    now: Timestamp,
    /// Not yet asked, per leaf.
    waiting: BTreeMap<QueueId, std::collections::btree_set::Iter<'a, Place>>,
    /// Asked before, with something left.
    again: BTreeMap<QueueId, BTreeSet<Place>>,
    next: BTreeMap<QueueId, Next>,
    /// The queues with something to give; the worst standing first.
    siblings: BTreeMap<Option<QueueId>, PriorityQueue<QueueId, Standing, BuildHasherDefault<DefaultHasher>>>,
    gone: BTreeSet<PodId>,
    taken: BTreeMap<QueueId, Amounts>,
    total: Amounts,
}

impl<'a> Asking<'a> {
    pub(super) fn new(
        state: &State,
        index: &'a VictimIndex,
        action: Action,
        claim: &'a Claim,
        rules: &'a Rules,
        now: Timestamp,
    ) -> Self {
        let asked: Vec<(&QueueId, &BTreeSet<Place>)> =
            index.leaves.iter().filter(|(leaf, _)| action.may_ask_queue(state, claim, **leaf)).collect();
        let mut asking = Asking {
            action,
            claim,
            rules,
            now,
            waiting: asked.iter().map(|(queue, places)| (**queue, places.iter())).collect(),
            again: BTreeMap::new(),
            next: BTreeMap::new(),
            siblings: BTreeMap::new(),
            gone: BTreeSet::new(),
            taken: BTreeMap::new(),
            total: state.queues.divided.clone(),
        };
        for (leaf, _) in asked {
            asking.advance(state, *leaf);
        }
        asking
    }

    /// The next unit to give way.
    pub(super) fn next(&mut self, state: &State) -> Option<Considered> {
        let mut at = None;
        let leaf = loop {
            let (&queue, _) = self.siblings.get(&at)?.peek()?;
            if self.next.contains_key(&queue) {
                break queue;
            }
            at = Some(queue);
        };
        let Next { place, unit } = self.next.remove(&leaf)?;
        self.gone.extend(&unit.pods);
        for (id, _) in state.queues.path(leaf) {
            self.taken.entry(id).or_insert_with(Amounts::zero).add(&unit.amounts, 1);
        }
        let id = place.gang.0;
        if unit.surplus
            && let Some(gang) = state.gangs.get(&id)
        {
            let left = self::place(state, self.rules, self.now, id, gang, &self.gone);
            self.again.entry(leaf).or_default().insert(left);
        }
        self.advance(state, leaf);
        Some(unit)
    }

    /// Finds the next unit of a leaf, and how the queues above it stand then.
    fn advance(&mut self, state: &State, leaf: QueueId) {
        self.next.remove(&leaf);
        while let Some(place) = self.first(leaf) {
            if let Some(unit) = self.unit(state, place.gang.0) {
                self.next.insert(leaf, Next { place, unit });
                break;
            }
        }
        let mut at = Some(leaf);
        while let Some((id, queue)) = at.and_then(|id| Some((id, state.queues.get(id)?))) {
            let siblings = self.siblings.entry(queue.spec.parent).or_default();
            siblings.remove(&id);
            if let Some(amounts) = self.amounts_below(id) {
                let mut left = queue.allocated.less(&amounts);
                if let Some(taken) = self.taken.get(&id) {
                    left.add(taken, -1);
                }
                let standing = Standing::of(&state.queues, queue, &left, &Amounts::zero(), &self.total);
                self.siblings.entry(queue.spec.parent).or_default().push(id, standing);
            }
            at = queue.spec.parent;
        }
    }

    /// The next unit under a queue: of the leaf that would give way next.
    fn amounts_below(&self, mut at: QueueId) -> Option<Amounts> {
        loop {
            if let Some(next) = self.next.get(&at) {
                return Some(next.unit.amounts.clone());
            }
            at = *self.siblings.get(&Some(at))?.peek()?.0;
        }
    }

    /// Takes out the first gang of a leaf, of those not asked yet and those with something left.
    fn first(&mut self, leaf: QueueId) -> Option<Place> {
        let fresh = self.waiting.get(&leaf).and_then(|places| places.clone().next());
        let again = self.again.get(&leaf).and_then(BTreeSet::first);
        if again.is_some_and(|again| fresh.is_none_or(|fresh| again < fresh)) {
            return self.again.get_mut(&leaf).and_then(BTreeSet::pop_first);
        }
        self.waiting.get_mut(&leaf)?.next().cloned()
    }

    /// What the gang can give next, if it may be asked.
    fn unit(&mut self, state: &State, id: GangId) -> Option<Considered> {
        let gang = state.gangs.get(&id).filter(|gang| self.action.may_ask(self.claim, id, gang.spec.priority))?;
        if self.action == Action::Consolidate && !self.rules.move_bare_pods && !gang.spec.recreated {
            return None;
        }
        let unit = next_unit(gang, |pod| is_active(state, pod) && !self.gone.contains(&pod))?;
        let protected = self.action.min_runtime_ms(state, self.claim, gang.spec.queue);
        if !unit.surplus && is_within(gang.spec.started, self.now, protected) || !budget::allows(state, &unit.pods) {
            return None;
        }
        let mut considered = Considered {
            queue: gang.spec.queue,
            gang: id,
            before: None,
            surplus: unit.surplus,
            amounts: Amounts::zero(),
            nodes: BTreeSet::new(),
            priority: gang.spec.priority,
            loss: unit_loss(state, self.rules, self.now, gang, &unit.pods),
            pods: unit.pods,
        };
        for place in considered.pods.iter().filter_map(|pod| state.cluster.placed().get(pod)) {
            considered.amounts.add(&state.held(place), 1);
            considered.nodes.insert(place.node);
        }
        Some(considered)
    }
}
