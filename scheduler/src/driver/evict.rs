//! Who has to go, and who has been promised their place. Owns how often an eviction is asked for, and how long anybody counts
//! on a place that does not come free.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use berth_engine::decision::{Assigned, EvictCause};
use berth_engine::{Event, GangId, NodeId, PodId, Timestamp};

use super::{ApiEvent, Call, CallId, Driver, Due, Fact, Outcome};
use crate::objects::Key;
use crate::store::Change;
use crate::world::Doing;

/// A pod that has to go.
#[derive(Debug)]
pub(super) struct Eviction {
    uid: String,
    since: Timestamp,
    attempts: u32,
    state: State,
    cause: EvictCause,
    /// For whom, and by which right.
    why: String,
    reason: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody knows yet whether it is anywhere: its binding is under way.
    Undecided,
    /// Its call waits for its turn, or is under way.
    Asked(CallId),
    /// To be asked again when that is due.
    Pausing,
    /// The API server has agreed: it stops.
    Going,
}

/// A cause as the event on the pod tells it.
fn sentence(cause: EvictCause) -> &'static str {
    match cause {
        EvictCause::Consolidate => "so that free room is in one place; it moves to another node",
        EvictCause::Reclaim => "since its queue has more than its share",
        EvictCause::Preempt => "which has a higher priority in the same queue",
        EvictCause::Stale => "Its gang has had fewer pods than its minimum for too long",
        EvictCause::StartTimeout => "Its gang did not start together in time",
    }
}

impl Driver {
    /// The engine has told pods to go.
    pub(super) fn evict(&mut self, pods: &[PodId], claimant: Option<GangId>, cause: EvictCause, now: Timestamp) {
        let claimant = claimant.map(|gang| self.gang_name(gang));
        for id in pods {
            let Some((pod, uid)) = self.world.pod(*id) else { continue };
            let (pod, uid) = (pod.clone(), uid.to_owned());
            if self.evictions.get(&pod).is_some_and(|known| known.uid == uid) {
                continue;
            }
            let (reason, why) = match &claimant {
                Some(gang) => ("Preempted", format!("Preempted by {gang}, {}", sentence(cause))),
                None => ("Evicted", sentence(cause).to_owned()),
            };
            // Who has not been bound has nothing to leave, and an eviction would delete it.
            let waits = self.world.doing(&pod, &uid) == Some(Doing::Waits);
            if waits && self.is_surely_unbound(&pod, now) {
                self.bindings.remove(&pod);
                self.withdraw(&pod, now);
                continue;
            }
            let state = State::Undecided;
            self.evictions.insert(pod.clone(), Eviction { uid, since: now, attempts: 0, state, cause, why, reason });
            self.due.insert((now.plus(self.settings.promise), Due::Evict(pod.clone())));
            if !waits || self.is_surely_bound(&pod) {
                self.ask_to_go(&pod);
            }
        }
    }

    /// The pod's binding has come to something, or to nothing.
    pub(super) fn eviction_is_decided(&mut self, pod: &Key, bound: bool, now: Timestamp) {
        if self.evictions.get(pod).is_none_or(|known| known.state != State::Undecided) {
            return;
        }
        if bound {
            return self.ask_to_go(pod);
        }
        self.evictions.remove(pod);
        self.withdraw(pod, now);
    }

    fn ask_to_go(&mut self, pod: &Key) {
        let Some(eviction) = self.evictions.get_mut(pod) else { return };
        eviction.attempts += 1;
        let call = Call::Evict { pod: pod.clone(), uid: eviction.uid.clone() };
        eviction.state = State::Asked(self.calls.put(call));
    }

    /// The engine hears of the pod anew, as it is.
    pub(super) fn withdraw(&mut self, pod: &Key, now: Timestamp) {
        for event in self.world.withdraw(pod) {
            self.tell(event, now);
        }
    }

