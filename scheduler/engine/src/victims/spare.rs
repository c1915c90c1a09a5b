//! Reprieve: once the claimant has its place, victims of which nobody took the place keep it, those that were asked last
//! before the others. May not move anybody: who cannot stay is placed again by the search, or evicted.

use std::collections::{BTreeMap, BTreeSet};

use super::Before;
use super::asking::Considered;
use crate::filter::affinity;
use crate::filter::spread::is_even;
use crate::filter::volumes::are_reachable;
use crate::gang::Stage;
use crate::queue::Amounts;
use crate::search::is_torn;
use crate::state::{State, Whereabouts};
use crate::trial::Trial;
use crate::units::{GangId, PodId, QueueId};

/// Puts whole units that are away back where they were, as long as there is room for them beside those that `came`.
pub(super) fn spare(
    trial: &mut Trial<'_>,
    came: &[PodId],
    set: &[&Considered],
    homes: &BTreeMap<PodId, Whereabouts>,
    before: &Before,
) {
    let broken = broken_at_home(trial.state(), homes);
    let gang = |pod: &PodId| trial.state().pods().get(pod).map(|pod| pod.gang);
    let elsewhere: BTreeSet<GangId> = came.iter().filter_map(gang).collect();
    for unit in set.iter().rev().filter(|unit| is_away(trial.state(), unit)).collect::<Vec<_>>() {
        let mark = trial.mark();
        let allowed = is_within_limits(trial.state(), unit.queue, &unit.amounts, before);
        let mut homes = unit.pods.iter().map(|pod| (*pod, homes.get(pod)));
        let stays = allowed && homes.all(|(pod, home)| home.is_some_and(|home| stay(trial, came, pod, home)));
        // What is above a minimum does not stay without that minimum, nor far from it.
        let fits_its_gang = |state: &State| {
            let had = |at: &usize| broken.get(&unit.gang)?.get(at);
            let gang = state.gangs().get(&unit.gang).filter(|_| unit.surplus);
            let is = gang.map(|gang| gang.broken_with(&[])).unwrap_or_default();
            is.iter().all(|(at, has)| had(at).is_some_and(|had| has >= had))
                && !(elsewhere.contains(&unit.gang) && is_torn(state, unit.gang))
        };
        // Who stays may be one too many where the claimant's like must be spread evenly, or have what it wants to use.
        let welcome = |state: &State| came.iter().all(|pod| is_even(state, *pod) && are_reachable(state, *pod));
        if !stays || !welcome(trial.state()) || !fits_its_gang(trial.state()) {
            trial.undo_to(mark);
        }
    }
}

/// What the gangs lacked when all were where they came from.
fn broken_at_home(state: &State, homes: &BTreeMap<PodId, Whereabouts>) -> BTreeMap<GangId, BTreeMap<usize, u32>> {
    let mut away: BTreeMap<GangId, Vec<u32>> = BTreeMap::new();
    for pod in homes.keys().filter_map(|pod| state.pods.get(pod)).filter(|pod| pod.stage == Stage::Pending) {
        let Some(gang) = state.gangs.get(&pod.gang) else { continue };
        away.entry(pod.gang).or_insert_with(|| vec![0; gang.members.len()])[pod.leaf] += 1;
    }
    let broken = |(id, away): (GangId, Vec<u32>)| Some((id, state.gangs.get(&id)?.broken_with(&away)));
    away.into_iter().filter_map(broken).collect()
}

fn is_away(state: &State, unit: &Considered) -> bool {
    unit.pods.iter().all(|pod| state.pods.get(pod).is_some_and(|pod| pod.stage == Stage::Pending))
}

fn stay(trial: &mut Trial<'_>, came: &[PodId], pod: PodId, home: &Whereabouts) -> bool {
    let state = trial.state();
    let fits = home.place.as_ref().is_some_and(|place| {
        let repelled = |other: &PodId| affinity::must_be_apart(state, pod, place.node, *other);
        state.cluster.has_room_later(place) && !came.iter().any(repelled)
    });
    if fits {
        trial.set(pod, home.clone());
    }
    fits
}

/// No limit is broken, nor one that was broken already any further than it was.
fn is_within_limits(state: &State, queue: QueueId, more: &Amounts, before: &Before) -> bool {
    state.queues.path(queue).all(|(id, queue)| {
        let (had, with) = (before.get(&id), queue.allocated.plus(more));
        (0..state.queues.resources()).all(|resource| {
            let limit = state.queues.quota(queue, resource).limit;
            let most = limit.map(|limit| limit.max(had.map_or(0, |had| had.get(resource))));
            more.get(resource) == 0 || most.is_none_or(|most| with.get(resource) <= most)
        })
    })
}
