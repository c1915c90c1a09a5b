//! Ids, times and units. Integers only, so that sums are exact and comparisons mean the same everywhere.

use std::fmt;

/// Thousandths of one physical GPU, so that shares add up exactly: 0..=1000, 1000 = one GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MilliGpu(pub u16);

/// One whole GPU.
pub const GPU: MilliGpu = MilliGpu(1000);

/// A node, for as long as it exists. The driver numbers nodes; among equally good nodes the smallest number wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NodeId(pub u32);

/// A pod, never reused by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PodId(pub u64);

/// A gang: pods that start together or not at all. Chosen by the driver, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GangId(pub u64);

/// A queue, for as long as it exists. The driver numbers queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct QueueId(pub u32);

/// Milliseconds since an epoch of the driver's choice; only differences and order matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// So many ms later; the end of time at the latest.
    #[must_use]
    pub fn plus(self, ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    /// So many ms after an earlier time; 0 if that is later.
    pub fn since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl MilliGpu {
    /// As a plain number of thousandths, for sums over many GPUs.
    pub fn milli(self) -> u64 {
        u64::from(self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node #{}", self.0)
    }
}

impl PodId {
    /// Ids from here on are the engine's own.
    pub(crate) const DRIVERS_MAX: u64 = (1 << 63) - 1;

    /// Under this id a pod that moves still holds the place it is leaving.
    pub(crate) fn former(self) -> PodId {
        PodId(self.0 | (1 << 63))
    }

    /// Whose place it is: the pod itself, whether it is there or leaving there for another place.
    pub(crate) fn owner(self) -> PodId {
        PodId(self.0 & Self::DRIVERS_MAX)
    }
}

impl fmt::Display for GangId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gang #{}", self.0)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue #{}", self.0)
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod #{}", self.0)
    }
}
