use serde_json::{Value, json};

use super::*;
use crate::objects::{Body, Kind, read};

fn of_spec(spec: Value) -> Constraints {
    match read(Kind::Pod, json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": spec })).body {
        Body::Pod(pod) => of(&pod),
        other => panic!("{other:?}"),
    }
}

fn affinity(kind: &str, required: Value) -> Value {
    json!({ "affinity": { kind: { "requiredDuringSchedulingIgnoredDuringExecution": required } } })
}

#[test]
fn nodes_by_labels_and_names() {
    let term = |expressions: Value, fields: Value| {
        affinity(
            "nodeAffinity",
            json!({ "nodeSelectorTerms": [{ "matchExpressions": expressions, "matchFields": fields }] }),
        )
    };
    let rule =
        |key: &str, operator: &str, values: &[&str]| json!([{ "key": key, "operator": operator, "values": values }]);
    let zone = || BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();

    assert_eq!(of_spec(json!({ "nodeSelector": { "zone": "a" } })).node_selector, zone());
    assert_eq!(of_spec(term(rule("zone", "In", &["a"]), json!([]))).node_selector, zone());
    let hostname = of_spec(term(rule(names::HOSTNAME, "In", &["x", "y"]), json!([])));
    assert_eq!((hostname.hostnames, hostname.node_selector.len()), (vec![named(&["x", "y"])], 0));
    assert_eq!(of_spec(term(json!([]), rule("metadata.name", "In", &["x"]))).node_names, Some(named(&["x"])));

    let refused = [
        ("another operator", term(rule("zone", "NotIn", &["a"]), json!([]))),
        ("several values", term(rule("zone", "In", &["a", "b"]), json!([]))),
        ("an empty term", term(json!([]), json!([]))),
        ("several terms", affinity("nodeAffinity", json!({ "nodeSelectorTerms": [{}, {}] }))),
        ("no term", affinity("nodeAffinity", json!({ "nodeSelectorTerms": [] }))),
    ];
    for (case, spec) in refused {
        let faults = of_spec(spec).faults;
        assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), [NODE_AFFINITY], "{case}");
    }
    let twice =
        json!({ "nodeSelector": { "zone": "b" }, "affinity": term(rule("zone", "In", &["a"]), json!([]))["affinity"] });
    assert!(of_spec(twice).faults[0].what.contains("at once"));
}

#[test]
fn tolerations_mean_what_kubernetes_says() {
    let one = |toleration: Value| of_spec(json!({ "tolerations": [toleration] }));
    let read = |key: Option<&str>, value: Option<&str>, effect| {
        vec![Toleration { key: key.map(str::to_owned), value: value.map(str::to_owned), effect }]
    };
    let cases = [
        (json!({ "operator": "Exists" }), read(None, None, None)),
        (
            json!({ "key": "a", "operator": "Exists", "effect": "NoExecute" }),
            read(Some("a"), None, Some(TaintEffect::NoExecute)),
        ),
        (json!({ "key": "a", "value": "v" }), read(Some("a"), Some("v"), None)),
        (json!({ "key": "a", "operator": "Equal" }), read(Some("a"), Some(""), None)),
    ];
    for (toleration, expected) in cases {
        assert_eq!(one(toleration.clone()).tolerations, expected, "{toleration}");
    }
    for toleration in
        [json!({ "key": "a", "operator": "Gt", "value": "1" }), json!({ "key": "a", "effect": "Never" }), json!({})]
    {
        assert_eq!(one(toleration.clone()).faults.len(), 1, "{toleration}");
    }
}

#[test]
fn pods_to_be_near_to_are_those_of_one_namespace() {
    let term = |term: Value| of_spec(affinity("podAntiAffinity", json!([term])));
    let labels = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
    };
    let cases = [
        ("its own", json!({ "labelSelector": { "matchLabels": { "app": "x" } } }), labels(&[("n:app", "x")])),
        (
            "another",
            json!({ "labelSelector": { "matchLabels": { "app": "x" } }, "namespaces": ["m"] }),
            labels(&[("m:app", "x")]),
        ),
        (
            "a single value",
            json!({ "labelSelector": { "matchExpressions": [{ "key": "app", "operator": "In", "values": ["x"] }] } }),
            labels(&[("n:app", "x")]),
        ),
        ("everybody", json!({ "labelSelector": {} }), labels(&[("n:", "")])),
        ("nobody", json!({}), labels(&[])),
    ];
    for (case, mut spec, expected) in cases {
        spec["topologyKey"] = json!(names::HOSTNAME);
        let found = term(spec).anti_affinity;
        assert_eq!(found, [Term { topology_key: Term::NODE.to_owned(), match_labels: expected }], "{case}");
    }
    let refused = [
        ("namespaceSelector", json!({ "namespaceSelector": {}, "topologyKey": "zone" })),
        ("namespaces", json!({ "namespaces": ["a", "b"], "topologyKey": "zone" })),
        ("topologyKey", json!({})),
        (
            "labelSelector",
            json!({ "topologyKey": "zone", "labelSelector": { "matchExpressions": [{ "key": "a", "operator": "Exists" }] } }),
        ),
    ];
    for (field, spec) in refused {
        let found = term(spec);
        assert_eq!(found.anti_affinity, []);
        assert!(found.faults[0].field.ends_with(&format!("[0].{field}")), "{:?}", found.faults);
    }
}

#[test]
fn preferences_are_passed_over_but_said() {
    let preferred = json!({ "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 1 }] });
    let found = of_spec(json!({
        "affinity": { "nodeAffinity": preferred, "podAffinity": preferred, "podAntiAffinity": preferred },
        "topologySpreadConstraints": [{ "whenUnsatisfiable": "ScheduleAnyway" }],
    }));
    assert_eq!(found.faults.len(), 4);
    assert!(!crate::problem::refuses(&found.faults));
}

#[test]
fn volumes_that_are_everywhere_are_no_reason() {
    let all: Vec<Value> = PLACELESS.iter().map(|kind| json!({ "name": "v", *kind: {} })).collect();
    assert_eq!(of_spec(json!({ "volumes": all })), Constraints::default());
    assert_eq!(of_spec(json!({ "volumes": [{ "name": "v", "csi": {} }] })).faults[0].field, "spec.volumes[0].csi");
}
