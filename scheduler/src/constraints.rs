//! Where a pod may be: each standard constraint of a pod in one function of its own. Owns what the engine can honour of
//! each, and refuses the rest with the field's name. Knows no node and no other pod.

use std::collections::{BTreeMap, BTreeSet};

use berth_config::names;
use berth_engine::filter::affinity::Term;
use berth_engine::{TaintEffect, Toleration};

use crate::objects::{self, LabelSelector, Pod, PodAffinityTerm, Requirement};
use crate::problem::{Fault, found};

/// What the constraints of a pod come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Constraints {
    /// Labels a node must have.
    pub(crate) node_selector: BTreeMap<String, String>,
    /// Values of the hostname label, one of which a node must have: for each rule that names some.
    pub(crate) hostnames: Vec<BTreeSet<String>>,
    /// The only nodes it may use.
    pub(crate) node_names: Option<BTreeSet<String>>,
    /// Taints it puts up with.
    pub(crate) tolerations: Vec<Toleration>,
    /// Pods to be near to.
    pub(crate) affinity: Vec<Term>,
    /// Pods to be away from.
    pub(crate) anti_affinity: Vec<Term>,
    /// What cannot be honoured.
    pub(crate) faults: Vec<Fault>,
}

/// All constraints of a pod.
pub(crate) fn of(pod: &Pod) -> Constraints {
    let mut all = Constraints::default();
    node_selector(pod, &mut all);
    node_affinity(pod, &mut all);
    tolerations(pod, &mut all);
    pod_affinity(pod, &mut all);
    host_ports(pod, &mut all);
    topology_spread(pod, &mut all);
    volumes(pod, &mut all);
    resource_claims(pod, &mut all);
    all
}

impl Constraints {
    fn refuse(&mut self, field: impl Into<String>, what: impl Into<String>, remedy: &str) {
        self.faults.push(Fault::refused(field, what, remedy));
    }

    /// A node must have this label.
    fn label(&mut self, key: &str, value: &str, field: &str) {
        if key == names::HOSTNAME {
            self.hostnames.push(BTreeSet::from([value.to_owned()]));
        } else if let Some(other) = self.node_selector.insert(key.to_owned(), value.to_owned())
            && other != value
        {
            self.refuse(field, format!("`{key}` must be `{other}` and `{value}` at once"), "ask for one of them");
        }
    }

    fn preferred(&mut self, field: &str, count: usize) {
        if count > 0 {
            let remedy = "make it required where it has to be kept";
            self.faults.push(Fault::ignored(field, "preferences of this kind are not weighed yet", remedy));
        }
    }
}

/// `spec.nodeSelector`. The hostname is looked up by name, so that it makes no node a class of its own.
fn node_selector(pod: &Pod, into: &mut Constraints) {
    for (key, value) in &pod.spec.node_selector {
        into.label(key, value, "spec.nodeSelector");
    }
}

const NODE_AFFINITY: &str = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution";

/// Node affinity: one term of single values and names of nodes, as DaemonSets and Kueue write it. Anything else awaits the
/// engine.
fn node_affinity(pod: &Pod, into: &mut Constraints) {
    let rules = &pod.spec.affinity.node_affinity;
    into.preferred("spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution", rules.preferred.len());
    let Some(required) = &rules.required else { return };
    let [term] = required.node_selector_terms.as_slice() else {
        return into.refuse(NODE_AFFINITY, "has several terms, or none", "use one term");
    };
    if term.match_expressions.is_empty() && term.match_fields.is_empty() {
        return into.refuse(NODE_AFFINITY, "has an empty term, which matches no node", "name what a node must have");
    }
    for rule in &term.match_expressions {
        match (rule.operator.as_str(), rule.values.as_slice()) {
            ("In", [value]) => into.label(&rule.key, value, NODE_AFFINITY),
            ("In", [_, ..]) if rule.key == names::HOSTNAME => {
                into.hostnames.push(rule.values.iter().cloned().collect());
            }
            _ => into.refuse(NODE_AFFINITY, unknown(rule), "use `In` with one value"),
        }
    }
    for rule in &term.match_fields {
        match (rule.key.as_str(), rule.operator.as_str()) {
            ("metadata.name", "In") => {
                let named: BTreeSet<String> = rule.values.iter().cloned().collect();
                let both = into.node_names.take().map(|known| known.intersection(&named).cloned().collect());
                into.node_names = Some(both.unwrap_or(named));
            }
            _ => into.refuse(NODE_AFFINITY, unknown(rule), "use `metadata.name` and `In`"),
        }
    }
}

fn unknown(rule: &Requirement) -> String {
    format!("`{} {}` with {} values cannot be kept yet", rule.key, rule.operator, rule.values.len())
}

/// `spec.tolerations`.
fn tolerations(pod: &Pod, into: &mut Constraints) {
    for (at, toleration) in pod.spec.tolerations.iter().enumerate() {
        match self::toleration(toleration) {
            Ok(read) => into.tolerations.push(read),
            Err((name, text)) => {
                let remedy = "use `Equal` or `Exists`, and an effect of Kubernetes";
                into.refuse(format!("spec.tolerations[{at}].{name}"), found(text), remedy);
            }
        }
    }
    into.tolerations.sort();
    into.tolerations.dedup();
}

fn toleration(toleration: &objects::Toleration) -> Result<Toleration, (&'static str, &str)> {
    let value = match toleration.operator.as_str() {
        "" | "Equal" => Some(toleration.value.clone()),
        "Exists" => None,
        other => return Err(("operator", other)),
    };
    let effect = match toleration.effect.as_str() {
        "" => None,
        text => Some(taint_effect(text).ok_or(("effect", text))?),
    };
    let key = Some(toleration.key.clone()).filter(|key| !key.is_empty());
    if key.is_none() && value.is_some() {
        return Err(("operator", &toleration.operator));
    }
    Ok(Toleration { key, value, effect })
}

