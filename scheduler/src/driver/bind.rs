//! Bindings from the decision until a watch shows the pod on its node. Owns what is tried again, what is given up, and how an
//! answer that says nothing is resolved: by reading the pod, since a request that timed out may have had its effect.

use std::collections::BTreeMap;

use berth_engine::{Slot, Timestamp};

use super::{ApiEvent, Call, CallId, Driver, Due, Fact, Outcome};
use crate::objects::Key;
use crate::store::Change;
use crate::world::{Doing, World};

/// A pod to be bound.
#[derive(Debug)]
pub(super) struct Binding {
    uid: String,
    node: String,
    since: Timestamp,
    attempts: u32,
    state: State,
    /// The last that was said against it.
    last: String,
    /// Until then a request without an answer may have its effect: before that nobody is told that the pod has no place.
    uncertain_until: Timestamp,
    /// Not to be tried again.
    is_over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its claims have yet to get their volumes.
    Preparing,
    /// Its call waits for its turn.
    Queued(CallId),
    /// Its call is under way.
    UnderWay(CallId),
    /// Nobody knows what the call did: the pod is being read, or will be when that is due.
    Reading,
    /// The pod has been read, and the world knows what was read.
    Read,
    /// To be tried again when that is due.
    Pausing,
    /// Its call was not made, since the place was not wanted any longer.
    Dropped,
    /// Done, but no watch has shown it yet.
    Done,
}

/// Can a pod be bound now, as far as its volumes go?
pub(super) enum Ready {
    /// Yes.
    Now,
    /// Something has to happen first.
    Later,
    /// It will not come to that, for this reason.
    Never(String),
}

impl Binding {
    /// Has the API server said yes?
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Its call waits again, as if it had not been tried.
    pub(super) fn was_not_sent(&mut self, id: CallId) {
        if self.state == State::UnderWay(id) {
            (self.state, self.attempts) = (State::Queued(id), self.attempts.saturating_sub(1));
        }
    }
}

/// Is the call still to be made: has the engine the pod there, is it still unbound, and does the node still take it? The binding
/// of one that is not is to be looked after.
pub(super) fn is_wanted(
    world: &World,
    bindings: &mut BTreeMap<Key, Binding>,
    id: CallId,
    pod: &Key,
    uid: &str,
    node: &str,
) -> bool {
    let Some(binding) = bindings.get_mut(pod).filter(|binding| binding.state == State::Queued(id)) else {
        return false;
    };
    let waits = world.doing(pod, uid) == Some(Doing::Waits);
    if waits && world.booked(pod) == Some((uid, node)) && world.takes(node, pod) {
        binding.state = State::UnderWay(id);
        binding.attempts += 1;
        return true;
    }
    binding.state = State::Dropped;
    false
}

impl Driver {
    /// The engine has given the pod a place.
    pub(super) fn bind(&mut self, slot: &Slot, now: Timestamp) {
        let (Some((pod, uid)), Some(node)) = (self.world.pod(slot.pod), self.world.node(slot.node)) else { return };
        let (pod, uid, node) = (pod.clone(), uid.to_owned(), node.to_owned());
        // A call for a place it had before may still come to something: what becomes of that is seen first.
        if let Some(known) = self.bindings.get_mut(&pod).filter(|known| known.uid == uid) {
            let busy = matches!(known.state, State::UnderWay(_) | State::Reading | State::Read);
            if busy || now < known.uncertain_until {
                (known.node, known.since, known.is_over) = (node, now, false);
                if !busy {
                    self.read_later(&pod);
                }
                return;
            }
        }
        let (state, last, uncertain_until) = (State::Dropped, String::new(), Timestamp::default());
        let binding = Binding { uid, node, since: now, attempts: 0, state, last, uncertain_until, is_over: false };
        self.bindings.insert(pod.clone(), binding);
        self.send_binding(&pod, now);
    }

    fn send_binding(&mut self, pod: &Key, now: Timestamp) {
        let Some(binding) = self.bindings.get(pod) else { return };
        let node = binding.node.clone();
        let ready = self.volumes_are_ready(pod, &node);
        let Some(binding) = self.bindings.get_mut(pod) else { return };
        match ready {
            Ready::Now => {}
            Ready::Later => {
                if binding.state != State::Preparing {
                    binding.state = State::Preparing;
                    self.due.insert((binding.since.plus(self.settings.bind_timeout), Due::Bind(pod.clone())));
                }
                return;
            }
            Ready::Never(why) => {
                (binding.last, binding.state) = (why, State::Dropped);
                return self.give_up(pod, now);
            }
        }
        let call = Call::Bind { pod: pod.clone(), uid: binding.uid.clone(), node: binding.node.clone() };
        binding.state = State::Queued(self.calls.put(call));
    }

