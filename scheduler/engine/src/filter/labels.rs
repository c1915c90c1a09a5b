//! What may be asked of labels beyond equality, as in Kubernetes' selectors and node affinity. Owns the operators; does not know
//! whose labels they are.

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

impl Requirement {
    /// Do these labels meet it?
    pub(crate) fn is_met(&self, labels: &BTreeMap<String, String>) -> bool {
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
}
