//! Decisions of one transaction, and what carrying them out changes in the judge's books.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Account, Ledger, Spot, Stand};
use crate::decision::{Assigned, Decision, EvictCause, PlanId};
use crate::gang::Stage;
use crate::queue::Amounts;
use crate::units::{GangId, PodId, QueueId};

/// Decisions that are carried out together.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) id: PlanId,
    pub(super) given: Vec<Given>,
    pub(super) evicted: BTreeSet<PodId>,
    pub(super) claimant: Option<GangId>,
    pub(super) cause: Option<EvictCause>,
}

/// A place that a pod is given.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) pod: PodId,
    pub(super) gang: GangId,
    pub(super) spot: Spot,
    /// At once, not when others have left.
    pub(super) at_once: bool,
}

/// The plans of a cycle, in order.
pub(super) fn plans(decisions: &[Decision]) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::new();
    for decision in decisions {
        let id = match decision {
            Decision::Bind { plan, .. } | Decision::Nominate { plan, .. } | Decision::Evict { plan, .. } => *plan,
            Decision::Reserve { .. } | Decision::Wait { .. } => continue,
        };
        if plans.last().is_none_or(|last| last.id != id) {
            let (given, evicted) = (Vec::new(), BTreeSet::new());
            plans.push(Plan { id, given, evicted, claimant: None, cause: None });
        }
        if let Some(plan) = plans.last_mut() {
            plan.add(decision);
        }
    }
    plans
}

impl Plan {
    fn add(&mut self, decision: &Decision) {
        match decision {
            Decision::Bind { gang, pods, .. } => self.give(*gang, pods, true),
            Decision::Nominate { gang, pods, .. } => self.give(*gang, pods, false),
            Decision::Evict { pods, claimant, cause, .. } => {
                self.evicted.extend(pods);
                self.claimant = *claimant;
                self.cause = Some(*cause);
            }
            Decision::Reserve { .. } | Decision::Wait { .. } => {}
        }
    }

    fn give(&mut self, gang: GangId, pods: &[Assigned], at_once: bool) {
        let given = |one: &Assigned| {
            let spot = Spot { node: one.slot.node, gpus: one.slot.gpus.clone() };
            Given { pod: one.slot.pod, gang, spot, at_once }
        };
        self.given.extend(pods.iter().map(given));
    }

    /// Does the pod lose its place for good?
    pub(super) fn is_lost(&self, pod: PodId) -> bool {
        self.evicted.contains(&pod) && !self.given.iter().any(|given| given.pod == pod)
    }

    /// The gangs that were given places.
    pub(super) fn gangs(&self) -> BTreeSet<GangId> {
        self.given.iter().map(|given| given.gang).collect()
    }
}

/// Decisions that speak of what is not there, or contradict where pods are.
pub(super) fn nonsense(ledger: &Ledger<'_>, plan: &Plan) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut met = BTreeSet::new();
    for Given { pod, gang, spot, at_once } in &plan.given {
        let name = ledger.pod_name(*pod);
        match ledger.pod(*pod) {
            None => wrong.push(format!("{name} is given a place and is not there")),
            Some(known) if known.gang != *gang => {
                wrong.push(format!("{name} is given a place as one of {}, which it is not", ledger.gang_name(*gang)));
            }
            Some(_) if !met.insert(*pod) => wrong.push(format!("{name} is given two places")),
            Some(_) if plan.evicted.contains(pod) || ledger.stand(*pod).stage == Stage::Pending => {}
            Some(_) if !at_once || !matches!(ledger.stand(*pod).stage, Stage::Nominated { .. }) => {
                wrong.push(format!("{name} is given a place and has one"));
            }
            Some(_) if ledger.stand(*pod).place.as_ref() != Some(spot) => {
                wrong.push(format!("{name} is bound elsewhere than where it was promised"));
            }
            Some(_) => {}
        }
        if ledger.node(spot.node).is_none() {
            wrong.push(format!("{name} is given a place on {}, which is not there", spot.node));
        }
    }
    for pod in plan.evicted.iter().filter(|pod| !ledger.stand(**pod).is_active()) {
        wrong.push(format!("{} is evicted and has no place", ledger.pod_name(*pod)));
    }
    wrong
}

