//! What must hold at every step, looked at where it counts: in the API server's objects.

use std::collections::{BTreeMap, BTreeSet};

use berth_scheduler::driver::Call;
use berth_scheduler::{Key, Kind};

use crate::api::{self, Effect, RESOURCES};
use crate::people::{Gang, QUEUES, group_key};
use crate::sim::{Sim, Tally};

/// A gang may have less than it needs for so long: until its start is given up, or it counts as broken, and its pods are told
/// to go; with as much again for late watches and calls.
const HALF_GANG_MAX: u64 = 180_000;

/// A pod's status is written no more often than this, and so many events are posted about it.
const WRITES_MAX: u64 = 150;

/// So long after it was decided something may be bound, where little runs at a time.
const BIND_MAX: u64 = 60_000;

#[derive(Debug, Default)]
pub(crate) struct Safety {
    /// Gangs that have something, but not what they need, and since when.
    halves: BTreeMap<String, u64>,
    /// Pods that were told to go; the engine does not count them any longer.
    told_to_go: BTreeSet<String>,
    /// By queue, the GPUs of its pods that were told to go, less what it took for them while it was over its limit.
    given_up: BTreeMap<String, u64>,
    writes: BTreeMap<(String, &'static str), u64>,
    pub(crate) tally: Tally,
}

impl Safety {
    /// A call starts, about a pod as it is now.
    pub(crate) fn count(&mut self, call: &Call, pod: Option<&api::Stored>) {
        let uid = match call {
            Call::PodStatus { uid, .. } | Call::Bind { uid, .. } | Call::Evict { uid, .. } => uid,
            Call::PostEvent(event) => &event.uid,
            Call::ReadPod { .. } | Call::Volume { .. } | Call::GroupStatus { .. } | Call::QueueStatus { .. } => return,
        };
        if matches!(call, Call::Evict { .. })
            && self.told_to_go.insert(uid.clone())
            && let Some(pod) = pod.filter(|pod| pod.uid == *uid)
        {
            *self.given_up.entry(api::label(pod, "berth.dev/queue").to_owned()).or_default() += api::asks(pod)[0];
        }
        let count = self.writes.entry((uid.clone(), call.name())).or_default();
        *count += 1;
        assert!(*count <= WRITES_MAX, "a storm of writes: {call:?}");
        self.tally.most_writes = self.tally.most_writes.max(*count);
    }

    pub(crate) fn restarted(&mut self) {
        self.halves.clear();
        self.tally.restarts += 1;
    }

    /// A call has failed: who could not be evicted cannot be blamed on the scheduler.
    pub(crate) fn disturbed(&mut self, call: &Call, now: u64) {
        if let (Call::Evict { pod, .. }, Some((job, _))) = (call, call.object().name.rsplit_once('-')) {
            debug_assert_eq!(pod.kind, Kind::Pod);
            self.halves.entry(job.to_owned()).and_modify(|since| *since = now);
        }
    }
}

impl Sim {
    /// A call has just had its effect.
    pub(crate) fn judge_effect(&mut self, number: u64, effect: Effect) {
        let Some(call) = self.flight(number).map(|flight| flight.call.clone()) else { return };
        match (&call, effect) {
            (Call::Bind { pod, node, .. }, Effect::Bound) => {
                self.safety.tally.bound += 1;
                self.judge_room(number, pod, node);
                self.judge_place(number, pod, node);
                self.judge_limit(number, pod);
            }
            (Call::PodStatus { pod, uid, status }, Effect::Status) => {
                let known = self.flight(number).and_then(|flight| flight.known.get(&Kind::Pod)).copied().unwrap_or(0);
                let bound = |entry: &&api::Entry| entry.object.uid == *uid && !entry.is_unbound();
                let told = self.api.log(Kind::Pod).iter().take(known).any(|entry| bound(&entry));
                let waits = status.condition.as_ref().is_some_and(|condition| !condition.holds);
                assert!(!(told && waits), "{} is known to be bound, and says that it waits", pod.path());
            }
            (_, Effect::Stops) => self.safety.tally.evicted += 1,
            (Call::Evict { pod, .. }, Effect::Vanished) => {
                let last = self.api.log(Kind::Pod).iter().rev().find(|entry| entry.key == *pod);
                assert!(
                    last.is_none_or(|entry| !entry.is_unbound()),
                    "{} was evicted although it was never bound: its owner has lost it",
                    pod.path()
                );
            }
            _ => {}
        }
    }

    /// Has something happened to an object of this kind that the driver did not know when it started the call?
    fn is_excused(&self, number: u64, kind: Kind, about: impl Fn(&api::Entry) -> bool) -> bool {
        let Some(flight) = self.flight(number) else { return false };
        let known = flight.known.get(&kind).copied().unwrap_or(0);
        self.api.log(kind).iter().skip(known).any(about)
    }

    fn judge_room(&self, number: u64, pod: &Key, node: &str) {
        let (free, asks) = (self.free_on(node), self.api.get(pod).map_or([0; 4], api::asks));
        let Some(short) = (0..4).find(|at| free[*at] < 0 && asks[*at] > 0) else { return };
        let changed = self.is_excused(number, Kind::Node, |entry| entry.key.name == node);
        let others = self.is_excused(number, Kind::Pod, |entry| entry.key.name.starts_with("other-"));
        let what = RESOURCES[short];
        assert!(changed || others, "{node} is over-committed by {}: {free:?} is free, {what} is short", pod.path());
    }

