//! Groups of pods: the PodGroups of all systems in one form, since their fields do not contradict each other.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::pod::Condition;
use super::{Meta, or_default};

/// A PodGroup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Group {
    /// Its names.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// What it asks for.
    #[serde(deserialize_with = "or_default")]
    pub spec: GroupSpec,
    /// What is said of it.
    #[serde(deserialize_with = "or_default")]
    pub status: GroupStatus,
}

/// `status` of a PodGroup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GroupStatus {
    /// Aspects of its state. (n)
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
}

/// `spec` of a PodGroup. Which fields there are depends on the system: (n) native, (c) coscheduling, (v) Volcano, (k) KAI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupSpec {
    /// One of the two ways to start. (n)
    pub scheduling_policy: Option<SchedulingPolicy>,
    /// Where its pods must be. (n)
    #[serde(deserialize_with = "or_default")]
    pub scheduling_constraints: SchedulingConstraints,
    /// The group it is part of. (n)
    pub parent_composite_pod_group_name: Option<String>,
    /// Devices its pods share. (n)
    #[serde(deserialize_with = "or_default")]
    pub resource_claims: Vec<Value>,
    /// What is evicted together. (n)
    pub disruption_mode: Option<DisruptionMode>,
    /// Worked out by the API server. (n)
    pub priority: Option<i64>,
    /// A PriorityClass. (n, v, k)
    #[serde(deserialize_with = "or_default")]
    pub priority_class_name: String,
    /// `Never` = it makes nobody give way. (n)
    pub preemption_policy: Option<String>,
    /// So many pods or none. (c, v, k)
    pub min_member: Option<i64>,
    /// So many subgroups or none. (k)
    pub min_sub_group: Option<i64>,
    /// Its queue. (v, k)
    #[serde(deserialize_with = "or_default")]
    pub queue: String,
    /// Minimums by task. (v)
    #[serde(deserialize_with = "or_default")]
    pub min_task_member: BTreeMap<String, Value>,
    /// Closeness in terms of HyperNodes. (v)
    pub network_topology: Option<Value>,
    /// `preemptible` or `non-preemptible`. (k)
    #[serde(deserialize_with = "or_default")]
    pub preemptibility: String,
    /// Where its pods must or should be. (k)
    pub topology_constraint: Option<GroupTopology>,
    /// What it is made of. (k)
    #[serde(deserialize_with = "or_default")]
    pub sub_groups: Vec<GroupSubgroup>,
}

/// One of the two ways to start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SchedulingPolicy {
    /// Each pod for itself.
    pub basic: Option<Empty>,
    /// All together.
    pub gang: Option<GangPolicy>,
}

/// An object without fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Empty {}

/// All together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GangPolicy {
    /// So many pods or none, at least 1.
    pub min_count: Option<i64>,
}

/// Where pods must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SchedulingConstraints {
    /// At most one.
    #[serde(deserialize_with = "or_default")]
    pub topology: Vec<TopologyKey>,
}

/// A domain that all pods share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TopologyKey {
    /// Any node label.
    #[serde(deserialize_with = "or_default")]
    pub key: String,
}

/// What is evicted together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DisruptionMode {
    /// Pods one by one.
    pub single: Option<Empty>,
    /// All or nothing.
    pub all: Option<Empty>,
}

/// Closeness, as KAI has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupTopology {
    /// Name of a topology.
    #[serde(deserialize_with = "or_default")]
    pub topology: String,
    /// Level that must be shared.
    #[serde(deserialize_with = "or_default")]
    pub required_topology_level: String,
    /// Level that should be.
    #[serde(deserialize_with = "or_default")]
    pub preferred_topology_level: String,
}

/// A part of a group, as KAI has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupSubgroup {
    /// Unique in the group.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// So many pods or none.
    pub min_member: Option<i64>,
    /// So many subgroups or none.
    pub min_sub_group: Option<i64>,
    /// The subgroup it is part of; the group itself without one.
    pub parent: Option<String>,
    /// Where its pods must or should be.
    pub topology_constraint: Option<GroupTopology>,
}
