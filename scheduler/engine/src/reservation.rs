//! Reservations: the first gang of a queue that finds no room gets a place at a date, worked out from when others are expected
//! to end. Until then others may use that place only if they end in time. Where nobody knows when others end, a gang gets an
//! undated reservation once it has been passed over for too long: what becomes free of its place is kept for it.
//! Owns the reservations and what is held back for them during a pass. Books nothing that lasts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{Cluster, Free, GpuIndexes, GpuRequest, Hold, Interner, NodeState, Placement, PodShape};
use crate::cycle::Context;
use crate::gang::{Gang, Stage};
use crate::never::{self, might_fit_alone};
use crate::rules::WaitingRule;
use crate::search::Search;
use crate::state::{State, Whereabouts};
use crate::trial::Trial;
use crate::units::{GangId, NodeId, PodId, Timestamp};

/// A place for a gang's next chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// From then on; `None` where nobody knows when the place will be free.
    pub from: Option<Timestamp>,
    /// The pods and where they will be.
    pub places: Vec<(PodId, Placement)>,
}

/// Everything reserved.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    known: BTreeMap<GangId, Reservation>,
    /// In force in this pass, in the order in which their gangs had their turn.
    in_force: Vec<GangId>,
    /// What is held back on nodes at the moment.
    held_back: Vec<PodId>,
    shapes: Interner<PodShape>,
    /// Pods that have left their place since the engine started.
    pub(crate) departures: u64,
}

/// Ids of what is held back: below those of moving pods, above those of any driver worth its name.
const HELD_BACK: u64 = 1 << 62;

impl Reservations {
    /// What a gang has reserved.
    pub(crate) fn of(&self, gang: GangId) -> Option<&Reservation> {
        self.known.get(&gang)
    }

    /// Nothing is reserved any longer.
    pub(crate) fn forget_all(&mut self) {
        self.known.clear();
    }

    /// A pass begins: nothing is in force yet, and what is out of date is forgotten.
    pub(crate) fn begin(&mut self, state: &State, now: Timestamp) {
        self.in_force.clear();
        self.known.retain(|gang, reservation| is_valid(state, *gang, reservation, now));
    }

    /// Those whose reservations are in force and begin before another gang ends.
    pub(crate) fn before(&self, state: &State, gang: GangId, now: Timestamp) -> Vec<GangId> {
        let runtime = state.gangs.get(&gang).and_then(|gang| gang.spec.expected_runtime_ms);
        let end = runtime.map(|runtime| Timestamp(now.0.saturating_add(runtime)));
        let is_in_the_way = |other: &GangId| {
            let known = self.known.get(other).filter(|_| *other != gang);
            known.is_some_and(|known| known.from.zip(end).is_none_or(|(from, end)| end > from))
        };
        self.in_force.iter().copied().filter(is_in_the_way).collect()
    }

    /// Holds back what the reservations in force need and a gang would be in the way of.
    pub(crate) fn hold_back(&mut self, state: &mut State, for_gang: GangId, now: Timestamp) {
        for gang in self.before(state, for_gang, now) {
            let Some(reservation) = self.known.get(&gang) else { continue };
            for place in backing(state, reservation) {
                let id = PodId(HELD_BACK + self.held_back.len() as u64);
                let shape = self.shapes.intern(place.0);
                state.cluster.place(id, Placement { shape, node: place.1, gpus: place.2, hold: Hold::Promised });
                self.held_back.push(id);
            }
        }
    }

    /// Gives back what was held back.
    pub(crate) fn let_go(&mut self, cluster: &mut Cluster) {
        while let Some(id) = self.held_back.pop() {
            cluster.release(id);
        }
    }

    /// A node is not any longer what it was: whoever had reserved there looks anew.
    pub(crate) fn leave_node(&mut self, node: NodeId) {
        self.known.retain(|_, reservation| reservation.places.iter().all(|(_, place)| place.node != node));
    }

    /// Puts a gang's reservation in force for the rest of the pass.
    fn enforce(&mut self, gang: GangId) {
        if !self.in_force.contains(&gang) {
            self.in_force.push(gang);
        }
    }
}

