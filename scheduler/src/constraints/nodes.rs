//! Which nodes a pod may use, by their labels and names: its node selector and its required node affinity, as kube-scheduler
//! understands them. Owns the difference between labels and hostnames; knows no node.

use std::collections::{BTreeMap, BTreeSet};

use berth_config::names;
use berth_engine::filter::labels::{self, Test};
use berth_engine::filter::node_affinity::NodeTerm;

use crate::objects::{NodeSelector, NodeSelectorTerm, Pod, Requirement};
use crate::problem::{Fault, found};

/// Which nodes a pod may use. Hostnames are looked up by name when the pod is told, so that they make no node a class of its
/// own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeRules {
    /// Labels a node must have.
    pub(crate) selector: BTreeMap<String, String>,
    /// The hostname it must have.
    hostname: Option<String>,
    /// It must meet one of these; empty = no affinity is asked for.
    terms: Vec<NodeRule>,
}

/// A term of node affinity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct NodeRule {
    /// What it asks of labels and of `metadata.name`.
    asked: NodeTerm,
    /// What it asks of hostnames.
    hostnames: Vec<Test>,
}

const AFFINITY: &str = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution";

/// What a pod says of nodes. A term that cannot be read is met by no node, and the others count, as in kube-scheduler.
pub(super) fn read(pod: &Pod, faults: &mut Vec<Fault>) -> NodeRules {
    let mut selector = pod.spec.node_selector.clone();
    let hostname = selector.remove(names::HOSTNAME);
    let Some(required) = &pod.spec.affinity.node_affinity.required else {
        return NodeRules { selector, hostname, terms: Vec::new() };
    };
    let mut terms = Vec::new();
    for (at, term) in required.node_selector_terms.iter().enumerate() {
        match rule(term) {
            Ok(rule) => terms.push(rule),
            Err(what) => {
                let remedy = "mend it; no node meets this term";
                faults.push(Fault::ignored(format!("{AFFINITY}.nodeSelectorTerms[{at}]"), what, remedy));
                terms.push(NodeRule::nobody());
            }
        }
    }
    if terms.is_empty() {
        terms.push(NodeRule::nobody());
    }
    let rules = NodeRules { selector, hostname, terms };
    if rules.contradict() {
        faults.push(Fault::refused(AFFINITY, "each term names two nodes at once", "name one node in each term"));
    }
    rules
}

impl NodeRule {
    /// Met by no node. By what it asks of labels: a term about names would limit the nodes that are looked at.
    fn nobody() -> Self {
        let asked = labels::Requirement { key: String::new(), test: Test::In(BTreeSet::new()) };
        NodeRule { asked: NodeTerm { labels: vec![asked], names: Vec::new() }, hostnames: Vec::new() }
    }
}

fn rule(term: &NodeSelectorTerm) -> Result<NodeRule, String> {
    if term.match_expressions.is_empty() && term.match_fields.is_empty() {
        return Err("asks for nothing, which means no node".to_owned());
    }
    let mut rule = NodeRule::default();
    for asked in &term.match_expressions {
        match test(asked)? {
            test @ (Test::In(_) | Test::NotIn(_)) if asked.key == names::HOSTNAME => rule.hostnames.push(test),
            test => rule.asked.labels.push(labels::Requirement { key: asked.key.clone(), test }),
        }
    }
    for asked in &term.match_fields {
        match (asked.key.as_str(), test(asked)?) {
            ("metadata.name", test @ (Test::In(_) | Test::NotIn(_))) if asked.values.len() == 1 => {
                rule.asked.names.push(test);
            }
            _ => return Err(odd(asked)),
        }
    }
    Ok(rule)
}

/// One of the operators for labels of nodes.
fn test(asked: &Requirement) -> Result<Test, String> {
    let number = || match asked.values.as_slice() {
        [value] => value.parse::<i64>().map_err(|_| odd(asked)),
        _ => Err(odd(asked)),
    };
    match asked.operator.as_str() {
        "Gt" => number().map(Test::Gt),
        "Lt" => number().map(Test::Lt),
        _ => set_test(asked),
    }
}

/// One of the operators that are known for labels of pods too.
pub(crate) fn set_test(asked: &Requirement) -> Result<Test, String> {
    let values = || asked.values.iter().cloned().collect();
    match (asked.operator.as_str(), asked.values.is_empty()) {
        ("In", false) => Ok(Test::In(values())),
        ("NotIn", false) => Ok(Test::NotIn(values())),
        ("Exists", true) => Ok(Test::Exists),
        ("DoesNotExist", true) => Ok(Test::DoesNotExist),
        _ => Err(odd(asked)),
    }
}

