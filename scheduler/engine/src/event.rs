//! What happens to the cluster, as told by a driver, and what is wrong with what was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{GpuRequest, NodeSpec, PodSpec};
use crate::filter::volumes::VolumeTerms;
use crate::gang::GangSpec;
use crate::queue::QueueSpec;
use crate::rules::Rules;
use crate::state::Budget;
use crate::units::{GangId, NodeId, PodId, QueueId, Timestamp};

/// A change in the world. The engine believes it at once; a contradiction is refused and changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "told one by one and taken apart at once; most of them are pods")]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)
)]
pub enum Event {
    /// Other rules hold from now on, for those who wait and for those who run.
    RulesSet {
        /// All of them.
        rules: Box<Rules>,
    },
    /// A node joined, empty.
    NodeAdded {
        /// Chosen by the driver, unique among the present nodes.
        node: NodeId,
        /// What it offers.
        spec: NodeSpec,
    },
    /// What a node offers has changed; the pods on it stay. While more is in use there than it offers, it takes no further pod.
    NodeChanged {
        /// The node, as it was added.
        node: NodeId,
        /// What it offers now.
        spec: NodeSpec,
    },
    /// A node left. Pods placed there are gone with it.
    NodeRemoved {
        /// The node that left.
        node: NodeId,
    },
    /// How many volumes a node can attach; nothing is known of that for a node that joins.
    VolumeLimits {
        /// The node.
        node: NodeId,
        /// By driver; one that is not named has no limit.
        limits: BTreeMap<Arc<str>, u32>,
    },
    /// A topology is known from now on, or has other levels.
    TopologySet {
        /// Its name.
        name: String,
        /// Node label keys, the widest level first.
        levels: Vec<String>,
    },
    /// A queue is there, or is entitled to something else.
    QueueSet {
        /// Chosen by the driver; [`crate::Engine::DEFAULT_QUEUE`] is always there.
        queue: QueueId,
        /// What it is entitled to.
        spec: QueueSpec,
    },
    /// What a queue had used of late when this was last written down; for a start after a stop.
    UsageRestored {
        /// The queue.
        queue: QueueId,
        /// GPU-thousandths times ms, as read from [`crate::Engine::usage_ms`].
        amount_ms: u128,
        /// When it was read: since then it has decayed.
        at: Timestamp,
    },
    /// A queue is gone; it must be empty.
    QueueRemoved {
        /// The queue that left.
        queue: QueueId,
    },
    /// A PodDisruptionBudget is there, or allows something else.
    BudgetSet {
        /// Its name.
        name: String,
        /// What it allows.
        budget: Budget,
    },
    /// A gang is there; its pods follow.
    GangAdded {
        /// Chosen by the driver, never used before.
        gang: GangId,
        /// What it is.
        spec: GangSpec,
    },
    /// Something about a gang has changed: not its queue, its tree or whether it is preemptible.
    GangChanged {
        /// The gang.
        gang: GangId,
        /// All of it, as it is now.
        spec: GangSpec,
    },
    /// A gang is gone; its pods went before.
    GangRemoved {
        /// The gang that is no more.
        gang: GangId,
    },
    /// A pod asks to be placed, or is found somewhere.
    PodAdded {
        /// Chosen by the driver, never used before.
        pod: PodId,
        /// What it asks for.
        spec: PodSpec,
    },
    /// A pod's volumes ask for something else: its claims were given volumes, or other ones are free for them. It stays where
    /// it is; a promise of a place where they cannot be falls.
    VolumesChanged {
        /// The pod.
        pod: PodId,
        /// All they ask for now, if anything.
        volumes: Option<Arc<VolumeTerms>>,
    },
    /// A pod ended or was deleted, whether it waited or ran.
    PodGone {
        /// The pod that is no more.
        pod: PodId,
    },
    /// A pod ended well: its gang is not broken by that.
    PodSucceeded {
        /// The pod that is over.
        pod: PodId,
    },
    /// A pod that was bound runs.
    Confirmed {
        /// The pod that runs.
        pod: PodId,
    },
    /// A nomination is not kept any longer: the pod waits again, in its old turn.
    NominationExpired {
        /// The pod that was nominated.
        pod: PodId,
    },
    /// A pod that was told to stop does not go; nobody counts on its place any longer.
    PodStuck {
        /// The pod that stays.
        pod: PodId,
    },
    /// The cluster refused the binding the engine had booked: the pod waits again, in its old turn.
    BindFailed {
        /// The pod that was not bound.
        pod: PodId,
    },
}

