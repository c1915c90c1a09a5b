//! What comes out of a cycle, with the reasons.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::cluster::GpuIndexes;
use crate::filter::{Constraint, Resource};
use crate::placement::Policy;
use crate::units::{GangId, NodeId, PodId, Timestamp};

/// Decisions of one transaction share a plan: all of them are carried out, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PlanId(pub u64);

/// What the engine decided, and has booked already: the driver carries it out and reports what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)
)]
pub enum Decision {
    /// These pods have a place; bind them.
    Bind {
        /// The transaction.
        plan: PlanId,
        /// Whose pods.
        gang: GangId,
        /// Each with its place and why there.
        pods: Vec<Assigned>,
    },
    /// These pods will have a place once others have left it.
    Nominate {
        /// The transaction.
        plan: PlanId,
        /// Whose pods.
        gang: GangId,
        /// Each with its place and why there.
        pods: Vec<Assigned>,
    },
    /// These pods have to go. One that is nominated under the same plan moves there.
    Evict {
        /// The transaction.
        plan: PlanId,
        /// Who has to go; perhaps of several gangs.
        pods: Vec<PodId>,
        /// For whom, if for anybody.
        claimant: Option<GangId>,
        /// By which right.
        cause: EvictCause,
    },
    /// A place is kept for the gang, which is the first of its queue that does not fit.
    Reserve {
        /// Whose place.
        gang: GangId,
        /// From then on, if it is known when the place will be free.
        from: Option<Timestamp>,
    },
    /// The gang stays queued, for what still holds when the cycle is over. A gang is told in the cycle after it came; it is
    /// tried again whenever room appears, and the first of its kind is told when something else keeps it out.
    Wait {
        /// The gang that waits.
        gang: GangId,
        /// The first of its pods that waits.
        pod: PodId,
        /// What it waits for.
        why: Arc<Why>,
    },
}

/// By which right pods are evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum EvictCause {
    /// They move, so that what is free is in one place.
    Consolidate,
    /// Their queue has more than its share.
    Reclaim,
    /// Higher priority in their own queue.
    Preempt,
    /// Their gang has been below its minimum for too long.
    Stale,
    /// Their gang has taken too long to start together.
    StartTimeout,
}

/// A pod's place, and why there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Assigned {
    /// The place.
    pub slot: Slot,
    /// Why there.
    pub because: Choice,
}

/// Why a gang waits, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Why {
    /// What holds it up.
    pub cause: WaitCause,
    /// A place is kept for it: from when on, if that is known.
    pub reserved: Option<Option<Timestamp>>,
    /// The smallest change that would admit it, where one was found.
    pub remedy: Option<Remedy>,
}

/// What would admit a gang that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)
)]
pub enum Remedy {
    /// Higher limits, all of these.
    RaiseLimits {
        /// What is in the way, from the gang's queue upwards.
        bounds: Vec<OverQuota>,
    },
    /// Queues that deserve more, all of these, or a gang that is preemptible.
    RaiseDeserved {
        /// What is in the way, from the gang's queue upwards.
        bounds: Vec<OverQuota>,
    },
    /// Being together at a wider level is enough; `None` = anywhere.
    WiderTopology {
        /// The level.
        level: Option<String>,
    },
    /// Room would be there without these, which the rules do not let it evict.
    Without {
        /// The gangs, by name.
        gangs: Vec<String>,
    },
}

/// What holds a gang up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)
)]
pub enum WaitCause {
    /// Too few of its pods exist.
    Quorum {
        /// There are so many.
        have: u32,
        /// It needs so many.
        need: u32,
    },
    /// A queue would be over its limit.
    Limit(OverQuota),
    /// The gang is not preemptible and its queue would use more than it deserves.
    Deserved(OverQuota),
    /// There is no room.
    Room {
        /// So many of the pods it needs would fit at once, each kind by itself.
        fit: u64,
        /// So many are needed.
        need: u64,
        /// Why there are no more places for the kind of pod that misses most.
        nodes: Arc<Unplaceable>,
    },
    /// There is room, but it is reserved, and the gang is not known to end before others start there.
    Kept {
        /// Those who have reservations, by name.
        gangs: Vec<String>,
    },
    /// The search was cut off before it had tried everything.
    Steps,
    /// Its start has failed more than once: it is tried again then.
    BackOff {
        /// Then.
        until: Timestamp,
    },
}

/// How a queue's bound is exceeded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct OverQuota {
    /// The queue's name.
    pub queue: String,
    /// The resource's name: `gpu`, `cpu`, `memory` or `gpu:<model>`.
    pub resource: String,
    /// What would be used, in the resource's unit.
    pub would_use: i64,
    /// What may be.
    pub bound: i64,
}

impl Why {
    /// Does this say the same for a user's purposes, figures aside?
    pub(crate) fn is_like(&self, other: &Why) -> bool {
        if self.reserved.is_some() != other.reserved.is_some() {
            return false;
        }
        match (&self.cause, &other.cause) {
            (WaitCause::Room { nodes: mine, .. }, WaitCause::Room { nodes: theirs, .. }) => {
                let constraints =
                    |nodes: &Unplaceable| nodes.ruled_out.iter().map(|rule| rule.constraint).collect::<Vec<_>>();
                constraints(mine) == constraints(theirs)
            }
            (WaitCause::Limit(mine), WaitCause::Limit(theirs))
            | (WaitCause::Deserved(mine), WaitCause::Deserved(theirs)) => {
                (&mine.queue, &mine.resource) == (&theirs.queue, &theirs.resource)
            }
            (mine, theirs) => std::mem::discriminant(mine) == std::mem::discriminant(theirs),
        }
    }