    fn read_pod(&mut self, pod: &Key) {
        let Some(binding) = self.bindings.get_mut(pod) else { return };
        binding.state = State::Reading;
        self.calls.put(Call::ReadPod { pod: pod.clone(), uid: binding.uid.clone() });
    }

    /// Reads the pod when no request can have its effect any longer.
    fn read_later(&mut self, pod: &Key) {
        let Some(binding) = self.bindings.get_mut(pod) else { return };
        binding.state = State::Reading;
        self.due.insert((binding.uncertain_until, Due::Bind(pod.clone())));
    }

    /// Is it certain that the pod has not been bound, and will not be?
    pub(super) fn is_surely_unbound(&self, pod: &Key, now: Timestamp) -> bool {
        self.bindings.get(pod).is_none_or(|known| {
            matches!(known.state, State::Preparing | State::Queued(_) | State::Pausing | State::Dropped)
                && known.uncertain_until <= now
        })
    }

    /// Has the API server said that the pod is bound?
    pub(super) fn is_surely_bound(&self, pod: &Key) -> bool {
        self.bindings.get(pod).is_some_and(|known| known.state == State::Done)
    }

    pub(super) fn bind_answered(&mut self, pod: &Key, id: CallId, node: &str, outcome: Outcome, now: Timestamp) {
        let binding = self.bindings.get_mut(pod).filter(|binding| binding.state == State::UnderWay(id));
        let Some(binding) = binding else { return };
        match outcome {
            Outcome::Done(_) if binding.node == node => {
                binding.state = State::Done;
                self.world.was_bound(pod, &binding.uid, node);
                self.due.insert((now.plus(self.settings.bind_timeout), Due::Bind(pod.clone())));
                self.announce(pod, node, now);
                self.eviction_is_decided(pod, true, now);
            }
            // It has got a place that the engine has given up since: what the pod says counts.
            Outcome::Done(_) => self.read_pod(pod),
            Outcome::Missing => {
                let uid = binding.uid.clone();
                self.bindings.remove(pod);
                self.observe(Change::Deleted { key: pod.clone(), uid });
            }
            Outcome::Conflict => {
                binding.last = "the pod is not as it was".to_owned();
                self.read_pod(pod);
            }
            Outcome::Unreachable { .. } => {} // its call waits again
            Outcome::Unknown { message } => {
                binding.last = message;
                binding.uncertain_until = now.plus(self.settings.request_timeout);
                self.read_pod(pod);
            }
            Outcome::Busy { after_ms, message } => {
                binding.last = message;
                self.bind_again(pod, after_ms, now);
            }
            Outcome::Refused { message } => {
                binding.last = message;
                self.give_up(pod, now);
            }
        }
    }

    /// Another attempt after a while, or none: the engine then knows that the place came to nothing.
    fn bind_again(&mut self, pod: &Key, least_ms: u64, now: Timestamp) {
        let settings = self.settings;
        let Some(binding) = self.bindings.get_mut(pod) else { return };
        if self.world.booked(pod) != Some((&binding.uid, &binding.node)) {
            return self.resolve(pod, now);
        }
        let pause = settings.pause(binding.attempts).max(least_ms);
        let end = binding.since.plus(settings.bind_timeout);
        if binding.is_over || binding.attempts >= settings.bind_attempts || now.plus(pause) > end {
            return self.give_up(pod, now);
        }
        binding.state = State::Pausing;
        self.due.insert((now.plus(pause), Due::Bind(pod.clone())));
    }

    fn give_up(&mut self, pod: &Key, now: Timestamp) {
        if let Some(binding) = self.bindings.get_mut(pod) {
            binding.is_over = true;
        }
        self.resolve(pod, now);
    }

    /// No call is under way, and the pod waits: what becomes of its binding, once no call can have an effect any longer.
    fn resolve(&mut self, pod: &Key, now: Timestamp) {
        let Some(binding) = self.bindings.get_mut(pod) else { return };
        if now < binding.uncertain_until {
            return self.read_later(pod);
        }
        let booked = self.world.booked(pod).filter(|(uid, _)| *uid == binding.uid).map(|(_, node)| node.to_owned());
        match booked {
            None => {
                self.bindings.remove(pod);
                self.eviction_is_decided(pod, false, now);
            }
            Some(node) if node != binding.node || !binding.is_over => {
                (binding.node, binding.is_over) = (node, false);
                self.send_binding(pod, now);
            }
            Some(_) => self.tell_failure(pod, now),
        }
    }

