//! What pods say about why they wait: the condition `PodScheduled` and an event, in kube-scheduler's form. Owns that nothing is
//! written twice; the reasons themselves are the engine's, or come with the objects that cannot be used.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use berth_engine::decision::{WaitCause, Why};
use berth_engine::{GangId, PodId, Timestamp};

use super::{ApiEvent, Call, CallId, Condition, Driver, Due, Fact, Outcome, PodStatus};
use crate::objects::Key;
use crate::world::Doing;

/// What was said last, by pod.
#[derive(Debug, Default)]
pub(super) struct Verdicts(BTreeMap<Key, Said>);

#[derive(Debug)]
struct Said {
    uid: String,
    condition: Condition,
    /// The node that is promised; empty for none.
    nominated: String,
    state: State,
}

/// Writes about one pod follow one another: two at once could come to pass in either order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is written, as far as is known.
    Written,
    /// Its call waits for its turn, or is under way.
    Writing(CallId),
    /// So, and something else is to be said by now.
    Outdated(CallId),
    /// To be tried again when that is due.
    Pausing,
}

/// Writes that came to nothing are tried again after so long (ms).
const WRITE_AGAIN_MS: u64 = 5_000;

/// Autoscalers look for this word.
const UNSCHEDULABLE: &str = "Unschedulable";
/// The API server has refused what was decided.
const ERROR: &str = "SchedulerError";

/// An event's note may be so long (bytes).
const NOTE_MAX: usize = 1_024;

impl Verdicts {
    pub(super) fn pods(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    pub(super) fn of(&self, pod: &Key) -> Option<&Condition> {
        self.0.get(pod).map(|said| &said.condition)
    }

    /// What was to be said has not been.
    pub(super) fn forget(&mut self, pod: &Key, uid: &str) {
        if self.0.get(pod).is_some_and(|said| said.uid == uid) {
            self.0.remove(pod);
        }
    }
}

impl Driver {
    /// The engine says why a gang waits: each of its pods without a place says so, one of them in an event.
    pub(super) fn waits(&mut self, gang: GangId, pod: PodId, why: &Why) {
        let message = self.message(gang, pod, why);
        let first = self.world.pod(pod).map(|(key, _)| key.clone());
        self.group_waits(gang, &message);
        for (key, uid) in self.world.waiting_of(gang) {
            let is_first = Some(&key) == first.as_ref();
            self.say(&key, &uid, message.clone(), is_first);
        }
        if let Some(pod) = first {
            self.facts.push(Fact::Waits { pod, message });
        }
    }

    /// `0/3 nodes are available: 3 Insufficient cpu. preemption: …`, as kube-scheduler has it.
    fn message(&self, gang: GangId, pod: PodId, why: &Why) -> String {
        let nodes = self.engine.cluster().nodes().len();
        let mut text = match &why.cause {
            WaitCause::Room { fit, need, nodes: unplaceable } => {
                let shape = self.engine.state().pods().get(&pod).map(|pod| pod.shape.clone());
                let mut text = match shape {
                    Some(shape) => unplaceable.kubernetes_message(&shape),
                    None => format!("0/{nodes} nodes are available."),
                };
                text += " preemption: nobody may be evicted for it.";
                if *need > 1 {
                    let group = self.gang_name(gang);
                    let _ = match fit < need {
                        true => write!(text, " {group}: {fit} of the {need} pods it needs fit at once."),
                        false => write!(text, " {group}: all {need} pods it needs fit one by one, but not together."),
                    };
                }
                text
            }
            WaitCause::Quorum { have, need } => {
                format!("0/{nodes} nodes are available: waiting for gang quorum: {have}/{need} pods exist.")
            }
            other => format!("0/{nodes} nodes are available: {}.", cause(other)),
        };
        if let Some(remedy) = &why.remedy {
            let _ = write!(text, " {}.", capital(&remedy.to_string()));
        }
        match why.reserved {
            Some(Some(from)) => {
                let _ = write!(text, " A place is kept for it from {} on.", crate::time::written(from));
            }
            Some(None) => text += " A place is kept for it.",
            None => {}
        }
        text
    }

    /// What a pod says while the node it is promised is not free.
    pub(super) fn promised(&self, node: &str, of: &str) -> String {
        let nodes = self.engine.cluster().nodes().len();
        format!("0/{nodes} nodes are available: it is promised a place on {node}{of}, which others are leaving.")
    }

    /// The API server has refused a binding.
    pub(super) fn bind_failed_verdict(&mut self, pod: &Key, uid: &str, node: &str, why: &str) {
        let message = format!("binding it to {node} failed: {why}");
        self.write(pod, uid, ERROR, message, true);
    }

    /// Pods that cannot be used as they are, or whose group or queue cannot, say so.
    pub(super) fn tell_problems(&mut self) {
        let nodes = self.engine.cluster().nodes().len();
        for (pod, uid, why) in self.world.take_refusals() {
            let Some(why) = why else { continue };
            self.say(&pod, &uid, format!("0/{nodes} nodes are available: {why}."), true);
        }
    }

