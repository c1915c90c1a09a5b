//! One claimant's attempt: ask more and more gangs, and try sets of what they could give until one works (rules V3-V5).

use std::collections::{BTreeMap, BTreeSet};

use super::asking::{Asking, Considered};
use super::by_node::by_node;
use super::order::VictimIndex;
use super::room::Room;
use super::spare::spare;
use super::{Action, Before, Claim, Piece, budget};
use crate::cycle::Context;
use crate::decision::Choice;
use crate::filter::affinity;
use crate::gang::{Stage, Turn};
use crate::never::might_fit_alone;
use crate::queue::serving::Serving;
use crate::queue::waiting::{self, Waiting};
use crate::rules::{ClaimantPlaced, Rules, VictimOrder};
use crate::search::Search;
use crate::state::{State, Whereabouts};
use crate::trial::Trial;
use crate::units::{GangId, NodeId, PodId, QueueId};

/// What an attempt that worked has changed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) action: Action,
    pub(crate) claimant: GangId,
    /// The claimant's pods, with why each is where it is.
    pub(crate) promised: Vec<(PodId, Choice)>,
    /// Who loses its place.
    pub(crate) evicted: Vec<PodId>,
    /// Who gets another one.
    pub(crate) moved: Vec<(PodId, Choice)>,
    /// Pods of the same gangs that had none and get one with them.
    pub(crate) joined: Vec<(PodId, Choice)>,
}

impl Outcome {
    /// The pods that have to go, to another place or for good.
    pub(super) fn disturbed(&self) -> impl Iterator<Item = &PodId> + Clone {
        self.evicted.iter().chain(self.moved.iter().map(|(pod, _)| pod))
    }

    /// The gangs that were disturbed, or got something by it.
    pub(crate) fn victims<'a>(&'a self, state: &'a State) -> impl Iterator<Item = GangId> + 'a {
        let pods = self.disturbed().chain(self.joined.iter().map(|(pod, _)| pod));
        pods.filter_map(|pod| state.pods.get(pod)).map(|pod| pod.gang)
    }
}

/// Makes room for a gang's next chunk, if this action can; then everything is booked.
pub(super) fn attempt(
    context: &mut Context<'_>,
    index: &mut VictimIndex,
    action: Action,
    gang: GangId,
) -> Option<Outcome> {
    let claim =
        Claim::of(context.state, gang).filter(|claim| action.may_claim(context.state, claim, &mut index.left))?;
    let name = context.state.name(gang);
    if !might_fit_alone(context.state, context.placer, gang, &claim.chunk) {
        context.report.note(|| format!("  {name}: would not fit if nobody else were there"));
        return None;
    }
    let room = Room::of(context, &claim);
    if room.could_do() && has_place(context, &claim) {
        context.report.note(|| format!("  {name}: has room without that"));
        context.waiting.changed(gang); // so that the next cycle tries it again
        return None;
    }
    let leaves = index.prepare(context, action, &claim);
    let mut costs = std::mem::take(&mut index.costs);
    let asking = Asking::new((context.state, context.rules, context.now), index, &leaves, action, &claim);
    let mut asked = Asked { asking, units: Vec::new(), latest: BTreeMap::new() };
    let on_one_node = match context.rules.victims {
        VictimOrder::Youngest => single_node(context, action, &claim, &mut asked, room.clone()),
        VictimOrder::LeastLoss if room.one_node_may_do() => cheapest(context, action, &claim, &mut asked, room.clone()),
        VictimOrder::LeastLoss if room.is_uniform() => {
            let givers = match action {
                Action::Consolidate => leaves.into_iter().collect(), // nobody loses anything
                _ => asked.givers(context.state, &claim),
            };
            by_node(context, &mut costs, action, &claim, &givers, room.clone())
        }
        VictimOrder::LeastLoss => None,
    };
    let outcome = on_one_node.or_else(|| across_nodes(context, action, &claim, &mut asked, room));
    let units = asked.units.len();
    index.costs = costs;
    context.report.note(|| match &outcome {
        Some(Outcome { evicted, moved, .. }) => {
            format!("  {name}: makes room, {} pods evicted, {} moved", evicted.len(), moved.len())
        }
        None if units == 0 => format!("  {name}: nobody may be asked"),
        None => format!("  {name}: asked {units} units in vain"),
    });
    outcome
}

