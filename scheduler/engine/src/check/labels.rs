//! What pods ask of labels, judged anew: node affinity and label selectors.

use std::collections::BTreeMap;

use crate::cluster::{NodeShape, PodShape};
use crate::filter::affinity::PodTerms;
use crate::filter::labels::{PodSelector, Requirement, Test};

/// Does a node meet the node affinity of a pod, that of its shape and that of its terms?
pub(super) fn is_affine(name: &str, node: &NodeShape, pod: &PodShape, terms: Option<&PodTerms>) -> bool {
    let lists = [pod.node_affinity.as_slice(), terms.map_or(&[][..], |terms| &terms.node_affinity)];
    lists.into_iter().filter(|list| !list.is_empty()).all(|list| {
        list.iter().any(|term| {
            let wrong_name = term.names.iter().any(|test| !holds(test, Some(&name.to_owned())));
            term.labels.len() + term.names.len() > 0 && !wrong_name && all_hold(&term.labels, &node.labels)
        })
    })
}

/// Does the selector speak of a pod with these terms?
pub(super) fn speaks_of(selector: &PodSelector, terms: Option<&PodTerms>) -> bool {
    let Some(PodTerms { namespace, labels, .. }) = terms else { return false };
    let in_it = selector.namespaces.iter().all(|names| names.iter().any(|name| name == namespace));
    in_it && all_hold(&selector.labels, labels)
}

/// Do the labels meet all of it?
pub(super) fn all_hold(asked: &[Requirement], labels: &BTreeMap<String, String>) -> bool {
    asked.iter().all(|one| holds(&one.test, labels.get(&one.key)))
}

pub(super) fn holds(test: &Test, value: Option<&String>) -> bool {
    match (test, value) {
        (Test::Exists, there) => there.is_some(),
        (Test::DoesNotExist | Test::NotIn(_), None) => true,
        (_, None) | (Test::DoesNotExist, Some(_)) => false,
        (Test::In(values), Some(value)) => values.iter().any(|one| one == value),
        (Test::NotIn(values), Some(value)) => values.iter().all(|one| one != value),
        (Test::Gt(bound), Some(value)) => value.parse().is_ok_and(|number: i64| *bound < number),
        (Test::Lt(bound), Some(value)) => value.parse().is_ok_and(|number: i64| number < *bound),
    }
}
