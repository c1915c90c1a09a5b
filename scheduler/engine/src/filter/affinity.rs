//! Where a pod may be by name, and by who is there already: node names, pod affinity and anti-affinity, both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::labels::{PodSelector, Test};
use super::node_affinity::{self, NodeTerm};
use super::spread::{Spread, keep_even};
use super::volumes::{VolumeTerms, keep_reachable};
use crate::cluster::NodeShape;
use crate::gang::Stage;
use crate::state::{Pod, State};
use crate::units::{NodeId, PodId};

/// What a pod says about its place beyond its shape.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
pub struct PodTerms {
    /// The only nodes it may use, if it names any.
    pub node_names: Option<BTreeSet<String>>,
    /// Required node affinity in which some term asks for a node's name: the node must meet one of these; empty = none is
    /// asked for. Without names it belongs to the pod's shape.
    pub node_affinity: Vec<NodeTerm>,
    /// The namespace it is in, which others' terms and disruption budgets look at.
    pub namespace: String,
    /// How its like must be spread over domains.
    pub spread: Vec<Spread>,
    /// Its own labels, which others' terms and disruption budgets look at.
    pub labels: BTreeMap<String, String>,
    /// It must share a domain of each of these with a pod that all of them mean.
    pub affinity: Vec<Term>,
    /// It must not share a domain of any of these with a pod that it means.
    pub anti_affinity: Vec<Term>,
    /// What its volumes ask, if they ask for anything.
    pub volumes: Option<Arc<VolumeTerms>>,
}

impl PodTerms {
    fn names_nodes(&self) -> bool {
        self.node_names.is_some() || !self.node_affinity.is_empty()
    }

    /// The only nodes it may use, where it names some: in so many words, or in every term of its node affinity.
    fn named(&self) -> Option<BTreeSet<&String>> {
        if let Some(names) = &self.node_names {
            return Some(names.iter().collect());
        }
        let of_term = |term: &'_ NodeTerm| term.names.iter().position(|test| matches!(test, Test::In(_)));
        let mut all = BTreeSet::new();
        for term in &self.node_affinity {
            match of_term(term).map(|at| &term.names[at]) {
                Some(Test::In(names)) => all.extend(names),
                _ => return None,
            }
        }
        (!self.node_affinity.is_empty()).then_some(all)
    }
}

/// A set of pods and the domain that is to be shared with them, or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Term {
    /// A node label, or [`Term::NODE`] for the node itself.
    pub topology_key: String,
    /// The pods that are meant.
    pub pods: PodSelector,
}

impl Term {
    /// The topology key of a domain that is one node.
    pub const NODE: &'static str = "node";

    fn matches(&self, pod: &Pod) -> bool {
        pod.is_meant_by(&self.pods)
    }

    fn domain<'a>(&self, node: NodeId, shape: &'a NodeShape) -> Option<(Option<NodeId>, &'a str)> {
        if self.topology_key == Term::NODE {
            return Some((Some(node), ""));
        }
        shape.labels.get(&self.topology_key).map(|value| (None, value.as_str()))
    }
}

impl Pod {
    /// Does a selector mean this pod? One without terms is of no namespace that anybody could mean.
    pub(crate) fn is_meant_by(&self, selector: &PodSelector) -> bool {
        self.terms.as_ref().is_some_and(|terms| selector.means(&terms.namespace, &terms.labels))
    }
}