/// Is there a place for it although nobody gives way? What allocate left in its way may be leaving by now, or somebody it
/// must be with may have come after its turn.
fn has_place(context: &mut Context<'_>, claim: &Claim) -> bool {
    let mut trial = Trial::on(context.state);
    Search::new(&mut trial, context.placer, context.rules, context.steps).place(claim.gang, &claim.chunk).is_ok()
}

/// What could be asked for so far, in the order of asking.
struct Asked<'a> {
    asking: Asking<'a>,
    units: Vec<Considered>,
    latest: BTreeMap<GangId, usize>,
}

impl Asked<'_> {
    /// Asks on until there are so many units; false when nobody is left.
    fn reach(&mut self, state: &State, count: usize) -> bool {
        while self.units.len() < count {
            let Some(mut unit) = self.asking.next(state) else { return false };
            unit.before = self.latest.insert(unit.gang, self.units.len());
            self.units.push(unit);
        }
        true
    }

    /// The queues of those that would be asked until they hold as much as the claimant asks for.
    fn givers(&mut self, state: &State, claim: &Claim) -> BTreeSet<QueueId> {
        let mut missing = claim.asks.clone();
        let mut givers = BTreeSet::new();
        for at in 0.. {
            if missing.iter().all(|amount| amount <= 0) || !self.reach(state, at + 1) {
                break;
            }
            missing.add(&self.units[at].amounts, -1);
            givers.insert(self.units[at].queue);
        }
        givers
    }
}

/// After every step: the units so far that touch one of the nodes of the newest.
fn single_node(
    context: &mut Context<'_>,
    action: Action,
    claim: &Claim,
    asked: &mut Asked<'_>,
    mut room: Room,
) -> Option<Outcome> {
    let mut on_node: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    let mut newest = 0;
    while asked.reach(context.state, newest + 1) {
        let considered = &asked.units;
        let unit = &considered[newest];
        for node in by_name(context.state, &unit.nodes) {
            let here = on_node.entry(node).or_default();
            here.push(newest);
            let set = with_surplus(considered, here);
            let set = units(considered, &set);
            if !may_go(context.state, &set) {
                here.pop();
                continue;
            }
            if !room.could_do_with(context.state, &set) {
                continue;
            }
            if let Some(outcome) = try_set(context, action, claim, &set) {
                return Some(outcome);
            }
        }
        newest += 1;
    }
    None
}

/// Once one set would do, so many more units are looked at for a cheaper one.
const LOOK_FURTHER: usize = 256;

/// So many sets are tried, the cheapest first.
const SETS_TRIED: usize = 32;

/// Sets on one node that lose as little as possible: of the lowest priority first, then of surplus alone, then of the least
/// loss, then of the fewest units. Only queues from which something would be taken without this choice are taken from.
fn cheapest(
    context: &mut Context<'_>,
    action: Action,
    claim: &Claim,
    asked: &mut Asked<'_>,
    mut room: Room,
) -> Option<Outcome> {
    let mut on_node: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    let mut sets: BTreeSet<(i64, bool, i128, usize, Vec<usize>)> = BTreeSet::new();
    let mut stop = usize::MAX;
    let mut queues: Option<BTreeSet<QueueId>> = None;
    for newest in 0.. {
        if newest >= stop || !asked.reach(context.state, newest + 1) {
            break;
        }
        let considered = &asked.units;
        let unit = &considered[newest];
        if queues.as_ref().is_some_and(|queues| !queues.contains(&unit.queue)) {
            continue;
        }
        for node in by_name(context.state, &unit.nodes) {
            let here = on_node.entry(node).or_default();
            here.push(newest);
            let together = with_surplus(considered, here);
            if !may_go(context.state, &units(considered, &together)) {
                here.pop();
            }
            for mut set in [with_surplus(considered, &[newest]), together] {
                if !may_go(context.state, &units(considered, &set)) {
                    continue;
                }
                if !room.could_do_with(context.state, &units(considered, &set)) {
                    continue;
                }
                room.drop_unneeded(context.state, considered, &mut set);
                if sets.is_empty() {
                    // Whoever is asked later loses more, so nothing cheaper than one unit alone is to come.
                    stop = if set == [newest] { newest + 1 } else { newest + LOOK_FURTHER };
                    queues = Some(set.iter().map(|index| considered[*index].queue).collect());
                }
                let highest = set.iter().map(|index| considered[*index].priority).max().unwrap_or(0);
                let ends_a_gang = set.iter().any(|index| !considered[*index].surplus);
                let loss = set.iter().map(|index| considered[*index].loss).sum();
                sets.insert((highest, ends_a_gang, loss, set.len(), set));
            }
        }
    }
    let mut cheapest_first = sets.into_iter().take(SETS_TRIED);
    cheapest_first.find_map(|(.., set)| try_set(context, action, claim, &units(&asked.units, &set)))
}

