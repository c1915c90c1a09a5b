//! Can the volumes of those who were given places be there, and can they share them with whoever else is there?

use std::collections::{BTreeMap, BTreeSet};

use super::labels::{all_hold, holds};
use super::ledger::{Ledger, Spot, Stand};
use super::plan::Step;
use crate::filter::node_affinity::NodeTerm;
use crate::filter::volumes::{UnboundClaim, VolumeTerms};
use crate::units::{NodeId, PodId};

/// Pods on nodes where one of their volumes cannot be, or with others that are in its way. What a place is by is looked at
/// when it is given, not when a promise is kept.
pub(super) fn misplaced(step: &Step<'_, '_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for given in &step.plan.given {
        let (Some(terms), Some(pod)) = (terms(step.ledger, given.pod), step.ledger.pod(given.pod)) else { continue };
        let (name, node) = (step.ledger.pod_name(given.pod), step.ledger.node_name(given.spot.node));
        let new = !step.keeps_promises(pod.gang);
        for place in terms.places.iter().filter(|place| new && !is_one_met(step.ledger, given.spot.node, &place.terms))
        {
            wrong.push(format!("{name} is put on {node}, where a volume cannot be ({:?})", place.rule));
        }
        let mut when = vec![("later", Stand::later as fn(&Stand) -> Option<&Spot>)];
        if given.at_once {
            when.push(("now", Stand::now));
        }
        for (when, of) in when {
            let all = everybody(step.ledger, of, &[]);
            wrong.extend(
                conflicts(step.ledger, &all, given.pod).map(|what| format!("{name} on {node}, {when}: {what}")),
            );
        }
    }
    let all = everybody(step.ledger, Stand::later, &[]);
    let touched = step
        .plan
        .given
        .iter()
        .any(|given| terms(step.ledger, given.pod).is_some_and(|terms| !terms.unbound.is_empty()));
    wrong.extend(unserved(step.ledger, &all).filter(|_| touched));
    wrong
}

/// Would these pods, were they there too, be in the way of any that came?
pub(super) fn in_the_way(ledger: &Ledger<'_>, more: &[(PodId, Spot)], came: &BTreeSet<PodId>) -> bool {
    let all = everybody(ledger, Stand::later, more);
    came.iter().any(|pod| conflicts(ledger, &all, *pod).next().is_some())
        || (came.iter().any(|pod| terms(ledger, *pod).is_some_and(|terms| !terms.unbound.is_empty()))
            && unserved(ledger, &all).is_some())
}

/// Where everybody is that has volumes.
fn everybody(ledger: &Ledger<'_>, of: fn(&Stand) -> Option<&Spot>, more: &[(PodId, Spot)]) -> BTreeMap<PodId, NodeId> {
    let with_volumes = ledger.with_terms.iter().filter(|pod| terms(ledger, **pod).is_some());
    let there = with_volumes.filter_map(|pod| Some((*pod, of(ledger.stand(*pod))?.node)));
    there.chain(more.iter().map(|(pod, spot)| (*pod, spot.node))).collect()
}

/// What a pod cannot share with the others.
fn conflicts<'l>(
    ledger: &'l Ledger<'_>,
    all: &'l BTreeMap<PodId, NodeId>,
    pod: PodId,
) -> impl Iterator<Item = String> + 'l {
    let own = terms(ledger, pod).zip(all.get(&pod));
    own.into_iter().flat_map(move |(own, node)| {
        let others = || {
            let others = all.iter().filter(move |(other, _)| **other != pod);
            others.filter_map(|(other, there)| Some((terms(ledger, *other)?, *there == *node)))
        };
        let mut wrong = Vec::new();
        if let Some(thing) = own.sole.iter().find(|thing| others().any(|(theirs, _)| theirs.sole.contains(*thing))) {
            wrong.push(format!("`{thing}` has another user"));
        }
        for disk in &own.disks {
            let meets = |theirs: &VolumeTerms| {
                theirs.disks.iter().any(|other| other.name == disk.name && !(other.shared && disk.shared))
            };
            if others().any(|(theirs, here)| here && meets(theirs)) {
                wrong.push(format!("disk `{}` has another user", disk.name));
            }
        }
        for (driver, volumes) in &own.attached {
            let of = |terms: &VolumeTerms| terms.attached.get(driver).cloned().unwrap_or_default();
            let theirs: BTreeSet<_> = others().filter(|(_, here)| *here).flat_map(|(theirs, _)| of(theirs)).collect();
            let together = theirs.union(volumes).count();
            let limit = ledger.facts.volume_limit(*node, driver);
            if together > theirs.len() && limit.is_some_and(|limit| together > limit as usize) {
                wrong.push(format!("{together} volumes of `{driver}` are attached"));
            }
        }
        wrong
    })
}

