//! Ids, times and units. Integers only, so that sums are exact and comparisons mean the same everywhere.

use std::fmt;

/// Thousandths of one physical GPU, so that shares add up exactly: 0..=1000, 1000 = one GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MilliGpu(pub u16);

/// One whole GPU.
pub const GPU: MilliGpu = MilliGpu(1000);

/// A node, for as long as it exists. The driver numbers nodes; among equally good nodes the smallest number wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// A pod, never reused by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId(pub u64);

/// Milliseconds since an epoch of the driver's choice; only differences and order matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

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

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod #{}", self.0)
    }
}
