//! A pod, as far as it is used.

use std::collections::BTreeMap;

use berth_config::crd::Amount;
use serde::Deserialize;
use serde_json::Value;

use super::{Meta, PodVolume, or_default};

/// Amounts by resource, as written.
pub type Amounts = BTreeMap<String, Amount>;

/// `v1` Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its names and labels.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// What it asks for.
    #[serde(deserialize_with = "or_default")]
    pub spec: PodSpec,
    /// What became of it.
    #[serde(deserialize_with = "or_default")]
    pub status: PodStatus,
}

/// `spec` of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Who places it.
    #[serde(deserialize_with = "or_default")]
    pub scheduler_name: String,
    /// Where it is bound to.
    #[serde(deserialize_with = "or_default")]
    pub node_name: String,
    /// Worked out by the API server from its class.
    pub priority: Option<i32>,
    /// `Never` = it makes nobody give way.
    pub preemption_policy: Option<String>,
    /// Run side by side.
    #[serde(deserialize_with = "or_default")]
    pub containers: Vec<Container>,
    /// Run one after the other, before the others; restartable ones go on.
    #[serde(deserialize_with = "or_default")]
    pub init_containers: Vec<Container>,
    /// What the sandbox itself takes.
    #[serde(deserialize_with = "or_default")]
    pub overhead: Amounts,
    /// Of the pod as a whole; overrides what containers say.
    pub resources: Option<Resources>,
    /// Labels a node must have.
    #[serde(deserialize_with = "or_default")]
    pub node_selector: BTreeMap<String, String>,
    /// Rules about nodes and other pods.
    #[serde(deserialize_with = "or_default")]
    pub affinity: Affinity,
    /// Taints it puts up with.
    #[serde(deserialize_with = "or_default")]
    pub tolerations: Vec<Toleration>,
    /// Rules about even spreading.
    #[serde(deserialize_with = "or_default")]
    pub topology_spread_constraints: Vec<Spread>,
    /// Its volumes.
    #[serde(deserialize_with = "or_default")]
    pub volumes: Vec<PodVolume>,
    /// Nobody places it while there are any.
    #[serde(deserialize_with = "or_default")]
    pub scheduling_gates: Vec<Gate>,
    /// Devices it claims.
    #[serde(deserialize_with = "or_default")]
    pub resource_claims: Vec<Named>,
    /// The native group it belongs to.
    pub scheduling_group: Option<SchedulingGroup>,
}

/// Something of which only the name matters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}

/// A scheduling gate.
pub type Gate = Named;

/// The native group of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SchedulingGroup {
    /// A PodGroup in the pod's namespace.
    #[serde(deserialize_with = "or_default")]
    pub pod_group_name: String,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Unique in the pod.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// What it needs.
    #[serde(deserialize_with = "or_default")]
    pub resources: Resources,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: Option<String>,
    /// What it listens to.
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<ContainerPort>,
}

impl Container {
    /// As an init container: does it go on beside the others?
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

/// A port of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// The port of the node it takes; 0 = none.
    #[serde(deserialize_with = "or_default")]
    pub host_port: i64,
    /// The address of the node on which it takes that; empty = all.
    #[serde(rename = "hostIP", deserialize_with = "or_default")]
    pub host_ip: String,
    /// `TCP`, `UDP` or `SCTP`; empty is `TCP`.
    #[serde(deserialize_with = "or_default")]
    pub protocol: String,
}

/// What something needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Set aside for it.
    #[serde(deserialize_with = "or_default")]
    pub requests: Amounts,
}

/// Rules about nodes and other pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    /// Nodes.
    #[serde(deserialize_with = "or_default")]
    pub node_affinity: NodeAffinity,
    /// Pods to be near to.
    #[serde(deserialize_with = "or_default")]
    pub pod_affinity: PodAffinity,
    /// Pods to be away from.
    #[serde(deserialize_with = "or_default")]
    pub pod_anti_affinity: PodAffinity,
}

/// Rules about nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeAffinity {
    /// Must hold.
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<NodeSelector>,
    /// Should hold.
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution", deserialize_with = "or_default")]
    pub preferred: Vec<Value>,
}

/// Nodes by any of several terms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    /// One of them has to match.
    #[serde(deserialize_with = "or_default")]
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// Nodes by labels and fields, all of which have to match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelectorTerm {
    /// About labels.
    #[serde(deserialize_with = "or_default")]
    pub match_expressions: Vec<Requirement>,
    /// About `metadata.name`.
    #[serde(deserialize_with = "or_default")]
    pub match_fields: Vec<Requirement>,
}

