//! Is there room for whoever was given a place, and may it be there?

use std::collections::{BTreeMap, BTreeSet};

use super::labels::{is_affine, speaks_of};
use super::ledger::{Ledger, Spot, Stand};
use super::load::{lines, misfit};
use super::plan::{Given, Step};
use crate::cluster::{NodeShape, PodShape, Taint, TaintEffect, Toleration};
use crate::filter::affinity::{PodTerms, Term};
use crate::filter::ports::HostPort;
use crate::gang::Stage;
use crate::units::{NodeId, PodId};

/// Nodes that got more than they have, now or once those that leave have gone.
pub(super) fn overfull(step: &Step<'_, '_>) -> Vec<String> {
    let touched: BTreeSet<NodeId> = step.plan.given.iter().map(|given| given.spot.node).collect();
    touched.into_iter().flat_map(|node| too_much(step.ledger, node)).collect()
}

fn too_much(ledger: &Ledger<'_>, node: NodeId) -> Vec<String> {
    let mut wrong = Vec::new();
    for (when, of) in [("now", Stand::now as fn(&Stand) -> Option<&Spot>), ("later", Stand::later)] {
        for line in lines_with(ledger, node, of, &[]).into_iter().filter(|line| line.used > line.all) {
            let (name, all) = (ledger.node_name(node), line.all);
            wrong.push(format!("{} {} of {name} given out {when}, and it has {all}", line.used, line.what));
        }
        if let Some((one, other, port)) = clash(ledger, node, of, &[]) {
            let (one, other, node) = (ledger.pod_name(one), ledger.pod_name(other), ledger.node_name(node));
            wrong.push(format!("{one} and {other} both open port {port} of {node} {when}"));
        }
    }
    wrong
}

/// Is there room, later, for some pods more at these places?
pub(super) fn has_room(ledger: &Ledger<'_>, more: &[(PodId, Spot)]) -> bool {
    let nodes: BTreeSet<NodeId> = more.iter().map(|(_, spot)| spot.node).collect();
    nodes.into_iter().all(|node| {
        let lines = lines_with(ledger, node, Stand::later, more);
        lines.into_iter().all(|line| line.used <= line.all) && clash(ledger, node, Stand::later, more).is_none()
    })
}

fn lines_with(
    ledger: &Ledger<'_>,
    node: NodeId,
    of: fn(&Stand) -> Option<&Spot>,
    more: &[(PodId, Spot)],
) -> Vec<super::load::Line> {
    let Some(shape) = ledger.node(node) else { return Vec::new() };
    let there = ledger.on_node(node).filter_map(|pod| Some((pod, of(ledger.stand(pod))?)));
    let all = there.chain(more.iter().map(|(pod, spot)| (*pod, spot))).filter(|(_, spot)| spot.node == node);
    lines(shape, all.filter_map(|(pod, spot)| Some((&*ledger.pod(pod)?.shape, spot.gpus.as_slice()))))
}

/// Two pods of a node, with some more, that open the same port of it, and which.
fn clash(
    ledger: &Ledger<'_>,
    node: NodeId,
    of: fn(&Stand) -> Option<&Spot>,
    more: &[(PodId, Spot)],
) -> Option<(PodId, PodId, u16)> {
    let here = |spot: Option<&Spot>| spot.is_some_and(|spot| spot.node == node);
    let there = ledger.on_node(node).filter(|pod| here(of(ledger.stand(*pod))));
    let come = more.iter().filter(|(_, spot)| here(Some(spot))).map(|(pod, _)| *pod);
    let mut opened: Vec<(PodId, &HostPort)> = Vec::new();
    for pod in there.chain(come).collect::<BTreeSet<_>>() {
        for port in ledger.pod(pod).map_or(&[][..], |pod| &pod.shape.host_ports) {
            let same = |(other, theirs): &&(PodId, &HostPort)| {
                let addresses = (theirs.address.as_deref(), port.address.as_deref());
                let apart = matches!(addresses, (Some(theirs), Some(mine)) if theirs != mine);
                *other != pod && theirs.port == port.port && theirs.protocol == port.protocol && !apart
            };
            if let Some((other, _)) = opened.iter().find(same) {
                return Some((*other, pod, port.port));
            }
            opened.push((pod, port));
        }
    }
    None
}

