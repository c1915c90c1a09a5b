//! Why a gang has no room: how many of its pods would fit, each kind by itself, and what keeps the others of the kind that
//! misses most off every node.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{Free, NodeState, Placement, PodShape, Shared};
use crate::decision::{RuledOut, Unplaceable, WaitCause};
use crate::filter::affinity::{self, keep_apart, keep_away, keep_near};
use crate::filter::{self, Constraint, Resource, spread, volumes};
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

/// Whom the pod has to fit beside whose reasons are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// Nobody of its gang: enough to see whether anything has changed.
    Nobody,
    /// Those of its kind that do fit.
    ThoseThatFit,
}

pub(super) fn room(state: &mut State, placer: &mut Placer, id: GangId, beside: Beside) -> WaitCause {
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
        Some((missing, kind)) => why_no_more(state, placer, &kind, missing > 0 && beside == Beside::ThoseThatFit),
        None => Arc::new(Unplaceable {
            nodes: state.cluster.nodes().len(),
            ruled_out: Vec::new(),
            fits_when_empty: true,
            short_of: BTreeMap::new(),
        }),
    };
    WaitCause::Room { fit, need: chunk.len() as u64, nodes }
}

fn kinds(state: &State, chunk: &Chunk) -> Vec<Alike> {
    let mut kinds: Vec<Alike> = Vec::new();
    let mut by_key: BTreeMap<(u32, Option<Vec<NodeId>>), usize> = BTreeMap::new();
    let mut last: Option<(&Pod, usize)> = None;
    for (id, pod) in chunk.pods().filter_map(|id| Some((id, state.pods.get(&id)?))) {
        let at = match last.filter(|(last, _)| last.shape == pod.shape && last.terms == pod.terms) {
            Some((_, at)) => at,
            None => {
                let scope = affinity::narrow(state, id, pod, None);
                *by_key.entry((pod.shape.id(), scope.clone())).or_insert_with(|| {
                    kinds.push(Alike { shape: pod.shape.clone(), scope, pods: Vec::new() });
                    kinds.len() - 1
                })
            }
        };
        kinds[at].pods.push(id);
        last = Some((pod, at));
    }
    kinds
}

/// What keeps one of these off every node; or one more of them, with those that fit in their places.
fn why_no_more(state: &mut State, placer: &mut Placer, kind: &Alike, one_more: bool) -> Arc<Unplaceable> {
    let mut trial = Trial::on(state);
    let mut scope = kind.scope.clone();
    for id in &kind.pods {
        let state = trial.state();
        let Some(pod) = state.pods.get(id) else { continue };
        if kind.scope.is_some() {
            scope = affinity::narrow(state, *id, pod, None); // moves with those that were placed
        }
        let slot = placer.choose(&state.cluster, *id, &kind.shape, scope.as_deref()).filter(|_| one_more);
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
    let reachable = volumes::Judge::of(state, id, pod);
    let uneven = spread::rejections(state, id, pod, &[]);
    let mut near = named.clone();
    keep_near(state, id, pod, &mut near);
    let mut away = near.clone();
    keep_away(state, id, pod, &mut away);
    let mut apart = away.clone();
    keep_apart(state, id, pod, &mut apart);
    let has = |nodes: &[NodeId], node: &NodeId| nodes.binary_search(node).is_ok();
    let mut ruled_out: BTreeMap<Constraint, (usize, Option<u64>)> = BTreeMap::new();
    let (mut fits_when_empty, mut short_of) = (false, BTreeMap::new());
    let nodes = state.cluster.nodes().keys();
    for (node, known) in nodes.clone().filter_map(|node| Some((node, state.cluster.state(*node)?))) {
        let mut hits = Vec::new();
        // kube-scheduler does not look at nodes that the pod does not name, if it names any.
        let other = !affinity::is_named(pod, &state.cluster.nodes()[node].name);
        if other {
            hits.push((Constraint::NodeName, None));
        } else if let Some(constraint) = filter::shape_rejection(&known.shape, &pod.shape) {
            hits.push((constraint, None));
        } else if !has(&named, node) {
            hits.push((Constraint::NodeSelector, None));
        } else {
            fits_when_empty |= filter::resources::fit(&known.shape, &Free::all_of(&known.shape), &pod.shape);
            hits = match filter::rejection(&known.shape, known.later(), &pod.shape) {
                Some(constraint) => vec![(constraint, None)],
                None => lacks(known, &pod.shape),
            };
            if filter::resources::need_names(&pod.shape)
                && hits.iter().all(|(hit, _)| matches!(hit, Constraint::Lack(_)))
            {
                for name in filter::resources::short_of(&known.shape, known.later(), &pod.shape) {
                    *short_of.entry(name).or_default() += 1;
                }
            }
            if let Some(judge) = reachable.as_ref().filter(|_| hits.is_empty()) {
                hits.extend(judge.rejections(*node).into_iter().map(|constraint| (constraint, None)));
            }
            if hits.is_empty()
                && let Some(constraint) = uneven(*node)
            {
                hits.push((constraint, None));
            } else if hits.is_empty() && !has(&near, node) {
                hits.push((Constraint::PodAffinity, None));
            } else if hits.is_empty() && !has(&away, node) {
                hits.push((Constraint::PodAntiAffinity, None));
            } else if hits.is_empty() && !has(&apart, node) {
                hits.push((Constraint::Unwanted, None));
            }
        }
        for (constraint, miss) in hits {
            let (count, nearest) = ruled_out.entry(constraint).or_insert((0, miss));
            *count += 1;
            *nearest = (*nearest).min(miss);
        }
    }
    let told = |(constraint, (nodes, nearest_miss))| RuledOut { constraint, nodes, nearest_miss };
    Unplaceable { nodes: nodes.len(), ruled_out: ruled_out.into_iter().map(told).collect(), fits_when_empty, short_of }
}

fn lacks(node: &NodeState, pod: &PodShape) -> Vec<(Constraint, Option<u64>)> {
    let missing = |resource: &Resource| {
        let missing = resource.missing(&node.shape, node.later(), pod);
        (missing > 0).then_some((Constraint::Lack(*resource), Some(missing)))
    };
    Resource::ALL.iter().filter_map(missing).collect()
}
