//! One claimant's attempt: ask more and more gangs, and try sets of what they could give until one works (rules V3-V5).

use std::collections::{BTreeMap, BTreeSet};

use super::order::{Asking, Considered, VictimIndex};
use super::spare::spare;
use super::{Action, Before, Claim, Piece};
use crate::cluster::{NodeState, PodShape, Shared};
use crate::cycle::Context;
use crate::decision::Choice;
use crate::filter::how_many;
use crate::gang::{Stage, Turn};
use crate::queue::serving::Serving;
use crate::queue::waiting;
use crate::rules::{ClaimantPlaced, VictimOrder};
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
    /// The gangs that were disturbed.
    pub(crate) fn victims<'a>(&'a self, state: &'a State) -> impl Iterator<Item = GangId> + 'a {
        let placed = self.moved.iter().chain(&self.joined).map(|(pod, _)| pod);
        let pods = self.evicted.iter().chain(placed);
        pods.filter_map(|pod| state.pods.get(pod)).map(|pod| pod.gang)
    }
}

/// Makes room for a gang's next chunk, if this action can; then everything is booked.
pub(super) fn attempt(context: &mut Context<'_>, index: &VictimIndex, action: Action, gang: GangId) -> Option<Outcome> {
    let claim = Claim::of(context.state, gang).filter(|claim| action.may_claim(context.state, claim))?;
    let considered = consider(context, index, action, &claim)?;
    let name = context.state.name(gang);
    if has_room(context, &claim) {
        context.report.note(|| format!("  {name}: has room without that"));
        context.waiting.changed(gang); // so that the next cycle tries it again
        return None;
    }
    context.report.note(|| format!("  {name}: may {}, {} units to ask", action.name(), considered.len()));
    let on_one_node = match context.rules.victims {
        VictimOrder::Youngest => single_node(context, action, &claim, &considered),
        VictimOrder::LeastLoss => cheapest(context, action, &claim, &considered),
    };
    on_one_node.or_else(|| across_nodes(context, action, &claim, &considered))
}

/// Is there a place for it although nobody gives way? What allocate left in its way may be leaving by now, or somebody it
/// must be with may have come after its turn.
fn has_room(context: &mut Context<'_>, claim: &Claim) -> bool {
    if !Room::of(context, claim).could_do() {
        return false;
    }
    let mut trial = Trial::on(context.state);
    Search::new(&mut trial, context.placer, context.rules, context.steps).place(claim.gang, &claim.chunk).is_ok()
}

/// Everything that could be asked for, in the order of asking; `None` where even all of it would not do.
fn consider(context: &Context<'_>, index: &VictimIndex, action: Action, claim: &Claim) -> Option<Vec<Considered>> {
    let mut asking = Asking::new(context.state, index, action, claim, context.rules, context.now);
    let mut considered: Vec<Considered> = Vec::new();
    let mut latest: BTreeMap<GangId, usize> = BTreeMap::new();
    while let Some(mut unit) = asking.next(context.state) {
        unit.before = latest.insert(unit.gang, considered.len());
        considered.push(unit);
    }
    Some(considered).filter(|considered| !considered.is_empty())
}

/// After every step: the units so far that touch one of the nodes of the newest.
fn single_node(context: &mut Context<'_>, action: Action, claim: &Claim, considered: &[Considered]) -> Option<Outcome> {
    let mut on_node: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    let mut room = Room::of(context, claim);
    for (newest, unit) in considered.iter().enumerate() {
        for node in &unit.nodes {
            on_node.entry(*node).or_default().push(newest);
        }
        for node in by_name(context.state, &unit.nodes) {
            let set = with_surplus(considered, &on_node[&node]);
            let set = units(considered, &set);
            if !room.could_do_with(context.state, &set) {
                continue;
            }
            if let Some(outcome) = try_set(context, action, claim, &set) {
                return Some(outcome);
            }
        }
    }
    None
}

