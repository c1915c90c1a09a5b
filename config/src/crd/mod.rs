//! Our custom resources, as objects of the API have them. Owns their form; the definitions under `deploy/crds` are made from
//! these types. Sends nothing.
//!
//! Conventions are those of Kubernetes: quantities and durations are text, conditions are lists keyed by their type, status
//! is written by one program only and never read as a wish.

mod convert;
mod gpu_node;
mod queue;

use std::borrow::Cow;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use convert::{queue_spec, usage_ms};
pub use gpu_node::{
    Capability, Gpu, GpuNode, GpuNodeSpec, GpuNodeStatus, Health, Mig, MigInstance, MigProfile, NvlinkPeer, PodUse,
};
pub use queue::{
    Amounts, DecayedUsage, HeadOfQueue, MinRuntime, ModelQuota, Pending, Queue, QueueSpec, QueueStatus, Quota,
    Resources,
};

/// The definitions of all our custom resources, each with the name of its file.
pub fn definitions() -> Vec<(&'static str, CustomResourceDefinition)> {
    vec![("berth.dev_queues.yaml", Queue::crd()), ("berth.dev_gpunodes.yaml", GpuNode::crd())]
}

/// A Kubernetes quantity as it stands in an object: a number or text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount(pub String);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum IntOrString {
            Int(i64),
            Text(String),
        }
        Ok(Amount(match IntOrString::deserialize(deserializer)? {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::Text(text) => text,
        }))
    }
}

/// As the API's own quantities are described.
impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": r"^[0-9]+(\.[0-9]*)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$",
            "maxLength": 32,
        })
    }
}

/// One aspect of an object's state, as `metav1.Condition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The aspect, in CamelCase.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub type_: String,
    /// Does it hold?
    pub status: ConditionStatus,
    /// The `metadata.generation` it was judged on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When `status` changed last (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// Why, in one CamelCase word.
    #[schemars(length(min = 1, max = 1024), extend("pattern" = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))]
    pub reason: String,
    /// Why, for people; may be empty.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// Does a condition hold?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody can say.
    Unknown,
}