pub(super) fn units<'a>(considered: &'a [Considered], set: &[usize]) -> Vec<&'a Considered> {
    set.iter().map(|index| &considered[*index]).collect()
}

/// Do disruption budgets allow that all of these go?
pub(super) fn may_go(state: &State, set: &[&Considered]) -> bool {
    state.budgets.is_empty() || budget::allows(state, set.iter().flat_map(|unit| &unit.pods))
}

/// With whatever must go before: what is left of a gang goes only after its surplus, or its surplus would be left alone.
fn with_surplus(considered: &[Considered], set: &[usize]) -> Vec<usize> {
    let mut all: BTreeSet<usize> = BTreeSet::new();
    for index in set {
        let mut next = Some(*index);
        while let Some(index) = next.filter(|index| all.insert(*index)) {
            next = considered[index].before;
        }
    }
    all.into_iter().collect()
}

/// Thinking one unit away and placing it again is as much work as trying about so many places.
const STEPS_PER_UNIT: u64 = 16;

/// After every step: everything so far that may go together. Where victims that are not needed stay, large sets grow by more
/// than one between two tries.
fn across_nodes(
    context: &mut Context<'_>,
    action: Action,
    claim: &Claim,
    asked: &mut Asked<'_>,
    mut room: Room,
) -> Option<Outcome> {
    let mut tried = 0;
    let mut chosen: Vec<usize> = Vec::new();
    let mut left_out: BTreeSet<GangId> = BTreeSet::new();
    // Where room is all that is missing, whoever is where the claimant cannot be would be reprieved: it is left alone at once.
    let state = &context.state;
    let within = state.queues.over_limit(claim.queue, &claim.asks).next().is_none();
    let only_room = context.rules.reprieve && within && state.repelling.is_empty();
    for newest in 0.. {
        let more = asked.reach(context.state, newest + 1);
        if let Some(unit) = asked.units.get(newest) {
            chosen.push(newest);
            let budgeted = !context.state.budgets.is_empty();
            if left_out.contains(&unit.gang) || budgeted && !may_go(context.state, &units(&asked.units, &chosen)) {
                left_out.insert(unit.gang); // what goes after it in its gang stays, too
                chosen.pop();
            } else {
                room.free(context.state, unit);
            }
        }
        let gap = if more && context.rules.reprieve { tried / 8 } else { 0 };
        if chosen.len() > tried + gap && room.could_do() {
            tried = chosen.len();
            let useful = |index: &usize| !only_room || room.is_useful(&asked.units[*index]);
            let set = with_surplus(&asked.units, &chosen.iter().copied().filter(useful).collect::<Vec<_>>());
            context.steps.left = context.steps.left.saturating_sub(set.len() as u64 * STEPS_PER_UNIT);
            if let Some(outcome) = try_set(context, action, claim, &units(&asked.units, &set)) {
                return Some(outcome);
            }
        }
        if !more || context.steps.left == 0 {
            break;
        }
    }
    None
}