/// The first gang of a queue has no room: reserves for it, if the rules say so. Returns whether the reservation is new.
pub(crate) fn reserve(context: &mut Context<'_>, id: GangId) -> bool {
    let WaitingRule::Reserve { dated, passed_over_max_ms, departures_max } = context.rules.waiting else {
        return false;
    };
    let Some(gang) = context.state.gangs.get(&id) else { return false };
    let overdue = gang.passed_over.is_some_and(|passed| {
        context.now.0.saturating_sub(passed.since.0) >= passed_over_max_ms
            || context.reservations.departures.saturating_sub(passed.departures) >= departures_max
    });
    if !dated && !overdue {
        return false;
    }
    if context.reservations.of(id).is_some_and(|known| known.from.is_some() || overdue) {
        context.reservations.enforce(id);
        return false;
    }
    let chunk = context.state.next_chunk(id);
    if !might_fit_alone(context.state, context.placer, id, &chunk) {
        return false;
    }
    match work_out(context, id, overdue) {
        Some(reservation) => {
            context.reservations.known.insert(id, reservation);
            context.reservations.enforce(id);
            true
        }
        None => false,
    }
}

/// When, and where, the gang would fit if others ended as expected; those of unknown end last, and only for an undated one.
fn work_out(context: &mut Context<'_>, id: GangId, undated: bool) -> Option<Reservation> {
    let chunk = context.state.next_chunk(id);
    let departures = departures(context.state, context.now, undated);
    let wanted = never::shapes(context.state, chunk.pods());
    let mut trial = Trial::on(context.state);
    let mut departures = departures.into_iter().peekable();
    while let Some((end, gang)) = departures.next() {
        let pods: Vec<PodId> = trial.state().gangs.get(&gang).map(|gang| gang.pods().collect()).unwrap_or_default();
        for pod in pods {
            if trial.state().whereabouts(pod).stage != Stage::Pending {
                trial.set(pod, Whereabouts::PENDING);
            }
        }
        if departures.peek().is_some_and(|(next, _)| end.is_some() && *next == end) {
            continue; // everything that ends at one moment ends together
        }
        let cluster = &trial.state().cluster;
        if !wanted.values().all(|(shape, count)| context.placer.capacity(cluster, shape, None, u64::MAX) >= *count) {
            continue;
        }
        let mut search = Search::new(&mut trial, context.placer, context.rules, context.steps);
        search.promise = true;
        if search.place(id, &chunk).is_ok() {
            let place = |pod| Some((pod, trial.state().cluster.placed().get(&pod)?.clone()));
            return Some(Reservation { from: end, places: chunk.pods().filter_map(place).collect() });
        }
        if context.steps.left == 0 {
            return None;
        }
    }
    None
}

/// Who leaves when: known ends first, soonest first; then, if wanted, those of unknown end, those that have run longest first.
fn departures(state: &State, now: Timestamp, unknown_too: bool) -> Vec<(Option<Timestamp>, GangId)> {
    // Whoever should have ended by now may end any moment.
    let known = state.ends.iter().map(|(end, id)| (Some((*end).max(Timestamp(now.0 + 1))), *id));
    let mut departures: Vec<(Option<Timestamp>, GangId)> = known.collect();
    departures.sort_unstable();
    if unknown_too {
        let others = state.gangs.iter().filter(|(_, gang)| gang.holding() > 0 && gang.end().is_none());
        let mut others: Vec<_> = others.map(|(id, gang)| (gang.spec.started.unwrap_or(now), *id)).collect();
        others.sort_unstable();
        departures.extend(others.into_iter().map(|(_, id)| (None, id)));
    }
    departures
}

fn is_valid(state: &State, id: GangId, reservation: &Reservation, now: Timestamp) -> bool {
    let waits = |pod: &PodId| state.pods.get(pod).is_some_and(|pod| pod.stage == Stage::Pending && pod.gang == id);
    reservation.from.is_none_or(|from| from > now)
        && reservation.places.iter().all(|(pod, place)| waits(pod) && state.cluster.nodes().contains_key(&place.node))
}

