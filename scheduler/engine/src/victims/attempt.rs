//! One claimant's attempt: ask more and more gangs, and try sets of what they could give until one works (rules V3-V5).

use std::collections::{BTreeMap, BTreeSet};

use super::order::{Asking, Considered, VictimIndex};
use super::room::Room;
use super::{Action, Before, Claim, Piece, budget};
use crate::cycle::Context;
use crate::decision::Choice;
use crate::filter::affinity;
use crate::gang::{Stage, Turn};
use crate::queue::serving::Serving;
use crate::queue::waiting;
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
}

impl Outcome {
    /// The pods that have to go, to another place or for good.
    pub(super) fn disturbed(&self) -> impl Iterator<Item = &PodId> + Clone {
        self.evicted.iter().chain(self.moved.iter().map(|(pod, _)| pod))
    }

    /// The gangs that were disturbed.
    pub(crate) fn victims<'a>(&'a self, state: &'a State) -> impl Iterator<Item = GangId> + 'a {
        self.disturbed().filter_map(|pod| state.pods.get(pod)).map(|pod| pod.gang)
    }
}

/// Makes room for a gang's next chunk, if this action can; then everything is booked.
pub(super) fn attempt(
    context: &mut Context<'_>,
    index: &mut VictimIndex,
    action: Action,
    gang: GangId,
) -> Option<Outcome> {
    let claim = Claim::of(context.state, gang).filter(|claim| action.may_claim(context.state, claim))?;
    let name = context.state.name(gang);
    let room = Room::of(context, &claim);
    if room.could_do() && has_place(context, &claim) {
        context.report.note(|| format!("  {name}: has room without that"));
        return None;
    }
    index.prepare(context.state, context.rules, context.now, action, &claim);
    let asking = Asking::new(context.state, index, action, &claim, context.rules, context.now);
    let mut asked = Asked { asking, units: Vec::new(), latest: BTreeMap::new() };
    let on_one_node = match context.rules.victims {
        VictimOrder::Youngest => single_node(context, action, &claim, &mut asked, room.clone()),
        VictimOrder::LeastLoss if room.one_node_may_do() => cheapest(context, action, &claim, &mut asked, room.clone()),
        VictimOrder::LeastLoss => None,
    };
    let outcome = on_one_node.or_else(|| across_nodes(context, action, &claim, &mut asked, room));
    let (units, verdict) = (asked.units.len(), if outcome.is_some() { "makes room" } else { "in vain" });
    context.report.note(|| format!("  {name}: asks for {units} units, {verdict}"));
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

/// What a set loses, the cheapest first: its highest priority, whether it ends a gang, the loss, the number of units.
type Price = (i64, bool, i128, usize);

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
    let mut sets: BTreeSet<(Price, Vec<usize>)> = BTreeSet::new();
    let mut stop = usize::MAX;
    // The queues to take from, each with what is lost at least with anybody who is asked from now on.
    let mut queues: Option<BTreeMap<QueueId, Option<Price>>> = None;
    let mut tries = SETS_TRIED;
    for newest in 0.. {
        if newest >= stop || !asked.reach(context.state, newest + 1) {
            break;
        }
        let considered = &asked.units;
        let unit = &considered[newest];
        if queues.as_ref().is_some_and(|queues| !queues.contains_key(&unit.queue)) {
            continue;
        }
        for set in sets_with(context.state, considered, newest, &mut on_node, &mut room) {
            if queues.is_none() {
                stop = newest.saturating_add(LOOK_FURTHER);
                queues = Some(set.iter().map(|index| (considered[*index].queue, None)).collect());
            }
            sets.insert((price(considered, &set), set));
        }
        let Some(queues) = &mut queues else { continue };
        if let Some(least) = queues.get_mut(&unit.queue) {
            *least = Some(price(considered, &[newest]));
        }
        let at_least = queues.values().copied().min().flatten();
        // Nobody who is asked later in these queues loses less: no need to look on before the cheapest set is tried.
        while tries > 0 && sets.first().is_some_and(|(price, _)| at_least.is_some_and(|least| *price <= least)) {
            let Some((_, set)) = sets.pop_first() else { break };
            tries -= 1;
            let outcome = try_set(context, action, claim, &units(&asked.units, &set));
            if outcome.is_some() {
                return outcome;
            }
        }
    }
    let mut cheapest_first = sets.into_iter().take(tries);
    cheapest_first.find_map(|(_, set)| try_set(context, action, claim, &units(&asked.units, &set)))
}