/// Once one set would do, so many more units are looked at for a cheaper one.
const LOOK_FURTHER: usize = 256;

/// So many sets are tried, the cheapest first.
const SETS_TRIED: usize = 32;

/// Sets on one node that lose as little as possible: of the lowest priority first, then of the least loss, then of the fewest
/// units. Only queues from which something would be taken without this choice are taken from.
fn cheapest(context: &mut Context<'_>, action: Action, claim: &Claim, considered: &[Considered]) -> Option<Outcome> {
    let mut on_node: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    let mut room = Room::of(context, claim);
    let mut sets: BTreeSet<(i64, i128, usize, Vec<usize>)> = BTreeSet::new();
    let mut stop = considered.len();
    let mut queues: BTreeSet<QueueId> = considered.iter().map(|unit| unit.queue).collect();
    for (newest, unit) in considered.iter().enumerate() {
        if newest >= stop {
            break;
        }
        if !queues.contains(&unit.queue) {
            continue;
        }
        for node in by_name(context.state, &unit.nodes) {
            let here = on_node.entry(node).or_default();
            here.push(newest);
            for set in [&[newest][..], here] {
                let mut set = with_surplus(considered, set);
                if !room.could_do_with(context.state, &units(considered, &set)) {
                    continue;
                }
                room.drop_unneeded(context.state, considered, &mut set);
                if sets.is_empty() {
                    stop = stop.min(newest + LOOK_FURTHER);
                    queues = set.iter().map(|index| considered[*index].queue).collect();
                }
                let highest = set.iter().map(|index| considered[*index].priority).max().unwrap_or(0);
                let loss = set.iter().map(|index| considered[*index].loss).sum();
                sets.insert((highest, loss, set.len(), set));
            }
        }
    }
    let mut cheapest_first = sets.into_iter().take(SETS_TRIED);
    cheapest_first.find_map(|(.., set)| try_set(context, action, claim, &units(considered, &set)))
}

fn units<'a>(considered: &'a [Considered], set: &[usize]) -> Vec<&'a Considered> {
    set.iter().map(|index| &considered[*index]).collect()
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

