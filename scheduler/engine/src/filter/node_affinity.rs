//! A node must carry every label the pod selects by, and meet one of the terms of its required node affinity: to
//! kube-scheduler one rule with one reason.

use super::labels::Requirement;
use crate::cluster::{NodeShape, PodShape};

/// One way of meeting a required node affinity: all of it has to hold. A term that asks for nothing is met by no node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
pub struct NodeTerm {
    /// What is asked of the node's labels (`matchExpressions`).
    pub labels: Vec<Requirement>,
    /// What is asked of its name (`matchFields` on `metadata.name`); only in [`PodTerms::node_affinity`], since nodes of
    /// one shape have different names.
    ///
    /// [`PodTerms::node_affinity`]: super::affinity::PodTerms::node_affinity
    pub names: Vec<super::labels::Test>,
}

impl NodeTerm {
    /// Does a node of this shape meet it? `name` is looked at only where the term asks for one.
    pub fn is_met(&self, node: &NodeShape, name: &str) -> bool {
        let asks = !self.labels.is_empty() || !self.names.is_empty();
        asks && self.labels.iter().all(|asked| asked.is_met(&node.labels))
            && self.names.iter().all(|asked| asked.passes(Some(name)))
    }
}

pub(super) fn allows(node: &NodeShape, pod: &PodShape) -> bool {
    pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && (pod.node_affinity.is_empty() || pod.node_affinity.iter().any(|term| term.is_met(node, "")))
}

/// Does a node of this name and shape meet one of the terms, where there are any?
pub(crate) fn is_met(terms: &[NodeTerm], node: &NodeShape, name: &str) -> bool {
    terms.is_empty() || terms.iter().any(|term| term.is_met(node, name))
}

/// Do any of the terms ask for a name? Then all of them belong to the pod's terms, else to its shape.
pub fn ask_for_names(terms: &[NodeTerm]) -> bool {
    terms.iter().any(|term| !term.names.is_empty())
}