/// Pods on nodes that do not take them, whoever else is there.
pub(super) fn kept_off(step: &Step<'_, '_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for Given { pod, spot, .. } in &step.plan.given {
        let (Some(known), Some(shape)) = (step.ledger.pod(*pod), step.ledger.node(spot.node)) else { continue };
        let (name, node) = (step.ledger.pod_name(*pod), step.ledger.node_name(spot.node));
        let plain = node.trim_matches('`');
        wrong.extend(misfit(plain, shape, &known.shape, &spot.gpus).into_iter().map(|what| format!("{name} {what}")));
        if shape.unschedulable && !ignores_cordons(&known.shape) {
            wrong.push(format!("{name} is put on {node}, which is cordoned"));
        }
        if let Some(taint) = untolerated(shape, &known.shape) {
            wrong.push(format!("{name} is put on {node} and does not tolerate its taint `{}`", taint.key));
        }
        if !is_affine(plain, shape, &known.shape, known.terms.as_deref()) {
            wrong.push(format!("{name} is put on {node}, which meets no term of its node affinity"));
        }
        let named = known.terms.as_deref().and_then(|terms| terms.node_names.as_ref());
        if named.is_some_and(|names| !names.contains(plain)) {
            wrong.push(format!("{name} is put on {node}, which is not among the nodes it names"));
        }
    }
    wrong
}

/// Kubernetes marks a cordoned node with a taint of this key, effect and no value.
fn ignores_cordons(pod: &PodShape) -> bool {
    pod.tolerations.iter().any(|toleration| {
        matches!(toleration.key.as_deref(), None | Some("node.kubernetes.io/unschedulable"))
            && matches!(toleration.value.as_deref(), None | Some(""))
            && matches!(toleration.effect, None | Some(TaintEffect::NoSchedule))
    })
}