/// A claim for which nothing is left, if each volume goes to one claim.
fn unserved(ledger: &Ledger<'_>, all: &BTreeMap<PodId, NodeId>) -> Option<String> {
    let mut claims: BTreeMap<&str, (&UnboundClaim, BTreeSet<NodeId>)> = BTreeMap::new();
    for (pod, node) in all {
        for one in terms(ledger, *pod).map_or(&[][..], |terms| &terms.unbound) {
            claims.entry(&one.claim).or_insert((one, BTreeSet::new())).1.insert(*node);
        }
    }
    let is_made = |(claim, nodes): &(&UnboundClaim, BTreeSet<NodeId>)| {
        let anywhere =
            |terms: &Vec<NodeTerm>| nodes.iter().all(|node| terms.is_empty() || is_one_met(ledger, *node, terms));
        nodes.len() == 1 && claim.provision.as_ref().is_some_and(anywhere)
    };
    let may_have = |(claim, nodes): &(&UnboundClaim, BTreeSet<NodeId>)| {
        let everywhere =
            |terms: &[NodeTerm]| terms.is_empty() || nodes.iter().all(|node| is_one_met(ledger, *node, terms));
        let volumes = claim.volumes.all().iter().filter(|volume| everywhere(&volume.terms));
        volumes.map(|volume| volume.name.to_string()).collect::<BTreeSet<String>>()
    };
    let needy: Vec<(&str, BTreeSet<String>)> =
        claims.iter().filter(|(_, one)| !is_made(one)).map(|(claim, one)| (*claim, may_have(one))).collect();
    let mut owner: BTreeMap<String, usize> = BTreeMap::new();
    let stuck = (0..needy.len()).find(|at| !push(&needy, *at, &mut owner, &mut BTreeSet::new()));
    stuck.map(|at| format!("no volume is left for claim `{}`", needy[at].0))
}

/// Gives the claim a volume; whoever has it gets another one first.
fn push(
    needy: &[(&str, BTreeSet<String>)],
    at: usize,
    owner: &mut BTreeMap<String, usize>,
    tried: &mut BTreeSet<String>,
) -> bool {
    needy[at].1.iter().any(|volume| {
        let is_new = tried.insert(volume.clone());
        let free = is_new && owner.get(volume).copied().is_none_or(|other| push(needy, other, owner, tried));
        if free {
            owner.insert(volume.clone(), at);
        }
        free
    })
}

fn is_one_met(ledger: &Ledger<'_>, node: NodeId, terms: &[NodeTerm]) -> bool {
    let Some(shape) = ledger.node(node) else { return false };
    let name = ledger.facts.cluster().nodes().get(&node).map(|node| node.name.clone());
    terms.iter().any(|term| {
        let named = term.names.iter().all(|test| holds(test, name.as_ref()));
        term.labels.len() + term.names.len() > 0 && named && all_hold(&term.labels, &shape.labels)
    })
}

fn terms<'l>(ledger: &Ledger<'l>, pod: PodId) -> Option<&'l VolumeTerms> {
    ledger.pod(pod)?.terms.as_deref()?.volumes.as_deref()
}
