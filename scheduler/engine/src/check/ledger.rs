//! The judge's own books: where every pod is, and what every queue has by that. Reads facts (specs, shapes, trees) from a
//! state, but none of its sums. May not judge.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{GpuIndexes, GpuRequest, NodeShape, PodShape, ShareSize};
use crate::gang::{Gang, Stage};
use crate::queue::Amounts;
use crate::queue::amounts::MODELS;
use crate::state::{Pod, State};
use crate::units::{GangId, NodeId, PodId, QueueId};

/// A node and GPUs of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) node: NodeId,
    pub(super) gpus: GpuIndexes,
}

/// What a pod does and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) stage: Stage,
    pub(super) place: Option<Spot>,
    /// The place it is leaving for the other one.
    pub(super) former: Option<Spot>,
}

impl Stand {
    pub(super) const PENDING: Stand = Stand { stage: Stage::Pending, place: None, former: None };

    /// The place where it takes capacity now.
    pub(super) fn now(&self) -> Option<&Spot> {
        let there = matches!(self.stage, Stage::Placed | Stage::Running | Stage::Stuck | Stage::Evicted);
        self.former.as_ref().or(self.place.as_ref().filter(|_| there))
    }

    /// The place where it takes capacity once those that leave have gone.
    pub(super) fn later(&self) -> Option<&Spot> {
        let stays = !matches!(self.stage, Stage::Pending | Stage::Evicted);
        self.place.as_ref().filter(|_| stays)
    }

    /// The place it was given, if it counts for its gang.
    pub(super) fn active(&self) -> Option<&Spot> {
        self.place.as_ref().filter(|_| self.is_active())
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Nominated { .. } | Stage::Placed | Stage::Running)
    }

    fn is_counted(&self) -> bool {
        matches!(self.stage, Stage::Nominated { counted: true } | Stage::Placed | Stage::Running)
    }
}

/// What a queue has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) all: Amounts,
    /// The part of gangs that are not preemptible.
    pub(super) fixed: Amounts,
}

impl Account {
    fn empty() -> Self {
        Account { all: Amounts::zero(), fixed: Amounts::zero() }
    }
}

/// Where everybody is.
pub(super) struct Ledger<'a> {
    pub(super) facts: &'a State,
    stands: BTreeMap<PodId, Stand>,
    on_node: BTreeMap<NodeId, BTreeSet<PodId>>,
    accounts: BTreeMap<QueueId, Account>,
    /// By gang and position in its tree: pods in the order in which they start (rule O3).
    members: BTreeMap<GangId, Vec<Vec<PodId>>>,
    /// Pods that say something about their place or have labels for others to look at.
    pub(super) with_terms: BTreeSet<PodId>,
    /// MiB of the smallest GPU that has more than 100; 100 where none has.
    smallest_gpu_mib: i64,
}

impl<'a> Ledger<'a> {
    pub(super) fn of(facts: &'a State) -> Self {
        let shapes = facts.cluster().nodes().keys().filter_map(|node| facts.cluster().state(*node));
        let smallest = shapes.map(|state| state.shape.gpu_memory_mib).filter(|mib| *mib > 100).min();
        let mut ledger = Ledger {
            facts,
            stands: BTreeMap::new(),
            on_node: BTreeMap::new(),
            accounts: facts.queues().all().keys().map(|queue| (*queue, Account::empty())).collect(),
            members: BTreeMap::new(),
            with_terms: BTreeSet::new(),
            smallest_gpu_mib: smallest.unwrap_or(100).into(),
        };
        for (id, gang) in facts.gangs() {
            ledger.members.insert(*id, vec![Vec::new(); gang.tree.branches().len()]);
        }
        for (id, pod) in facts.pods() {
            if pod.terms.is_some() {
                ledger.with_terms.insert(*id);
            }
            if let Some(members) = ledger.members.get_mut(&pod.gang) {
                members[pod.leaf].push(*id);
            }
            let there = facts.whereabouts(*id);
            let spot = |place: crate::cluster::Placement| Spot { node: place.node, gpus: place.gpus };
            ledger.set(*id, Stand { stage: there.stage, place: there.place.map(spot), former: there.former.map(spot) });
        }
        for pods in ledger.members.values_mut().flatten() {
            pods.sort_by_cached_key(|id| {
                let pod = facts.pods().get(id);
                let order = pod.and_then(|pod| pod.order);
                (order.is_none(), Reverse(order), pod.map(|pod| pod.name.clone()), *id)
            });
        }
        ledger
    }

    /// Puts a pod somewhere; returns where it was.
    pub(super) fn set(&mut self, pod: PodId, new: Stand) -> Stand {
        let old = self.stands.insert(pod, new.clone()).unwrap_or(Stand::PENDING);
        for (stand, times) in [(&old, -1), (&new, 1)] {
            self.account(pod, stand, times);
            for spot in stand.place.iter().chain(&stand.former) {
                let there = self.on_node.entry(spot.node).or_default();
                if times > 0 {
                    there.insert(pod)
                } else {
                    there.remove(&pod)
                };
            }
        }
        old
    }

