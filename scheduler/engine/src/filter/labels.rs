//! What may be asked of labels, as in Kubernetes' selectors and node affinity, and which pods a selector means. Owns the
//! operators; does not know who asks.

use std::collections::{BTreeMap, BTreeSet};

/// One thing asked of labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What is asked of its value.
    pub test: Test,
}

/// The operators of Kubernetes. A label that is not there passes [`Test::NotIn`] and [`Test::DoesNotExist`] only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Test {
    /// One of these values.
    In(BTreeSet<String>),
    /// None of these values.
    NotIn(BTreeSet<String>),
    /// Any value.
    Exists,
    /// No such label.
    DoesNotExist,
    /// A whole number above this one; of nodes only.
    Gt(i64),
    /// A whole number below this one; of nodes only.
    Lt(i64),
}

/// Which pods are meant: those of some namespaces whose labels meet all of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct PodSelector {
    /// Those in one of these; `None` = in any.
    pub namespaces: Option<BTreeSet<String>>,
    /// What is asked of their labels; nothing = everybody is meant.
    pub labels: Vec<Requirement>,
}

impl PodSelector {
    /// The selector that means nobody: what Kubernetes understands where there is none.
    pub fn nobody() -> Self {
        PodSelector { namespaces: Some(BTreeSet::new()), labels: Vec::new() }
    }

    /// Pods of one namespace with all of these labels; with none of them, nobody.
    pub fn equal(namespace: &str, labels: &BTreeMap<String, String>) -> Self {
        if labels.is_empty() {
            return PodSelector::nobody();
        }
        let asked = |(key, value): (&String, &String)| Requirement::equal(key, value);
        PodSelector { namespaces: Some([namespace.to_owned()].into()), labels: labels.iter().map(asked).collect() }
    }

    /// Is a pod of this namespace with these labels meant?
    pub(crate) fn means(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.namespaces.as_ref().is_none_or(|names| names.contains(namespace))
            && self.labels.iter().all(|asked| asked.is_met(labels))
    }
}

impl Requirement {
    /// A label of this value.
    pub fn equal(key: &str, value: &str) -> Self {
        Requirement { key: key.to_owned(), test: Test::In([value.to_owned()].into()) }
    }

    /// Do these labels meet it?
    pub fn is_met(&self, labels: &BTreeMap<String, String>) -> bool {
        self.test.passes(labels.get(&self.key).map(String::as_str))
    }
}

impl Test {
    /// Does a label of this value pass, or one that is not there?
    pub(crate) fn passes(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::Gt(bound) => number().is_some_and(|number| number > *bound),
            Test::Lt(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_on_a_label_that_is_there_and_on_one_that_is_not() {
        let set = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<BTreeSet<_>>();
        let cases = [
            (Test::In(set(&["a", "b"])), Some("b"), true),
            (Test::In(set(&["a", "b"])), Some("c"), false),
            (Test::In(set(&["a", ""])), None, false),
            (Test::NotIn(set(&["a"])), Some("b"), true),
            (Test::NotIn(set(&["a"])), Some("a"), false),
            (Test::NotIn(set(&["a"])), None, true),
            (Test::Exists, Some(""), true),
            (Test::Exists, None, false),
            (Test::DoesNotExist, Some(""), false),
            (Test::DoesNotExist, None, true),
            (Test::Gt(8), Some("9"), true),
            (Test::Gt(8), Some("8"), false),
            (Test::Gt(-3), Some("-2"), true),
            (Test::Gt(8), Some("10"), true),
            (Test::Gt(8), Some("nine"), false),
            (Test::Gt(8), None, false),
            (Test::Lt(8), Some("7"), true),
            (Test::Lt(8), Some("8"), false),
            (Test::Lt(8), Some("99999999999999999999"), false),
            (Test::Lt(8), Some(""), false),
            (Test::Lt(8), None, false),
        ];
        for (test, value, passes) in cases {
            assert_eq!(test.passes(value), passes, "{test:?} on {value:?}");
        }
    }

    #[test]
    fn a_selector_means_pods_by_namespace_and_by_all_it_asks() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let web = labels(&[("app", "web"), ("tier", "front")]);
        let anywhere = |labels| PodSelector { namespaces: None, labels };
        let not_old = Requirement { key: "app".into(), test: Test::NotIn(["old".to_owned()].into()) };
        let cases = [
            ("equal labels", PodSelector::equal("a", &labels(&[("app", "web")])), true),
            ("another namespace", PodSelector::equal("b", &labels(&[("app", "web")])), false),
            ("one label of two", PodSelector::equal("a", &labels(&[("app", "web"), ("tier", "back")])), false),
            ("no labels", PodSelector::equal("a", &BTreeMap::new()), false),
            ("nobody", PodSelector::nobody(), false),
            ("everybody", anywhere(vec![]), true),
            ("all it asks", anywhere(vec![not_old.clone(), Requirement::equal("tier", "front")]), true),
            ("not all it asks", anywhere(vec![not_old, Requirement::equal("tier", "back")]), false),
        ];
        for (case, selector, meant) in cases {
            assert_eq!(selector.means("a", &web), meant, "{case}");
        }
    }
}