/// After every step: everything so far.
fn across_nodes(
    context: &mut Context<'_>,
    action: Action,
    claim: &Claim,
    considered: &[Considered],
) -> Option<Outcome> {
    let mut room = Room::of(context, claim);
    for steps in 1..=considered.len() {
        room.free(context.state, &considered[steps - 1]);
        if !room.could_do() {
            continue;
        }
        let set: Vec<&Considered> = considered[..steps].iter().collect();
        if let Some(outcome) = try_set(context, action, claim, &set) {
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

/// A necessary condition that is cheap: are there enough places for each shape of the chunk, with some units gone?
struct Room {
    /// By shape: what is wanted, and what there is.
    wanted: Vec<(Shared<PodShape>, u64, u64)>,
    /// Nodes as they would be.
    freed: BTreeMap<NodeId, NodeState>,
}

impl Room {
    fn of(context: &mut Context<'_>, claim: &Claim) -> Self {
        let mut wanted: Vec<(Shared<PodShape>, u64, u64)> = Vec::new();
        for pod in claim.chunk.pods().filter_map(|pod| context.state.pods.get(&pod)) {
            match wanted.iter_mut().find(|(shape, ..)| *shape == pod.shape) {
                Some((_, count, _)) => *count += 1,
                None => wanted.push((pod.shape.clone(), 1, 0)),
            }
        }
        for (shape, _, there) in &mut wanted {
            *there = context.placer.capacity(&context.state.cluster, shape, None, u64::MAX);
        }
        Room { wanted, freed: BTreeMap::new() }
    }

    /// Thinks a unit away.
    fn free(&mut self, state: &State, unit: &Considered) {
        for pod in &unit.pods {
            let Some(place) = state.cluster.placed().get(pod) else { continue };
            let Some(now) = state.cluster.state(place.node) else { continue };
            let node = self.freed.entry(place.node).or_insert_with(|| now.clone());
            let before: Vec<u64> = self.wanted.iter().map(|(shape, ..)| u64::from(how_many(node, shape))).collect();
            node.without(place);
            for ((shape, _, there), before) in self.wanted.iter_mut().zip(before) {
                *there = *there + u64::from(how_many(node, shape)) - before;
            }
        }
    }

    /// Takes units out of a set that would do without them, those that lose most first.
    fn drop_unneeded(&mut self, state: &State, considered: &[Considered], set: &mut Vec<usize>) {
        let mut costliest_first = set.clone();
        costliest_first.sort_by_key(|index| (std::cmp::Reverse(considered[*index].loss), *index));
        for index in costliest_first {
            let without: Vec<usize> = set.iter().copied().filter(|other| *other != index).collect();
            let is_last =
                without.iter().all(|other| considered[*other].gang != considered[index].gang || *other < index);
            if is_last && !without.is_empty() && self.could_do_with(state, &units(considered, &without)) {
                *set = without;
            }
        }
    }

    fn could_do(&self) -> bool {
        self.wanted.iter().all(|(_, wanted, there)| there >= wanted)
    }

    fn could_do_with(&mut self, state: &State, units: &[&Considered]) -> bool {
        let before: Vec<u64> = self.wanted.iter().map(|(_, _, there)| *there).collect();
        units.iter().for_each(|unit| self.free(state, unit));
        let answer = self.could_do();
        self.freed.clear();
        for ((_, _, there), before) in self.wanted.iter_mut().zip(before) {
            *there = before;
        }
        answer
    }
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
    let (promised, others) = place_again(&mut search, claim, claimant, heads, set, &before)?;
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
    heads: BTreeMap<QueueId, Turn>,
    set: &[&Considered],
    before: &Before,
) -> Option<Promised> {
    let turn = |state: &State, id: GangId, rules| -> Option<(QueueId, GangId, Turn)> {
        let gang = state.gangs.get(&id)?;
        Some((gang.spec.queue, id, waiting::turn(id, gang, rules)))
    };
    let mut promised = None;
    let mut others = BTreeMap::new();
    if claimant == ClaimantPlaced::First {
        promised = Some(search.place(claim.gang, &claim.chunk).ok()?);
    }
    if search.rules.reprieve {
        spare(search.trial, claim, set, &search.homes, before);
    }
    let state = search.trial.state();
    let away = search.homes.keys().filter(away_in(state)).filter_map(|pod| state.pods.get(pod));
    let mut gangs: BTreeSet<GangId> = away.map(|pod| pod.gang).collect();
    if promised.is_none() {
        gangs.insert(claim.gang);
    }
    let entries: Vec<_> = gangs.iter().filter_map(|id| turn(search.trial.state(), *id, search.rules)).collect();
    let mut serving = Serving::among(search.trial.state(), entries.into_iter(), heads);
    while let Some((queue, key, gang)) = serving.peek() {
        let mut next = None;
        if gang == claim.gang {
            promised = Some(search.place(gang, &claim.chunk).ok()?);
        } else {
            let chunk = search.trial.state().next_chunk(gang);
            if let Ok(places) = search.place(gang, &chunk) {
                others.extend(places);
                let state = search.trial.state();
                let mut away = search.homes.keys().filter(away_in(state)).filter_map(|pod| state.pods.get(pod));
                if search.rules.reprieve && away.any(|pod| pod.gang == gang) {
                    next = turn(state, gang, search.rules).map(|(_, _, turn)| turn);
                }
            }
        }
        serving.set(search.trial.state(), queue, key, next);
    }
    promised.map(|promised| (promised, others))
}

/// Has a victim no place yet?
fn away_in<'p>(state: &State) -> impl Fn(&&'p PodId) -> bool + '_ {
    |pod| state.pods.get(*pod).is_some_and(|pod| pod.stage == Stage::Pending)
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