    /// Why no node would do, where that is the reason.
    pub fn unplaceable(&self) -> Option<&Arc<Unplaceable>> {
        match &self.cause {
            WaitCause::Room { nodes, .. } => Some(nodes),
            _ => None,
        }
    }
}

/// A place for one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Slot {
    /// Whose place.
    pub pod: PodId,
    /// On this node.
    pub node: NodeId,
    /// On these of its GPUs; empty for a pod without GPUs.
    pub gpus: GpuIndexes,
}

/// Why a node was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Choice {
    /// By this policy.
    pub policy: Policy,
    /// The pod has to wait there until others have left. Nodes where it can start at once go first.
    pub waits: bool,
    /// The least loss, in the policy's own unit; what the policy minimises.
    pub loss: i64,
    /// The loss on the next best node in another state, if the pod would have fitted there too.
    pub next_loss: Option<i64>,
}

/// Why a pod has no place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Unplaceable {
    /// Nodes in the cluster.
    pub nodes: usize,
    /// What ruled them out, in the order the rules are tried. A node counts under the first rule that rejects it, and
    /// under every resource it lacks.
    pub ruled_out: Vec<RuledOut>,
    /// Would it fit if nothing else ran? If not, waiting is in vain until nodes join or the request changes.
    pub fits_when_empty: bool,
    /// Where the pod asks for several resources that count as one above ([`Resource::Mig`], [`Resource::Other`]): the nodes
    /// short of each, by its name in Kubernetes.
    pub short_of: BTreeMap<String, usize>,
}

/// One reason and how far it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct RuledOut {
    /// The rule.
    pub constraint: Constraint,
    /// How many nodes it ruled out.
    pub nodes: usize,
    /// For a resource: by how much the nearest of these nodes missed, in the resource's unit.
    pub nearest_miss: Option<u64>,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            WaitCause::Quorum { have, need } => write!(f, "{have}/{need} pods exist"),
            WaitCause::Limit(over) => write!(f, "{over} is its limit"),
            WaitCause::Deserved(over) => write!(f, "{over} is all it deserves, and the gang is not preemptible"),
            WaitCause::Room { fit: 1, need: 1, nodes } if nodes.ruled_out.is_empty() => {
                write!(f, "there is room for it, but not where it must be")
            }
            WaitCause::Room { need: 1, nodes, .. } => write!(f, "{nodes}"),
            WaitCause::Room { fit, need, nodes } if fit < need && nodes.ruled_out.is_empty() => {
                write!(f, "{fit}/{need} pods fit at once")
            }
            WaitCause::Room { fit, need, nodes } if fit < need => write!(f, "{fit}/{need} pods fit: {nodes}"),
            WaitCause::Room { need, .. } => write!(f, "all {need} pods fit one by one, but not together"),
            WaitCause::BackOff { .. } => write!(f, "its start has failed repeatedly; it is tried again after a while"),
            WaitCause::Kept { gangs } => {
                write!(f, "the room it needs is kept for {}, and it may not end in time", quoted(gangs))
            }
            WaitCause::Steps => write!(f, "the search was cut off before it had tried every way"),
        }?;
        if let Some(remedy) = &self.remedy {
            write!(f, "; {remedy}")?;
        }
        if self.reserved.is_some() {
            write!(f, "; a place is kept for it")?;
        }
        Ok(())
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remedy::RaiseLimits { bounds } => {
                let raise = |over: &OverQuota| {
                    format!("the {} limit of queue `{}` by {}", over.resource, over.queue, over.would_use - over.bound)
                };
                write!(f, "raising {} would admit it", bounds.iter().map(raise).collect::<Vec<_>>().join(" and "))
            }
            Remedy::RaiseDeserved { bounds } => {
                let more = |over: &OverQuota| {
                    format!("{} more {} deserved by queue `{}`", over.would_use - over.bound, over.resource, over.queue)
                };
                let more = bounds.iter().map(more).collect::<Vec<_>>().join(" and ");
                write!(f, "{more}, or being preemptible, would admit it")
            }
            Remedy::WiderTopology { level: Some(level) } => write!(f, "it would fit within one `{level}`"),
            Remedy::WiderTopology { level: None } => write!(f, "it would fit without the required topology"),
            Remedy::Without { gangs } => {
                write!(f, "it would fit without {}, which it may not evict", quoted(gangs))
            }
        }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for OverQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue `{}` would use {} {} where {}", self.queue, self.would_use, self.resource, self.bound)
    }
}

impl fmt::Display for Unplaceable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0/{} nodes fit", self.nodes)?;
        for (index, reason) in self.ruled_out.iter().enumerate() {
            write!(f, "{} {reason}", if index == 0 { ":" } else { "," })?;
        }
        if !self.fits_when_empty && self.nodes > 0 {
            write!(f, "; no node could take it even when empty")?;
        }
        Ok(())
    }
}

impl fmt::Display for RuledOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.nodes, self.constraint)?;
        let (Constraint::Lack(resource), Some(miss)) = (self.constraint, self.nearest_miss) else { return Ok(()) };
        match resource {
            Resource::Pods => Ok(()),
            Resource::Cpu => write!(f, " (nearest by {}.{:03} cores)", miss / 1000, miss % 1000),
            Resource::Memory => write!(f, " (nearest by {} MiB)", miss.div_ceil(1 << 20)),
            Resource::Gpus => write!(f, " (nearest by {miss})"),
            Resource::GpuShare => write!(f, " (nearest by {}.{:03} GPU)", miss / 1000, miss % 1000),
            Resource::GpuMemory => write!(f, " (nearest by {miss} MiB)"),
            Resource::Mig | Resource::Other => write!(f, " (nearest by {miss})"),
        }
    }
}
