//! Other pods as a pod or a disruption budget names them: pod affinity and anti-affinity, topology spread, label selectors.
//! Owns how these are read; knows no other pod, and namespaces only by what it is told of their labels.

use std::collections::BTreeSet;

use berth_config::names;
use berth_engine::filter::affinity::Term;
use berth_engine::filter::labels::{PodSelector, Requirement};
use berth_engine::filter::spread::Spread;

use super::nodes::set_test;
use crate::objects::{self, LabelSelector, Pod, PodAffinityTerm};
use crate::problem::{Fault, found};

/// Pods to be near to or away from, before namespaces are looked up by their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Near {
    /// With the namespaces that are named.
    term: Term,
    /// What the labels of further namespaces must meet.
    namespaces: Option<Vec<Requirement>>,
}

impl Near {
    /// Does it look at labels of namespaces?
    pub(crate) fn looks_at_namespaces(&self) -> bool {
        self.namespaces.is_some()
    }

    /// As the engine knows it; `like` are the namespaces whose labels meet all of it.
    pub(crate) fn resolved(&self, like: impl Fn(&[Requirement]) -> BTreeSet<String>) -> Term {
        let mut term = self.term.clone();
        if let (Some(asked), Some(named)) = (&self.namespaces, &mut term.pods.namespaces) {
            named.extend(like(asked));
        }
        term
    }

    /// What it looks at on pods; in all namespaces, where some are to be looked up.
    pub(crate) fn pod_keys(&self) -> impl Iterator<Item = String> {
        let namespaces = self.term.pods.namespaces.clone().filter(|_| self.namespaces.is_none());
        pod_keys(&PodSelector { namespaces, labels: self.term.pods.labels.clone() }).collect::<Vec<_>>().into_iter()
    }

    /// The label that makes its domains, unless these are nodes.
    pub(crate) fn node_key(&self) -> Option<&String> {
        Some(&self.term.topology_key).filter(|key| *key != Term::NODE)
    }
}

/// The namespace of a selector that means pods of all of them; no real one is called so.
const EVERYWHERE: &str = "*";

/// A key of pod labels in a namespace; the empty key stands for being there.
fn within(namespace: &str, key: &str) -> String {
    format!("{namespace}:{key}")
}

/// What a selector looks at on pods.
pub(crate) fn pod_keys(selector: &PodSelector) -> impl Iterator<Item = String> + '_ {
    let everywhere = selector.namespaces.is_none().then(|| EVERYWHERE.to_owned());
    let namespaces = selector.namespaces.iter().flatten().cloned().chain(everywhere);
    namespaces.flat_map(|namespace| {
        let keys = selector.labels.iter().map(|asked| asked.key.as_str()).chain([""]);
        keys.map(|key| within(&namespace, key)).collect::<Vec<_>>()
    })
}

