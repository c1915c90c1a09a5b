//! Objects of the API as slim types: only the fields that are used, everything else is skipped. Owns their form and how one
//! is told from another; judges no content.

mod group;
mod node;
mod pod;
mod policy;
mod volume;

use std::collections::BTreeMap;
use std::fmt;

use berth_config::crd::{GpuNode, Queue};
use berth_config::scheduler::GroupConvention;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub use group::{
    DisruptionMode, Empty, GangPolicy, Group, GroupSpec, GroupSubgroup, GroupTopology, SchedulingConstraints,
    SchedulingPolicy, TopologyKey,
};
pub use node::{Node, NodeSpec, NodeStatus, Taint};
pub use pod::{
    Affinity, Amounts, Condition, Container, ContainerPort, ContainerStatus, Gate, LabelSelector, Named, NodeAffinity,
    NodeSelector, NodeSelectorTerm, Pod, PodAffinity, PodAffinityTerm, PodSpec, PodStatus, Requirement, Resources,
    SchedulingGroup, Spread, StatusResources, Toleration,
};
pub use policy::{Budget, BudgetSpec, BudgetStatus, Namespace, PriorityClass};
pub use volume::*;

use crate::problem::{Fault, Problem};

/// A kind of object that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `v1` Node.
    Node,
    /// `v1` Pod.
    Pod,
    /// `v1` Namespace, for its labels.
    Namespace,
    /// PodGroup of one of the systems that have one; [`GroupConvention::Berth`] has none.
    PodGroup(GroupConvention),
    /// `scheduling.k8s.io/v1` PriorityClass.
    PriorityClass,
    /// `policy/v1` PodDisruptionBudget.
    Budget,
    /// `berth.dev/v1alpha1` Queue.
    Queue,
    /// `berth.dev/v1alpha1` GpuNode.
    GpuNode,
    /// `v1` PersistentVolumeClaim.
    Claim,
    /// `v1` PersistentVolume.
    Volume,
    /// `storage.k8s.io/v1` StorageClass.
    StorageClass,
    /// `storage.k8s.io/v1` CSINode.
    CsiNode,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Kind::Node => "Node",
            Kind::Pod => "Pod",
            Kind::Namespace => "Namespace",
            Kind::PodGroup(GroupConvention::Native | GroupConvention::Berth) => "PodGroup",
            Kind::PodGroup(GroupConvention::Coscheduling) => "PodGroup.scheduling.x-k8s.io",
            Kind::PodGroup(GroupConvention::Volcano) => "PodGroup.scheduling.volcano.sh",
            Kind::PodGroup(GroupConvention::Kai) => "PodGroup.scheduling.run.ai",
            Kind::PriorityClass => "PriorityClass",
            Kind::Budget => "PodDisruptionBudget",
            Kind::Queue => "Queue",
            Kind::GpuNode => "GpuNode",
            Kind::Claim => "PersistentVolumeClaim",
            Kind::Volume => "PersistentVolume",
            Kind::StorageClass => "StorageClass",
            Kind::CsiNode => "CSINode",
        })
    }
}

/// Which object: one at a time has this name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for kinds without.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// An object without a namespace.
    pub fn cluster(kind: Kind, name: &str) -> Self {
        Key { kind, namespace: String::new(), name: name.to_owned() }
    }

    /// `namespace/name`, or the name where there is no namespace.
    pub fn path(&self) -> String {
        if self.namespace.is_empty() { self.name.clone() } else { format!("{}/{}", self.namespace, self.name) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.kind, self.path())
    }
}

/// An object and what tells its versions apart.
#[derive(Debug, Clone)]
pub struct Object {
    /// Which one.
    pub key: Key,
    /// Another one for each object that ever has the name.
    pub uid: String,
    /// Grows with each change; `None` where the server sent no number.
    pub version: Option<u64>,
    /// What it says.
    pub body: Body,
}

