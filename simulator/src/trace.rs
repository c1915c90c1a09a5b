//! A cluster and the pods that want to run on it, as rows of a trace, whatever file or generator they came from.
//! Owns no rule of scheduling: the drivers turn rows into engine events.

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Unique name.
    pub name: String,
    /// Allocatable CPU, thousandths of a core.
    pub cpu_milli: u64,
    /// Allocatable memory, MiB.
    pub memory_mib: u64,
    /// Number of GPUs.
    pub gpus: u32,
    /// GPU model; empty on a node without GPUs.
    pub model: String,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRow {
    /// Unique name.
    pub name: String,
    /// Requested CPU, thousandths of a core.
    pub cpu_milli: u64,
    /// Requested memory, MiB.
    pub memory_mib: u64,
    /// Number of GPUs; 0 for a CPU-only pod.
    pub num_gpu: u32,
    /// Thousandths of each GPU, 1..=1000; below 1000 only where `num_gpu` is 1; 0 for a CPU-only pod.
    pub gpu_milli: u32,
    /// GPU models the pod may run on, in file order with repeats (published runs tell such lists apart); empty = any.
    pub gpu_spec: Vec<String>,
    /// Higher goes first.
    pub priority: i32,
    /// Quality of service, as the file has it (LS, BE, Burstable, Guaranteed); empty where the file has none.
    pub qos: String,
    /// When the pod came and how long it runs; `None` in lists without times.
    pub times: Option<PodTimes>,
}

/// When a pod arrives and how long it runs once placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodTimes {
    /// Arrival, seconds from the start of the trace.
    pub arrival_s: u64,
    /// Run time once placed, seconds.
    pub runtime_s: u64,
}

/// A cluster with the pods to place on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The nodes, in file order.
    pub nodes: Vec<NodeRow>,
    /// The pods, in file order.
    pub pods: Vec<PodRow>,
}

impl PodRow {
    /// Requested GPU in thousandths, over all its GPUs.
    pub fn gpu_total_milli(&self) -> u64 {
        u64::from(self.num_gpu) * u64::from(self.gpu_milli)
    }
}

impl NodeRow {
    /// GPU capacity in thousandths.
    pub fn gpu_total_milli(&self) -> u64 {
        u64::from(self.gpus) * 1000
    }
}
