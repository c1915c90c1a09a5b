//! What is left on one node: the part that changes as pods come and go.

use smallvec::SmallVec;

use super::shape::{GpuRequest, NodeShape, PodShape};
use crate::units::{GPU, MilliGpu};

/// Per-GPU quantities of one node, by GPU index.
pub type PerGpu<T> = SmallVec<[T; 8]>;

/// What is free on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Free {
    /// CPU left, thousandths of a core.
    pub cpu_milli: u64,
    /// Memory left, bytes.
    pub memory_bytes: u64,
    /// Pods it may still take.
    pub pods: u32,
    /// What is left of each GPU, by index.
    pub gpus: PerGpu<MilliGpu>,
}

/// The indexes of the GPUs a pod uses on its node, ascending.
pub type GpuIndexes = SmallVec<[u8; 8]>;

impl Free {
    /// All that an empty node of this shape offers.
    pub fn all_of(shape: &NodeShape) -> Self {
        Free {
            cpu_milli: shape.cpu_milli,
            memory_bytes: shape.memory_bytes,
            pods: shape.pods,
            gpus: SmallVec::from_elem(GPU, shape.gpus),
        }
    }

    /// GPU left over all GPUs, thousandths.
    pub fn gpu_milli(&self) -> u64 {
        self.gpus.iter().map(|left| left.milli()).sum()
    }

    /// How many GPUs have at least this much left.
    pub fn gpus_with(&self, at_least: MilliGpu) -> usize {
        self.gpus.iter().filter(|left| **left >= at_least).count()
    }

    /// The GPUs of lowest index that are whole and free, if there are `count` of them.
    pub fn whole_gpus(&self, count: usize) -> Option<GpuIndexes> {
        let free = (0u8..).zip(&self.gpus).filter(|(_, left)| **left == GPU);
        let found: GpuIndexes = free.map(|(index, _)| index).take(count).collect();
        (found.len() == count).then_some(found)
    }

    /// Takes a pod's request, on these GPUs. The caller has checked that it fits.
    pub fn take(&mut self, pod: &PodShape, gpus: &[u8]) {
        self.cpu_milli -= pod.cpu_milli;
        self.memory_bytes -= pod.memory_bytes;
        self.pods -= 1;
        for &gpu in gpus {
            self.gpus[usize::from(gpu)].0 -= pod.gpu.per_gpu().0;
        }
    }

    /// Gives a pod's request back, the inverse of [`Free::take`].
    pub fn give_back(&mut self, pod: &PodShape, gpus: &[u8]) {
        self.cpu_milli += pod.cpu_milli;
        self.memory_bytes += pod.memory_bytes;
        self.pods += 1;
        for &gpu in gpus {
            self.gpus[usize::from(gpu)].0 += pod.gpu.per_gpu().0;
        }
    }
}

/// Which kinds of GPU pods run on a node: bit 0 for shares, bit n for pods with n whole GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GpuKinds(u32);

impl GpuKinds {
    /// The kind of one request; none for a pod without GPUs.
    pub fn of(request: GpuRequest) -> Self {
        match request {
            GpuRequest::None => GpuKinds(0),
            GpuRequest::Share(_) => GpuKinds(1),
            GpuRequest::Whole(count) => GpuKinds(1 << count),
        }
    }

    /// Are all of `other` in here?
    pub fn contain(self, other: GpuKinds) -> bool {
        self.0 & other.0 == other.0
    }

    /// No GPU pod at all?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both together.
    pub fn with(self, other: GpuKinds) -> Self {
        GpuKinds(self.0 | other.0)
    }
}