fn by_name(state: &State, nodes: &BTreeSet<NodeId>) -> Vec<NodeId> {
    let mut sorted: Vec<NodeId> = nodes.iter().copied().collect();
    sorted.sort_by_key(|node| (state.cluster.nodes().get(node).map(|node| node.name.as_str()), *node));
    sorted
}

/// Evicts a set and places everybody again, the claimant and those evicted; undoes it all unless it works.
pub(super) fn try_set(
    context: &mut Context<'_>,
    action: Action,
    claim: &Claim,
    set: &[&Considered],
) -> Option<Outcome> {
    context.rules.replay(action).iter().find_map(|first| try_order(context, action, claim, set, *first))
}

/// The same, with the claimant placed in its turn or before everybody else.
fn try_order(
    context: &mut Context<'_>,
    action: Action,
    claim: &Claim,
    set: &[&Considered],
    claimant: ClaimantPlaced,
) -> Option<Outcome> {
    let before = accounts(context.state, set.iter().map(|unit| unit.queue).chain([claim.queue]));
    let pieces_of: Vec<(QueueId, &[PodId])> = set.iter().map(|unit| (unit.queue, unit.pods.as_slice())).collect();
    let mut trial = Trial::on(context.state);
    let mut homes = BTreeMap::new();
    for pod in set.iter().flat_map(|unit| &unit.pods) {
        let home = trial.state().whereabouts(*pod);
        trial.set(*pod, told_to_stop(&home));
        homes.insert(*pod, home);
    }
    let mut search = Search::new(&mut trial, context.placer, context.rules, context.steps);
    search.promise = true;
    search.homes = homes;
    let (promised, others) = place_again(&mut search, claim, claimant, context.waiting, set, &before)?;
    let homes = std::mem::take(&mut search.homes);
    let (evicted, moved) = settle(&mut trial, &homes);
    if evicted.is_empty() && moved.is_empty() {
        return None;
    }
    // Those placed first saw nobody of the rest: with everybody in place, they must still be welcome where they are.
    let placed = promised
        .iter()
        .map(|(pod, _)| pod)
        .chain(others.keys())
        .filter(|pod| !homes.contains_key(pod) || moved.contains(pod));
    if !placed.into_iter().all(|pod| affinity::is_welcome(trial.state(), *pod)) {
        return None;
    }
    let gone: BTreeSet<PodId> = evicted.iter().copied().collect();
    let mut taken = Vec::new();
    for (queue, pods) in pieces_of {
        let mut amounts = crate::queue::Amounts::zero();
        for place in pods.iter().filter(|pod| gone.contains(pod)).filter_map(|pod| homes[pod].place.as_ref()) {
            amounts.add(&trial.state().held(place), 1);
        }
        if pods.iter().any(|pod| gone.contains(pod)) {
            taken.push(Piece { queue, amounts });
        }
    }
    if !action.is_legal(trial.state(), claim, &before, &taken) {
        return None;
    }
    trial.keep();
    let moved = moved.into_iter().filter_map(|pod| Some((pod, *others.get(&pod)?))).collect();
    let joined = others.into_iter().filter(|(pod, _)| !homes.contains_key(pod)).collect();
    Some(Outcome { action, claimant: claim.gang, promised, evicted, moved, joined })
}

/// A pod that gives up its place, and competes again: what it holds is leaving.
fn told_to_stop(home: &Whereabouts) -> Whereabouts {
    let leaves =
        home.former.as_ref().or(home.place.as_ref().filter(|_| !matches!(home.stage, Stage::Nominated { .. })));
    match leaves {
        Some(place) => Whereabouts { stage: Stage::Pending, ..Whereabouts::at(Stage::Evicted, place.clone()) },
        None => Whereabouts::PENDING,
    }
}

type Promised = (Vec<(PodId, Choice)>, BTreeMap<PodId, Choice>);