    fn judge_place(&self, number: u64, pod: &Key, node: &str) {
        let changed = self.is_excused(number, Kind::Node, |entry| entry.key.name == node);
        let Some(there) = self.api.get(&Key::cluster(Kind::Node, node)) else {
            assert!(changed, "{} was bound to {node}, which was known to be gone", pod.path());
            return;
        };
        let Some(pod) = self.api.get(pod) else { return };
        let pool = pod.json["spec"]["nodeSelector"]["pool"].as_str().unwrap_or_default();
        let suits =
            (pool.is_empty() || api::label(there, "pool") == pool) && there.json["spec"]["unschedulable"] != true;
        assert!(suits || changed, "{} was bound to {node}, which was known not to suit it", pod.uid);
    }

    fn judge_limit(&mut self, number: u64, pod: &Key) {
        let Some(queue) = self.api.get(pod).map(|pod| api::label(pod, "berth.dev/queue").to_owned()) else { return };
        let key = Key::cluster(Kind::Queue, &queue);
        let limit =
            self.api.get(&key).and_then(|queue| queue.json["spec"]["resources"]["gpu"]["limit"].as_str()?.parse().ok());
        let more = self.api.get(pod).map_or(0, |pod| api::asks(pod)[0]);
        if more == 0 {
            return;
        }
        let Some(limit) = limit.filter(|_| QUEUES.contains(&queue.as_str())) else { return };
        let holds = |pod: &&api::Stored| {
            let there = self.api.get(&Key::cluster(Kind::Node, api::node_of(pod))).is_some();
            there && !api::has_ended(pod) && !api::is_going(pod) && !self.safety.told_to_go.contains(&pod.uid)
        };
        let of_queue = |pod: &&api::Stored| api::is_ours(pod) && api::label(pod, "berth.dev/queue") == queue;
        let all = self.api.all(Kind::Pod).map(|(_, pod)| pod).filter(of_queue).filter(holds);
        let all: Vec<&api::Stored> = all.collect();
        let used: u64 = all.iter().map(|pod| api::asks(pod)[0]).sum();
        if used <= limit {
            return;
        }
        // What was decided before the limit was lowered is bound all the same.
        let lately = |entry: &api::Entry| entry.key == key && entry.at + BIND_MAX > self.now;
        let excused = self.is_excused(number, Kind::Queue, |entry| entry.key == key)
            || self.api.log(Kind::Queue).iter().any(lately)
            || all.iter().any(|pod| self.came_back_lately(api::node_of(pod)));
        if excused {
            return;
        }
        // A queue that was over its limit already may exchange its own pods, one GPU for another.
        let given_up = self.safety.given_up.entry(queue.clone()).or_default();
        assert!(*given_up >= more, "queue {queue} has {used} GPUs, its limit is {limit}, and it gave up {given_up}");
        *given_up -= more;
    }

    /// Pods of a node that is gone do not count; once it is back they do.
    fn came_back_lately(&self, node: &str) -> bool {
        let mut of_node = self.api.log(Kind::Node).iter().filter(|entry| entry.key.name == node).rev();
        let since_it_was_gone = of_node.by_ref().take_while(|entry| !entry.gone).last().map(|entry| entry.at);
        let was_gone = self.api.log(Kind::Node).iter().any(|entry| entry.key.name == node && entry.gone);
        was_gone && since_it_was_gone.is_some_and(|at| at + BIND_MAX > self.now)
    }

    /// No gang has for long something, but not what it needs.
    pub(crate) fn look_over_time(&mut self) {
        if !self.driver.as_ref().is_some_and(berth_scheduler::Driver::is_synced) || self.now < self.outage_until {
            self.safety.halves.clear();
            return;
        }
        let gangs: Vec<(String, u64)> = self
            .jobs
            .iter()
            .filter_map(|job| {
                let min = match job.gang {
                    Gang::None => return None,
                    Gang::Annotated => job.size,
                    Gang::Group => {
                        self.api.get(&group_key(&job.name))?.json["spec"]["schedulingPolicy"]["gang"]["minCount"]
                            .as_u64()?
                    }
                };
                Some((job.name.clone(), min))
            })
            .collect();
        for (name, min) in gangs {
            let pods: Vec<&api::Stored> = self.pods_of(&name).map(|(_, pod)| pod).collect();
            let ended_well = self.ended_well.contains(&name);
            let holds =
                |pod: &&&api::Stored| !api::node_of(pod).is_empty() && !api::has_ended(pod) && !api::is_going(pod);
            let held = pods.iter().filter(holds).count() as u64;
            if ended_well || held == 0 || held >= min {
                self.safety.halves.remove(&name);
                continue;
            }
            let touched = self.gangs_touched.get(&name).copied().unwrap_or(0);
            let since = *self.safety.halves.entry(name.clone()).or_insert(self.now);
            let lasts = self.now - since.max(touched);
            assert!(lasts < HALF_GANG_MAX, "gang {name} has had {held} of the {min} pods it needs for {lasts} ms");
        }
    }
}
