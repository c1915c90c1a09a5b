//! Reprieve: once the claimant has its place, victims of which nobody took the place keep it, those that were asked last
//! before the others. May not move anybody: who cannot stay is placed again by the search, or evicted.

use std::collections::BTreeMap;

use super::asking::Considered;
use super::{Before, Claim};
use crate::filter::affinity;
use crate::gang::Gang;
use crate::queue::Amounts;
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
        let broken = |trial: &Trial<'_>| trial.state().gangs().get(&unit.gang).map_or(0, Gang::fragments);
        let (mark, fragments) = (trial.mark(), broken(trial));
        let allowed = is_within_limits(trial.state(), unit.queue, &unit.amounts, before);
        let mut homes = unit.pods.iter().map(|pod| (*pod, homes.get(pod)));
        let stays = allowed && homes.all(|(pod, home)| home.is_some_and(|home| stay(trial, claim, pod, home)));
        // What is above a minimum does not stay without that minimum.
        if !stays || unit.surplus && broken(trial) > fragments {
            trial.undo_to(mark);
        }
    }
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
