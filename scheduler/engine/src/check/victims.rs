//! Who may be evicted, by whom, and for what (sections V, R, E, C, S and D of the rules).

use std::collections::BTreeSet;

use super::Cycle;
use super::gangs::{active, chunk};
use super::plan::Step;
use super::reclaim::{Reclaim, pieces};
use crate::decision::EvictCause;
use crate::gang::{Gang, StaleGrace};
use crate::queue::Amounts;
use crate::rules::StaleTest;
use crate::state::State;
use crate::units::{GangId, PodId, QueueId};

/// Everything wrong with the evictions of a plan.
pub(super) fn wronged(cycle: &Cycle<'_>, step: &Step<'_, '_>) -> Vec<String> {
    let Some(cause) = step.plan.cause else { return Vec::new() };
    let victims: BTreeSet<GangId> =
        step.plan.evicted.iter().filter_map(|pod| step.ledger.pod(*pod)).map(|pod| pod.gang).collect();
    let known = victims.iter().filter_map(|id| Some((*id, step.ledger.gang(*id)?)));
    if cause == EvictCause::Stale {
        return known.filter_map(|(id, gang)| not_stale(cycle, step, id, gang)).collect();
    }
    if cause == EvictCause::StartTimeout {
        let settled = |(_, gang): (GangId, &Gang)| {
            gang.starting_since
                .is_none()
                .then(|| format!("{} is not starting, and loses its places for that", gang.spec.name))
        };
        return known.filter_map(settled).collect();
    }
    let Some((claimant, claim)) = step.plan.claimant.and_then(|id| Some((id, step.ledger.gang(id)?))) else {
        return vec!["pods are evicted for nobody".to_owned()];
    };
    let mut wrong = claimants_duties(cycle, step, claimant, claim);
    for (id, gang) in known {
        let name = step.ledger.gang_name(id);
        if !gang.spec.preemptible {
            wrong.push(format!("{name} is evicted and is not preemptible"));
        }
        if id == claimant {
            wrong.push(format!("{name} is evicted for itself"));
        }
        if cause == EvictCause::Consolidate && !cycle.rules.move_bare_pods && !gang.spec.recreated {
            wrong.push(format!("{name} is moved and would not be created anew"));
        }
        if cause == EvictCause::Preempt {
            if gang.spec.queue != claim.spec.queue {
                wrong.push(format!("{name} is preempted from another queue"));
            }
            if gang.spec.priority >= claim.spec.priority {
                wrong.push(format!("{name} is preempted and has no lower priority"));
            }
        }
    }
    match cause {
        EvictCause::Consolidate => wrong.extend(lost_by_moving(step, claimant, claim)),
        EvictCause::Reclaim => wrong.extend(unlawful(cycle, step, claimant, claim, &victims)),
        EvictCause::Preempt | EvictCause::Stale | EvictCause::StartTimeout => {}
    }
    wrong.extend(victims.into_iter().filter_map(|id| too_young(cycle, step, claim, id)));
    wrong
}

/// The claimant gets all it asks for and has waited as long as it must.
fn claimants_duties(cycle: &Cycle<'_>, step: &Step<'_, '_>, id: GangId, gang: &Gang) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = step.ledger.gang_name(id);
    let asked = chunk(step.ledger, id, |pod| step.stood(pod));
    let given: BTreeSet<PodId> =
        step.plan.given.iter().filter(|given| given.gang == id).map(|given| given.pod).collect();
    if asked.is_empty() || asked != given {
        wrong.push(format!("pods are evicted for {name}, of which {} of {} get a place", given.len(), asked.len()));
    }
    if cycle.now.0 < gang.spec.created.0.saturating_add(gang.spec.preemption_delay_ms) {
        wrong.push(format!("pods are evicted for {name}, which has not waited long enough"));
    }
    wrong
}

pub(super) fn asks(step: &Step<'_, '_>, claimant: GangId) -> Amounts {
    let mut asks = Amounts::zero();
    for pod in chunk(step.ledger, claimant, |pod| step.stood(pod)) {
        if let Some(pod) = step.ledger.pod(pod) {
            asks.add(&step.ledger.asks(&pod.shape), 1);
        }
    }
    asks
}

/// C1 and C3: who moves has another place. That all of them together have room is judged elsewhere.
fn lost_by_moving(step: &Step<'_, '_>, claimant: GangId, claim: &Gang) -> Vec<String> {
    let mut wrong = Vec::new();
    for pod in step.plan.evicted.iter().filter(|pod| step.plan.is_lost(**pod)) {
        wrong.push(format!("{} is moved and has no other place", step.ledger.pod_name(*pod)));
    }
    let name = step.ledger.gang_name(claimant);
    if !claim.spec.preemptible {
        wrong.push(format!("others are moved for {name}, which is not preemptible"));
    }
    wrong
}

