//! Objects that say something about pods: namespaces, priority classes, disruption budgets.

use serde::Deserialize;

use super::{LabelSelector, Meta, or_default};

/// `v1` Namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Its name and labels.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
}

/// `scheduling.k8s.io/v1` PriorityClass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PriorityClass {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// Higher goes first.
    #[serde(deserialize_with = "or_default")]
    pub value: i64,
}

/// `policy/v1` PodDisruptionBudget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Its names.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// Which pods.
    #[serde(deserialize_with = "or_default")]
    pub spec: BudgetSpec,
    /// How many may go.
    #[serde(deserialize_with = "or_default")]
    pub status: BudgetStatus,
}

/// `spec` of a disruption budget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BudgetSpec {
    /// The pods it protects; without one, none.
    pub selector: Option<LabelSelector>,
}

/// `status` of a disruption budget, kept by its controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetStatus {
    /// So many pods may go now.
    #[serde(deserialize_with = "or_default")]
    pub disruptions_allowed: i64,
}