/// What an object says.
#[derive(Debug, Clone)]
pub enum Body {
    /// A node.
    Node(Box<Node>),
    /// A pod.
    Pod(Box<Pod>),
    /// A namespace.
    Namespace(Box<Namespace>),
    /// A group of pods, of any of the systems.
    Group(Box<Group>),
    /// A priority class.
    PriorityClass(Box<PriorityClass>),
    /// A disruption budget.
    Budget(Box<Budget>),
    /// A queue.
    Queue(Box<Queue>),
    /// What the agent says of a node's GPUs.
    GpuNode(Box<GpuNode>),
    /// A claim to a volume.
    Claim(Box<Claim>),
    /// A volume.
    Volume(Box<Volume>),
    /// A class of volumes.
    StorageClass(Box<StorageClass>),
    /// What a node can attach.
    CsiNode(Box<CsiNode>),
    /// It is there, but has another form than expected.
    Unreadable(Box<Problem>),
}

impl Body {
    /// The pod, if it is one.
    pub fn as_pod(&self) -> Option<&Pod> {
        match self {
            Body::Pod(pod) => Some(pod),
            _ => None,
        }
    }
}

/// The part that all objects share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Namespace, if the kind has any.
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    /// Unique over time.
    #[serde(deserialize_with = "or_default")]
    pub uid: String,
    /// A number, as text.
    #[serde(deserialize_with = "or_default")]
    pub resource_version: String,
    /// When it was made (RFC 3339).
    pub creation_timestamp: Option<String>,
    /// When it was asked to go.
    pub deletion_timestamp: Option<String>,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// Who made it.
    #[serde(deserialize_with = "or_default")]
    pub owner_references: Vec<Owner>,
}

/// Who made an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Does it make the object anew when that is gone?
    pub controller: Option<bool>,
    /// Its uid.
    #[serde(deserialize_with = "or_default")]
    pub uid: String,
}

/// `null` is the same as nothing.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

/// What tells objects and their versions apart, readable even where the rest of an object is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Name.
    pub name: String,
    /// Namespace, if it has any.
    pub namespace: String,
    /// Unique over time.
    pub uid: String,
    /// A number, as text.
    pub resource_version: String,
}

/// The names of an object as the API server sends it; empty where there are none.
pub fn names(json: &str) -> Names {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Metadata {
        name: Value,
        namespace: Value,
        uid: Value,
        resource_version: Value,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Named {
        #[serde(deserialize_with = "or_default")]
        metadata: Metadata,
    }
    let Metadata { name, namespace, uid, resource_version } =
        serde_json::from_str::<Named>(json).unwrap_or_default().metadata;
    let text = |value: Value| if let Value::String(text) = value { text } else { String::new() };
    Names { name: text(name), namespace: text(namespace), uid: text(uid), resource_version: text(resource_version) }
}

/// Reads an object as the API server sends it. One that has another form is kept as [`Body::Unreadable`], so that what it
/// was before is not believed any longer. The object's name is taken from its metadata, as far as that is there.
pub fn read_text(kind: Kind, json: &str) -> Object {
    let Names { name, namespace, uid, resource_version } = names(json);
    let namespaced = matches!(kind, Kind::Pod | Kind::PodGroup(_) | Kind::Budget | Kind::Claim);
    let namespace = if namespaced { namespace } else { String::new() };
    let key = Key { kind, namespace, name };
    let body = match kind {
        Kind::Node => body(json, Body::Node),
        Kind::Pod => body(json, Body::Pod),
        Kind::PodGroup(_) => body(json, Body::Group),
        Kind::Queue => body(json, Body::Queue),
        Kind::GpuNode => body(json, Body::GpuNode),
        Kind::Namespace => body(json, Body::Namespace),
        Kind::PriorityClass => body(json, Body::PriorityClass),
        Kind::Budget => body(json, Body::Budget),
        Kind::Claim => body(json, Body::Claim),
        Kind::Volume => body(json, Body::Volume),
        Kind::StorageClass => body(json, Body::StorageClass),
        Kind::CsiNode => body(json, Body::CsiNode),
    };
    let body = body.unwrap_or_else(|error| {
        let remedy = "write it as the API's reference has it";
        Body::Unreadable(Box::new(Fault::refused("", format!("cannot be read: {error}"), remedy).of(key.clone())))
    });
    Object { key, uid, version: resource_version.parse().ok(), body }
}

/// The same, of JSON that has been read already.
pub fn read(kind: Kind, json: Value) -> Object {
    read_text(kind, &json.to_string())
}

fn body<T: DeserializeOwned>(json: &str, wrap: impl Fn(Box<T>) -> Body) -> Result<Body, serde_json::Error> {
    serde_json::from_str(json).map(|read| wrap(Box::new(read)))
}

#[cfg(test)]
mod tests;
