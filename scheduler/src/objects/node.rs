//! A node, as far as it is used.

use std::collections::BTreeMap;

use berth_config::crd::Amount;
use serde::Deserialize;

use super::pod::Condition;
use super::{Meta, or_default};

/// `v1` Node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its names and labels.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// What its owner says.
    #[serde(deserialize_with = "or_default")]
    pub spec: NodeSpec,
    /// What its kubelet says.
    #[serde(deserialize_with = "or_default")]
    pub status: NodeStatus,
}

/// `spec` of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Cordoned.
    #[serde(deserialize_with = "or_default")]
    pub unschedulable: bool,
    /// Keep pods away.
    #[serde(deserialize_with = "or_default")]
    pub taints: Vec<Taint>,
}

/// A taint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// Its key.
    #[serde(deserialize_with = "or_default")]
    pub key: String,
    /// Its value, often empty.
    #[serde(deserialize_with = "or_default")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    #[serde(deserialize_with = "or_default")]
    pub effect: String,
}

/// `status` of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// What pods may have.
    #[serde(deserialize_with = "or_default")]
    pub allocatable: BTreeMap<String, Amount>,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
}