/// The nodes of `scope` (all for `None`) that the pod's terms and those of the pods around leave; `None` where they leave
/// all. Pods that were told to stop count as gone.
pub(crate) fn narrow(state: &State, id: PodId, pod: &Pod, scope: Option<&[NodeId]>) -> Option<Vec<NodeId>> {
    let terms = pod.terms.as_deref();
    let repelled = !state.repelling.is_empty() && terms.is_some();
    let restricted = terms.is_some_and(|terms| {
        terms.volumes.is_some()
            || terms.names_nodes()
            || !terms.spread.is_empty()
            || !terms.affinity.is_empty()
            || !terms.anti_affinity.is_empty()
    });
    if !repelled && !restricted {
        return None;
    }
    let mut nodes = named(state, pod, scope);
    keep_reachable(state, id, pod, &mut nodes);
    keep_even(state, id, pod, &[], &mut nodes);
    keep_near(state, id, pod, &mut nodes);
    keep_apart(state, id, pod, &mut nodes);
    Some(nodes)
}

/// The nodes of `scope` that the pod's terms leave if those it must be near to may come wherever it is, and those that are
/// to come may even out how its like are spread.
pub(crate) fn anywhere_near(
    state: &State,
    id: PodId,
    pod: &Pod,
    scope: Option<&[NodeId]>,
    to_come: &[PodId],
) -> Vec<NodeId> {
    let mut nodes = named(state, pod, scope);
    keep_reachable(state, id, pod, &mut nodes);
    keep_even(state, id, pod, to_come, &mut nodes);
    keep_apart(state, id, pod, &mut nodes);
    nodes
}

/// The nodes of `scope` that the pod names; all of them where it names none. Ascending.
pub(crate) fn named(state: &State, pod: &Pod, scope: Option<&[NodeId]>) -> Vec<NodeId> {
    let terms = pod.terms.as_deref();
    let mut nodes: Vec<NodeId> = match (terms.and_then(PodTerms::named), scope) {
        (Some(names), _) => names.into_iter().filter_map(|name| state.names.get(name).copied()).collect(),
        (None, Some(scope)) => scope.to_vec(),
        (None, None) => state.cluster.nodes().keys().copied().collect(),
    };
    nodes.sort_unstable();
    if let Some(scope) = scope {
        nodes.retain(|node| scope.binary_search(node).is_ok());
    }
    if let Some(terms) = terms.filter(|terms| !terms.node_affinity.is_empty()) {
        nodes.retain(|node| meets_node_affinity(state, terms, *node));
    }
    nodes
}

/// Does the pod name the node, if it names any?
pub(crate) fn is_named(pod: &Pod, node: &str) -> bool {
    pod.terms.as_deref().and_then(|terms| terms.node_names.as_ref()).is_none_or(|names| names.contains(node))
}

/// Does the node meet what the pod's terms ask of nodes by label or name?
pub(crate) fn meets_node_affinity(state: &State, terms: &PodTerms, node: NodeId) -> bool {
    let known = state.cluster.nodes().get(&node).zip(state.cluster.state(node));
    known.is_some_and(|(known, of)| node_affinity::is_met(&terms.node_affinity, &of.shape, &known.name))
}

/// Keeps the nodes on which the pod is near to those it must be near to.
pub(crate) fn keep_near(state: &State, id: PodId, pod: &Pod, nodes: &mut Vec<NodeId>) {
    let terms = pod.terms.as_deref().map_or(&[][..], |terms| &terms.affinity);
    if terms.is_empty() {
        return;
    }
    let meant = |other: &Pod| terms.iter().all(|term| term.matches(other));
    let near: Vec<BTreeSet<Domain>> = terms.iter().map(|term| domains(state, id, term, meant)).collect();
    // The first of a group that wants to be with its own kind may start in any domain.
    let first = near.iter().all(BTreeSet::is_empty) && meant(pod);
    let may = |node: NodeId, term: &Term, near: &BTreeSet<Domain>| match first {
        true => domain_of(state, node, term).is_some(),
        false => holds(state, node, term, near),
    };
    nodes.retain(|node| terms.iter().zip(&near).all(|(term, near)| may(*node, term, near)));
}

/// Keeps the nodes on which the pod is away from those it must be away from, and from those who want it away.
pub(crate) fn keep_apart(state: &State, id: PodId, pod: &Pod, nodes: &mut Vec<NodeId>) {
    keep_away(state, id, pod, nodes);
    keep_unwanted(state, id, pod, nodes);
}

