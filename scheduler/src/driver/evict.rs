//! Who has to go, and who has been promised their place. Owns how often an eviction is asked for, and how long anybody counts
//! on a place that does not come free.

use berth_engine::decision::{Assigned, EvictCause};
use berth_engine::{Event, GangId, PodId, Timestamp};

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
            let call = self.calls.put(Call::Evict { pod: pod.clone(), uid: uid.clone() });
            let state = State::Asked(call);
            self.evictions.insert(pod.clone(), Eviction { uid, since: now, attempts: 1, state, cause, why, reason });
            self.due.insert((now.plus(self.settings.promise), Due::Evict(pod.clone())));
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
            eviction.attempts += 1;
            let call = Call::Evict { pod: pod.clone(), uid: eviction.uid.clone() };
            eviction.state = State::Asked(self.calls.put(call));
        }
    }

    /// It does not go: nobody counts on its place any longer.
    fn stays(&mut self, pod: &Key, now: Timestamp) {
        self.evictions.remove(pod);
        if let Some(id) = self.world.is_evicted(pod) {
            self.tell(Event::PodStuck { pod: id }, now);
        }
    }

    /// Something new is known of a pod: is it gone?
    pub(super) fn look_at_eviction(&mut self, pod: &Key) {
        let Some(eviction) = self.evictions.get_mut(pod) else { return };
        match self.world.doing(pod, &eviction.uid) {
            None | Some(Doing::Ended) => {
                self.evictions.remove(pod);
            }
            Some(Doing::On { stops: true, .. }) => eviction.state = State::Going,
            Some(Doing::On { .. } | Doing::Waits) => {}
        }
    }

    /// The engine has promised places that others still have to leave.
    pub(super) fn promise(&mut self, gang: GangId, pods: &[Assigned], now: Timestamp) {
        let until = now.plus(self.settings.promise);
        let of = if pods.len() > 1 { format!(" (with all of {})", self.gang_name(gang)) } else { String::new() };
        for assigned in pods {
            let slot = &assigned.slot;
            let (Some((pod, uid)), Some(node)) = (self.world.pod(slot.pod), self.world.node(slot.node)) else {
                continue;
            };
            let (pod, uid) = (pod.clone(), uid.to_owned());
            let message = self.promised(node, &of);
            self.promises.insert(pod.clone(), until);
            self.due.insert((until, Due::Promise(pod.clone())));
            // A pod that moves runs until it goes: it has nothing to say.
            if self.world.doing(&pod, &uid) == Some(Doing::Waits) {
                self.say(&pod, &uid, message, false);
            }
        }
    }

    pub(super) fn promise_is_due(&mut self, pod: &Key, now: Timestamp) {
        if self.promises.get(pod).is_none_or(|until| *until > now) {
            return;
        }
        self.promises.remove(pod);
        if let Some(event) = self.world.nomination_expired(pod) {
            self.tell(event, now);
        }
    }
}
