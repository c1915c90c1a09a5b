//! What comes out of a cycle, with the reasons.

use std::fmt;
use std::sync::Arc;

use crate::cluster::GpuIndexes;
use crate::filter::{Constraint, Resource};
use crate::placement::Policy;
use crate::units::{NodeId, PodId};

/// What the engine decided, and has booked already: the driver carries it out and reports what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The pod has a place; bind it.
    Bind {
        /// The pod and its place.
        slot: Slot,
        /// Why there.
        because: Choice,
    },
    /// The pod stays queued, for what still holds when the cycle is over. A pod is told in the cycle after it came; it is
    /// tried again whenever room appears, and the first of its shape is told when something else keeps it out.
    Wait {
        /// The pod that waits.
        pod: PodId,
        /// What it waits for.
        why: Arc<Unplaceable>,
    },
}

/// A place for one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
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
pub struct Unplaceable {
    /// Nodes in the cluster.
    pub nodes: usize,
    /// What ruled them out, in the order the rules are tried. A node counts under the first rule that rejects it, and
    /// under every resource it lacks.
    pub ruled_out: Vec<RuledOut>,
    /// Would it fit if nothing else ran? If not, waiting is in vain until nodes join or the request changes.
    pub fits_when_empty: bool,
}

/// One reason and how far it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuledOut {
    /// The rule.
    pub constraint: Constraint,
    /// How many nodes it ruled out.
    pub nodes: usize,
    /// For a resource: by how much the nearest of these nodes missed, in the resource's unit.
    pub nearest_miss: Option<u64>,
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
            Resource::Mig => write!(f, " (nearest by {miss})"),
        }
    }
}
