//! In which domains of its topology a subgroup may be, best first.

use std::sync::Arc;

use super::{Scope, Search, Task};
use crate::gang::TopologyWish;
use crate::state::State;
use crate::topology::Path;
use crate::units::{NodeId, PodId};

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
    let topology = state.topologies.get(&wish.topology)?;
    let gang = state.gangs.get(&task.gang)?;
    let mut inside = vec![at];
    let mut paths = Vec::new();
    while let Some(branch) = inside.pop() {
        inside.extend(&task.tree.branch(branch).children);
        for pod in &gang.members[branch].pods {
            let active = state.pods.get(pod).is_some_and(|pod| pod.stage.is_active());
            let Some(place) = state.cluster.placed().get(pod).filter(|_| active) else { continue };
            let path = state.cluster.state(place.node).and_then(|node| topology.path(&node.shape.labels));
            match path {
                Some(path) => paths.push(path),
                None if wish.required.is_some() => return None,
                None => {}
            }
        }
    }
    paths.sort();
    paths.dedup();
    Some(paths)
}

fn intersect(nodes: &Arc<Vec<NodeId>>, scope: &Scope) -> Arc<Vec<NodeId>> {
    match scope {
        None => Arc::clone(nodes),
        Some(scope) => Arc::new(nodes.iter().copied().filter(|node| scope.binary_search(node).is_ok()).collect()),
    }
}