fn price(considered: &[Considered], set: &[usize]) -> Price {
    let units = || set.iter().map(|index| &considered[*index]);
    let highest = units().map(|unit| unit.priority).max().unwrap_or(0);
    (highest, units().any(|unit| !unit.surplus), units().map(|unit| unit.loss).sum(), set.len())
}

/// The sets on one node that may do, with the newest unit: it alone, and with all that have been asked for before it there.
fn sets_with(
    state: &State,
    considered: &[Considered],
    newest: usize,
    on_node: &mut BTreeMap<NodeId, Vec<usize>>,
    room: &mut Room,
) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    for node in by_name(state, &considered[newest].nodes) {
        let here = on_node.entry(node).or_default();
        here.push(newest);
        let together = with_surplus(considered, here);
        if !may_go(state, &units(considered, &together)) {
            here.pop();
        }
        for mut set in [with_surplus(considered, &[newest]), together] {
            let units = units(considered, &set);
            if may_go(state, &units) && room.could_do_with(state, &units) {
                room.drop_unneeded(state, considered, &mut set);
                found.push(set);
            }
        }
    }
    found
}

pub(super) fn units<'a>(considered: &'a [Considered], set: &[usize]) -> Vec<&'a Considered> {
    set.iter().map(|index| &considered[*index]).collect()
}