/// A key and what its value must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Requirement {
    /// The key.
    #[serde(deserialize_with = "or_default")]
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt`.
    #[serde(deserialize_with = "or_default")]
    pub operator: String,
    /// What to compare with.
    #[serde(deserialize_with = "or_default")]
    pub values: Vec<String>,
}

/// Rules about other pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodAffinity {
    /// Must hold.
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution", deserialize_with = "or_default")]
    pub required: Vec<PodAffinityTerm>,
    /// Should hold.
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution", deserialize_with = "or_default")]
    pub preferred: Vec<Value>,
}

/// Other pods, and the domain shared with them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinityTerm {
    /// Which pods; without one, none.
    pub label_selector: Option<LabelSelector>,
    /// In which namespaces; empty = its own.
    #[serde(deserialize_with = "or_default")]
    pub namespaces: Vec<String>,
    /// Further namespaces, by their labels.
    pub namespace_selector: Option<LabelSelector>,
    /// The node label that makes a domain.
    #[serde(deserialize_with = "or_default")]
    pub topology_key: String,
}

/// Things by their labels; an empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// All of these.
    #[serde(deserialize_with = "or_default")]
    pub match_labels: BTreeMap<String, String>,
    /// And all of these.
    #[serde(deserialize_with = "or_default")]
    pub match_expressions: Vec<Requirement>,
}

/// A toleration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Toleration {
    /// Empty = every key.
    #[serde(deserialize_with = "or_default")]
    pub key: String,
    /// `Exists` or `Equal`; empty is `Equal`.
    #[serde(deserialize_with = "or_default")]
    pub operator: String,
    /// Compared by `Equal`.
    #[serde(deserialize_with = "or_default")]
    pub value: String,
    /// Empty = every effect.
    #[serde(deserialize_with = "or_default")]
    pub effect: String,
}

/// A rule about even spreading.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spread {
    /// `DoNotSchedule` or `ScheduleAnyway`; empty is `DoNotSchedule`.
    #[serde(deserialize_with = "or_default")]
    pub when_unsatisfiable: String,
    /// The node label whose values are the domains.
    #[serde(deserialize_with = "or_default")]
    pub topology_key: String,
    /// So many pods a domain may be ahead of the emptiest one.
    #[serde(deserialize_with = "or_default")]
    pub max_skew: i64,
    /// With fewer domains the emptiest counts as empty.
    pub min_domains: Option<i64>,
    /// The pods that count; without one, none.
    pub label_selector: Option<LabelSelector>,
    /// Labels in which these are equal to the pod.
    #[serde(deserialize_with = "or_default")]
    pub match_label_keys: Vec<String>,
    /// `Honor` or `Ignore`; empty is `Honor`.
    #[serde(deserialize_with = "or_default")]
    pub node_affinity_policy: String,
    /// `Honor` or `Ignore`; empty is `Ignore`.
    #[serde(deserialize_with = "or_default")]
    pub node_taints_policy: String,
}

/// `status` of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(deserialize_with = "or_default")]
    pub phase: String,
    /// When its kubelet took it on (RFC 3339).
    pub start_time: Option<String>,
    /// The node it is promised, by whoever schedules it.
    #[serde(deserialize_with = "or_default")]
    pub nominated_node_name: String,
    /// Aspects of its state.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    /// How its containers are.
    #[serde(deserialize_with = "or_default")]
    pub container_statuses: Vec<ContainerStatus>,
    /// How its init containers are.
    #[serde(deserialize_with = "or_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// What the pod as a whole has.
    pub resources: Option<Resources>,
    /// What the kubelet has set aside for the pod as a whole.
    pub allocated_resources: Option<Amounts>,
}

/// An aspect of an object's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// The aspect.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[serde(deserialize_with = "or_default")]
    pub status: String,
    /// Why, in one word.
    #[serde(deserialize_with = "or_default")]
    pub reason: String,
    /// Why, in a sentence.
    #[serde(deserialize_with = "or_default")]
    pub message: String,
}

/// How a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// The container.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// What the kubelet has set aside for it.
    pub allocated_resources: Option<Amounts>,
    /// What it has.
    pub resources: Option<StatusResources>,
}

/// What a container has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StatusResources {
    /// Set aside for it, where the runtime says so.
    pub requests: Option<Amounts>,
}
