//! Are those who must be spread evenly spread so, once everybody of a plan is in place?

use std::collections::BTreeMap;

use super::labels::{is_affine, speaks_of};
use super::ledger::Ledger;
use super::places::untolerated;
use super::plan::Step;
use crate::cluster::NodeShape;
use crate::filter::affinity::{PodTerms, Term};
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
    both.is_some_and(|(to, pod)| to.spread.iter().any(|spread| speaks_of(&spread.pods, Some(pod))))
}

fn is_kept(ledger: &Ledger<'_>, pod: PodId, terms: &PodTerms, spread: &Spread, on: NodeId) -> bool {
    let value = |node: NodeId| match ledger.facts.cluster().nodes().get(&node) {
        Some(known) if spread.topology_key == Term::NODE => Some(known.name.clone()),
        _ => ledger.node(node)?.labels.get(&spread.topology_key).cloned(),
    };
    let has = |shape: &NodeShape, key: &String| key == Term::NODE || shape.labels.contains_key(key);
    let mut domains: BTreeMap<String, u64> = BTreeMap::new();
    for (&node, known) in ledger.facts.cluster().nodes() {
        let Some(shape) = ledger.node(node) else { continue };
        let labelled = terms.spread.iter().all(|other| has(shape, &other.topology_key));
        let Some(domain) = value(node).filter(|_| labelled && makes_a_domain(ledger, pod, spread, &known.name, shape))
        else {
            continue;
        };
        let here = ledger.on_node(node).filter(|other| ledger.stand(*other).later().is_some_and(|at| at.node == node));
        let like = here.filter(|other| speaks_of(&spread.pods, self::terms(ledger, *other)));
        *domains.entry(domain).or_default() += like.count() as u64;
    }
    let Some(domain) = value(on) else { return false };
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

fn terms<'l>(ledger: &Ledger<'l>, pod: PodId) -> Option<&'l PodTerms> {
    ledger.pod(pod)?.terms.as_deref()
}
