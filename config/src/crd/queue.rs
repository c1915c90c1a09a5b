//! The queue as its owner writes it, and what the scheduler says of it.

// What kube derives has items of its own that nobody reaches; columns of a table may well be of the same type.
#![allow(unreachable_pub, clippy::duplicated_attributes)]

use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Amount, Condition};

/// What a queue is entitled to, and where it stands in the tree of queues.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "berth.dev",
    version = "v1alpha1",
    kind = "Queue",
    status = "QueueStatus",
    derive = "PartialEq",
    category = "berth",
    doc = "A queue: who waits in it, what it is entitled to, and what it has.",
    validation = Rule::new("!has(self.spec.parent) || self.spec.parent != self.metadata.name")
        .message("a queue cannot be its own parent"),
    printcolumn(name = "Parent", type_ = "string", json_path = ".spec.parent"),
    printcolumn(name = "Deserved", type_ = "string", json_path = ".spec.resources.gpu.deserved", description = "GPUs"),
    printcolumn(name = "Used", type_ = "string", json_path = ".status.used.gpu", description = "GPUs"),
    printcolumn(name = "Fair share", type_ = "string", json_path = ".status.fairShare.gpu", description = "GPUs"),
    printcolumn(name = "Pending", type_ = "integer", json_path = ".status.pending.pods", description = "Pods that wait"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct QueueSpec {
    /// The queue it divides its parent's share with siblings under; without one it is a root. Pods wait only in queues
    /// without children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub parent: Option<String>,
    /// Among siblings, what nobody deserves goes to those of higher priority first.
    #[serde(default)]
    #[schemars(range(min = -1_000_000_000, max = 1_000_000_000))]
    pub priority: i32,
    /// What it is entitled to, by resource. A resource that is not named has no bound in either direction.
    #[serde(default)]
    pub resources: Resources,
    /// The same for GPUs of one model; for pods whose model is certain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["model"]))]
    pub gpu_models: Vec<ModelQuota>,
    /// How long its gangs run at least before they can lose what they need.
    #[serde(default)]
    pub min_runtime: MinRuntime,
}

/// What a queue is entitled to, by resource.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// GPUs; shares of one in thousandths (`500m`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Quota>,
    /// Cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quota>,
    /// Bytes; counted in whole MiB, rounded down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quota>,
}

/// The rule of an amount that is 0 or more. Text is by its pattern; a number need not be.
fn not_negative(field: &str) -> Rule {
    let rule = format!("!has(self.{field}) || quantity(string(self.{field})).compareTo(quantity('0')) >= 0");
    Rule::new(rule).message(format!("{field} must not be negative").as_str())
}

/// The rule that nothing is promised which may not be had.
fn within_limit() -> Rule {
    let both = "!has(self.deserved) || !has(self.limit)";
    let rule = "quantity(string(self.deserved)).compareTo(quantity(string(self.limit))) <= 0";
    Rule::new(format!("{both} || {rule}")).message("deserved must not be more than limit")
}

/// What a queue is entitled to of one resource.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = not_negative("deserved"), validation = not_negative("limit"), validation = within_limit())]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// What it is promised; unset, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deserved: Option<Amount>,
    /// It never has more than this; unset, there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Amount>,
    /// Its part of what nobody deserves, beside its siblings' weights; 0 is nothing.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub over_quota_weight: i32,
}

fn one() -> i32 {
    1
}

impl Default for Quota {
    fn default() -> Self {
        Quota { deserved: None, limit: None, over_quota_weight: one() }
    }
}

/// What a queue is entitled to of GPUs of one model.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = not_negative("deserved"), validation = not_negative("limit"), validation = within_limit())]
#[serde(rename_all = "camelCase")]
pub struct ModelQuota {
    /// The model, as the node label `nvidia.com/gpu.product` has it.
    #[schemars(length(min = 1, max = 63))]
    pub model: String,
    /// What it is promised; unset, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deserved: Option<Amount>,
    /// It never has more than this; unset, there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Amount>,
    /// Its part of what nobody deserves, beside its siblings' weights; 0 is nothing.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub over_quota_weight: i32,
}

/// How long a queue's gangs run at least before others may take what they need. Unset: as for the parent, else not at all.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MinRuntime {
    /// Before another queue may take it back (`10m`, `1h30m`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), extend("pattern" = r"^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$"))]
    pub reclaim: Option<String>,
    /// Before a higher priority of the same queue may take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), extend("pattern" = r"^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$"))]
    pub preempt: Option<String>,
}

/// What the scheduler says of a queue. Written by the scheduler only.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueStatus {
    /// The `metadata.generation` all of this was worked out from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`: can the queue be used as it is written?
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// What its pods hold, those of all queues below included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Amounts>,
    /// What it may hold as things stand: what it deserves, and its part of what nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fair_share: Option<Amounts>,
    /// What waits in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// The gang that is next, and why it waits; unset where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadOfQueue>,
    /// What it used of late, which counts against its share where that is configured. Read back after a restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decayed_usage: Option<DecayedUsage>,
}

/// An amount of each accounted resource.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// GPUs.
    pub gpu: Amount,
    /// Cores.
    pub cpu: Amount,
    /// Bytes.
    pub memory: Amount,
}

/// What waits in a queue.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Gangs of which a pod waits, lone pods included.
    #[schemars(range(min = 0))]
    pub gangs: i64,
    /// Pods that wait.
    #[schemars(range(min = 0))]
    pub pods: i64,
}

/// The gang that is next in a queue.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadOfQueue {
    /// `namespace/name` of its PodGroup, or of the pod where it is alone.
    #[schemars(length(max = 512))]
    pub gang: String,
    /// Since when it waits (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Why, in one CamelCase word.
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// Why, for people.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// What a queue used of late: every half-life leaves half of it.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecayedUsage {
    /// GPUs times seconds, exact to a millionth.
    pub gpu_seconds: Amount,
    /// As of when (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
}
