//! Why a chunk was not placed: what the search answers, and the passes, reports and remedies go by.

use crate::units::QueueId;

/// Why a chunk was not placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Miss {
    /// A queue on the way up would be over its limit of a resource.
    Limit { queue: QueueId, resource: usize, used: i64 },
    /// The gang is not preemptible, and a queue would use more than it deserves.
    Deserved { queue: QueueId, resource: usize, used: i64 },
    /// There is no room.
    Room,
    /// There may be room, but the search was cut off.
    Steps,
}

impl std::fmt::Display for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Miss::Limit { queue, used, .. } => write!(f, "{queue} would use {used}, over its limit"),
            Miss::Deserved { queue, used, .. } => write!(f, "{queue} would use {used}, more than it deserves"),
            Miss::Room => f.write_str("no room"),
            Miss::Steps => f.write_str("search cut off"),
        }
    }
}

/// A kind of bound on what queues use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Limits.
    Limit,
    /// What is deserved, for gangs that are not preemptible.
    Deserved,
}
