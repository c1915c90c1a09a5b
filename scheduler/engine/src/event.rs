//! What happens to the cluster, as told by a driver, and what is wrong with what was told.

use crate::cluster::{GpuRequest, NodeSpec, PodSpec};
use crate::units::{NodeId, PodId};

/// A change in the world. The engine believes it at once; a contradiction is refused and changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A node joined, empty.
    NodeAdded {
        /// Chosen by the driver, unique among the present nodes.
        node: NodeId,
        /// What it offers.
        spec: NodeSpec,
    },
    /// A node left. Pods placed there are gone with it.
    NodeRemoved {
        /// The node that left.
        node: NodeId,
    },
    /// A pod asks to be placed.
    PodAdded {
        /// Chosen by the driver, never used before.
        pod: PodId,
        /// What it asks for.
        spec: PodSpec,
    },
    /// A pod ended or was deleted, whether it waited or ran.
    PodGone {
        /// The pod that is no more.
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
    /// A node whose MIG instances are not listed as they should be.
    #[error(
        "node `{name}` has an odd list of MIG instances; each profile (`1g.10gb`) once, sorted, at most 65535 of each"
    )]
    BadMigShape {
        /// The node's name.
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
    /// An event about a pod that is not there.
    #[error("{pod} is neither waiting nor placed; it was never added or is already gone")]
    NoSuchPod {
        /// The id in question.
        pod: PodId,
    },
    /// A failed binding of a pod that was never placed.
    #[error("{pod} was reported as not bound, but it has no placement to take back")]
    NotPlaced {
        /// The id in question.
        pod: PodId,
    },
}