/// Places the claimant's chunk and one chunk of every victim, or under reprieve first spares whom it can and then places
/// all chunks there are; `None` if the claimant's has no place. Returns the claimant's places and those of the others.
fn place_again(
    search: &mut Search<'_, '_>,
    claim: &Claim,
    claimant: ClaimantPlaced,
    waiting: &Waiting,
    set: &[&Considered],
    before: &Before,
) -> Option<Promised> {
    let mut promised = None;
    let mut others = BTreeMap::new();
    if claimant == ClaimantPlaced::First {
        promised = Some(search.place(claim.gang, &claim.chunk).ok()?);
    }
    if search.rules.reprieve {
        let came: Vec<PodId> = claim.chunk.pods().collect();
        spare(search.trial, &came, set, &search.homes, before);
    }
    let mut gangs: BTreeSet<GangId> = away(search).collect();
    if promised.is_none() {
        gangs.insert(claim.gang);
    }
    if promised.is_some() && !search.is_room_for_any(&gangs) {
        return promised.map(|promised| (promised, others)); // whose turn it is does not matter
    }
    // Whoever starts anew somewhere must have all it needs for that, as in any start.
    let state = search.trial.state();
    let is_ready = |id: &&GangId| state.gangs.get(id).is_some_and(|gang| gang.is_ready(0));
    let entries: Vec<_> = gangs.iter().filter(is_ready).filter_map(|id| turn(state, *id, search.rules)).collect();
    let mut serving = Serving::among(search.trial.state(), entries.into_iter(), waiting.heads());
    while let Some((queue, key, gang)) = serving.peek() {
        let mut next = None;
        if gang == claim.gang {
            promised = Some(search.place(gang, &claim.chunk).ok()?);
        } else {
            let chunk = search.trial.state().next_chunk(gang);
            if let Ok(places) = search.place(gang, &chunk) {
                others.extend(places);
                if search.rules.reprieve && away(search).any(|other| other == gang) {
                    next = turn(search.trial.state(), gang, search.rules).map(|(_, _, turn)| turn);
                }
            }
        }
        serving.set(search.trial.state(), queue, key, next);
    }
    if search.rules.reprieve && !others.is_empty() {
        let is_elsewhere = |pod: &PodId| search.homes.get(pod) != Some(&search.trial.state().whereabouts(*pod));
        // A pod above a minimum that finds no place is no reason for those after it to go.
        let came: Vec<PodId> = claim.chunk.pods().chain(others.keys().copied().filter(is_elsewhere)).collect();
        spare(search.trial, &came, set, &search.homes, before);
    }
    promised.map(|promised| (promised, others))
}

/// A gang's place in line, in its queue.
fn turn(state: &State, id: GangId, rules: &Rules) -> Option<(QueueId, GangId, Turn)> {
    let gang = state.gangs.get(&id)?;
    Some((gang.spec.queue, id, waiting::turn(id, gang, rules)))
}

/// The gangs of victims that have no place yet.
fn away<'a>(search: &'a Search<'_, '_>) -> impl Iterator<Item = GangId> + 'a {
    let state = search.trial.state();
    let pods = search.homes.keys().filter_map(|pod| state.pods.get(pod));
    pods.filter(|pod| pod.stage == Stage::Pending).map(|pod| pod.gang)
}

/// Whoever has no place again is evicted; whoever has another one is moved.
fn settle(trial: &mut Trial<'_>, homes: &BTreeMap<PodId, Whereabouts>) -> (Vec<PodId>, Vec<PodId>) {
    let (mut evicted, mut moved) = (Vec::new(), Vec::new());
    for (pod, home) in homes {
        let now = trial.state().whereabouts(*pod);
        if now == *home {
            continue;
        }
        if now.stage != Stage::Pending {
            moved.push(*pod);
            continue;
        }
        evicted.push(*pod);
        if let Some(place) = now.place {
            trial.set(*pod, Whereabouts::at(Stage::Evicted, place));
        }
    }
    (evicted, moved)
}

/// What these leaf queues and all above them have now.
pub(super) fn accounts(state: &State, leaves: impl Iterator<Item = QueueId>) -> Before {
    let mut before = Before::new();
    for leaf in leaves {
        for (id, queue) in state.queues.path(leaf) {
            before.entry(id).or_insert_with(|| queue.allocated.clone());
        }
    }
    before
}
