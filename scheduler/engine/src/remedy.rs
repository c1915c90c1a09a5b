//! The smallest change that would admit a gang that waits: bounds that are raised, a wider level of its topology, or others
//! that would have to go although the rules protect them.

use std::collections::BTreeSet;

use crate::cycle::Context;
use crate::decision::{Remedy, WaitCause};
use crate::gang::Chunk;
use crate::miss::Bound;
use crate::search::Search;
use crate::state::{Assume, State, Whereabouts};
use crate::trial::Trial;
use crate::units::{GangId, PodId};
use crate::victims::unit_loss;
use crate::why;

/// What would help a gang with this cause of waiting, if anything was found. Looks for others that would have to go only
/// where there are no more than `others_max`: going through them takes time.
pub(crate) fn remedy(context: &mut Context<'_>, id: GangId, cause: &WaitCause, others_max: usize) -> Option<Remedy> {
    match cause {
        WaitCause::Limit(_) => higher_bounds(context, id, Bound::Limit),
        WaitCause::Deserved(_) => higher_bounds(context, id, Bound::Deserved),
        WaitCause::Room { .. } => {
            let chunk = context.state.next_chunk(id);
            let others: usize = context.state.evictable.values().map(BTreeSet::len).sum();
            wider_topology(context, id, &chunk)
                .or_else(|| (others <= others_max).then(|| without_others(context, id, &chunk)).flatten())
        }
        WaitCause::Quorum { .. } | WaitCause::Steps | WaitCause::BackOff { .. } | WaitCause::Kept { .. } => None,
    }
}

/// All bounds of one kind that are in the way, if there is nothing else.
fn higher_bounds(context: &mut Context<'_>, id: GangId, kind: Bound) -> Option<Remedy> {
    let chunk = context.state.next_chunk(id);
    let queue = context.state.gangs.get(&id)?.spec.queue;
    let mut trial = Trial::on(context.state);
    let mut search = Search::new(&mut trial, context.placer, context.rules, context.steps);
    search.lifted = Some(kind);
    search.place(id, &chunk).ok()?;
    drop(trial);
    let (state, more) = (&*context.state, context.state.estimate_all(chunk.pods(), Assume::LargestMemory));
    let over = |(queue, resource, used)| why::over(state, queue, resource, used, kind);
    Some(match kind {
        Bound::Limit => Remedy::RaiseLimits { bounds: state.queues.over_limit(queue, &more).map(over).collect() },
        Bound::Deserved => {
            Remedy::RaiseDeserved { bounds: state.queues.over_deserved(queue, &more).map(over).collect() }
        }
    })
}

/// The narrowest wider level at which the gang would fit.
fn wider_topology(context: &mut Context<'_>, id: GangId, chunk: &Chunk) -> Option<Remedy> {
    let gang = context.state.gangs.get(&id)?;
    let required = gang.tree.branches().iter().find_map(|branch| {
        let wish = branch.topology.as_ref().filter(|wish| wish.required.is_some())?;
        let topology = context.state.topologies.get(&wish.topology)?;
        Some((topology.levels.clone(), topology.depth(wish.required.as_ref()?)?))
    });
    let (levels, depth) = required?;
    (1..=depth).find_map(|widened| {
        let mut trial = Trial::on(context.state);
        let mut search = Search::new(&mut trial, context.placer, context.rules, context.steps);
        search.widened = widened;
        search.place(id, chunk).ok()?;
        let level = depth.checked_sub(widened + 1).and_then(|index| levels.get(index)).cloned();
        Some(Remedy::WiderTopology { level })
    })
}

/// Whoever would have to go, cheapest loss first and then only those really needed.
fn without_others(context: &mut Context<'_>, id: GangId, chunk: &Chunk) -> Option<Remedy> {
    let mut others: Vec<(i128, GangId)> = Vec::new();
    for (_, other) in context.state.evictable.values().flatten().filter(|(_, other)| *other != id) {
        let Some(gang) = context.state.gangs.get(other) else { continue };
        let pods: Vec<PodId> = gang.pods().collect();
        others.push((unit_loss(context.state, context.rules, context.now, gang, &pods), *other));
    }
    others.sort_unstable();
    let mut trial = Trial::on(context.state);
    let mut gone: Vec<(GangId, Vec<(PodId, Whereabouts)>)> = Vec::new();
    for (_, other) in others {
        let homes = leave(&mut trial, other);
        gone.push((other, homes));
        if !may_fit(context.placer, trial.state(), chunk) {
            continue;
        }
        let mut search = Search::new(&mut trial, context.placer, context.rules, context.steps);
        search.promise = true;
        if search.place(id, chunk).is_ok() {
            let needed = without_those_who_may_stay(&mut trial, gone);
            let names: BTreeSet<String> = needed.iter().map(|gang| trial.state().name(*gang).to_string()).collect();
            return Some(Remedy::Without { gangs: names.into_iter().collect() });
        }
        if context.steps.left == 0 {
            return None;
        }
    }
    None
}

fn leave(trial: &mut Trial<'_>, gang: GangId) -> Vec<(PodId, Whereabouts)> {
    let pods: Vec<PodId> = trial.state().gangs.get(&gang).map(|gang| gang.pods().collect()).unwrap_or_default();
    let mut homes = Vec::new();
    for pod in pods {
        let home = trial.state().whereabouts(pod);
        if home.stage.is_active() {
            trial.set(pod, Whereabouts::PENDING);
            homes.push((pod, home));
        }
    }
    homes
}

/// A cheap necessary condition: enough places for each pod of the chunk by itself.
fn may_fit(placer: &mut crate::placement::Placer, state: &State, chunk: &Chunk) -> bool {
    let mut pods = chunk.pods().filter_map(|pod| state.pods.get(&pod));
    pods.all(|pod| placer.capacity(&state.cluster, &pod.shape, None, 1) > 0)
}

/// Puts everybody back for whom there is room beside the gang, the costliest first; returns the others.
fn without_those_who_may_stay(trial: &mut Trial<'_>, gone: Vec<(GangId, Vec<(PodId, Whereabouts)>)>) -> Vec<GangId> {
    let mut needed = Vec::new();
    for (gang, homes) in gone.into_iter().rev() {
        let mark = trial.mark();
        let stays = homes.iter().all(|(pod, home)| {
            let fits = home.place.as_ref().is_some_and(|place| trial.state().cluster.fits_later(place));
            if fits {
                trial.set(*pod, home.clone());
            }
            fits
        });
        if !stays {
            trial.undo_to(mark);
            needed.push(gang);
        }
    }
    needed
}
