//! Nodes, and what keeps tasks off them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Labels;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whole GPUs that can be given out.
    pub gpus: u32,
    /// Memory of each GPU, MiB.
    pub gpu_memory_mib: u64,
    /// *Ours.* GPU model; empty = nameless.
    #[serde(default)]
    pub gpu_model: String,
    /// How its GPUs are split, if they are.
    #[serde(default)]
    pub mig: Option<Mig>,
    /// *Ours.* Other resources by name, whole units; what is not named is not offered.
    #[serde(default)]
    pub others: BTreeMap<String, u64>,
    /// Allocatable CPU, thousandths of a core.
    pub cpu_milli: u64,
    /// Allocatable memory, MiB.
    pub memory_mib: u64,
    /// How many tasks it may hold.
    pub pods: u32,
    /// Labels, for topologies, selectors and affinity.
    #[serde(default)]
    pub labels: Labels,
    /// *Ours.* Taints.
    #[serde(default)]
    pub taints: Vec<Taint>,
    /// *Ours.* Takes no new tasks.
    #[serde(default)]
    pub cordoned: bool,
}

/// How the GPUs of a node are split.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mig {
    /// How the instances are offered.
    pub strategy: MigStrategy,
    /// Instances of each profile.
    pub instances: BTreeMap<String, u32>,
}

/// How MIG instances are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MigStrategy {
    /// By profile.
    Mixed,
    /// As if they were whole GPUs.
    Single,
}

/// A taint, as Kubernetes has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, may be empty.
    #[serde(default)]
    pub value: String,
    /// What it does to tasks that do not tolerate it.
    #[serde(default)]
    pub effect: TaintEffect,
}

/// The taint effects of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum TaintEffect {
    /// New tasks stay away.
    #[default]
    NoSchedule,
    /// New tasks rather stay away.
    PreferNoSchedule,
    /// New tasks stay away, running ones are evicted.
    NoExecute,
}

/// A toleration, as Kubernetes has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Toleration {
    /// Key to match; none matches every key.
    #[serde(default)]
    pub key: Option<String>,
    /// Value to match; none matches every value.
    #[serde(default)]
    pub value: Option<String>,
    /// Effect to match; none matches every effect.
    #[serde(default)]
    pub effect: Option<TaintEffect>,
}