/// The part of a reservation that must be kept free from now on: all it needs, less what those give back who end in time.
fn backing(state: &State, reservation: &Reservation) -> Vec<(PodShape, NodeId, GpuIndexes)> {
    let mut nodes: BTreeMap<NodeId, (NodeState, Returning)> = BTreeMap::new();
    let mut backing = Vec::new();
    for (_, place) in &reservation.places {
        let Some(node) = state.cluster.state(place.node) else { continue };
        let known = nodes
            .entry(place.node)
            .or_insert_with(|| (node.clone(), Returning::by(state, place.node, reservation.from)));
        if known.0.later().pods == 0 {
            continue;
        }
        let (shape, gpus) = keep_free(known.0.later(), &node.shape, place, &mut known.1);
        known.0.book_later(&shape, &gpus);
        backing.push((shape, place.node, gpus));
    }
    backing
}

/// What pods that end in time give back on a node.
#[derive(Default)]
struct Returning {
    cpu_milli: u64,
    memory_bytes: u64,
    mig: BTreeMap<String, u32>,
    others: BTreeMap<Arc<str>, u64>,
}

impl Returning {
    fn by(state: &State, node: NodeId, from: Option<Timestamp>) -> Self {
        let mut returning = Returning::default();
        let (Some(from), Some(node)) = (from, state.cluster.nodes().get(&node)) else { return returning };
        for id in &node.pods {
            let gang = state.pods.get(&id.owner()).and_then(|pod| state.gangs.get(&pod.gang));
            let ends = gang.and_then(Gang::end).is_some_and(|end| end <= from);
            if let Some(place) = state.cluster.placed().get(id).filter(|place| ends && place.hold.is_later()) {
                returning.cpu_milli += place.shape.cpu_milli;
                returning.memory_bytes += place.shape.memory_bytes;
                for (profile, count) in &place.shape.mig {
                    *returning.mig.entry(profile.clone()).or_default() += count;
                }
                for (name, amount) in &place.shape.others {
                    *returning.others.entry(Arc::clone(name)).or_default() += amount;
                }
            }
        }
        returning
    }
}

/// What to keep free for one pod, of what is free: whole devices as they are, the rest less what comes back in time.
fn keep_free(
    free: &Free,
    node: &crate::cluster::NodeShape,
    place: &Placement,
    returning: &mut Returning,
) -> (PodShape, GpuIndexes) {
    let rest = |needed: u64, returning: &mut u64, free: u64| {
        let back = needed.min(*returning);
        *returning -= back;
        (needed - back).min(free)
    };
    let asked = &place.shape;
    let cpu_milli = rest(asked.cpu_milli, &mut returning.cpu_milli, free.cpu_milli);
    let memory_bytes = rest(asked.memory_bytes, &mut returning.memory_bytes, free.memory_bytes);
    let gpus: GpuIndexes = place.gpus.iter().copied().filter(|gpu| free.room_on(*gpu, node, asked.gpu)).collect();
    let gpu = match asked.gpu {
        GpuRequest::Whole(_) if !gpus.is_empty() => GpuRequest::Whole(gpus.len()),
        GpuRequest::Share(share) if !gpus.is_empty() => {
            GpuRequest::Share(crate::cluster::Share { devices: gpus.len() as u8, ..share })
        }
        _ => GpuRequest::None,
    };
    let mig = asked.mig.iter().filter_map(|(profile, count)| {
        let back = returning.mig.entry(profile.clone()).or_default();
        let given = (*count).min(*back);
        *back -= given;
        Some((profile.clone(), (count - given).min(free.mig_left(node, profile)))).filter(|(_, count)| *count > 0)
    });
    let others = asked.others.iter().map(|(name, amount)| {
        let back = returning.others.entry(Arc::clone(name)).or_default();
        (Arc::clone(name), rest(*amount, back, free.other_left(node, name)))
    });
    let others = others.filter(|(_, amount)| *amount > 0).collect();
    (PodShape { cpu_milli, memory_bytes, gpu, mig: mig.collect(), others, ..PodShape::default() }, gpus)
}
