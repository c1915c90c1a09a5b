//! What queues and PodGroups say of themselves. Owns how often: nothing is written that is written already, a queue at most
//! every few seconds, and what it used of late once a minute.

use std::collections::BTreeMap;

use berth_config::crd::{self, Amount, ConditionStatus, DecayedUsage, HeadOfQueue, Pending, QueueStatus};
use berth_config::scheduler::GroupConvention;
use berth_engine::queue::{Amounts, amounts};
use berth_engine::{GangId, QueueId, Timestamp};

use super::{Call, Condition, Driver};
use crate::objects::{Body, Group, Key, Kind};
use crate::time::{timestamp, written};
use crate::world::GangKey;

/// Queues are looked at so often (ms).
const QUEUES_EVERY_MS: u64 = 5_000;

/// What a queue used of late is written so often (ms): what is lost with a restart is less than that.
const USAGE_EVERY_MS: u64 = 60_000;

/// The condition of a native PodGroup. Once it is true it stays so.
const SCHEDULED: &str = "PodGroupInitiallyScheduled";

/// What was written last.
#[derive(Debug, Default)]
pub(super) struct Written {
    queues_at: Timestamp,
    queues: BTreeMap<String, QueueStatus>,
    groups: BTreeMap<Key, (bool, String)>,
}

impl Driver {
    /// Writes what has changed of queues' status, if it is time.
    pub(super) fn tell_queues(&mut self, now: Timestamp) {
        if now.since(self.written.queues_at) < QUEUES_EVERY_MS {
            return;
        }
        self.written.queues_at = now;
        let pending = self.pending();
        let heads = self.engine.heads();
        let mut calls = Vec::new();
        for (key, object) in self.world.objects_of(Kind::Queue) {
            let Body::Queue(queue) = &object.body else { continue };
            let shown = queue.status.clone().unwrap_or_default();
            let before = self.written.queues.get(&key.name).unwrap_or(&shown);
            let mut status = match self.world.queue_id(&key.name) {
                Some(id) => self.queue_status(id, &pending, heads.get(&id).copied()),
                None => QueueStatus::default(),
            };
            status.observed_generation = queue.metadata.generation;
            status.conditions = vec![self.accepted(key, queue.metadata.generation, before, now)];
            status.decayed_usage = self.usage(&key.name, before, now);
            if status != *before {
                calls.push((key.clone(), object.uid.clone(), status));
            }
        }
        for (queue, uid, status) in calls {
            self.written.queues.insert(queue.name.clone(), status.clone());
            self.calls.put(Call::QueueStatus { queue, uid, status: Box::new(status) });
        }
    }

    /// A queue's status could not be written: what the object shows counts again.
    pub(super) fn queue_not_written(&mut self, queue: &Key) {
        self.written.queues.remove(&queue.name);
    }

    fn queue_status(&self, id: QueueId, pending: &BTreeMap<QueueId, Pending>, head: Option<GangId>) -> QueueStatus {
        let Some(queue) = self.engine.queues().get(id) else { return QueueStatus::default() };
        QueueStatus {
            used: Some(written_amounts(&queue.allocated)),
            fair_share: Some(written_amounts(&queue.fair_share)),
            pending: Some(pending.get(&id).copied().unwrap_or_default()),
            head: head.and_then(|gang| self.head(gang)),
            ..QueueStatus::default()
        }
    }

    /// The gang that is next, in the words of the first of its pods that waits.
    fn head(&self, gang: GangId) -> Option<HeadOfQueue> {
        let spec = &self.engine.state().gangs().get(&gang)?.spec;
        let (pod, _) = self.world.waiting_of(gang).into_iter().next()?;
        let said = self.verdicts.of(&pod);
        let (reason, message) = said.map_or(("Pending", ""), |said| (said.reason, said.message.as_str()));
        let (reason, message) = (reason.to_owned(), message.to_owned());
        Some(HeadOfQueue { gang: spec.name.to_string(), since: written(spec.created), reason, message })
    }

    /// What waits in each queue, with those below it.
    fn pending(&self) -> BTreeMap<QueueId, Pending> {
        let mut pending: BTreeMap<QueueId, Pending> = BTreeMap::new();
        for (queue, pods) in self.world.waiting_by_queue() {
            for (queue, _) in self.engine.queues().path(queue) {
                let known = pending.entry(queue).or_default();
                known.gangs += 1;
                known.pods += i64::try_from(pods).unwrap_or(i64::MAX);
            }
        }
        pending
    }