pub(super) fn untolerated<'n>(node: &'n NodeShape, pod: &PodShape) -> Option<&'n Taint> {
    let tolerates = |toleration: &Toleration, taint: &Taint| {
        let key = toleration.key.is_none() || toleration.key.as_ref() == Some(&taint.key);
        let value = toleration.value.is_none() || toleration.value.as_ref() == Some(&taint.value);
        let effect = toleration.effect.is_none() || toleration.effect == Some(taint.effect);
        key && value && effect
    };
    let mut hard = node.taints.iter().filter(|taint| taint.effect != TaintEffect::PreferNoSchedule);
    hard.find(|taint| !pod.tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// Pods with somebody they must not be with, or without somebody they must be with.
pub(super) fn apart(step: &Step<'_, '_>) -> Vec<String> {
    let given: BTreeMap<PodId, NodeId> = step.plan.given.iter().map(|given| (given.pod, given.spot.node)).collect();
    let mut wrong = Vec::new();
    for (&pod, &node) in &given {
        let name = step.ledger.pod_name(pod);
        wrong.extend(repelled(step.ledger, pod, node).into_iter().map(|other| {
            let (other, node) = (step.ledger.pod_name(other), step.ledger.node_name(node));
            format!("{name} is put on {node}, in a domain with {other}, where one of them must not be")
        }));
        // Company is wanted when a place is decided on, not when a promise is kept.
        let kept = step.ledger.pod(pod).is_some_and(|pod| step.keeps_promises(pod.gang));
        let wanted = terms(step.ledger, pod).filter(|_| !kept);
        let wanted = wanted.map_or(&[][..], |terms| &terms.affinity);
        if !is_in_company(step.ledger, wanted, pod, node) {
            wrong.push(format!("{name} is put on {}, with nobody it must be with", step.ledger.node_name(node)));
        }
    }
    wrong
}

/// Is a pod on this node with those it must be with: in each domain somebody of whom all the terms speak?
fn is_in_company(ledger: &Ledger<'_>, wanted: &[Term], pod: PodId, node: NodeId) -> bool {
    let speak = |of: PodId| wanted.iter().all(|term| fits(ledger, term, of));
    let company: Vec<NodeId> = around(ledger, pod).filter(|(other, _)| speak(*other)).map(|(_, there)| there).collect();
    let with = |term: &Term, one: NodeId| company.iter().any(|there| share(ledger, term, one, *there));
    // Who is in no domain of a term is nobody's company in it; whoever wants company must be in one.
    let alone = company.iter().all(|there| !wanted.iter().any(|term| share(ledger, term, *there, *there)));
    // The first of its kind may start in any domain; of several that start together none is the first.
    let first = alone && speak(pod) && wanted.iter().all(|term| share(ledger, term, node, node));
    first || wanted.iter().all(|term| with(term, node))
}

/// Who must not be in a domain with a pod on this node, by its own terms or by theirs.
pub(super) fn repelled(ledger: &Ledger<'_>, pod: PodId, node: NodeId) -> Vec<PodId> {
    let apart = |one: PodId, other: PodId, there: NodeId| {
        let mut terms = terms(ledger, one).map_or(&[][..], |terms| &terms.anti_affinity).iter();
        terms.any(|term| fits(ledger, term, other) && share(ledger, term, node, there))
    };
    let both = |other: &(PodId, NodeId)| apart(pod, other.0, other.1) || apart(other.0, pod, other.1);
    around(ledger, pod).filter(both).map(|(other, _)| other).collect()
}

/// Everybody else that says or shows something and stays or comes.
fn around<'l>(ledger: &'l Ledger<'_>, but: PodId) -> impl Iterator<Item = (PodId, NodeId)> + 'l {
    let others = ledger.with_terms.iter().copied().filter(move |other| *other != but);
    others.filter_map(|other| Some((other, ledger.stand(other).later()?.node)))
}

fn terms<'l>(ledger: &Ledger<'l>, pod: PodId) -> Option<&'l PodTerms> {
    ledger.pod(pod)?.terms.as_deref()
}

/// Does the term speak of the pod?
fn fits(ledger: &Ledger<'_>, term: &Term, pod: PodId) -> bool {
    speaks_of(&term.pods, terms(ledger, pod))
}

/// Are two nodes in one domain of the term?
fn share(ledger: &Ledger<'_>, term: &Term, one: NodeId, other: NodeId) -> bool {
    if term.topology_key == Term::NODE {
        return one == other;
    }
    let value = |node| ledger.node(node).and_then(|shape| shape.labels.get(&term.topology_key));
    value(one).is_some() && value(one) == value(other)
}

/// Pods that start while others of their start still wait for what a subgroup needs (rule P3).
pub(super) fn too_early(step: &Step<'_, '_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for gang in step.plan.gangs() {
        let Some(tree) = step.ledger.gang(gang).map(|gang| &gang.tree) else { continue };
        let of_gang = || step.plan.given.iter().filter(|given| given.gang == gang);
        let short = |at: usize, pods: &[PodId]| {
            let settled = |pod: &&PodId| matches!(step.ledger.stand(**pod).stage, Stage::Placed | Stage::Running);
            let mut ours = of_gang().filter(|given| pods.contains(&given.pod));
            let waits = match step.keeps_promises(gang) {
                false => ours.any(|given| !given.at_once),
                true => pods.iter().any(|pod| matches!(step.ledger.stand(*pod).stage, Stage::Nominated { .. })),
            };
            waits && pods.iter().filter(settled).count() < tree.branch(at).min_member as usize
        };
        let waits = step.ledger.members(gang).iter().enumerate().any(|(at, pods)| tree.is_leaf(at) && short(at, pods));
        for given in of_gang().filter(|given| waits && given.at_once) {
            let (pod, gang) = (step.ledger.pod_name(given.pod), step.ledger.gang_name(gang));
            wrong.push(format!("{pod} is bound while {gang} still waits for what it needs"));
        }
    }
    wrong
}
