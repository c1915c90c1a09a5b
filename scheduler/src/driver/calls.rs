//! Calls that wait for their turn, and those under way. Owns their order and how many run at once.

use std::collections::BTreeMap;

use berth_engine::Timestamp;

use super::call::{Call, CallId};

/// So many events may wait to be posted; after that the oldest are dropped. They are for people to read, and nobody reads so
/// many.
const EVENTS_MAX: usize = 20_000;

/// After this the first call is tried again when the API server cannot be reached; each time it is twice as long.
const PAUSE_FIRST_MS: u64 = 100;

/// But no longer than this.
const PAUSE_MAX_MS: u64 = 5_000;

/// The API server cannot be reached: one call at a time is tried, after a pause.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Timestamp,
    lasts_ms: u64,
}

/// Calls in order.
#[derive(Debug)]
pub(super) struct Calls {
    next: u64,
    queued: BTreeMap<(Lane, CallId), Call>,
    under_way: BTreeMap<CallId, Call>,
    events: usize,
    dropped: u64,
    binds: usize,
    /// So many bindings at once.
    binds_max: usize,
    /// So many calls at once.
    calls_max: usize,
    pause: Option<Pause>,
}

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    /// Answers that others wait for.
    Read,
    /// What others wait for: who has to go, and volumes.
    Evict,
    /// Whoever has a place.
    Bind,
    /// What objects say of themselves.
    Status,
    /// What people may read.
    Event,
}

fn lane(call: &Call) -> Lane {
    match call {
        Call::ReadPod { .. } => Lane::Read,
        Call::Evict { .. } => Lane::Evict,
        Call::Volume { .. } => Lane::Evict,
        Call::Bind { .. } => Lane::Bind,
        Call::PodStatus { .. } | Call::GroupStatus { .. } | Call::QueueStatus { .. } => Lane::Status,
        Call::PostEvent(_) => Lane::Event,
    }
}

impl Calls {
    pub(super) fn new(binds_max: usize, calls_max: usize) -> Self {
        let (queued, under_way) = (BTreeMap::new(), BTreeMap::new());
        Calls { next: 0, queued, under_way, events: 0, dropped: 0, binds: 0, binds_max, calls_max, pause: None }
    }

    pub(super) fn put(&mut self, call: Call) -> CallId {
        let (lane, id) = (lane(&call), CallId(self.next));
        self.next += 1;
        self.queued.insert((lane, id), call);
        if lane == Lane::Event {
            self.events += 1;
            let oldest = self.queued.range((Lane::Event, CallId(0))..).next().map(|(at, _)| *at);
            if let Some(oldest) = oldest.filter(|_| self.events > EVENTS_MAX) {
                self.queued.remove(&oldest);
                self.events -= 1;
                self.dropped += 1;
            }
        }
        id
    }

    /// What may start now. A call that is not `wanted` any longer is dropped instead.
    pub(super) fn start(
        &mut self,
        now: Timestamp,
        mut wanted: impl FnMut(CallId, &Call) -> bool,
    ) -> Vec<(CallId, Call)> {
        let most = match self.pause {
            None => self.calls_max,
            Some(pause) if now < pause.until => 0,
            Some(_) => 1,
        };
        let mut started = Vec::new();
        let mut from = (Lane::Read, CallId(0));
        while self.under_way.len() < most {
            let Some(at) = self.queued.range(from..).next().map(|(at, _)| *at) else { break };
            let is_bind = at.0 == Lane::Bind;
            if is_bind && self.binds == self.binds_max {
                from = (Lane::Status, CallId(0));
                continue;
            }
            from = at;
            let Some(call) = self.queued.remove(&at) else { break };
            self.events -= usize::from(at.0 == Lane::Event);
            if !wanted(at.1, &call) {
                continue;
            }
            self.binds += usize::from(is_bind);
            self.under_way.insert(at.1, call.clone());
            started.push((at.1, call));
        }
        started
    }

    /// A call is over; `None` for one that was not under way.
    pub(super) fn finish(&mut self, id: CallId) -> Option<Call> {
        self.pause = None;
        self.ended(id)
    }

    /// A call could not be sent: it waits in its old turn, and all others with it. Returns which it was.
    pub(super) fn put_back(&mut self, id: CallId, now: Timestamp) -> Option<&Call> {
        let call = self.ended(id)?;
        let lasts_ms = match self.pause {
            None => PAUSE_FIRST_MS,
            // Sent before it was known.
            Some(pause) if now < pause.until => pause.lasts_ms,
            Some(pause) => (2 * pause.lasts_ms).min(PAUSE_MAX_MS),
        };
        self.pause = Some(Pause { until: now.plus(lasts_ms), lasts_ms });
        let at = (lane(&call), id);
        self.events += usize::from(at.0 == Lane::Event);
        Some(self.queued.entry(at).or_insert(call))
    }