/// A taint's effect.
pub(crate) fn taint_effect(text: &str) -> Option<TaintEffect> {
    match text {
        "NoSchedule" => Some(TaintEffect::NoSchedule),
        "PreferNoSchedule" => Some(TaintEffect::PreferNoSchedule),
        "NoExecute" => Some(TaintEffect::NoExecute),
        _ => None,
    }
}

/// Pod affinity and anti-affinity: pods of one namespace by single values of labels.
fn pod_affinity(pod: &Pod, into: &mut Constraints) {
    let rules = &pod.spec.affinity;
    let all = [("podAffinity", &rules.pod_affinity), ("podAntiAffinity", &rules.pod_anti_affinity)];
    for (name, rules) in all {
        let path = format!("spec.affinity.{name}");
        into.preferred(&format!("{path}.preferredDuringSchedulingIgnoredDuringExecution"), rules.preferred.len());
        for (at, term) in rules.required.iter().enumerate() {
            let path = format!("{path}.requiredDuringSchedulingIgnoredDuringExecution[{at}]");
            match self::term(term, &pod.metadata.namespace) {
                Ok(term) if name == "podAffinity" => into.affinity.push(term),
                Ok(term) => into.anti_affinity.push(term),
                Err((field, what)) => {
                    let remedy = "name pods of one namespace by single values of labels";
                    into.refuse(format!("{path}.{field}"), what, remedy);
                }
            }
        }
    }
}

fn term(term: &PodAffinityTerm, own: &str) -> Result<Term, (&'static str, String)> {
    if term.namespace_selector.is_some() {
        return Err(("namespaceSelector", "namespaces by their labels are not looked up yet".to_owned()));
    }
    let namespace = match term.namespaces.as_slice() {
        [] => own,
        [one] => one,
        several => return Err(("namespaces", format!("names {}", several.len()))),
    };
    if term.topology_key.is_empty() {
        return Err(("topologyKey", "is empty".to_owned()));
    }
    let topology_key = if term.topology_key == names::HOSTNAME { Term::NODE } else { &term.topology_key };
    let match_labels = match &term.label_selector {
        None => BTreeMap::new(), // matches nobody, in the engine too
        Some(selector) => selected(selector, namespace).map_err(|what| ("labelSelector", what))?,
    };
    Ok(Term { topology_key: topology_key.to_owned(), match_labels })
}

/// What the engine looks for on pods, for a selector of pods of one namespace: label keys with the namespace in front, so that
/// equal labels of another namespace do not match. A selector of everything looks for the bare namespace.
pub(crate) fn selected(selector: &LabelSelector, namespace: &str) -> Result<BTreeMap<String, String>, String> {
    let mut wanted: BTreeMap<String, String> =
        selector.match_labels.iter().map(|(key, value)| (within(namespace, key), value.clone())).collect();
    for rule in &selector.match_expressions {
        let ("In", [value]) = (rule.operator.as_str(), rule.values.as_slice()) else { return Err(unknown(rule)) };
        if wanted.insert(within(namespace, &rule.key), value.clone()).is_some_and(|other| other != *value) {
            return Err(format!("`{}` must have two values at once", rule.key));
        }
    }
    if wanted.is_empty() {
        wanted.insert(within(namespace, ""), String::new());
    }
    Ok(wanted)
}

/// A label key of pods of a namespace; the empty key stands for being there.
pub(crate) fn within(namespace: &str, key: &str) -> String {
    format!("{namespace}:{key}")
}

/// Ports of the node.
fn host_ports(pod: &Pod, into: &mut Constraints) {
    let all = [("containers", &pod.spec.containers), ("initContainers", &pod.spec.init_containers)];
    for (name, containers) in all {
        for (at, container) in containers.iter().enumerate() {
            if let Some(port) = container.ports.iter().position(|port| port.host_port != 0) {
                let field = format!("spec.{name}[{at}].ports[{port}].hostPort");
                into.refuse(field, "ports of nodes are not counted yet", "use a Service instead");
            }
        }
    }
}

/// Even spreading.
fn topology_spread(pod: &Pod, into: &mut Constraints) {
    for (at, spread) in pod.spec.topology_spread_constraints.iter().enumerate() {
        let field = format!("spec.topologySpreadConstraints[{at}]");
        if spread.when_unsatisfiable == "ScheduleAnyway" {
            into.preferred(&field, 1);
        } else {
            into.refuse(field, "spreading is not kept yet", "use `ScheduleAnyway`, or anti-affinity");
        }
    }
}

/// Kinds of volumes that are the same on every node.
const PLACELESS: [&str; 9] =
    ["configMap", "secret", "emptyDir", "downwardAPI", "projected", "hostPath", "nfs", "image", "gitRepo"];

/// Volumes: those that may tie a pod to a place, or count against a node.
fn volumes(pod: &Pod, into: &mut Constraints) {
    for (at, volume) in pod.spec.volumes.iter().enumerate() {
        for kind in volume.keys().filter(|key| *key != "name" && !PLACELESS.contains(&key.as_str())) {
            let field = format!("spec.volumes[{at}].{kind}");
            into.refuse(field, "where such volumes can be is not looked up yet", "use a volume that is everywhere");
        }
    }
}

/// Claims of devices.
fn resource_claims(pod: &Pod, into: &mut Constraints) {
    if let Some(claim) = pod.spec.resource_claims.first() {
        let what = format!("claims devices as `{}`, which are not allocated yet", claim.name);
        into.refuse("spec.resourceClaims", what, "ask for `nvidia.com/gpu` instead");
    }
}

#[cfg(test)]
#[path = "constraints_tests.rs"]
mod tests;