/// R1 to R6.
fn unlawful(
    cycle: &Cycle<'_>,
    step: &Step<'_, '_>,
    claimant: GangId,
    claim: &Gang,
    victims: &BTreeSet<GangId>,
) -> Vec<String> {
    if cycle.rules.usage.is_some() {
        return Vec::new(); // shares depend on what was used of late, which the judge does not follow
    }
    let (name, asks) = (step.ledger.gang_name(claimant), asks(step, claimant));
    let reclaim = Reclaim { cycle, step, leaf: claim.spec.queue, asks: &asks };
    let mut wrong = Vec::new();
    if !reclaim.is_within_share() {
        wrong.push(format!("{name} reclaims and its queue would be above its fair share"));
    }
    if !claim.spec.preemptible && !reclaim.is_deserved() {
        wrong.push(format!("{name} reclaims, is not preemptible and would go beyond what is deserved"));
    }
    let leaves: BTreeSet<QueueId> =
        victims.iter().filter_map(|id| step.ledger.gang(*id)).map(|gang| gang.spec.queue).collect();
    for leaf in leaves {
        let theirs = step.ledger.queue_name(leaf);
        if leaf == claim.spec.queue {
            wrong.push(format!("{name} reclaims from its own queue"));
        } else if !reclaim.may_ask(leaf) {
            wrong.push(format!("{name} reclaims from {theirs}, which has no more than its own"));
        }
    }
    let taken: Vec<_> = step.losers().into_iter().flat_map(|gang| pieces(step, gang)).collect();
    if !reclaim.is_legal(&taken.iter().collect::<Vec<_>>()) {
        wrong.push(format!("{name} reclaims more than others have beyond their share"));
    }
    wrong
}

/// D2: a gang that started not long ago loses nothing that it needs.
fn too_young(cycle: &Cycle<'_>, step: &Step<'_, '_>, claim: &Gang, id: GangId) -> Option<String> {
    let gang = step.ledger.gang(id)?;
    let queues = step.ledger.facts.queues();
    let from = match step.plan.cause? {
        EvictCause::Preempt => gang.spec.queue,
        EvictCause::Reclaim => {
            let mine = step.ledger.lineage(claim.spec.queue);
            step.ledger.lineage(gang.spec.queue).into_iter().take_while(|id| !mine.contains(id)).last()?
        }
        EvictCause::Consolidate | EvictCause::Stale | EvictCause::StartTimeout => return None,
    };
    let set = |id: &QueueId| {
        let spec = &queues.get(*id)?.spec;
        let reclaim = step.plan.cause == Some(EvictCause::Reclaim);
        Some(if reclaim { spec.reclaim_min_runtime_ms } else { spec.preempt_min_runtime_ms }).filter(|ms| *ms > 0)
    };
    let protected = step.ledger.lineage(from).iter().find_map(set)?;
    let young = gang.spec.started.is_some_and(|started| cycle.now.0 < started.0.saturating_add(protected));
    let core = super::gangs::units(&gang.tree, active(step.ledger, id, |pod| step.stood(pod))).pop()?;
    let hit = core.whole && core.pods.iter().any(|pod| step.plan.evicted.contains(pod));
    (young && hit).then(|| format!("{} is evicted too soon after its start", step.ledger.gang_name(id)))
}

/// S1 to S3: only gangs that have been short for too long, and these altogether.
fn not_stale(cycle: &Cycle<'_>, step: &Step<'_, '_>, id: GangId, gang: &Gang) -> Option<String> {
    let name = step.ledger.gang_name(id);
    let holding = |at: usize| {
        let holds = |pod: &&PodId| step.stood(**pod).now().or(step.stood(**pod).later()).is_some();
        step.ledger.members(id)[at].iter().filter(holds).count() as u32
    };
    let satisfied = |at| holding(at) >= gang.tree.branch(at).min_member;
    let short = match cycle.rules.stale_test {
        StaleTest::AnySubgroup => (0..gang.tree.branches().len()).any(|at| gang.tree.is_leaf(at) && !satisfied(at)),
        StaleTest::WholeTree => !enough(gang, 0, &holding),
    };
    if !short || gang.spec.succeeded > 0 {
        return Some(format!("{name} is given up and has what it needs"));
    }
    let since = gang.spec.stale_since.unwrap_or(cycle.now);
    let patient = match gang.spec.stale_grace.unwrap_or(cycle.rules.stale_grace) {
        StaleGrace::Forever => true,
        StaleGrace::For(ms) => cycle.now.0 < since.0.saturating_add(ms),
    };
    if patient {
        return Some(format!("{name} is given up before its time"));
    }
    let left = active(step.ledger, id, |pod| step.ledger.stand(pod));
    left.iter().any(|pods| !pods.is_empty()).then(|| format!("{name} is given up only in part"))
}

fn enough(gang: &Gang, at: usize, holding: &dyn Fn(usize) -> u32) -> bool {
    let branch = gang.tree.branch(at);
    let there = match gang.tree.is_leaf(at) {
        true => holding(at),
        false => branch.children.iter().filter(|child| enough(gang, **child, holding)).count() as u32,
    };
    there >= branch.min_member
}

/// Disruption budgets that a cycle has overdrawn.
pub(super) fn over_budget<'p>(before: &State, disrupted: impl Iterator<Item = &'p PodId> + Clone) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, budget) in &before.budgets {
        let protected = |pod: &&PodId| {
            let terms = before.pods().get(*pod).and_then(|pod| pod.terms.as_deref());
            super::labels::speaks_of(&budget.pods, terms)
        };
        let hit = disrupted.clone().filter(protected).count();
        if hit > budget.allowed as usize {
            let allowed = budget.allowed;
            wrong.push(format!("disruption budget `{name}` allows {allowed} evictions and {hit} are decided"));
        }
    }
    wrong
}
