//! Reprieve: once the claimant has its place, victims of which nobody took the place keep it, those that were asked last
//! before the others. May not move anybody: who cannot stay is placed again by the search, or evicted.

use std::collections::BTreeMap;

use super::asking::Considered;
use super::{Before, Claim};
use crate::decision::Choice;
use crate::filter::affinity;
use crate::gang::{Chunk, Gang, Stage};
use crate::queue::Amounts;
use crate::search::Search;
use crate::state::{State, Whereabouts};
use crate::trial::Trial;
use crate::units::{PodId, QueueId};

/// Puts whole units back where they were, as long as there is room for them.
pub(super) fn spare(
    trial: &mut Trial<'_>,
    claim: &Claim,
    set: &[&Considered],
    homes: &BTreeMap<PodId, Whereabouts>,
    before: &Before,
) {
    for unit in set.iter().rev() {
        let (mark, before_it) = (trial.mark(), fragments(trial, unit));
        let allowed = is_within_limits(trial.state(), unit.queue, &unit.amounts, before);
        let mut homes = unit.pods.iter().map(|pod| (*pod, homes.get(pod)));
        let stays = allowed && homes.all(|(pod, home)| home.is_some_and(|home| stay(trial, claim, pod, home)));
        // What is above a minimum does not stay without that minimum.
        if !stays || unit.surplus && fragments(trial, unit) > before_it {
            trial.undo_to(mark);
        }
    }
}

fn fragments(trial: &Trial<'_>, unit: &Considered) -> usize {
    trial.state().gangs().get(&unit.gang).map_or(0, Gang::fragments)
}

/// The pods of a unit, to be placed together; none if some of them have a place or their gang lacks what it needs.
fn chunk_of(state: &State, unit: &Considered) -> Option<Chunk> {
    let gang = state.gangs.get(&unit.gang)?;
    let mut parts: BTreeMap<usize, Vec<PodId>> = BTreeMap::new();
    for id in &unit.pods {
        let pod = state.pods.get(id).filter(|pod| pod.stage == Stage::Pending)?;
        parts.entry(pod.leaf).or_default().push(*id);
    }
    gang.is_satisfied().then(|| Chunk { parts: parts.into_iter().collect() })
}

fn stay(trial: &mut Trial<'_>, claim: &Claim, pod: PodId, home: &Whereabouts) -> bool {
    let state = trial.state();
    let fits = home.place.as_ref().is_some_and(|place| {
        let repelled = |other| affinity::must_be_apart(state, pod, place.node, other);
        state.cluster.has_room_later(place) && !claim.chunk.pods().any(repelled)
    });
    if fits {
        trial.set(pod, home.clone());
    }
    fits
}

/// Once every gang has what it asks for next, or cannot have it: one pod above a minimum that finds no place is no reason
/// for the others to go. Returns who has a place by that, with why it is where it is.
pub(super) fn spare_surplus(search: &mut Search<'_, '_>, set: &[&Considered]) -> Vec<(PodId, Choice)> {
    let mut spared = Vec::new();
    for unit in set.iter().rev().filter(|unit| unit.surplus) {
        let Some(chunk) = chunk_of(search.trial.state(), unit) else { continue };
        let (mark, before_it) = (search.trial.mark(), fragments(search.trial, unit));
        let Ok(places) = search.place(unit.gang, &chunk) else { continue };
        if fragments(search.trial, unit) > before_it {
            search.trial.undo_to(mark);
        } else {
            spared.extend(places);
        }
    }
    spared
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
