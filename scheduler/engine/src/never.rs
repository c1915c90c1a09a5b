//! What no search will ever find: a chunk that would not fit if nothing ran, in all of the cluster or in any domain of a level
//! that it requires. A necessary condition only, which costs next to nothing and spares the searches through others' places.

use std::collections::BTreeMap;

use crate::cluster::{PodShape, Shared};
use crate::gang::Chunk;
use crate::placement::Placer;
use crate::state::State;
use crate::units::{GangId, PodId};

/// Might the chunk fit, were it alone?
pub(crate) fn might_fit_alone(state: &State, placer: &mut Placer, gang: GangId, chunk: &Chunk) -> bool {
    let Some(gang) = state.gangs.get(&gang) else { return false };
    let there =
        |placer: &mut Placer, shape: &_, count| placer.emptied(&state.cluster, &state.topologies, shape).1 >= count;
    if !shapes(state, chunk.pods()).into_values().all(|(shape, count)| there(placer, &shape, count)) {
        return false;
    }
    gang.tree.branches().iter().enumerate().all(|(at, branch)| {
        let Some((wish, level)) = branch.topology.as_ref().and_then(|wish| Some((wish, wish.required.as_ref()?)))
        else {
            return true;
        };
        let depth = state.topologies.get(&wish.topology).and_then(|topology| topology.depth(level));
        let inside = gang.tree.below(at);
        let parts = chunk.parts.iter().filter(|(leaf, _)| inside.contains(leaf));
        let domain = |placer: &mut Placer, shape: &_, count| {
            depth.is_some_and(|depth| {
                let domain = (wish.topology.as_str(), depth);
                placer.emptied_domain(&state.cluster, &state.topologies, shape, domain) >= count
            })
        };
        shapes(state, parts.flat_map(|(_, pods)| pods.iter().copied()))
            .into_values()
            .all(|(shape, count)| domain(placer, &shape, count))
    })
}

/// The shapes of some pods, by number, each with how many have it.
pub(crate) fn shapes(state: &State, pods: impl Iterator<Item = PodId>) -> BTreeMap<u32, (Shared<PodShape>, u64)> {
    let mut shapes: BTreeMap<u32, (Shared<PodShape>, u64)> = BTreeMap::new();
    for pod in pods.filter_map(|pod| state.pods.get(&pod)) {
        shapes.entry(pod.shape.id()).or_insert_with(|| (pod.shape.clone(), 0)).1 += 1;
    }
    shapes
}
