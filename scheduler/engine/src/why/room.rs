//! Why a gang has no room: how many of its pods would fit, each kind by itself, and what keeps the others of the kind that
//! misses most off every node.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{Free, NodeState, Placement, PodShape, Shared};
use crate::decision::{RuledOut, Unplaceable, WaitCause};
use crate::filter::affinity::{self, keep_apart, keep_near};
use crate::filter::{self, Constraint, Resource};
use crate::gang::{Chunk, Stage};
use crate::placement::Placer;
use crate::state::{Pod, State, Whereabouts};
use crate::trial::Trial;
use crate::units::{GangId, NodeId, PodId};

/// Pods that ask for the same and may be on the same nodes.
struct Alike {
    shape: Shared<PodShape>,
    /// The nodes their terms leave; `None` = all.
    scope: Option<Vec<NodeId>>,
    pods: Vec<PodId>,
}

pub(super) fn room(state: &mut State, placer: &mut Placer, id: GangId) -> WaitCause {
    let chunk = state.next_chunk(id);
    let mut fit = 0;
    let mut worst: Option<(u64, Alike)> = None;
    for kind in kinds(state, &chunk) {
        let wanted = kind.pods.len() as u64;
        let places = placer.capacity(&state.cluster, &kind.shape, kind.scope.as_deref(), wanted).min(wanted);
        fit += places;
        if worst.as_ref().is_none_or(|(most, _)| wanted - places > *most) {
            worst = Some((wanted - places, kind));
        }
    }
    let nodes = match worst {
        Some((missing, kind)) => why_no_more(state, placer, &kind, missing > 0),
        None => {
            Arc::new(Unplaceable { nodes: state.cluster.nodes().len(), ruled_out: Vec::new(), fits_when_empty: true })
        }
    };
    WaitCause::Room { fit, need: chunk.len() as u64, nodes }
}

/// The same in short, and cheap: terms are left out, and reasons are those for a pod alone. Good enough to see that something
/// has changed.
pub(super) fn brief(state: &State, placer: &mut Placer, id: GangId) -> WaitCause {
    let chunk = state.next_chunk(id);
    let mut shapes: BTreeMap<u32, (Shared<PodShape>, u64)> = BTreeMap::new();
    for pod in chunk.pods().filter_map(|pod| state.pods.get(&pod)) {
        shapes.entry(pod.shape.id()).or_insert_with(|| (pod.shape.clone(), 0)).1 += 1;
    }
    let mut fit = 0;
    let mut worst: Option<(u64, Shared<PodShape>)> = None;
    for (shape, wanted) in shapes.into_values() {
        let places = placer.capacity(&state.cluster, &shape, None, wanted).min(wanted);
        fit += places;
        if worst.as_ref().is_none_or(|(most, _)| wanted - places > *most) {
            worst = Some((wanted - places, shape));
        }
    }
    let nothing =
        || Arc::new(Unplaceable { nodes: state.cluster.nodes().len(), ruled_out: Vec::new(), fits_when_empty: true });
    let nodes = worst.map_or_else(nothing, |(_, shape)| placer.why_not(&state.cluster, &shape));
    WaitCause::Room { fit, need: chunk.len() as u64, nodes }
}

fn kinds(state: &State, chunk: &Chunk) -> impl Iterator<Item = Alike> + use<> {
    let mut kinds: BTreeMap<(u32, Option<Vec<NodeId>>), (Shared<PodShape>, Vec<PodId>)> = BTreeMap::new();
    for (id, pod) in chunk.pods().filter_map(|id| Some((id, state.pods.get(&id)?))) {
        let scope = affinity::narrow(state, id, pod, None);
        kinds.entry((pod.shape.id(), scope)).or_insert_with(|| (pod.shape.clone(), Vec::new())).1.push(id);
    }
    kinds.into_iter().map(|((_, scope), (shape, pods))| Alike { shape, scope, pods })
}

/// What keeps one more of these off every node, with those that fit in their places if there are some too many.
fn why_no_more(state: &mut State, placer: &mut Placer, kind: &Alike, too_many: bool) -> Arc<Unplaceable> {
    let mut trial = Trial::on(state);
    let mut scope = kind.scope.clone();
    for id in &kind.pods {
        let state = trial.state();
        let Some(pod) = state.pods.get(id) else { continue };
        if kind.scope.is_some() {
            scope = affinity::narrow(state, *id, pod, None); // moves with those that were placed
        }
        let slot = placer.choose(&state.cluster, *id, &kind.shape, scope.as_deref()).filter(|_| too_many);
        let Some((slot, _)) = slot else {
            return match scope {
                Some(_) => Arc::new(by_terms(state, *id, pod)),
                None => placer.why_not(&state.cluster, &kind.shape),
            };
        };
        let place = Placement { shape: kind.shape.clone(), node: slot.node, gpus: slot.gpus, hold: Default::default() };
        trial.set(*id, Whereabouts::at(Stage::Nominated { counted: true }, place));
    }
    placer.why_not(&trial.state().cluster, &kind.shape)
}

/// The reasons for one pod whose place depends on names or on other pods: node by node.
fn by_terms(state: &State, id: PodId, pod: &Pod) -> Unplaceable {
    let named = affinity::named(state, pod, None);
    let mut near = named.clone();
    keep_near(state, id, pod, &mut near);
    let mut apart = near.clone();
    keep_apart(state, id, pod, &mut apart);
    let has = |nodes: &[NodeId], node: &NodeId| nodes.binary_search(node).is_ok();
    let mut ruled_out: BTreeMap<Constraint, (usize, Option<u64>)> = BTreeMap::new();
    let mut fits_when_empty = false;
    let nodes = state.cluster.nodes().keys();
    for (node, known) in nodes.clone().filter_map(|node| Some((node, state.cluster.state(*node)?))) {
        let mut hits = Vec::new();
        if let Some(constraint) = filter::shape_rejection(&known.shape, &pod.shape) {
            hits.push((constraint, None));
        } else if !has(&named, node) {
            hits.push((Constraint::NodeName, None));
        } else {
            fits_when_empty |= filter::resources::fit(&known.shape, &Free::all_of(&known.shape), &pod.shape);
            hits = lacks(known, &pod.shape);
            if hits.is_empty() && !has(&near, node) {
                hits.push((Constraint::PodAffinity, None));
            } else if hits.is_empty() && !has(&apart, node) {
                hits.push((Constraint::PodAntiAffinity, None));
            }
        }
        for (constraint, miss) in hits {
            let (count, nearest) = ruled_out.entry(constraint).or_insert((0, miss));
            *count += 1;
            *nearest = (*nearest).min(miss);
        }
    }
    let told = |(constraint, (nodes, nearest_miss))| RuledOut { constraint, nodes, nearest_miss };
    Unplaceable { nodes: nodes.len(), ruled_out: ruled_out.into_iter().map(told).collect(), fits_when_empty }
}

fn lacks(node: &NodeState, pod: &PodShape) -> Vec<(Constraint, Option<u64>)> {
    let missing = |resource: &Resource| {
        let missing = resource.missing(&node.shape, node.later(), pod);
        (missing > 0).then_some((Constraint::Lack(*resource), Some(missing)))
    };
    Resource::ALL.iter().filter_map(missing).collect()
}