    pub(super) fn evict_answered(&mut self, pod: &Key, id: CallId, outcome: Outcome, now: Timestamp) {
        let Some(eviction) = self.evictions.get_mut(pod).filter(|known| known.state == State::Asked(id)) else {
            return;
        };
        match outcome {
            Outcome::Done(_) => {
                eviction.state = State::Going;
                let (uid, reason, note) = (eviction.uid.clone(), eviction.reason, eviction.why.clone());
                let (regarding, action) = (pod.clone(), "Preempting");
                self.facts.push(Fact::Evicted { pod: pod.clone(), cause: eviction.cause });
                self.calls.put(Call::PostEvent(ApiEvent { regarding, uid, warning: false, reason, action, note }));
            }
            Outcome::Missing => {
                let uid = eviction.uid.clone();
                self.evictions.remove(pod);
                self.observe(Change::Deleted { key: pod.clone(), uid });
            }
            Outcome::Refused { .. } => self.stays(pod, now),
            Outcome::Unreachable { .. } => {} // its call waits again
            // A budget that does not allow it yet, or no clear answer: asking twice does no harm, for it is about one uid.
            Outcome::Busy { .. } | Outcome::Conflict | Outcome::Unknown { .. } => {
                let least = if let Outcome::Busy { after_ms, .. } = outcome { after_ms } else { 0 };
                eviction.state = State::Pausing;
                let pause = self.settings.pause(eviction.attempts).max(least);
                self.due.insert((now.plus(pause), Due::Evict(pod.clone())));
            }
        }
    }

    pub(super) fn eviction_is_due(&mut self, pod: &Key, now: Timestamp) {
        let Some(eviction) = self.evictions.get_mut(pod) else { return };
        if eviction.since.plus(self.settings.promise) <= now {
            return self.stays(pod, now);
        }
        if eviction.state == State::Pausing {
            self.ask_to_go(pod);
        }
    }

    /// It does not go: nobody counts on its place any longer. One that nobody stops runs on, and may be asked again.
    fn stays(&mut self, pod: &Key, now: Timestamp) {
        let Some(eviction) = self.evictions.remove(pod) else { return };
        if eviction.state != State::Going {
            return self.withdraw(pod, now);
        }
        for event in self.world.stuck(pod) {
            self.tell(event, now);
        }
    }

    /// Something new is known of a pod: is it gone?
    pub(super) fn look_at_eviction(&mut self, pod: &Key, now: Timestamp) {
        let Some(eviction) = self.evictions.get_mut(pod) else { return };
        match self.world.doing(pod, &eviction.uid) {
            None | Some(Doing::Ended) => {
                self.evictions.remove(pod);
            }
            Some(Doing::On { stops: true, .. }) => eviction.state = State::Going,
            Some(Doing::On { .. }) => self.eviction_is_decided(pod, true, now),
            Some(Doing::Waits) => {}
        }
    }

    /// The engine has promised places that others still have to leave.
    pub(super) fn promise(&mut self, gang: GangId, pods: &[Assigned]) {
        let of = if pods.len() > 1 { format!(" (with all of {})", self.gang_name(gang)) } else { String::new() };
        for assigned in pods {
            let slot = &assigned.slot;
            let (Some((pod, uid)), Some(node)) = (self.world.pod(slot.pod), self.world.node(slot.node)) else {
                continue;
            };
            let (pod, uid) = (pod.clone(), uid.to_owned());
            let message = self.promised(node, &of);
            // A pod that moves runs until it goes: it has nothing to say.
            if self.world.doing(&pod, &uid) == Some(Doing::Waits) {
                self.say(&pod, &uid, message, false);
            }
        }
    }

    /// What the engine promises counts, not what was heard of it: promises fall in groups and with nodes, and pass to the
    /// successors of pods that are gone.
    pub(super) fn look_at_promises(&mut self, now: Timestamp) {
        let all: BTreeMap<PodId, NodeId> = self.engine.state().promised().collect();
        let before: Vec<PodId> = self.promises.keys().copied().chain(std::mem::take(&mut self.lapsed)).collect();
        let (fallen, events) = self.world.promised(&all, &before);
        events.into_iter().for_each(|event| self.tell(event, now));
        fallen.iter().for_each(|pod| self.unsay_promise(pod));
        self.promises.retain(|pod, _| all.contains_key(pod));
        let until = now.plus(self.settings.promise);
        for pod in all.into_keys() {
            if let Entry::Vacant(new) = self.promises.entry(pod) {
                new.insert(until);
                self.due.insert((until, Due::Promise(pod)));
            }
        }
    }

    pub(super) fn promise_is_due(&mut self, pod: PodId, now: Timestamp) {
        if self.promises.get(&pod).is_some_and(|until| *until <= now) {
            self.promises.remove(&pod);
            self.lapsed.push(pod);
            // One that is gone has kept it for its successor.
            let gone = self.world.pod(pod).is_none();
            let event = if gone { Event::PodGone { pod } } else { Event::NominationExpired { pod } };
            self.tell(event, now);
        }
    }
}
