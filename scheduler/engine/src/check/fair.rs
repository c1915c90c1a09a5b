//! Fair shares, divided a second time from the rules F1 to F6 alone, as the fractions they speak of.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Ledger, instances_milli};
use super::quotas::{quota, resources};
use crate::gang::Stage;
use crate::queue::Amounts;
use crate::queue::amounts::{CPU, MEMORY, MODELS};
use crate::units::QueueId;

/// Every queue's fair share.
#[derive(Debug)]
pub(super) struct Shares(BTreeMap<QueueId, Amounts>);

/// One of several siblings, in one resource.
#[derive(Debug, Clone, Copy)]
struct Sibling {
    id: QueueId,
    priority: i64,
    rank: u32,
    weight: i128,
    requestable: i128,
    share: i128,
    /// What was cut off its last part, over the weights of that round.
    cut: (i128, i128),
}

impl Shares {
    pub(super) fn of(ledger: &Ledger<'_>) -> Self {
        let mut requests: BTreeMap<QueueId, Amounts> = BTreeMap::new();
        for id in ledger.facts.queues().all().keys() {
            requests.insert(*id, ledger.account_of(*id).all);
        }
        for (id, pod) in ledger.facts.pods() {
            let waits = ledger.stand(*id).stage == Stage::Pending;
            let Some(gang) = ledger.gang(pod.gang).filter(|_| waits) else { continue };
            let asks = ledger.asks(&pod.shape);
            for queue in ledger.lineage(gang.spec.queue) {
                requests.entry(queue).or_default().add(&asks, 1);
            }
        }
        let mut shares = Shares(BTreeMap::new());
        shares.divide(ledger, None, &total(ledger), &requests);
        shares
    }

    pub(super) fn get(&self, queue: QueueId, resource: usize) -> i64 {
        self.0.get(&queue).map_or(0, |share| share.get(resource))
    }

    /// The most a queue may come to have by right (F6); `None` is without limit.
    pub(super) fn allocatable(&self, ledger: &Ledger<'_>, queue: QueueId, resource: usize) -> Option<i64> {
        let quota = quota(ledger, queue, resource);
        let due = quota.deserved.map(|deserved| deserved.max(self.get(queue, resource)));
        [due, quota.limit].into_iter().flatten().min()
    }

    /// F1: among the children of a queue, then among theirs.
    fn divide(
        &mut self,
        ledger: &Ledger<'_>,
        of: Option<QueueId>,
        amount: &Amounts,
        requests: &BTreeMap<QueueId, Amounts>,
    ) {
        let queues = ledger.facts.queues().all();
        let children: Vec<QueueId> =
            queues.iter().filter(|(_, queue)| queue.spec.parent == of).map(|(id, _)| *id).collect();
        for resource in 0..resources(ledger) {
            let whole = i128::from(amount.get(resource));
            let sibling = |id: &QueueId| {
                let (quota, queue) = (quota(ledger, *id, resource), &queues[id]);
                let asked = requests.get(id).map_or(0, |request| request.get(resource));
                let requestable = i128::from(quota.limit.map_or(asked, |limit| limit.min(asked)));
                Sibling {
                    id: *id,
                    priority: queue.spec.priority,
                    rank: queue.rank,
                    weight: quota.over_quota_weight.into(),
                    requestable,
                    share: quota.deserved.map_or(whole, i128::from).min(requestable), // F2
                    cut: (0, 1),
                }
            };
            let mut siblings: Vec<Sibling> = children.iter().map(sibling).collect();
            let unit = if resource == CPU || resource == MEMORY { 1 } else { 1000 };
            over_quota(whole, unit, &mut siblings);
            for sibling in siblings {
                let share = self.0.entry(sibling.id).or_insert_with(Amounts::zero);
                share[resource] = i64::try_from(sibling.share).unwrap_or(i64::MAX);
            }
        }
        for child in children {
            let amount = self.0.get(&child).cloned().unwrap_or_default();
            self.divide(ledger, Some(child), &amount, requests);
        }
    }
}

/// F3 and F4, once everybody has what it deserves.
fn over_quota(amount: i128, unit: i128, siblings: &mut [Sibling]) {
    let mut left = amount - siblings.iter().map(|sibling| sibling.share).sum::<i128>();
    let priorities: BTreeSet<i64> = siblings.iter().map(|sibling| sibling.priority).collect();
    for &priority in priorities.iter().rev() {
        let mut again = left > 0;
        while again {
            again =
                round(&mut left, unit, siblings.iter_mut().filter(|sibling| sibling.priority == priority)) && left > 0;
        }
    }
    for &priority in priorities.iter().rev() {
        let mut cut: Vec<&mut Sibling> =
            siblings.iter_mut().filter(|sibling| sibling.priority == priority && sibling.cut.0 > 0).collect();
        let names = |one: &Sibling| (one.rank, one.id);
        cut.sort_by(|a, b| (b.cut.0 * a.cut.1).cmp(&(a.cut.0 * b.cut.1)).then(names(a).cmp(&names(b))));
        for sibling in cut {
            let more = unit.min(left).max(0);
            sibling.share += more;
            left -= more;
        }
    }
}

/// One round of F3; says whether somebody wanted less than its part.
fn round<'s>(left: &mut i128, unit: i128, group: impl Iterator<Item = &'s mut Sibling>) -> bool {
    let open: Vec<&mut Sibling> =
        group.filter(|sibling| sibling.share < sibling.requestable && sibling.weight > 0).collect();
    let weights: i128 = open.iter().map(|sibling| sibling.weight).sum();
    let (pool, mut spare) = (*left, false);
    for sibling in open {
        let (part, want) = (pool * sibling.weight, sibling.requestable - sibling.share); // part is over the weights
        let gets = if want * weights <= part { want } else { part / (weights * unit) * unit };
        sibling.cut = if gets == want { (0, 1) } else { (part - gets * weights, weights) };
        spare |= gets == want && want * weights < part;
        sibling.share += gets;
        *left -= gets;
    }
    spare
}

/// A6: all the cluster has.
pub(super) fn total(ledger: &Ledger<'_>) -> Amounts {
    let mut total = Amounts::zero();
    for shape in ledger.facts.cluster().nodes().keys().filter_map(|node| ledger.node(*node)) {
        let instances = shape.mig.as_ref().filter(|mig| !mig.single).map_or(0, |mig| instances_milli(&mig.instances));
        let gpu = 1000 * shape.gpus as i64 + instances;
        total.add(&Amounts::of(gpu, shape.cpu_milli as i64, (shape.memory_bytes >> 20) as i64), 1);
        for (index, model) in ledger.facts.queues().models().iter().enumerate() {
            if *model == shape.gpu_model {
                total[MODELS + index] += gpu;
            }
        }
    }
    total
}