/// Keeps the nodes on which the pod is away from those it must be away from.
pub(crate) fn keep_away(state: &State, id: PodId, pod: &Pod, nodes: &mut Vec<NodeId>) {
    for term in pod.terms.as_deref().map_or(&[][..], |terms| &terms.anti_affinity) {
        let taken = domains(state, id, term, |other| term.matches(other));
        nodes.retain(|node| !holds(state, *node, term, &taken));
    }
}

/// Keeps the nodes on which the pod is away from those who want it away.
fn keep_unwanted(state: &State, id: PodId, pod: &Pod, nodes: &mut Vec<NodeId>) {
    for other in state.repelling.iter().filter(|other| **other != id) {
        let theirs = state.pods.get(other).and_then(|other| other.terms.as_deref());
        for term in theirs.map_or(&[][..], |terms| &terms.anti_affinity).iter().filter(|term| term.matches(pod)) {
            let taken = domains_of(state, std::iter::once(*other), term);
            nodes.retain(|node| !holds(state, *node, term, &taken));
        }
    }
}

/// May a pod be where it is, by its terms and those of the pods around?
pub(crate) fn is_welcome(state: &State, id: PodId) -> bool {
    let Some((pod, place)) = state.pods.get(&id).zip(state.cluster.placed().get(&id)) else { return false };
    narrow(state, id, pod, Some(&[place.node])).is_none_or(|nodes| !nodes.is_empty())
}

/// Does a pod on a node keep another one away from where that is or will be, or the other way round?
pub(crate) fn must_be_apart(state: &State, id: PodId, node: NodeId, other: PodId) -> bool {
    let Some((pod, theirs)) = state.pods.get(&id).zip(state.pods.get(&other)) else { return false };
    let Some(place) = state.cluster.placed().get(&other) else { return false };
    let keeps_away = |one: &Pod, another: &Pod| {
        let terms = one.terms.iter().flat_map(|terms| &terms.anti_affinity);
        terms.filter(|term| term.matches(another)).any(|term| {
            let domain = domain_of(state, node, term);
            domain.is_some() && domain == domain_of(state, place.node, term)
        })
    };
    keeps_away(pod, theirs) || keeps_away(theirs, pod)
}

/// A domain: the node itself, or the value of the label.
type Domain = (Option<NodeId>, String);

fn domains(state: &State, but: PodId, term: &Term, of: impl Fn(&Pod) -> bool) -> BTreeSet<Domain> {
    let placed = state.cluster.placed().keys().copied();
    let matching = placed.filter(|id| *id != but && state.pods.get(id).is_some_and(&of));
    domains_of(state, matching, term)
}

fn domains_of(state: &State, pods: impl Iterator<Item = PodId>, term: &Term) -> BTreeSet<Domain> {
    let here = |id: PodId| {
        // Whoever waits and holds a place all the same is leaving it, in the plan that is being tried.
        let leaves = |stage| matches!(stage, Stage::Evicted | Stage::Pending);
        let stays = state.pods.get(&id).is_some_and(|pod| !leaves(pod.stage));
        let place = state.cluster.placed().get(&id).filter(|_| stays)?;
        let shape = &state.cluster.state(place.node)?.shape;
        term.domain(place.node, shape).map(|(node, value)| (node, value.to_owned()))
    };
    pods.filter_map(here).collect()
}

fn holds(state: &State, node: NodeId, term: &Term, domains: &BTreeSet<Domain>) -> bool {
    domain_of(state, node, term).is_some_and(|(node, value)| domains.contains(&(node, value.to_owned())))
}

fn domain_of<'s>(state: &'s State, node: NodeId, term: &Term) -> Option<(Option<NodeId>, &'s str)> {
    state.cluster.state(node).and_then(|known| term.domain(node, &known.shape))
}
