//! Values of labels. Each set is closed, so that no metric can grow without bound.

use berth_engine::Decision;
use berth_engine::decision::EvictCause;

/// An enum whose variants are the values of a label.
macro_rules! labels {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$about_value:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$about_value])* $value,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [$name] = &[$($name::$value),+];

            /// As it stands in the metric.
            pub const fn label(self) -> &'static str {
                match self { $($name::$value => $text,)+ }
            }
        }
    };
}

labels! {
    /// How an attempt to schedule a pod or a gang ended.
    pub enum Attempt {
        /// Bound.
        Scheduled = "scheduled",
        /// There is no place for it, or it may not have one.
        Unschedulable = "unschedulable",
        /// It has a place once others have left it. kube-scheduler has this for gangs only; of pods it says `unschedulable`.
        WaitingOnPreemption = "waiting_on_preemption",
        /// The scheduler or a call it made failed.
        Error = "error",
    }
}

labels! {
    /// What a pod waits for, in kube-scheduler's words.
    pub enum Queue {
        /// To be decided on.
        Active = "active",
        /// For the time after a failed start to pass.
        Backoff = "backoff",
        /// For room, quota, or whatever else was missing when it was decided on.
        Unschedulable = "unschedulable",
        /// For its scheduling gates to go.
        Gated = "gated",
        /// For the rest of its gang to exist.
        Incomplete = "incomplete",
    }
}

labels! {
    /// Why a pod began to wait where it does, in kube-scheduler's words.
    pub enum Entered {
        /// It is new.
        PodAdded = "UnscheduledPodAdd",
        /// It, or its gang, has changed.
        PodUpdated = "UnscheduledPodUpdate",
        /// It was decided on, or its start was tried, in vain.
        AttemptFailed = "ScheduleAttemptFailure",
        /// It has waited long enough after a failed start.
        BackoffOver = "BackoffComplete",
    }
}

labels! {
    /// A step of kube-scheduler's framework that we have, too.
    pub enum ExtensionPoint {
        /// Volumes and claims are made ready.
        PreBind = "PreBind",
        /// The pod is bound.
        Bind = "Bind",
    }
}

labels! {
    /// What a write to the API server is for.
    pub enum ApiCall {
        /// A pod's binding.
        Bind = "bind",
        /// A device claim's allocation.
        Claim = "claim",
        /// A volume, or the claim for one.
        Volume = "volume",
        /// A pod has to go.
        Evict = "evict",
        /// A pod's conditions, or the node it is promised.
        PodStatus = "pod_status",
        /// A PodGroup's conditions or annotations.
        GroupStatus = "group_status",
        /// A Queue's status.
        QueueStatus = "queue_status",
        /// An Event.
        Event = "event",
    }
}

labels! {
    /// How a write to the API server ended.
    pub enum Outcome {
        /// It took effect.
        Done = "done",
        /// Somebody else changed the object before (409).
        Conflict = "conflict",
        /// The object is gone (404).
        Gone = "gone",
        /// The API server does not allow it (other 4xx).
        Refused = "refused",
        /// The API server has too much to do (429).
        Throttled = "throttled",
        /// It failed on the way or in the API server, and may have taken effect or not.
        Failed = "failed",
        /// No answer came in time: it may have taken effect or not.
        TimedOut = "timed_out",
        /// We did not wait for its end.
        Abandoned = "abandoned",
    }
}

/// Kinds of decisions, as they stand in `berth_decisions_total`.
pub(super) const DECISIONS: [&str; 5] = ["bind", "nominate", "evict", "reserve", "wait"];

pub(super) fn decision(decision: &Decision) -> &'static str {
    match decision {
        Decision::Bind { .. } => "bind",
        Decision::Nominate { .. } => "nominate",
        Decision::Evict { .. } => "evict",
        Decision::Reserve { .. } => "reserve",
        Decision::Wait { .. } => "wait",
    }
}

/// Causes of evictions, as the engine knows them.
pub(super) const CAUSES: [EvictCause; 5] =
    [EvictCause::Consolidate, EvictCause::Reclaim, EvictCause::Preempt, EvictCause::Stale, EvictCause::StartTimeout];

pub(super) fn cause(cause: EvictCause) -> &'static str {
    match cause {
        EvictCause::Consolidate => "consolidate",
        EvictCause::Reclaim => "reclaim",
        EvictCause::Preempt => "preempt",
        EvictCause::Stale => "stale",
        EvictCause::StartTimeout => "start_timeout",
    }
}