    fn tell_failure(&mut self, pod: &Key, now: Timestamp) {
        let Some(binding) = self.bindings.remove(pod) else { return };
        let why = binding.last;
        if let Some(event) = self.world.bind_failed(pod) {
            self.tell(event, now);
        }
        self.bind_failed_verdict(pod, &binding.uid, &binding.node, &why);
        self.facts.push(Fact::BindFailed { pod: pod.clone(), why });
    }

    /// Its call was not made.
    fn dropped(&mut self, pod: &Key, now: Timestamp) {
        let Some(binding) = self.bindings.get_mut(pod) else { return };
        if self.world.doing(pod, &binding.uid) != Some(Doing::Waits) {
            return; // it is looked at when that becomes known
        }
        if self.world.booked(pod) == Some((&binding.uid, &binding.node)) && !self.world.takes(&binding.node, pod) {
            binding.is_over = true;
            binding.last = "the node has changed meanwhile and does not take it any longer".to_owned();
        }
        self.resolve(pod, now);
    }

    pub(super) fn binding_is_due(&mut self, pod: &Key, now: Timestamp) {
        let Some(binding) = self.bindings.get(pod) else { return };
        match binding.state {
            State::Preparing if binding.since.plus(self.settings.bind_timeout) <= now => {
                self.give_up_preparing(pod, now);
            }
            State::Pausing | State::Preparing => self.send_binding(pod, now),
            // The watch is late, or what was due was for an earlier call.
            State::Done if binding.since.plus(self.settings.bind_timeout) <= now => self.read_pod(pod),
            State::Reading => self.read_pod(pod),
            State::Dropped => self.dropped(pod, now),
            _ => {}
        }
    }

    fn give_up_preparing(&mut self, pod: &Key, now: Timestamp) {
        if let Some(binding) = self.bindings.get_mut(pod) {
            binding.last = "its claims did not get their volumes in time".to_owned();
        }
        self.give_up(pod, now);
    }

    /// Pods whose claims have yet to get their volumes.
    pub(super) fn pods_that_prepare(&self) -> Vec<Key> {
        let prepares = self.bindings.iter().filter(|(_, binding)| binding.state == State::Preparing);
        prepares.map(|(pod, _)| pod.clone()).collect()
    }

    /// The pod was read; what was read is looked at with the next turn.
    pub(super) fn binding_read(&mut self, pod: &Key) {
        if let Some(binding) = self.bindings.get_mut(pod).filter(|binding| binding.state == State::Reading) {
            binding.state = State::Read;
        }
    }

    pub(super) fn binding_read_failed(&mut self, pod: &Key, again: Timestamp) {
        if self.bindings.get(pod).is_some_and(|binding| binding.state == State::Reading) {
            self.due.insert((again, Due::Bind(pod.clone())));
        }
    }

    /// Something new is known of a pod: is it where it should be?
    pub(super) fn look_at_binding(&mut self, pod: &Key, now: Timestamp) {
        let Some(binding) = self.bindings.get(pod) else { return };
        match self.world.doing(pod, &binding.uid) {
            None | Some(Doing::Ended) => {
                self.bindings.remove(pod);
            }
            Some(Doing::On { node, .. }) => {
                let node = node.to_owned();
                if binding.state != State::Done && binding.attempts > 0 {
                    self.announce(pod, &node, now);
                }
                self.bindings.remove(pod);
            }
            Some(Doing::Waits) if binding.state == State::Read => self.bind_again(pod, 0, now),
            Some(Doing::Waits) => {}
        }
    }

    /// The pod is on a node, by our doing.
    fn announce(&mut self, pod: &Key, node: &str, now: Timestamp) {
        let Some(binding) = self.bindings.get(pod) else { return };
        let (attempts, uid) = (binding.attempts, binding.uid.clone());
        let waited_ms = now.since(self.world.created(pod).unwrap_or(now));
        let note = format!("Successfully assigned {} to {node}", pod.path());
        let (regarding, reason, action) = (pod.clone(), "Scheduled", "Binding");
        self.calls.put(Call::PostEvent(ApiEvent { regarding, uid, warning: false, reason, action, note }));
        self.facts.push(Fact::Bound { pod: pod.clone(), node: node.to_owned(), attempts, waited_ms });
        self.group_is_bound(pod);
    }
}
