//! Enough must be left on the node, of everything the pod asks for.

use std::fmt;

use crate::cluster::{Free, GpuRequest, PodShape};
use crate::units::GPU;

/// What a node can run short of, in the order kube-scheduler reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Room for one more pod; unit: pods.
    Pods,
    /// CPU; unit: thousandths of a core.
    Cpu,
    /// Memory; unit: bytes.
    Memory,
    /// GPUs that are whole and free; unit: GPUs.
    Gpus,
    /// Room on one GPU; unit: thousandths of a GPU.
    GpuShare,
}

impl Resource {
    /// Every resource, in reporting order.
    pub const ALL: [Resource; 5] =
        [Resource::Pods, Resource::Cpu, Resource::Memory, Resource::Gpus, Resource::GpuShare];

    /// How much of this the node is short of for the pod; 0 where there is enough.
    pub fn missing(self, free: &Free, pod: &PodShape) -> u64 {
        match (self, pod.gpu) {
            (Resource::Pods, _) => u64::from(free.pods == 0),
            (Resource::Cpu, _) => pod.cpu_milli.saturating_sub(free.cpu_milli),
            (Resource::Memory, _) => pod.memory_bytes.saturating_sub(free.memory_bytes),
            (Resource::Gpus, GpuRequest::Whole(count)) => count.saturating_sub(free.gpus_with(GPU)) as u64,
            (Resource::GpuShare, GpuRequest::Share(share)) => {
                let roomiest = free.gpus.iter().max().map_or(0, |left| left.milli());
                share.milli().saturating_sub(roomiest)
            }
            _ => 0,
        }
    }
}

/// Is there enough of everything?
pub(crate) fn fit(free: &Free, pod: &PodShape) -> bool {
    Resource::ALL.iter().all(|resource| resource.missing(free, pod) == 0)
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Pods => "room for pods",
            Resource::Cpu => "CPU",
            Resource::Memory => "memory",
            Resource::Gpus => "whole free GPUs",
            Resource::GpuShare => "room on one GPU",
        })
    }
}