    fn account(&mut self, id: PodId, stand: &Stand, times: i64) {
        let Some((pod, gang)) = self.pod(id).and_then(|pod| Some((pod, self.gang(pod.gang)?))) else { return };
        let Some(spot) = stand.place.as_ref().filter(|_| stand.is_counted()) else { return };
        let amounts = self.charge(&pod.shape, spot.node);
        let fixed = !gang.spec.preemptible;
        for queue in self.lineage(gang.spec.queue) {
            let account = self.accounts.entry(queue).or_insert_with(Account::empty);
            account.all.add(&amounts, times);
            if fixed {
                account.fixed.add(&amounts, times);
            }
        }
    }

    pub(super) fn stand(&self, pod: PodId) -> &Stand {
        self.stands.get(&pod).unwrap_or(&Stand::PENDING)
    }

    pub(super) fn pod(&self, id: PodId) -> Option<&'a Pod> {
        self.facts.pods().get(&id)
    }

    pub(super) fn gang(&self, id: GangId) -> Option<&'a Gang> {
        self.facts.gangs().get(&id)
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&'a NodeShape> {
        self.facts.cluster().state(id).map(|state| &*state.shape)
    }

    /// The pods that hold something of a node, now or later.
    pub(super) fn on_node(&self, node: NodeId) -> impl Iterator<Item = PodId> + '_ {
        self.on_node.get(&node).into_iter().flatten().copied()
    }

    /// A gang's pods by position in its tree, in the order in which they start.
    pub(super) fn members(&self, gang: GangId) -> &[Vec<PodId>] {
        self.members.get(&gang).map_or(&[], Vec::as_slice)
    }

    pub(super) fn account_of(&self, queue: QueueId) -> Account {
        self.accounts.get(&queue).cloned().unwrap_or_else(Account::empty)
    }

    /// A queue and its ancestors, from the bottom up.
    pub(super) fn lineage(&self, queue: QueueId) -> Vec<QueueId> {
        let mut above = vec![queue];
        while let Some(parent) = above.last().and_then(|id| self.facts.queues().get(*id)?.spec.parent) {
            above.push(parent);
        }
        above
    }

    /// What a pod counts as in its queues on a node (rule A2).
    pub(super) fn charge(&self, pod: &PodShape, node: NodeId) -> Amounts {
        let Some(shape) = self.node(node) else { return Amounts::zero() };
        let gpu = match pod.gpu {
            GpuRequest::None => instances_milli(&pod.mig),
            GpuRequest::Whole(count) => 1000 * count as i64,
            GpuRequest::Share(share) => {
                let each = match share.size {
                    ShareSize::Milli(milli) => i64::from(milli.0),
                    ShareSize::Memory(mib) => hundredths(mib, shape.gpu_memory_mib) * 10,
                };
                each * i64::from(share.devices)
            }
        };
        self.amounts(pod, gpu, Some(&shape.gpu_model))
    }

    /// What a pod counts as while no node is chosen (rule A3), as part of what is asked for; rounded up.
    pub(super) fn asks(&self, pod: &PodShape) -> Amounts {
        let gpu = match pod.gpu {
            GpuRequest::None => instances_milli(&pod.mig),
            GpuRequest::Whole(count) => 1000 * count as i64,
            GpuRequest::Share(share) => match share.size {
                ShareSize::Milli(milli) => i64::from(milli.0) * i64::from(share.devices),
                ShareSize::Memory(mib) => {
                    let asked = 1000 * i64::from(mib) * i64::from(share.devices);
                    (asked + self.smallest_gpu_mib - 1) / self.smallest_gpu_mib
                }
            },
        };
        self.amounts(pod, gpu, pod.gpu_models.first().filter(|_| pod.gpu_models.len() == 1))
    }

    fn amounts(&self, pod: &PodShape, gpu: i64, model: Option<&String>) -> Amounts {
        let mib = pod.memory_bytes.div_ceil(1 << 20);
        let mut amounts = Amounts::of(gpu, pod.cpu_milli as i64, mib as i64);
        for (index, known) in self.facts.queues().models().iter().enumerate() {
            if gpu > 0 && Some(known) == model {
                amounts[MODELS + index] = gpu;
            }
        }
        amounts
    }

    pub(super) fn pod_name(&self, id: PodId) -> String {
        self.pod(id).map_or_else(|| id.to_string(), |pod| format!("pod `{}`", pod.name))
    }

    pub(super) fn gang_name(&self, id: GangId) -> String {
        self.gang(id).map_or_else(|| id.to_string(), |gang| format!("gang `{}`", gang.spec.name))
    }

    pub(super) fn queue_name(&self, id: QueueId) -> String {
        self.facts.queues().get(id).map_or_else(|| id.to_string(), |queue| format!("queue `{}`", queue.spec.name))
    }

    pub(super) fn node_name(&self, id: NodeId) -> String {
        self.facts.cluster().nodes().get(&id).map_or_else(|| id.to_string(), |node| format!("`{}`", node.name))
    }
}

/// N whole GPUs for each MIG instance `Ng.…`.
pub(super) fn instances_milli(instances: &[(String, u32)]) -> i64 {
    let slices = |profile: &str| profile.split('g').next().and_then(|slices| slices.parse::<i64>().ok()).unwrap_or(0);
    instances.iter().map(|(profile, count)| 1000 * slices(profile) * i64::from(*count)).sum()
}

/// Memory as hundredths of a device, rounded up; all of it where nobody knows how much a device has.
fn hundredths(mib: u32, device_mib: u32) -> i64 {
    match i64::from(device_mib) {
        0 => 100,
        device => (100 * i64::from(mib) + device - 1) / device,
    }
}