/// A plan that has been carried out in the books, and how they were before.
pub(super) struct Step<'p, 'l> {
    pub(super) plan: &'p Plan,
    /// The books after it.
    pub(super) ledger: &'p Ledger<'l>,
    stands: BTreeMap<PodId, Stand>,
    accounts: BTreeMap<QueueId, Account>,
}

impl<'p, 'l> Step<'p, 'l> {
    /// Carries out a plan that is not nonsense.
    pub(super) fn take(ledger: &'p mut Ledger<'l>, plan: &'p Plan) -> Self {
        let mut accounts = BTreeMap::new();
        let pods = plan.given.iter().map(|given| given.pod).chain(plan.evicted.iter().copied());
        for gang in pods.filter_map(|pod| ledger.pod(pod)?.gang.into()).collect::<BTreeSet<GangId>>() {
            let queue = ledger.gang(gang).map(|gang| gang.spec.queue);
            for queue in queue.map(|queue| ledger.lineage(queue)).unwrap_or_default() {
                accounts.insert(queue, ledger.account_of(queue));
            }
        }
        let mut stands = BTreeMap::new();
        for pod in &plan.evicted {
            let old = ledger.stand(*pod).clone();
            let leaves = old.now().cloned();
            let stage = if leaves.is_some() { Stage::Evicted } else { Stage::Pending };
            ledger.set(*pod, Stand { stage, place: leaves, former: None });
            stands.insert(*pod, old);
        }
        for given in &plan.given {
            let old = ledger.stand(given.pod).clone();
            let stage = if given.at_once { Stage::Placed } else { Stage::Nominated { counted: true } };
            let former = old.now().cloned();
            ledger.set(given.pod, Stand { stage, place: Some(given.spot.clone()), former });
            stands.entry(given.pod).or_insert(old);
        }
        Step { plan, ledger, stands, accounts }
    }

    /// Where a pod was before.
    pub(super) fn stood(&self, pod: PodId) -> &Stand {
        self.stands.get(&pod).unwrap_or_else(|| self.ledger.stand(pod))
    }

    /// What a queue had before.
    pub(super) fn had(&self, queue: QueueId) -> Account {
        self.accounts.get(&queue).cloned().unwrap_or_else(|| self.ledger.account_of(queue))
    }

    /// Is this plan only about promises that are kept now?
    pub(super) fn keeps_promises(&self, gang: GangId) -> bool {
        let kept = |pod: PodId| matches!(self.stood(pod).stage, Stage::Nominated { .. });
        self.plan.evicted.is_empty()
            && self.plan.given.iter().filter(|given| given.gang == gang).all(|given| kept(given.pod))
    }

    /// The queues that may have changed.
    pub(super) fn queues(&self) -> impl Iterator<Item = QueueId> + '_ {
        self.accounts.keys().copied()
    }

    /// The gangs that lost pods for good.
    pub(super) fn losers(&self) -> BTreeSet<GangId> {
        let lost = self.plan.evicted.iter().filter(|pod| self.plan.is_lost(**pod));
        lost.filter_map(|pod| self.ledger.pod(*pod)).map(|pod| pod.gang).collect()
    }

    /// What pods had of their queues before.
    pub(super) fn charged<'q>(&self, pods: impl Iterator<Item = &'q PodId>) -> Amounts {
        let mut sum = Amounts::zero();
        for pod in pods {
            if let (Some(known), Some(spot)) = (self.ledger.pod(*pod), &self.stood(*pod).place) {
                sum.add(&self.ledger.charge(&known.shape, spot.node), 1);
            }
        }
        sum
    }
}