    fn accepted(&self, queue: &Key, generation: Option<i64>, before: &QueueStatus, now: Timestamp) -> crd::Condition {
        let refused = self.world.queue_refusal(&queue.name);
        let status = if refused.is_none() { ConditionStatus::True } else { ConditionStatus::False };
        let before = before.conditions.iter().find(|known| known.type_ == "Accepted" && known.status == status);
        crd::Condition {
            type_: "Accepted".to_owned(),
            last_transition_time: before.map_or_else(|| written(now), |known| known.last_transition_time.clone()),
            observed_generation: generation,
            reason: if refused.is_none() { "Accepted" } else { "Invalid" }.to_owned(),
            message: refused.unwrap_or_default(),
            status,
        }
    }

    fn usage(&self, name: &str, before: &QueueStatus, now: Timestamp) -> Option<DecayedUsage> {
        let last = before.decayed_usage.clone();
        let at = last.as_ref().and_then(|last| timestamp(&last.at));
        if at.is_some_and(|at| now.since(at) < USAGE_EVERY_MS) {
            return last;
        }
        let used = self.engine.usage_ms(self.world.queue_id(name)?);
        // Thousandths of a GPU times ms are millionths of GPU seconds.
        let used = Some(used).filter(|used| *used > 0).map(|used| format!("{used}u"));
        used.map(|used| DecayedUsage { gpu_seconds: Amount(used), at: written(now) })
    }

    /// A gang waits: its PodGroup says why, as long as it has never been scheduled.
    pub(super) fn group_waits(&mut self, gang: GangId, message: &str) {
        self.group_says(gang, false, "Unschedulable", message);
    }

    /// A pod of a gang is bound: if nobody of the gang is still on the way, the gang is scheduled.
    pub(super) fn group_is_bound(&mut self, pod: &Key) {
        let Some(gang) = self.world.gang_of(pod) else { return };
        let on_its_way = |other: &Key| self.bindings.get(other).is_some_and(|binding| !binding.is_done());
        if !self.world.members_of(gang).any(|other| other != pod && on_its_way(other)) {
            self.group_says(gang, true, "Scheduled", "");
        }
    }

    fn group_says(&mut self, gang: GangId, holds: bool, reason: &'static str, message: &str) {
        let Some(GangKey::Group { convention: convention @ GroupConvention::Native, namespace, name }) =
            self.world.gang(gang)
        else {
            return;
        };
        let group = Key { kind: Kind::PodGroup(*convention), namespace: namespace.clone(), name: name.clone() };
        let Some(object) = self.world.object(&group) else { return };
        let Body::Group(body) = &object.body else { return };
        let shown = shown(body);
        let said = (holds, message.to_owned());
        let was = self.written.groups.get(&group).or(shown.as_ref());
        if was.is_some_and(|was| was.0 || *was == said) {
            return;
        }
        let known = shown.is_some_and(|shown| shown.0 == holds);
        let condition = Condition { holds, reason, message: said.1.clone(), known };
        let uid = object.uid.clone();
        self.written.groups.insert(group.clone(), said);
        self.calls.put(Call::GroupStatus { group, uid, condition });
    }

    /// The condition was not written, or the group is another one now: what the object shows counts again.
    pub(super) fn group_not_written(&mut self, group: &Key) {
        self.written.groups.remove(group);
    }
}

/// What the object shows: has it been scheduled, and why not.
fn shown(group: &Group) -> Option<(bool, String)> {
    let condition = group.status.conditions.iter().find(|condition| condition.kind == SCHEDULED)?;
    Some((condition.status == "True", condition.message.clone()))
}

fn written_amounts(of: &Amounts) -> crd::Amounts {
    let milli = |resource| {
        let amount: i64 = of.get(resource);
        if amount % 1000 == 0 { Amount((amount / 1000).to_string()) } else { Amount(format!("{amount}m")) }
    };
    let memory = Amount(format!("{}Mi", of.get(amounts::MEMORY)));
    crd::Amounts { gpu: milli(amounts::GPU), cpu: milli(amounts::CPU), memory }
}

/// What a queue's object says it used of late, and as of when; in thousandths of a GPU times ms.
pub(super) fn usage_kept(queue: &crd::Queue) -> Option<(u128, Timestamp)> {
    let kept = queue.status.as_ref()?.decayed_usage.as_ref()?;
    let micro = kept.gpu_seconds.0.parse::<berth_config::Quantity>().ok()?.nano() / 1000;
    Some((u128::try_from(micro).ok()?, timestamp(&kept.at)?))
}