    pub(super) fn say(&mut self, pod: &Key, uid: &str, message: String, event: bool) {
        self.write(pod, uid, UNSCHEDULABLE, message, event);
    }

    fn write(&mut self, pod: &Key, uid: &str, reason: &'static str, message: String, event: bool) {
        let Some(object) = self.world.pod_with_uid(pod, uid) else { return };
        let shown = object.status.conditions.iter().find(|condition| condition.kind == "PodScheduled");
        let nominated = self.world.nominated(pod).unwrap_or_default().to_owned();
        let before = self.verdicts.0.get(pod).filter(|said| said.uid == uid);
        let same_place = *before.map_or(&object.status.nominated_node_name, |said| &said.nominated) == nominated;
        let same_words = match (before, shown) {
            (Some(said), _) => (said.condition.reason, &said.condition.message) == (reason, &message),
            (None, Some(shown)) => (shown.reason.as_str(), &shown.message) == (reason, &message),
            (None, None) => false,
        };
        if same_words && same_place {
            return;
        }
        let known = shown.is_some_and(|shown| shown.status == "False");
        if event && !same_words {
            self.calls.put(Call::PostEvent(ApiEvent {
                regarding: pod.clone(),
                uid: uid.to_owned(),
                warning: true,
                reason: "FailedScheduling",
                action: "Scheduling",
                note: cut(&message),
            }));
        }
        let state = before.map_or(State::Written, |said| said.state);
        let condition = Condition { holds: false, reason, message, known };
        self.verdicts.0.insert(pod.clone(), Said { uid: uid.to_owned(), condition, nominated, state });
        self.send_verdict(pod);
    }

    /// Writes what is said now, or leaves that to whoever waits for the last write.
    fn send_verdict(&mut self, pod: &Key) {
        let Some(said) = self.verdicts.0.get_mut(pod) else { return };
        said.state = match said.state {
            State::Written => {
                let status =
                    PodStatus { condition: Some(said.condition.clone()), nominated: Some(said.nominated.clone()) };
                let call = Call::PodStatus { pod: pod.clone(), uid: said.uid.clone(), status };
                State::Writing(self.calls.put(call))
            }
            State::Writing(call) | State::Outdated(call) => State::Outdated(call),
            State::Pausing => State::Pausing,
        };
    }

    /// It is promised nothing any longer.
    pub(super) fn unsay_promise(&mut self, pod: &Key) {
        let Some(said) = self.verdicts.0.get_mut(pod) else { return };
        if !said.nominated.is_empty() {
            said.nominated.clear();
            self.send_verdict(pod);
        }
    }

    pub(super) fn verdict_written(&mut self, pod: &Key, uid: &str, id: CallId, outcome: &Outcome, now: Timestamp) {
        let Some(said) = self.verdicts.0.get_mut(pod).filter(|said| said.uid == uid) else { return };
        let outdated = match said.state {
            State::Writing(call) if call == id => false,
            State::Outdated(call) if call == id => true,
            _ => return,
        };
        let pause = match outcome {
            Outcome::Busy { after_ms, .. } => WRITE_AGAIN_MS.max(*after_ms),
            // It may come to pass as long as a request may take: the next one comes after that.
            Outcome::Unknown { .. } => WRITE_AGAIN_MS.max(self.settings.request_timeout),
            _ => {
                said.state = State::Written;
                if outdated {
                    self.send_verdict(pod);
                }
                return;
            }
        };
        said.state = State::Pausing;
        self.due.insert((now.plus(pause), Due::Verdict(pod.clone())));
    }

    /// What could not be written is written now, if it is still so.
    pub(super) fn verdict_is_due(&mut self, pod: &Key) {
        let Some(said) = self.verdicts.0.get_mut(pod).filter(|said| said.state == State::Pausing) else { return };
        said.state = State::Written;
        if self.world.doing(pod, &said.uid) == Some(Doing::Waits) {
            self.send_verdict(pod);
        }
    }

    /// Whoever has a place, or is gone, has nothing more to say.
    pub(super) fn look_at_verdict(&mut self, pod: &Key) {
        let Some(said) = self.verdicts.0.get(pod) else { return };
        if self.world.doing(pod, &said.uid) != Some(Doing::Waits) {
            self.verdicts.0.remove(pod);
        }
    }
}

/// A cause that is not about nodes.
fn cause(cause: &WaitCause) -> String {
    let why = Why { cause: cause.clone(), reserved: None, remedy: None };
    why.to_string()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The text as far as an event may have it, whole characters only.
fn cut(text: &str) -> String {
    if text.len() <= NOTE_MAX {
        return text.to_owned();
    }
    let ellipsis = "…";
    let mut end = NOTE_MAX - ellipsis.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ellipsis}", &text[..end])
}
