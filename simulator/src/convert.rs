//! Rows of a trace as the engine wants them.

use std::collections::BTreeMap;

use berth_engine::{GpuRequest, MilliGpu, NodeShape, NodeSpec, PodShape, PodSpec};

use crate::trace::{NodeRow, PodRow};

/// Pods one node may run. Source: fgd-protocol, section 1 (upstream sets 1001, which never binds); the trace has no such
/// column.
const PODS_PER_NODE: u32 = 1001;

const BYTES_PER_MIB: u64 = 1 << 20;

/// A node row as a node of the engine.
pub fn node(row: &NodeRow) -> NodeSpec {
    let shape = NodeShape {
        cpu_milli: row.cpu_milli,
        memory_bytes: row.memory_mib.saturating_mul(BYTES_PER_MIB),
        pods: PODS_PER_NODE,
        gpus: row.gpus as usize,
        gpu_model: row.model.clone(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
        unschedulable: false,
        gpu_memory_mib: 0,
        mig: None,
        others: Default::default(),
    };
    NodeSpec { name: row.name.clone(), shape }
}

/// A pod row as a pod of the engine.
pub fn pod(row: &PodRow) -> PodSpec {
    let gpu = match (row.num_gpu, row.gpu_milli) {
        (0, _) => GpuRequest::None,
        (1, milli @ 0..1000) => GpuRequest::share(MilliGpu(milli as u16)),
        (count, _) => GpuRequest::Whole(count as usize),
    };
    let shape = PodShape {
        cpu_milli: row.cpu_milli,
        memory_bytes: row.memory_mib.saturating_mul(BYTES_PER_MIB),
        others: Default::default(),
        gpu,
        mig: Vec::new(),
        gpu_models: row.gpu_spec.clone(),
        node_selector: BTreeMap::new(),
        tolerations: Vec::new(),
        node_affinity: Vec::new(),
        host_ports: Vec::new(),
    };
    PodSpec { name: row.name.clone(), shape, priority: row.priority, ..PodSpec::default() }
}
