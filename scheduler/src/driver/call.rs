//! What is asked of the API server, and what it answers. Owns the list of calls there are; knows nothing of HTTP.

use berth_config::crd::QueueStatus;

use crate::objects::{Key, Object};
use crate::volumes::VolumeStep;

/// Number of a call, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// One request to the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// POST `pods/binding`: the pod with this uid, and no other of its name, gets the node.
    Bind {
        /// The pod.
        pod: Key,
        /// Its uid.
        uid: String,
        /// The node.
        node: String,
    },
    /// POST `pods/eviction`, which keeps disruption budgets; with the uid as a precondition.
    Evict {
        /// The pod.
        pod: Key,
        /// Its uid.
        uid: String,
    },
    /// GET a pod, as it is now and not as a cache has it.
    ReadPod {
        /// The pod.
        pod: Key,
        /// The uid of the one that matters.
        uid: String,
    },
    /// PATCH `pods/status`, with the uid as a precondition.
    PodStatus {
        /// The pod.
        pod: Key,
        /// Its uid.
        uid: String,
        /// What becomes of it.
        status: PodStatus,
    },
    /// PATCH a volume or a claim, so that a claim gets its volume on the node a pod is given.
    Volume {
        /// For the sake of this pod.
        pod: Key,
        /// What is written.
        step: VolumeStep,
    },
    /// PATCH the condition of a native PodGroup, which is about whether it has been scheduled.
    GroupStatus {
        /// The PodGroup.
        group: Key,
        /// Its uid.
        uid: String,
        /// What is written.
        condition: Condition,
    },
    /// PATCH `queues/status`, all of it.
    QueueStatus {
        /// The queue.
        queue: Key,
        /// Its uid.
        uid: String,
        /// What is written.
        status: Box<QueueStatus>,
    },
    /// POST an event, for people to read.
    PostEvent(ApiEvent),
}

/// What is written into the status of a pod that is not bound. What is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodStatus {
    /// The condition `PodScheduled`.
    pub condition: Option<Condition>,
    /// The node that is promised; empty = none any longer.
    pub nominated: Option<String>,
}

/// A condition that is about a pod's or a group's scheduling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `True` or `False`.
    pub holds: bool,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
    /// Does the object say the same already, but for the message? Then the time of the last transition stays.
    pub known: bool,
}

/// An event of `events.k8s.io/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiEvent {
    /// What it is about.
    pub regarding: Key,
    /// The uid of that.
    pub uid: String,
    /// `Warning`, or else `Normal`.
    pub warning: bool,
    /// One word, which tools look for.
    pub reason: &'static str,
    /// One word: what was being done.
    pub action: &'static str,
    /// A sentence.
    pub note: String,
}

/// What became of a call.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Done; with the object, where one was asked for.
    Done(Option<Box<Object>>),
    /// The object is not there.
    Missing,
    /// The object is another one, or not as it was thought to be.
    Conflict,
    /// Not now: it had no effect.
    Busy {
        /// To be tried again no sooner than after so long (ms).
        after_ms: u64,
        /// What the server said.
        message: String,
    },
    /// Not ever, as things are: it had no effect.
    Refused {
        /// What the server said.
        message: String,
    },
    /// It was never sent: there was no connection to the API server.
    Unreachable {
        /// What was seen.
        message: String,
    },
    /// No answer, or an error of the server's own: it may have had its effect, now or a little later.
    Unknown {
        /// What was seen.
        message: String,
    },
}

impl Call {
    /// Its kind in one word, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Call::Bind { .. } => "bind",
            Call::Evict { .. } => "evict",
            Call::ReadPod { .. } => "read_pod",
            Call::PodStatus { .. } => "pod_status",
            Call::Volume { .. } => "volume",
            Call::GroupStatus { .. } => "group_status",
            Call::QueueStatus { .. } => "queue_status",
            Call::PostEvent(_) => "event",
        }
    }

    /// The object it is about.
    pub fn object(&self) -> Key {
        match self {
            Call::Bind { pod, .. }
            | Call::Evict { pod, .. }
            | Call::ReadPod { pod, .. }
            | Call::PodStatus { pod, .. } => pod.clone(),
            Call::Volume { step, .. } => step.object(),
            Call::GroupStatus { group, .. } => group.clone(),
            Call::QueueStatus { queue, .. } => queue.clone(),
            Call::PostEvent(event) => event.regarding.clone(),
        }
    }
}

impl Outcome {
    /// Its kind in one word, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Done(_) => "done",
            Outcome::Missing => "missing",
            Outcome::Conflict => "conflict",
            Outcome::Busy { .. } => "busy",
            Outcome::Refused { .. } => "refused",
            Outcome::Unreachable { .. } => "unreachable",
            Outcome::Unknown { .. } => "unknown",
        }
    }
}