/// Do disruption budgets allow that all of these go?
fn may_go(state: &State, set: &[&Considered]) -> bool {
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

/// After every step: everything so far that may go together.
fn across_nodes(
    context: &mut Context<'_>,
    action: Action,
    claim: &Claim,
    asked: &mut Asked<'_>,
    mut room: Room,
) -> Option<Outcome> {
    let mut steps = 0;
    let mut chosen: Vec<usize> = Vec::new();
    let mut left_out: BTreeSet<GangId> = BTreeSet::new();
    // Where room is all that is missing, whoever is where the claimant cannot be would be reprieved: it is left alone at once.
    let state = &context.state;
    let within = state.queues.over_limit(claim.queue, &claim.asks).next().is_none();
    let only_room = context.rules.reprieve && within && state.repelling.is_empty();
    while asked.reach(context.state, steps + 1) {
        let unit = &asked.units[steps];
        chosen.push(steps);
        steps += 1;
        let budgeted = !context.state.budgets.is_empty();
        if left_out.contains(&unit.gang) || budgeted && !may_go(context.state, &units(&asked.units, &chosen)) {
            left_out.insert(unit.gang); // what goes after it in its gang stays, too
            chosen.pop();
            continue;
        }
        room.free(context.state, unit);
        if !room.could_do() {
            continue;
        }
        let useful = |index: &usize| !only_room || room.is_useful(&asked.units[*index]);
        let set = with_surplus(&asked.units, &chosen.iter().copied().filter(useful).collect::<Vec<_>>());
        if let Some(outcome) = try_set(context, action, claim, &units(&asked.units, &set)) {
            return Some(outcome);
        }
        if context.steps.left == 0 {
            return None;
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
fn try_set(context: &mut Context<'_>, action: Action, claim: &Claim, set: &[&Considered]) -> Option<Outcome> {
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
    let before = accounts(context.state, claim, set);
    let heads = context.waiting.heads();
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
    let promised = place_again(&mut search, claim, claimant, heads)?;
    let homes = std::mem::take(&mut search.homes);
    let (evicted, moved) = settle(&mut trial, &homes);
    if evicted.is_empty() && moved.is_empty() {
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
    let moved = moved.into_iter().map(|pod| (pod, promised.1.get(&pod).copied())).collect::<Vec<_>>();
    let moved = moved.into_iter().filter_map(|(pod, choice)| Some((pod, choice?))).collect();
    Some(Outcome { action, claimant: claim.gang, promised: promised.0, evicted, moved })
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

/// Places the claimant's chunk and one chunk of every victim; `None` if the claimant's has no place. Returns the claimant's
/// places and those of the others.
fn place_again(
    search: &mut Search<'_, '_>,
    claim: &Claim,
    claimant: ClaimantPlaced,
    heads: BTreeMap<QueueId, Turn>,
) -> Option<Promised> {
    let state = search.trial.state();
    let mut asked: BTreeMap<GangId, Vec<PodId>> = BTreeMap::new();
    for (id, pod) in search.homes.keys().filter_map(|id| Some((*id, state.pods.get(id)?))) {
        asked.entry(pod.gang).or_default().push(id);
    }
    let mut gangs: BTreeSet<GangId> = asked.keys().copied().chain([claim.gang]).collect();
    let mut promised = None;
    let mut others = BTreeMap::new();
    if claimant == ClaimantPlaced::First {
        promised = Some(search.place(claim.gang, &claim.chunk).ok()?);
        gangs.remove(&claim.gang);
    }
    let entries = |gangs: &BTreeSet<GangId>, search: &Search<'_, '_>| -> Vec<_> {
        gangs.iter().filter_map(|id| turn(search.trial.state(), *id, search.rules)).collect()
    };
    if search.rules.reprieve {
        let all = entries(&gangs, search);
        let mut serving = Serving::among(search.trial.state(), all.into_iter(), heads.clone());
        while let Some((queue, key, gang)) = serving.peek() {
            if stays(search, gang, asked.get(&gang).map_or(&[], Vec::as_slice)) {
                gangs.remove(&gang);
            }
            serving.set(search.trial.state(), queue, key, None);
        }
    }
    let entries = entries(&gangs, search);
    let mut serving = Serving::among(search.trial.state(), entries.into_iter(), heads);
    while let Some((queue, key, gang)) = serving.peek() {
        let mut next = None;
        if gang == claim.gang {
            promised = Some(search.place(gang, &claim.chunk).ok()?);
        } else {
            let chunk = search.trial.state().next_chunk(gang);
            if let Ok(places) = search.place(gang, &chunk) {
                others.extend(places);
                if search.rules.reprieve && !search.trial.state().next_chunk(gang).is_empty() {
                    next = turn(search.trial.state(), gang, search.rules).map(|(_, _, turn)| turn);
                }
            }
        }
        serving.set(search.trial.state(), queue, key, next);
    }
    promised.map(|promised| (promised, others))
}

/// A gang's place in line, in its queue.
fn turn(state: &State, id: GangId, rules: &Rules) -> Option<(QueueId, GangId, Turn)> {
    let gang = state.gangs.get(&id)?;
    Some((gang.spec.queue, id, waiting::turn(id, gang, rules)))
}

/// Leaves a gang where it was, with every pod that was asked for, if there is still room for all of them: nobody is
/// disturbed for another victim that could do with its place.
fn stays(search: &mut Search<'_, '_>, gang: GangId, asked: &[PodId]) -> bool {
    let mark = search.trial.mark();
    for &id in asked {
        let state = search.trial.state();
        let (Some(pod), Some(gang), Some(home)) =
            (state.pods.get(&id), state.gangs.get(&gang), search.homes.get(&id).cloned())
        else {
            continue;
        };
        let still_fits = home.place.as_ref().is_some_and(|place| {
            let allowed = affinity::narrow(state, id, pod, Some(&[place.node]));
            let within = state.queues.over_limit(gang.spec.queue, &state.held(place)).next().is_none();
            within && allowed.is_none_or(|nodes| !nodes.is_empty()) && state.cluster.fits_later(place)
        });
        if !still_fits {
            search.trial.undo_to(mark);
            return false;
        }
        search.trial.set(id, home);
    }
    true
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

/// What the queues concerned have now.
fn accounts(state: &State, claim: &Claim, set: &[&Considered]) -> Before {
    let leaves = set.iter().map(|unit| unit.queue).chain([claim.queue]);
    let mut before = Before::new();
    for leaf in leaves {
        for (id, queue) in state.queues.path(leaf) {
            before.entry(id).or_insert_with(|| queue.allocated.clone());
        }
    }
    before
}
