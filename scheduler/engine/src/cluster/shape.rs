//! What nodes offer and pods ask for, apart from their names: the part that makes two of them interchangeable.

use std::collections::BTreeMap;

use crate::units::MilliGpu;

/// The most GPUs one node may have. Source: the largest shipping single hosts hold 16 (HGX-2); racks such as NVL72
/// are many nodes to Kubernetes.
pub const GPUS_PER_NODE_MAX: usize = 16;

/// No pod sensibly asks for more GPUs than this; it keeps sums far from overflow.
const GPUS_ASKED_MAX: usize = 1 << 20;

/// A node as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Name, for people.
    pub name: String,
    /// All that matters for placement.
    pub shape: NodeShape,
}

/// What an empty node offers. Nodes of equal shape are interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NodeShape {
    /// Allocatable CPU, thousandths of a core.
    pub cpu_milli: u64,
    /// Allocatable memory, bytes.
    pub memory_bytes: u64,
    /// How many pods it may run.
    pub pods: u32,
    /// Number of GPUs, at most [`GPUS_PER_NODE_MAX`].
    pub gpus: usize,
    /// GPU model, empty where there is no GPU.
    pub gpu_model: String,
    /// Node labels.
    pub labels: BTreeMap<String, String>,
    /// Node taints.
    pub taints: Vec<Taint>,
    /// Cordoned: takes no new pods.
    pub unschedulable: bool,
}

/// A taint, as Kubernetes has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taint {
    /// Taint key.
    pub key: String,
    /// Taint value, may be empty.
    pub value: String,
    /// What it does to pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// The taint effects of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaintEffect {
    /// New pods stay away.
    NoSchedule,
    /// New pods prefer to stay away; never a reason to refuse.
    PreferNoSchedule,
    /// New pods stay away and running ones are evicted by Kubernetes.
    NoExecute,
}

/// A toleration, as Kubernetes has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Toleration {
    /// Key to match; `None` matches every key.
    pub key: Option<String>,
    /// Value to match; `None` is the operator `Exists`.
    pub value: Option<String>,
    /// Effect to match; `None` matches every effect.
    pub effect: Option<TaintEffect>,
}

impl Toleration {
    /// Does this toleration cover the taint?
    pub fn covers(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
            && self.effect.is_none_or(|effect| effect == taint.effect)
    }
}

/// A pod as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSpec {
    /// Name, for people.
    pub name: String,
    /// All that matters for where it may run.
    pub shape: PodShape,
    /// Higher goes first.
    pub priority: i32,
}

/// What a pod asks for. Pods of equal shape are interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PodShape {
    /// Requested CPU, thousandths of a core.
    pub cpu_milli: u64,
    /// Requested memory, bytes.
    pub memory_bytes: u64,
    /// Requested GPUs.
    pub gpu: GpuRequest,
    /// GPU models it may run on, as written; empty = any. Only asked of pods that want a GPU.
    pub gpu_models: Vec<String>,
    /// Labels a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints it puts up with.
    pub tolerations: Vec<Toleration>,
}

/// GPUs asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum GpuRequest {
    /// No GPU.
    #[default]
    None,
    /// A share of one GPU, less than all of it.
    Share(MilliGpu),
    /// This many GPUs, each whole.
    Whole(usize),
}

impl GpuRequest {
    /// All GPUs together, thousandths.
    pub fn total_milli(self) -> u64 {
        match self {
            GpuRequest::None => 0,
            GpuRequest::Share(share) => share.milli(),
            GpuRequest::Whole(count) => 1000 * count as u64,
        }
    }

    /// Can any GPU meet this? A share is part of one GPU, a count at least one and not absurd.
    pub fn is_possible(self) -> bool {
        match self {
            GpuRequest::None => true,
            GpuRequest::Share(share) => (1..1000).contains(&share.0),
            GpuRequest::Whole(count) => (1..=GPUS_ASKED_MAX).contains(&count),
        }
    }

    /// How many GPUs it touches.
    pub fn count(self) -> usize {
        match self {
            GpuRequest::None => 0,
            GpuRequest::Share(_) => 1,
            GpuRequest::Whole(count) => count,
        }
    }

    /// What it takes of each GPU it touches.
    pub fn per_gpu(self) -> MilliGpu {
        match self {
            GpuRequest::None => MilliGpu(0),
            GpuRequest::Share(share) => share,
            GpuRequest::Whole(_) => crate::units::GPU,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toleration_covers_what_it_names_and_everything_it_leaves_open() {
        let taint = Taint { key: "team".into(), value: "ml".into(), effect: TaintEffect::NoSchedule };
        let cases = [
            ("everything", None, None, None, true),
            ("the key, whatever the value", Some("team"), None, None, true),
            ("key and value", Some("team"), Some("ml"), None, true),
            ("another value", Some("team"), Some("web"), None, false),
            ("another key", Some("zone"), None, None, false),
            ("this effect", Some("team"), Some("ml"), Some(TaintEffect::NoSchedule), true),
            ("another effect", Some("team"), Some("ml"), Some(TaintEffect::NoExecute), false),
        ];
        for (case, key, value, effect, covers) in cases {
            let toleration = Toleration { key: key.map(str::to_owned), value: value.map(str::to_owned), effect };
            assert_eq!(toleration.covers(&taint), covers, "{case}");
        }
    }
}
