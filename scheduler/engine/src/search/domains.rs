//! In which domains of its topology a subgroup may be, best first.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Scope, Search, Task};
use crate::gang::TopologyWish;
use crate::state::State;
use crate::topology::{Path, Topology};
use crate::units::{GangId, NodeId, PodId};

impl Search<'_, '_> {
    /// The domains that may hold a subgroup: from the preferred level up to the required one or the whole topology; in a level
    /// those that hold pods of it already, then the fullest that still have room.
    pub(super) fn domains(
        &mut self,
        task: &Task,
        at: usize,
        wish: &TopologyWish,
        scope: &Scope,
        below: &[PodId],
    ) -> Vec<Scope> {
        let state = self.trial.state();
        let Some(topology) = state.topologies.get(&wish.topology) else {
            return if wish.required.is_some() { Vec::new() } else { vec![scope.clone()] };
        };
        let top = match wish.required.as_ref().map(|level| topology.depth(level)) {
            Some(None) => return Vec::new(),
            Some(Some(depth)) => depth.saturating_sub(self.widened),
            None => 0,
        };
        let narrowest =
            wish.preferred.as_ref().and_then(|level| topology.depth(level)).map_or(top, |depth| depth.max(top));
        let Some(homes) = occupied(state, task, at, wish) else { return Vec::new() };
        if homes.iter().any(|home| top > 0 && home.len() < top || homes.iter().any(|other| other[..top] != home[..top]))
        {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut candidates = Vec::new();
        for depth in (top..=narrowest).rev() {
            let pinned = |path: &Path| homes.iter().all(|home| top == 0 || home[..top] == path[..top]);
            for (path, nodes) in topology.domains(depth).filter(|(path, _)| pinned(path)) {
                let elsewhere = !homes.iter().any(|home| home.starts_with(path));
                candidates.push((narrowest - depth, elsewhere, path.clone(), Arc::clone(nodes)));
            }
        }
        let shapes = self.shapes(below.iter());
        for (wider, elsewhere, path, nodes) in candidates {
            let nodes = intersect(&nodes, scope);
            let mut room = u64::MAX;
            let holds = shapes.values().all(|(shape, count)| {
                let capacity = self.capacity(shape, Some(&nodes));
                room = room.min(capacity);
                capacity >= *count
            });
            if holds && !nodes.is_empty() {
                found.push((wider, elsewhere, room, path, nodes));
            }
        }
        found.sort_by(|a, b| (a.0, a.1, a.2, &a.3).cmp(&(b.0, b.1, b.2, &b.3)));
        let mut scopes: Vec<Scope> = found.into_iter().map(|(.., nodes)| Some(nodes)).collect();
        if wish.required.is_none() && self.rules.leave_preferred_topology {
            scopes.push(scope.clone());
        }
        scopes
    }
}

/// The domains in which active pods below a subgroup are; `None` where one is outside of a topology it must be in.
fn occupied(state: &State, task: &Task, at: usize, wish: &TopologyWish) -> Option<Vec<Path>> {
    let paths = paths_below(state, task.gang, at, state.topologies.get(&wish.topology));
    let outside = paths.contains(&None) && wish.required.is_some();
    (!outside).then(|| paths.into_iter().flatten().collect())
}

/// The full paths of active pods below a subgroup; `None` stands for those outside of the topology.
fn paths_below(state: &State, gang: GangId, at: usize, topology: Option<&Topology>) -> BTreeSet<Option<Path>> {
    let Some(gang) = state.gangs.get(&gang) else { return BTreeSet::new() };
    let pods = gang.tree.below(at).into_iter().flat_map(|leaf| &gang.members[leaf].pods);
    let active = pods.filter(|pod| state.pods.get(pod).is_some_and(|pod| pod.stage.is_active()));
    let places = active.filter_map(|pod| state.cluster.placed().get(pod));
    places.map(|place| topology?.path(&state.cluster.state(place.node)?.shape.labels)).collect()
}

/// Has the gang active pods in more than one domain of a level that it requires, or outside of it?
pub(crate) fn is_torn(state: &State, id: GangId) -> bool {
    let Some(gang) = state.gangs.get(&id).filter(|gang| gang.tree.has_topology()) else { return false };
    gang.tree.branches().iter().enumerate().any(|(at, branch)| {
        let Some((wish, level)) = branch.topology.as_ref().and_then(|wish| Some((wish, wish.required.as_ref()?)))
        else {
            return false;
        };
        let topology = state.topologies.get(&wish.topology);
        let depth = topology.and_then(|topology| topology.depth(level));
        let domain = |path: Option<Path>| depth.and_then(|depth| Some(path?[..depth].to_vec()));
        let domains: BTreeSet<Option<Path>> = paths_below(state, id, at, topology).into_iter().map(domain).collect();
        domains.len() > 1 || domains.contains(&None)
    })
}

fn intersect(nodes: &Arc<Vec<NodeId>>, scope: &Scope) -> Arc<Vec<NodeId>> {
    match scope {
        None => Arc::clone(nodes),
        Some(scope) => Arc::new(nodes.iter().copied().filter(|node| scope.binary_search(node).is_ok()).collect()),
    }
}