/// Why an event was refused. The engine is unchanged; the driver should relist the object named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Two nodes with one id.
    #[error("{node} was added twice (`{name}` the second time); remove the old one first")]
    NodeTwice {
        /// The id in question.
        node: NodeId,
        /// Name given with the second.
        name: String,
    },
    /// A node outside what the engine models.
    #[error("node `{name}` has {gpus} GPUs; at most {limit} per node are supported")]
    TooManyGpus {
        /// The node's name.
        name: String,
        /// How many GPUs it claims.
        gpus: usize,
        /// The limit.
        limit: usize,
    },
    /// A node whose MIG instances are not listed as they should be.
    #[error(
        "node `{name}` has an odd list of MIG instances; each profile (`1g.10gb`) once, sorted, at most 65535 of each"
    )]
    BadMigShape {
        /// The node's name.
        name: String,
    },
    /// An event about a node that is not there.
    #[error("{node} is not in the cluster; add it before naming it")]
    NoSuchNode {
        /// The id in question.
        node: NodeId,
    },
    /// Two pods with one id.
    #[error("{pod} was added twice (`{name}` the second time); pod ids must not be reused")]
    PodTwice {
        /// The id in question.
        pod: PodId,
        /// Name given with the second.
        name: String,
    },
    /// A request no GPU can meet.
    #[error(
        "pod `{name}` asks for {asked}; a share is 1 to 999 thousandths or at least 1 MiB of each of 1 to 16 GPUs, a count 1 or more"
    )]
    BadGpuRequest {
        /// The pod's name.
        name: String,
        /// What it asks for.
        asked: GpuRequest,
    },
    /// A request for MIG instances that no node can meet.
    #[error(
        "pod `{name}` has an odd list of MIG instances; each profile (`1g.10gb`) once, sorted, 1 or more, and no other GPUs"
    )]
    BadMigRequest {
        /// The pod's name.
        name: String,
    },
    /// An event about a queue that is not there.
    #[error("{queue} is not there; add it before naming it")]
    NoSuchQueue {
        /// The id in question.
        queue: QueueId,
    },
    /// A queue above itself.
    #[error("queue `{name}` would be below itself; give it another parent")]
    QueueUnderItself {
        /// The queue's name.
        name: String,
    },
    /// Gangs and queues in one queue.
    #[error("queue `{name}` would hold both gangs and queues; gangs belong in leaf queues")]
    QueueNotLeaf {
        /// The queue's name.
        name: String,
    },
    /// A queue that something is in cannot go.
    #[error("queue `{name}` still has gangs or queues in it; remove these first")]
    QueueInUse {
        /// The queue's name.
        name: String,
    },
    /// Two gangs with one id.
    #[error("{gang} was added twice (`{name}` the second time); gang ids must not be reused")]
    GangTwice {
        /// The id in question.
        gang: GangId,
        /// Name given with the second.
        name: String,
    },
    /// An event about a gang that is not there.
    #[error("{gang} is not there; add it before naming it")]
    NoSuchGang {
        /// The id in question.
        gang: GangId,
    },
    /// A gang with pods cannot go.
    #[error("gang `{name}` still has pods; remove these first")]
    GangInUse {
        /// The gang's name.
        name: String,
    },
    /// What a gang is made of does not change.
    #[error("gang `{name}` cannot change its queue, its subgroups or whether it is preemptible; add it anew")]
    GangFixed {
        /// The gang's name.
        name: String,
    },
    /// A pod in a subgroup its gang does not have, or that holds no pods.
    #[error(
        "pod `{name}` belongs to subgroup `{subgroup}`, which its gang does not have or which holds no pods itself"
    )]
    NoSuchSubgroup {
        /// The pod's name.
        name: String,
        /// The subgroup.
        subgroup: String,
    },
    /// A pod that cannot be where it is said to be.
    #[error(
        "pod `{name}` is said to be on {node}, where there is no room for it on the GPUs named; relist the node's pods"
    )]
    NoSeat {
        /// The pod's name.
        name: String,
        /// The node.
        node: NodeId,
    },
    /// An event about a pod that is not there.
    #[error("{pod} is neither waiting nor placed; it was never added or is already gone")]
    NoSuchPod {
        /// The id in question.
        pod: PodId,
    },
    /// An event that does not go with what the pod is doing.
    #[error("{pod} is not at the stage this event is about; relist it")]
    NotPlaced {
        /// The id in question.
        pod: PodId,
    },
}
