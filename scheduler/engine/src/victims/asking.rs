//! Who is asked to give way next (rule V2): queues compared by what they would have left, so that the one furthest above its
//! share gives first; in a leaf queue in the order of [`super::order`]. Nothing is changed by asking.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, btree_set};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::rc::Rc;

use priority_queue::PriorityQueue;

use super::order::{Place, VictimIndex, is_active, place, unit_loss};
use super::{Action, Claim, budget, is_within};
use crate::cycle::Context;
use crate::gang::next_unit;
use crate::queue::Queue;
use crate::queue::amounts::Amounts;
use crate::queue::standing::Standing;
use crate::rules::Rules;
use crate::state::State;
use crate::units::{GangId, NodeId, PodId, QueueId, Timestamp};

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
    /// Its gang.
    pub(super) started: Option<Timestamp>,
    /// What is lost with it, in GPU-thousandths times ms.
    pub(super) loss: i128,
}

/// The next unit of a leaf.
#[derive(Debug, Clone)]
struct Next {
    place: Place,
    unit: Rc<Considered>,
}

/// The first unit of a leaf that may go, whoever claims, and how the leaf would stand without it.
#[derive(Debug)]
pub(super) struct First {
    next: Next,
    standing: Standing,
}

impl First {
    /// Of these gangs in a leaf.
    pub(super) fn of<'p>(
        context: &Context<'_>,
        action: Action,
        mut leaf: impl Iterator<Item = &'p Place>,
    ) -> Option<Self> {
        let Context { state, rules, now, .. } = context;
        let next = leaf.find_map(|place| {
            let unit = Rc::new(unit(state, rules, *now, action, place.gang.0, &BTreeSet::new())?);
            Some(Next { place: place.clone(), unit })
        })?;
        let queue = state.queues.get(next.unit.queue)?;
        let standing = standing(state, queue, &next.unit.amounts, None, &state.queues.divided);
        Some(First { next, standing })
    }
}

/// Asks gang after gang for one attempt; nothing is changed by asking.
pub(super) struct Asking<'a> {
    action: Action,
    claim: &'a Claim,
    rules: &'a Rules,
    now: Timestamp,
    /// Not yet asked, per leaf.
    waiting: BTreeMap<QueueId, btree_set::Iter<'a, Place>>,
    /// Asked before, with something left.
    again: BTreeMap<QueueId, BTreeSet<Place>>,
    next: BTreeMap<QueueId, Next>,
    /// The leaf that was asked last, of which the next unit is not known yet.
    behind: Option<QueueId>,
    /// The queues with something to give; the worst standing first.
    siblings: BTreeMap<Option<QueueId>, PriorityQueue<QueueId, Standing, BuildHasherDefault<DefaultHasher>>>,
    gone: BTreeSet<PodId>,
    taken: BTreeMap<QueueId, Amounts>,
    total: &'a Amounts,
}

