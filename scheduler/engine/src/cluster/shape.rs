//! What nodes offer and pods ask for, apart from their names: the part that makes two of them interchangeable.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::request::{GpuRequest, are_profiles, mig_milli};
use super::state::GpuIndexes;
use crate::filter::affinity::PodTerms;
use crate::filter::node_affinity::NodeTerm;
use crate::filter::ports::HostPort;
use crate::gang::Stage;
use crate::units::{GangId, NodeId};

/// The most GPUs one node may have. Source: the largest shipping single hosts hold 16 (HGX-2); racks such as NVL72
/// are many nodes to Kubernetes.
pub const GPUS_PER_NODE_MAX: usize = 16;

/// A node as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct NodeSpec {
    /// Name, for people.
    pub name: String,
    /// All that matters for placement.
    pub shape: NodeShape,
}

/// What an empty node offers. Nodes of equal shape are interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
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
    /// Memory of each GPU, MiB; 0 = unknown, then shares are kept in thousandths.
    pub gpu_memory_mib: u32,
    /// How its GPUs are split by MIG, if they are.
    pub mig: Option<MigShape>,
    /// Allocatable amounts of other resources, by Kubernetes' name, in whole units; what is not named is not offered.
    pub others: BTreeMap<Arc<str>, u64>,
}

/// GPUs split by MIG, as the device plugin offers them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct MigShape {
    /// Strategy `single`: instances are given out as if they were whole GPUs, and the node's `gpus` counts them. Else
    /// `mixed`: each profile is a resource of its own, and `gpus` counts only GPUs that are not split.
    pub single: bool,
    /// Instances per profile (`1g.10gb`), sorted by profile, each once.
    pub instances: Vec<(String, u32)>,
}

impl NodeShape {
    /// All its GPUs, thousandths: 1000 for each whole one, N × 1000 for each MIG instance `Ng.…` given out as such.
    pub fn gpu_milli(&self) -> u64 {
        1000 * self.gpus as u64 + mig_milli(self.mig_instances())
    }

    /// The MIG instances that pods can ask for by profile.
    pub fn mig_instances(&self) -> &[(String, u32)] {
        self.mig.as_ref().filter(|mig| !mig.single).map_or(&[], |mig| &mig.instances)
    }

    /// Are its MIG instances listed as they should be, none in absurd numbers?
    pub fn mig_is_possible(&self) -> bool {
        let Some(mig) = &self.mig else { return true };
        are_profiles(&mig.instances) && mig.instances.iter().all(|(_, count)| u16::try_from(*count).is_ok())
    }
}

/// A taint, as Kubernetes has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
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
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
pub struct PodSpec {
    /// Name, for people and as the last tie-breaker among the pods of a gang.
    pub name: String,
    /// All that makes it interchangeable with others.
    pub shape: PodShape,
    /// Higher goes first; for a pod without a gang, since gangs have a priority of their own.
    pub priority: i32,
    /// The gang it belongs to; without one it is a gang of one in the default queue.
    pub gang: Option<Member>,
    /// Pods with an order start first within their gang, those of larger order before others.
    pub order: Option<i64>,
    /// Where it may be beyond what the shape says, and what others see of it.
    pub terms: Option<PodTerms>,
    /// Where it is, for a pod that was started before the engine knew of it.
    pub seat: Option<Seat>,
}

/// Membership in a gang.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Member {
    /// The gang.
    pub gang: GangId,
    /// Name of the subgroup that holds the pod; the root's where there are no others.
    pub subgroup: String,
}

/// Where a pod is and what it does there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Seat {
    /// Not pending.
    pub stage: Stage,
    /// On this node.
    pub node: NodeId,
    /// On these GPUs of it.
    pub gpus: GpuIndexes,
}

/// What a pod asks for. Pods of equal shape are interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
pub struct PodShape {
    /// Requested CPU, thousandths of a core.
    pub cpu_milli: u64,
    /// Requested memory, bytes.
    pub memory_bytes: u64,
    /// Requested GPUs.
    pub gpu: GpuRequest,
    /// Requested MIG instances per profile (`1g.10gb`), sorted by profile, each once; only without other GPUs.
    pub mig: Vec<(String, u32)>,
    /// GPU models it may run on, as written; empty = any. Only asked of pods that want a GPU.
    pub gpu_models: Vec<String>,
    /// Labels a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Required node affinity without names of nodes: one of these terms must be met; empty = none is asked for.
    pub node_affinity: Vec<NodeTerm>,
    /// Taints it puts up with.
    pub tolerations: Vec<Toleration>,
    /// Ports it opens on its node.
    pub host_ports: Vec<HostPort>,
    /// Requested amounts of other resources, by Kubernetes' name, in whole units; 1 or more of each.
    pub others: BTreeMap<Arc<str>, u64>,
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
