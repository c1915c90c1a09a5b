//! How evenly a pod's like are spread over domains: the topology spread constraints that must hold (`DoNotSchedule`). Counts
//! pods as they will be once those that leave have gone. A chunk is judged as a whole: what is uneven may still be evened
//! out by its pods that are yet to come.

use std::collections::BTreeMap;

use super::affinity::{PodTerms, Term, meets_node_affinity};
use super::labels::PodSelector;
use super::{Constraint, node_affinity, taints};
use crate::cluster::{NodeShape, PodShape};
use crate::gang::Stage;
use crate::state::{Pod, State};
use crate::units::{NodeId, PodId};

/// A topology spread constraint with `whenUnsatisfiable: DoNotSchedule`. Those with `ScheduleAnyway` rule nothing out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Spread {
    /// The node label whose values are the domains; nodes without it are ruled out. Or [`Term::NODE`] for the node itself.
    pub topology_key: String,
    /// How many pods at most the pod's domain may be ahead of the emptiest one; at least 1.
    pub max_skew: u32,
    /// While there are fewer domains, the emptiest counts as empty; at least 1, which is what Kubernetes takes for nothing
    /// said.
    pub min_domains: u32,
    /// The pods that count.
    pub pods: PodSelector,
    /// Only nodes that the pod's selector and node affinity allow make domains (`nodeAffinityPolicy: Honor`, the default).
    pub honor_affinity: bool,
    /// Only nodes whose taints the pod tolerates make domains (`nodeTaintsPolicy: Honor`, not the default).
    pub honor_taints: bool,
}

impl Spread {
    fn domain<'s>(&self, state: &'s State, node: NodeId) -> Option<&'s str> {
        if self.topology_key == Term::NODE {
            return state.cluster.nodes().get(&node).map(|node| node.name.as_str());
        }
        state.cluster.state(node)?.shape.labels.get(&self.topology_key).map(String::as_str)
    }

    fn looks_at(&self, state: &State, pod: &PodShape, terms: &PodTerms, node: NodeId, shape: &NodeShape) -> bool {
        let has_all = terms.spread.iter().all(|one| one.domain(state, node).is_some());
        let affine = || node_affinity::allows(shape, pod) && meets_node_affinity(state, terms, node);
        has_all && (!self.honor_affinity || affine()) && (!self.honor_taints || taints::allow(shape, pod))
    }
}

/// One constraint of a pod with what it counts.
struct Evenness<'s> {
    spread: &'s Spread,
    /// By domain: others that count.
    others: BTreeMap<&'s str, u64>,
    /// Does the pod itself count?
    own: u64,
    /// Pods that count and have yet to come: they may go wherever too few are.
    to_come: u64,
}

impl<'s> Evenness<'s> {
    fn of(state: &'s State, id: PodId, pod: &'s Pod, to_come: &[PodId]) -> Vec<Self> {
        let Some(terms) = pod.terms.as_deref() else { return Vec::new() };
        let one = |spread: &'s Spread| {
            let counts = |other: PodId| state.pods.get(&other).is_some_and(|other| other.is_meant_by(&spread.pods));
            let mut others: BTreeMap<&str, u64> = BTreeMap::new();
            for (node, known) in state.cluster.nodes() {
                let shape = state.cluster.state(*node).map(|of| &*of.shape);
                let shape = shape.filter(|shape| spread.looks_at(state, &pod.shape, terms, *node, shape));
                let Some(domain) = shape.and_then(|_| spread.domain(state, *node)) else { continue };
                let there = known.pods.iter().filter(|other| **other != id && stays(state, **other) && counts(**other));
                *others.entry(domain).or_default() += there.count() as u64;
            }
            let to_come = to_come.iter().filter(|other| counts(**other)).count() as u64;
            Evenness { spread, others, own: pod.is_meant_by(&spread.pods).into(), to_come }
        };
        terms.spread.iter().map(one).collect()
    }

    fn rejects(&self, state: &State, node: NodeId) -> Option<Constraint> {
        let Some(domain) = self.spread.domain(state, node) else { return Some(Constraint::SpreadLabel) };
        let here = self.others.get(domain).unwrap_or(&0) + self.own;
        let wanted_elsewhere = here.saturating_sub(self.spread.max_skew.into());
        let others = self.others.iter().filter(|(other, _)| **other != domain);
        let missing: u64 = others.map(|(_, count)| wanted_elsewhere.saturating_sub(*count)).sum();
        let too_few_domains = self.others.len() < self.spread.min_domains as usize && wanted_elsewhere > 0;
        (too_few_domains || missing > self.to_come).then_some(Constraint::Spread)
    }
}

/// Who waits and holds a place all the same is leaving it, in the plan that is being tried.
fn stays(state: &State, pod: PodId) -> bool {
    state.pods.get(&pod).is_some_and(|pod| !matches!(pod.stage, Stage::Evicted | Stage::Pending))
}

/// The constraint of the pod that rules each of these nodes out, if one does; `to_come` may still even things out.
pub(crate) fn rejections<'s>(
    state: &'s State,
    id: PodId,
    pod: &'s Pod,
    to_come: &[PodId],
) -> impl Fn(NodeId) -> Option<Constraint> + use<'s> {
    let all = Evenness::of(state, id, pod, to_come);
    move |node| all.iter().find_map(|one| one.rejects(state, node))
}

/// Keeps the nodes on which the pod's like are spread evenly enough.
pub(crate) fn keep_even(state: &State, id: PodId, pod: &Pod, to_come: &[PodId], nodes: &mut Vec<NodeId>) {
    if pod.terms.as_deref().is_some_and(|terms| !terms.spread.is_empty()) {
        let rejection = rejections(state, id, pod, to_come);
        nodes.retain(|node| rejection(*node).is_none());
    }
}

/// Are the pod's like spread evenly enough for it where it is?
pub(crate) fn is_even(state: &State, id: PodId) -> bool {
    let Some((pod, place)) = state.pods.get(&id).zip(state.cluster.placed().get(&id)) else { return true };
    let mut node = vec![place.node];
    keep_even(state, id, pod, &[], &mut node);
    !node.is_empty()
}