/// What others can see of a pod: its namespace and those of its labels that anybody looks at. Nothing, where nobody looks at
/// pods of its namespace.
pub(crate) fn shown(pod: &Pod, asked: impl Fn(&str) -> bool) -> (String, std::collections::BTreeMap<String, String>) {
    let namespace = &pod.metadata.namespace;
    let asked = |key: &str| asked(&within(namespace, key)) || asked(&within(EVERYWHERE, key));
    if !asked("") {
        return Default::default();
    }
    let labels = pod.metadata.labels.iter().filter(|(key, _)| asked(key));
    (namespace.clone(), labels.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// What a label selector asks. An empty one asks nothing.
fn asked(selector: &LabelSelector) -> Result<Vec<Requirement>, String> {
    let equal = selector.match_labels.iter().map(|(key, value)| Ok(Requirement::equal(key, value)));
    let one = |asked: &objects::Requirement| Ok(Requirement { key: asked.key.clone(), test: set_test(asked)? });
    equal.chain(selector.match_expressions.iter().map(one)).collect()
}

/// Pods of one namespace; without a selector, nobody.
pub(crate) fn selected(selector: Option<&LabelSelector>, namespace: &str) -> Result<PodSelector, String> {
    let Some(selector) = selector else { return Ok(PodSelector::nobody()) };
    Ok(PodSelector { namespaces: Some([namespace.to_owned()].into()), labels: asked(selector)? })
}

/// A term of pod affinity or anti-affinity; `own` is the pod's namespace. The API server has put what `matchLabelKeys` and
/// `mismatchLabelKeys` say into the selector.
pub(super) fn near(term: &PodAffinityTerm, own: &str) -> Result<Near, (&'static str, String)> {
    if term.topology_key.is_empty() {
        return Err(("topologyKey", "is empty".to_owned()));
    }
    let topology_key = domain(&term.topology_key);
    let Some(selector) = &term.label_selector else {
        return Ok(Near { term: Term { topology_key, pods: PodSelector::nobody() }, namespaces: None });
    };
    let labels = asked(selector).map_err(|what| ("labelSelector", what))?;
    let mut named: BTreeSet<String> = term.namespaces.iter().cloned().collect();
    if named.is_empty() && term.namespace_selector.is_none() {
        named.insert(own.to_owned());
    }
    let further = term.namespace_selector.as_ref().map(asked).transpose();
    let further = further.map_err(|what| ("namespaceSelector", what))?;
    // A selector that asks nothing means all namespaces, whether there are objects for them or not.
    let (namespaces, further) = match further {
        Some(asked) if asked.is_empty() => (None, None),
        further => (Some(named), further),
    };
    Ok(Near { term: Term { topology_key, pods: PodSelector { namespaces, labels } }, namespaces: further })
}

/// Nodes are looked at as such: their hostnames would make each of them a class of its own.
fn domain(topology_key: &str) -> String {
    if topology_key == names::HOSTNAME { Term::NODE.to_owned() } else { topology_key.to_owned() }
}

/// A rule about even spreading that must be kept. As in kube-scheduler, a selector that asks nothing counts nobody.
pub(super) fn spread(spread: &objects::Spread, pod: &Pod) -> Result<Spread, (&'static str, String)> {
    let number = |name: &'static str, value: i64| match u32::try_from(value) {
        Ok(value) if value > 0 => Ok(value),
        _ => Err((name, format!("is {value}"))),
    };
    let policy = |name: &'static str, text: &str, default: bool| match text {
        "" => Ok(default),
        "Honor" => Ok(true),
        "Ignore" => Ok(false),
        other => Err((name, found(other))),
    };
    if spread.topology_key.is_empty() {
        return Err(("topologyKey", "is empty".to_owned()));
    }
    let selector = spread.label_selector.as_ref();
    let mut pods = selected(selector, &pod.metadata.namespace).map_err(|what| ("labelSelector", what))?;
    let own = spread.match_label_keys.iter().filter_map(|key| pod.metadata.labels.get_key_value(key));
    pods.labels.extend(own.map(|(key, value)| Requirement::equal(key, value)));
    if pods.labels.is_empty() {
        pods = PodSelector::nobody();
    }
    Ok(Spread {
        topology_key: domain(&spread.topology_key),
        max_skew: number("maxSkew", spread.max_skew)?,
        min_domains: number("minDomains", spread.min_domains.unwrap_or(1))?,
        pods,
        honor_affinity: policy("nodeAffinityPolicy", &spread.node_affinity_policy, true)?,
        honor_taints: policy("nodeTaintsPolicy", &spread.node_taints_policy, false)?,
    })
}

/// The label that makes its domains, unless these are nodes.
pub(crate) fn spread_key(spread: &Spread) -> Option<&String> {
    Some(&spread.topology_key).filter(|key| *key != Term::NODE)
}

/// The fault of a field of a term.
pub(super) fn fault(path: &str, (field, what): (&'static str, String)) -> Fault {
    Fault::refused(format!("{path}.{field}"), what, "write it as the API's reference has it")
}