fn odd(asked: &Requirement) -> String {
    let said = format!("{} {}", asked.key, asked.operator);
    format!("{} with {} values, which Kubernetes does not know", found(&said), asked.values.len())
}

impl NodeRules {
    /// What a node selector asks that does not stand in a pod. A term that cannot be read is met by no node.
    pub(crate) fn of_selector(selector: &NodeSelector) -> Self {
        let mut terms: Vec<NodeRule> = selector.node_selector_terms.iter().filter_map(|term| rule(term).ok()).collect();
        if terms.is_empty() {
            terms.push(NodeRule::nobody());
        }
        NodeRules { terms, ..NodeRules::default() }
    }

    /// All its terms, whether names matter or not; `named` are the nodes with a hostname.
    pub(crate) fn all_terms(&self, named: impl Fn(&str) -> BTreeSet<String>) -> Vec<NodeTerm> {
        if self.looks_at_names() { self.of_terms(named) } else { self.of_shape() }
    }

    /// Does it look at hostnames at all?
    pub(crate) fn looks_at_hosts(&self) -> bool {
        self.hostname.is_some() || self.terms.iter().any(|rule| !rule.hostnames.is_empty())
    }

    /// Keys of the labels it looks at.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &String> {
        let asked = self.terms.iter().flat_map(|rule| &rule.asked.labels).map(|asked| &asked.key);
        self.selector.keys().chain(asked)
    }

    /// Does it look at this hostname?
    pub(crate) fn looks_at_host(&self, hostname: &str) -> bool {
        let mut tests = self.terms.iter().flat_map(|rule| &rule.hostnames);
        self.hostname.as_deref() == Some(hostname)
            || tests.any(|test| matches!(test, Test::In(names) | Test::NotIn(names) if names.contains(hostname)))
    }

    fn looks_at_names(&self) -> bool {
        let by_name = |rule: &NodeRule| !rule.asked.names.is_empty() || !rule.hostnames.is_empty();
        self.hostname.is_some() || self.terms.iter().any(by_name)
    }

    /// The affinity as a part of the pod's shape: none where names matter.
    pub(crate) fn of_shape(&self) -> Vec<NodeTerm> {
        if self.looks_at_names() {
            return Vec::new();
        }
        self.terms.iter().map(|rule| rule.asked.clone()).collect()
    }

    /// The affinity as a part of the pod's terms, where names matter; `named` are the nodes with a hostname.
    pub(crate) fn of_terms(&self, named: impl Fn(&str) -> BTreeSet<String>) -> Vec<NodeTerm> {
        if !self.looks_at_names() {
            return Vec::new();
        }
        let nodes = |hostnames: &BTreeSet<String>| hostnames.iter().flat_map(|hostname| named(hostname)).collect();
        let by_name = |test: &Test| match test {
            Test::NotIn(hostnames) => Test::NotIn(nodes(hostnames)),
            Test::In(hostnames) => Test::In(nodes(hostnames)),
            other => other.clone(), // no others are read
        };
        let hostname = self.hostname.as_ref().map(|hostname| Test::In(named(hostname)));
        let whole = |rule: &NodeRule| {
            let mut asked = rule.asked.clone();
            asked.names.extend(rule.hostnames.iter().map(by_name).chain(hostname.clone()));
            asked
        };
        let anywhere = NodeRule::default();
        let terms = if self.terms.is_empty() { std::slice::from_ref(&anywhere) } else { &self.terms };
        terms.iter().map(whole).collect()
    }

    /// Does each term name nodes, and none is left that it could mean? kube-scheduler looks at no node then.
    pub(crate) fn contradict(&self) -> bool {
        self.only().is_some_and(|names| names.is_empty())
    }

    /// The only nodes it may use, where each term of its affinity names some: kube-scheduler looks at no others then.
    pub(crate) fn only(&self) -> Option<BTreeSet<String>> {
        let named = |rule: &NodeRule| {
            let sets = rule.asked.names.iter().filter_map(|test| match test {
                Test::In(names) => Some(names.clone()),
                _ => None,
            });
            sets.reduce(|one, other| one.intersection(&other).cloned().collect())
        };
        let all = self.terms.iter().map(named).collect::<Option<Vec<_>>>()?;
        all.into_iter().reduce(|one, other| one.union(&other).cloned().collect())
    }
}