impl<'a> Asking<'a> {
    /// Asks these leaves, for which the index has been prepared.
    pub(super) fn new(
        (state, rules, now): (&State, &'a Rules, Timestamp),
        index: &'a VictimIndex,
        leaves: &[QueueId],
        action: Action,
        claim: &'a Claim,
    ) -> Self {
        let mut asking = Asking {
            action,
            claim,
            rules,
            now,
            waiting: BTreeMap::new(),
            again: BTreeMap::new(),
            next: BTreeMap::new(),
            behind: None,
            siblings: BTreeMap::new(),
            gone: BTreeSet::new(),
            taken: BTreeMap::new(),
            total: &index.total,
        };
        let mut above: BTreeSet<(Reverse<usize>, QueueId)> = BTreeSet::new();
        for leaf in leaves {
            asking.start(state, index, *leaf);
            let path = state.queues.path(*leaf).skip(1);
            let depth = path.clone().count();
            above.extend(path.enumerate().map(|(up, (id, _))| (Reverse(depth - up), id)));
        }
        for (_, id) in above {
            asking.restand(state, id);
        }
        asking
    }

    /// Finds the first unit of a leaf: the one that is known to be first, where nothing about the claimant forbids it.
    fn start(&mut self, state: &State, index: &'a VictimIndex, leaf: QueueId) {
        let (Some(places), Some(queue)) = (index.leaves.get(&leaf), state.queues.get(leaf)) else { return };
        let mut waiting = places.iter();
        let Some(First { next, standing }) = index.firsts.get(&leaf).and_then(Option::as_ref) else { return };
        if self.may_be_asked(state, &next.unit) {
            waiting.find(|place| **place == next.place);
            self.next.insert(leaf, next.clone());
            self.siblings.entry(queue.spec.parent).or_default().push(leaf, standing.clone());
            self.waiting.insert(leaf, waiting);
        } else {
            self.waiting.insert(leaf, waiting);
            self.advance(state, leaf);
        }
    }

    /// The next unit to give way.
    pub(super) fn next(&mut self, state: &State) -> Option<Considered> {
        if let Some(leaf) = self.behind.take() {
            self.advance(state, leaf);
            state.queues.path(leaf).skip(1).for_each(|(id, _)| self.restand(state, id));
        }
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
        self.behind = Some(leaf);
        Some(Rc::unwrap_or_clone(unit))
    }

    /// Finds the next unit of a leaf, and how it stands then.
    fn advance(&mut self, state: &State, leaf: QueueId) {
        self.next.remove(&leaf);
        while let Some(place) = self.first(leaf) {
            let unit = unit(state, self.rules, self.now, self.action, place.gang.0, &self.gone);
            if let Some(unit) = unit.filter(|unit| self.may_be_asked(state, unit)) {
                self.next.insert(leaf, Next { place, unit: Rc::new(unit) });
                break;
            }
        }
        self.restand(state, leaf);
    }

    /// May this claimant ask for it?
    fn may_be_asked(&self, state: &State, unit: &Considered) -> bool {
        let protected = || self.action.min_runtime_ms(state, self.claim, unit.queue);
        self.action.may_ask(self.claim, unit.gang, unit.priority)
            && (unit.surplus || !is_within(unit.started, self.now, protected()))
    }

    /// Works out how a queue stands with what its next unit would leave it.
    fn restand(&mut self, state: &State, id: QueueId) {
        let Some(queue) = state.queues.get(id) else { return };
        let standing =
            self.amounts_below(id).map(|amounts| standing(state, queue, amounts, self.taken.get(&id), self.total));
        let siblings = self.siblings.entry(queue.spec.parent).or_default();
        match standing {
            Some(standing) => {
                siblings.push(id, standing);
            }
            None => {
                siblings.remove(&id);
            }
        }
    }

    /// The next unit under a queue: of the leaf that would give way next.
    fn amounts_below(&self, mut at: QueueId) -> Option<&Amounts> {
        loop {
            if let Some(next) = self.next.get(&at) {
                return Some(&next.unit.amounts);
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
}

/// How a queue would stand without what was taken from it and one more unit.
fn standing(state: &State, queue: &Queue, unit: &Amounts, taken: Option<&Amounts>, total: &Amounts) -> Standing {
    let mut left = queue.allocated.less(unit);
    if let Some(taken) = taken {
        left.add(taken, -1);
    }
    Standing::of(&state.queues, queue, &left, &Amounts::zero(), total)
}

/// What a gang can give next, without pods that are gone, if it may go at all.
fn unit(
    state: &State,
    rules: &Rules,
    now: Timestamp,
    action: Action,
    id: GangId,
    gone: &BTreeSet<PodId>,
) -> Option<Considered> {
    let gang = state.gangs.get(&id)?;
    if action == Action::Consolidate && !rules.move_bare_pods && !gang.spec.recreated {
        return None;
    }
    let unit = next_unit(gang, |pod| is_active(state, pod) && !gone.contains(&pod))?;
    if !budget::allows(state, &unit.pods) {
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
        started: gang.spec.started,
        loss: unit_loss(state, rules, now, gang, &unit.pods),
        pods: unit.pods,
    };
    for place in considered.pods.iter().filter_map(|pod| state.cluster.placed().get(pod)) {
        considered.amounts.add(&state.held(place), 1);
        considered.nodes.insert(place.node);
    }
    Some(considered)
}