    fn ended(&mut self, id: CallId) -> Option<Call> {
        let call = self.under_way.remove(&id)?;
        self.binds -= usize::from(matches!(call, Call::Bind { .. }));
        Some(call)
    }

    /// When the next call may be tried, if none is under way and the API server could not be reached.
    pub(super) fn wake(&self) -> Option<Timestamp> {
        let waits = self.under_way.is_empty() && !self.queued.is_empty();
        self.pause.filter(|_| waits).map(|pause| pause.until)
    }

    /// Nothing further is started; what is under way goes on.
    pub(super) fn drop_queued(&mut self) {
        self.queued.clear();
        self.events = 0;
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Events that were never posted, since there were too many.
    pub(super) fn dropped_events(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::ApiEvent;
    use crate::objects::{Key, Kind};

    fn key(name: &str) -> Key {
        Key { kind: Kind::Pod, namespace: "lab".into(), name: name.into() }
    }

    fn bind(name: &str) -> Call {
        Call::Bind { pod: key(name), uid: name.into(), node: "a".into() }
    }

    fn event(name: &str) -> Call {
        let (regarding, uid, note) = (key(name), String::new(), String::new());
        Call::PostEvent(ApiEvent { regarding, uid, warning: false, reason: "Scheduled", action: "Binding", note })
    }

    fn names(started: Vec<(CallId, Call)>) -> Vec<String> {
        started.into_iter().map(|(_, call)| format!("{} {}", call.name(), call.object().name)).collect()
    }

    #[test]
    fn what_others_wait_for_goes_first_and_bindings_leave_room() {
        let mut calls = Calls::new(2, 4);
        for call in [event("x"), bind("a"), bind("b"), bind("c"), Call::ReadPod { pod: key("r"), uid: String::new() }] {
            calls.put(call);
        }
        calls.put(Call::Evict { pod: key("v"), uid: String::new() });
        let started = calls.start(Timestamp(0), |_, _| true);
        let first_bind = started[2].0;
        assert_eq!(names(started), ["read_pod r", "evict v", "bind a", "bind b"]);
        assert!(calls.start(Timestamp(0), |_, _| true).is_empty(), "four are under way");
        assert_eq!(calls.finish(first_bind), Some(bind("a")));
        assert_eq!(calls.finish(first_bind), None, "once only");
        assert_eq!(names(calls.start(Timestamp(0), |_, _| true)), ["bind c"]);
    }

    #[test]
    fn what_is_not_wanted_any_longer_is_not_sent() {
        let mut calls = Calls::new(1, 9);
        calls.put(bind("a"));
        calls.put(bind("b"));
        assert_eq!(names(calls.start(Timestamp(0), |_, call| call.object().name != "a")), ["bind b"]);
        assert!(calls.start(Timestamp(0), |_, _| true).is_empty());
    }

    #[test]
    fn one_call_at_a_time_is_tried_while_the_server_cannot_be_reached() {
        let mut calls = Calls::new(9, 9);
        for name in ["a", "b", "c"] {
            calls.put(bind(name));
        }
        let at = Timestamp;
        let ids: Vec<CallId> = calls.start(at(0), |_, _| true).into_iter().map(|(id, _)| id).collect();
        for (id, when) in ids.iter().zip([0, 0, 50]) {
            calls.put_back(*id, at(when));
        }
        assert_eq!((calls.under_way(), calls.wake()), (0, Some(at(150))), "the pause is no longer for three at once");
        assert!(calls.start(at(149), |_, _| true).is_empty());
        let tried = calls.start(at(150), |_, _| true);
        assert_eq!(names(tried.clone()), ["bind a"], "in its old turn");
        assert_eq!((calls.wake(), calls.start(at(160), |_, _| true).len()), (None, 0));
        calls.put_back(tried[0].0, at(160));
        assert_eq!(calls.wake(), Some(at(360)), "twice as long");
        let tried = calls.start(at(360), |_, _| true);
        calls.finish(tried[0].0);
        assert_eq!(names(calls.start(at(360), |_, _| true)), ["bind b", "bind c"], "all is as before");
    }

    #[test]
    fn too_many_events_push_out_the_oldest() {
        let mut calls = Calls::new(1, 1);
        for index in 0..=EVENTS_MAX {
            calls.put(event(&index.to_string()));
        }
        assert_eq!(calls.dropped_events(), 1);
        assert_eq!(names(calls.start(Timestamp(0), |_, _| true)), ["event 1"]);
    }
}
