//! Are those who must be spread evenly spread so, once everybody of a plan is in place?

use std::collections::BTreeMap;

use super::labels::{all_hold, is_affine};
use super::ledger::Ledger;
use super::places::untolerated;
use super::plan::Step;
use crate::cluster::NodeShape;
use crate::filter::affinity::PodTerms;
use crate::filter::spread::Spread;
use crate::units::{NodeId, PodId};

/// Pods in domains that are too far ahead of others. Kept promises are not judged anew.
pub(super) fn uneven(step: &Step<'_, '_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for given in &step.plan.given {
        let kept = step.ledger.pod(given.pod).is_some_and(|pod| step.keeps_promises(pod.gang));
        let Some(terms) = terms(step.ledger, given.pod).filter(|_| !kept) else { continue };
        let node = given.spot.node;
        for spread in terms.spread.iter().filter(|spread| !is_kept(step.ledger, given.pod, terms, spread, node)) {
            let (name, node) = (step.ledger.pod_name(given.pod), step.ledger.node_name(node));
            wrong.push(format!(
                "{name} is put on {node}, and too many of its like are in one `{}`",
                spread.topology_key
            ));
        }
    }
    wrong
}

/// Does a pod make a difference to how evenly another one's like are spread?
pub(super) fn matters(ledger: &Ledger<'_>, pod: PodId, to: PodId) -> bool {
    let both = terms(ledger, to).zip(terms(ledger, pod));
    both.is_some_and(|(to, pod)| to.spread.iter().any(|spread| speaks_of(spread, to, pod)))
}

fn is_kept(ledger: &Ledger<'_>, pod: PodId, terms: &PodTerms, spread: &Spread, on: NodeId) -> bool {
    let value = |shape: &NodeShape| shape.labels.get(&spread.topology_key).cloned();
    let mut domains: BTreeMap<String, u64> = BTreeMap::new();
    for (&node, known) in ledger.facts.cluster().nodes() {
        let Some(shape) = ledger.node(node) else { continue };
        let labelled = terms.spread.iter().all(|other| shape.labels.contains_key(&other.topology_key));
        let Some(domain) = value(shape).filter(|_| labelled && makes_a_domain(ledger, pod, spread, &known.name, shape))
        else {
            continue;
        };
        let here = ledger.on_node(node).filter(|other| ledger.stand(*other).later().is_some_and(|at| at.node == node));
        let like =
            here.filter(|other| self::terms(ledger, *other).is_some_and(|other| speaks_of(spread, terms, other)));
        *domains.entry(domain).or_default() += like.count() as u64;
    }
    let Some(domain) = ledger.node(on).and_then(value) else { return false };
    let enough = domains.len() >= spread.min_domains as usize;
    let least = domains.values().copied().min().filter(|_| enough).unwrap_or(0);
    let here = domains.get(&domain).copied().unwrap_or(0);
    here <= least + u64::from(spread.max_skew)
}

fn makes_a_domain(ledger: &Ledger<'_>, pod: PodId, spread: &Spread, name: &str, node: &NodeShape) -> bool {
    let Some(pod) = ledger.pod(pod) else { return false };
    let selected = pod.shape.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let affine = selected && is_affine(name, node, &pod.shape, pod.terms.as_deref());
    (affine || !spread.honor_affinity) && !(spread.honor_taints && untolerated(node, &pod.shape).is_some())
}

fn speaks_of(spread: &Spread, own: &PodTerms, other: &PodTerms) -> bool {
    let shared: Vec<&String> = spread.match_label_keys.iter().filter(|key| own.labels.contains_key(*key)).collect();
    let nothing_asked = spread.match_labels.len() + spread.match_expressions.len() + shared.len() == 0;
    !nothing_asked
        && own.namespace == other.namespace
        && spread.match_labels.iter().all(|(key, value)| other.labels.get(key) == Some(value))
        && shared.iter().all(|key| other.labels.get(*key) == own.labels.get(*key))
        && all_hold(&spread.match_expressions, &other.labels)
}

fn terms<'l>(ledger: &Ledger<'l>, pod: PodId) -> Option<&'l PodTerms> {
    ledger.pod(pod)?.terms.as_deref()
}
