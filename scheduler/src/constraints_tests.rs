use std::collections::{BTreeMap, BTreeSet};

use berth_config::names;
use berth_engine::filter::affinity::Term;
use berth_engine::filter::labels::{self, PodSelector, Test};
use berth_engine::filter::node_affinity::NodeTerm;
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

/// What a pod with these terms of node affinity may use, on top of a node selector.
fn nodes(selector: Value, terms: Value) -> (Constraints, Vec<NodeTerm>) {
    let mut spec = affinity("nodeAffinity", json!({ "nodeSelectorTerms": terms }));
    spec["nodeSelector"] = selector;
    let read = of_spec(spec);
    let of_terms = read.nodes.of_terms(|hostname| BTreeSet::from([format!("node-of-{hostname}")]));
    (read, of_terms)
}

fn asked(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({ "key": key, "operator": operator, "values": values })
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn node_affinity_has_all_operators_of_kubernetes() {
    let cases = [
        (asked("zone", "In", &["a", "b"]), Test::In(set(&["a", "b"]))),
        (asked("zone", "NotIn", &["a"]), Test::NotIn(set(&["a"]))),
        (asked("zone", "Exists", &[]), Test::Exists),
        (asked("zone", "DoesNotExist", &[]), Test::DoesNotExist),
        (asked("zone", "Gt", &["7"]), Test::Gt(7)),
        (asked("zone", "Lt", &["-7"]), Test::Lt(-7)),
    ];
    for (one, test) in cases {
        let (read, of_terms) = nodes(json!({}), json!([{ "matchExpressions": [one] }, { "matchExpressions": [one] }]));
        let term = NodeTerm { labels: vec![labels::Requirement { key: "zone".into(), test }], names: Vec::new() };
        assert_eq!((read.nodes.of_shape(), of_terms), (vec![term.clone(), term], Vec::new()), "{one}");
        assert_eq!(read.faults, []);
        assert!(read.nodes.keys().eq(["zone", "zone"]));
    }
}

#[test]
fn a_term_that_cannot_be_read_is_met_by_no_node() {
    let fine = json!({ "matchExpressions": [asked("zone", "Exists", &[])] });
    let odd = [
        json!({}),
        json!({ "matchExpressions": [asked("zone", "Near", &["a"])] }),
        json!({ "matchExpressions": [asked("zone", "In", &[])] }),
        json!({ "matchExpressions": [asked("zone", "Exists", &["a"])] }),
        json!({ "matchExpressions": [asked("zone", "Gt", &["seven"])] }),
        json!({ "matchExpressions": [asked("zone", "Gt", &["7", "8"])] }),
        json!({ "matchFields": [asked("metadata.name", "In", &["a", "b"])] }),
        json!({ "matchFields": [asked("metadata.name", "Exists", &[])] }),
        json!({ "matchFields": [asked("metadata.uid", "In", &["a"])] }),
    ];
    for term in odd {
        let (read, _) = nodes(json!({}), json!([term, fine]));
        let terms = read.nodes.of_shape();
        assert_eq!((terms.len(), read.faults.len()), (2, 1), "{term}");
        assert!(read.faults[0].field.ends_with("nodeSelectorTerms[0]") && !crate::problem::refuses(&read.faults));
        let (alone, by_name) = nodes(json!({}), json!([term]));
        assert_eq!((alone.nodes.of_shape(), by_name, alone.nodes.only()), (vec![terms[0].clone()], Vec::new(), None));
        let nowhere = labels::Requirement { key: String::new(), test: Test::In(set(&[])) };
        assert_eq!(terms[0].labels, [nowhere], "{term}: no value is among none");
    }
    let none = nodes(json!({}), json!([])).0.nodes.of_shape();
    assert_eq!(none, nodes(json!({}), json!([{}])).0.nodes.of_shape(), "no term is met by no node either");
}

#[test]
fn hostnames_and_names_are_asked_of_nodes_one_by_one() {
    let by_host = asked(names::HOSTNAME, "NotIn", &["x"]);
    let (read, of_terms) =
        nodes(json!({ names::HOSTNAME: "y", "zone": "a" }), json!([{ "matchExpressions": [by_host] }]));
    let tests = vec![Test::NotIn(set(&["node-of-x"])), Test::In(set(&["node-of-y"]))];
    assert_eq!(of_terms, [NodeTerm { labels: Vec::new(), names: tests }]);
    assert_eq!(read.nodes.selector, BTreeMap::from([("zone".to_owned(), "a".to_owned())]));
    assert!(read.nodes.looks_at_host("x") && read.nodes.looks_at_host("y") && !read.nodes.looks_at_host("z"));

    let selected = of_spec(json!({ "nodeSelector": { names::HOSTNAME: "y" } })).nodes;
    let nowhere = selected.of_terms(|_| BTreeSet::new());
    assert_eq!(nowhere, [NodeTerm { labels: Vec::new(), names: vec![Test::In(set(&[]))] }], "no node has that name");

    let named = |names: &[&str]| {
        let fields: Vec<Value> = names.iter().map(|name| asked("metadata.name", "In", &[name])).collect();
        json!({ "matchFields": fields, "matchExpressions": [asked("zone", "Exists", &[])] })
    };
    let only = |terms: Value| nodes(json!({}), terms).0.nodes.only();
    assert_eq!(only(json!([named(&["a"]), named(&["b"])])), Some(set(&["a", "b"])));
    assert_eq!(only(json!([named(&["a", "b"])])), Some(set(&[])), "no node has two names");
    let refused = |terms: Value| crate::problem::refuses(&nodes(json!({}), terms).0.faults);
    assert!(refused(json!([named(&["a", "b"])])) && !refused(json!([named(&["a", "b"]), named(&["a"])])));
    assert_eq!(only(json!([named(&["a"]), named(&[])])), None, "the second term may be met by any node");
}

#[test]
fn host_ports_are_those_of_containers_that_stay() {
    let port = |port: i64| json!({ "hostPort": port, "containerPort": 1 });
    let ports = |ports: Value| of_spec(json!({ "containers": [{ "name": "c", "ports": ports }] }));
    let tcp =
        |port, address: Option<&str>| HostPort { protocol: Protocol::Tcp, port, address: address.map(str::to_owned) };
    let all = of_spec(json!({
        "containers": [{ "name": "c", "ports": [port(80), port(0), port(80)] }],
        "initContainers": [
            { "name": "first", "ports": [port(81)] },
            { "name": "beside", "restartPolicy": "Always", "ports": [port(82)] },
        ],
    }));
    assert_eq!((all.host_ports, all.faults), (vec![tcp(80, None), tcp(82, None)], vec![]));
    let addressed = ports(json!([
        { "hostPort": 80, "hostIP": "0.0.0.0" }, { "hostPort": 81, "hostIP": "10.0.0.1", "protocol": "TCP" },
    ]));
    assert_eq!(addressed.host_ports, [tcp(80, None), tcp(81, Some("10.0.0.1"))]);
    let udp = ports(json!([{ "hostPort": 80, "protocol": "UDP" }])).host_ports;
    assert_eq!(udp.iter().map(|port| port.protocol).collect::<Vec<_>>(), [Protocol::Udp]);
    for odd in [json!({ "hostPort": 65536 }), json!({ "hostPort": -1 }), json!({ "hostPort": 1, "protocol": "ICMP" })] {
        let read = ports(json!([odd]));
        assert_eq!(read.faults[0].field, "spec.containers[0].ports[0].hostPort", "{odd}");
    }
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

fn like(_: &[labels::Requirement]) -> BTreeSet<String> {
    set(&["x", "y"])
}

#[test]
fn pods_to_be_near_to_are_chosen_by_labels_and_namespaces() {
    let term = |term: Value| of_spec(affinity("podAntiAffinity", json!([term])));
    let in_ours = |labels| PodSelector { namespaces: Some(set(&["n"])), labels };
    let app = |test| labels::Requirement { key: "app".into(), test };
    let by = |labels: Value| json!({ "labelSelector": labels });
    let of_app = || json!({ "matchLabels": { "app": "x" } });
    let x = || vec![app(Test::In(set(&["x"])))];
    let cases = [
        ("its own", by(of_app()), in_ours(x())),
        (
            "several",
            json!({ "labelSelector": of_app(), "namespaces": ["m", "k"] }),
            PodSelector { namespaces: Some(set(&["k", "m"])), labels: x() },
        ),
        (
            "by labels",
            json!({ "labelSelector": of_app(), "namespaceSelector": { "matchLabels": { "team": "t" } } }),
            PodSelector { namespaces: Some(set(&["x", "y"])), labels: x() },
        ),
        (
            "by labels and names",
            json!({ "labelSelector": of_app(), "namespaces": ["m"], "namespaceSelector": { "matchLabels": { "team": "t" } } }),
            PodSelector { namespaces: Some(set(&["m", "x", "y"])), labels: x() },
        ),
        (
            "all",
            json!({ "labelSelector": of_app(), "namespaceSelector": {} }),
            PodSelector { namespaces: None, labels: x() },
        ),
        (
            "not these",
            by(json!({ "matchExpressions": [asked("app", "NotIn", &["x"])] })),
            in_ours(vec![app(Test::NotIn(set(&["x"])))]),
        ),
        (
            "with a label",
            by(json!({ "matchExpressions": [asked("app", "Exists", &[])] })),
            in_ours(vec![app(Test::Exists)]),
        ),
        (
            "without it",
            by(json!({ "matchExpressions": [asked("app", "DoesNotExist", &[])] })),
            in_ours(vec![app(Test::DoesNotExist)]),
        ),
        ("everybody", by(json!({})), in_ours(vec![])),
        ("nobody", json!({ "namespaceSelector": {} }), PodSelector::nobody()),
    ];
    for (case, mut spec, pods) in cases {
        spec["topologyKey"] = json!(names::HOSTNAME);
        let found: Vec<Term> = term(spec).anti_affinity.iter().map(|near| near.resolved(like)).collect();
        assert_eq!(found, [Term { topology_key: Term::NODE.to_owned(), pods }], "{case}");
    }
    let odd = json!({ "matchExpressions": [asked("a", "Gt", &["1"])] });
    let refused = [
        ("topologyKey", json!({})),
        ("labelSelector", json!({ "topologyKey": "zone", "labelSelector": odd })),
        ("namespaceSelector", json!({ "topologyKey": "zone", "labelSelector": {}, "namespaceSelector": odd })),
    ];
    for (field, spec) in refused {
        let found = term(spec);
        assert_eq!(found.anti_affinity, []);
        assert!(found.faults[0].field.ends_with(&format!("[0].{field}")), "{:?}", found.faults);
    }
}

#[test]
fn spreading_has_the_defaults_of_kube_scheduler() {
    let read = |spread: Value| {
        let mut pod = json!({ "metadata": { "name": "p", "namespace": "n", "labels": { "app": "x", "rev": "1" } } });
        pod["spec"] = json!({ "topologySpreadConstraints": [spread] });
        match read(Kind::Pod, pod).body {
            Body::Pod(pod) => of(&pod),
            other => panic!("{other:?}"),
        }
    };
    let zones = |more: Value| {
        let mut spread = json!({ "topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule" });
        spread.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        spread
    };
    let of_app = json!({ "matchLabels": { "app": "x" } });
    let equal = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        PodSelector::equal("n", &pairs.collect())
    };
    let plain = Spread {
        topology_key: "zone".to_owned(),
        max_skew: 1,
        min_domains: 1,
        pods: equal(&[("app", "x")]),
        honor_affinity: true,
        honor_taints: false,
    };
    let cases = [
        ("defaults", json!({ "labelSelector": of_app }), plain.clone()),
        (
            "no defaults",
            json!({ "labelSelector": of_app, "minDomains": 3, "nodeAffinityPolicy": "Ignore", "nodeTaintsPolicy": "Honor" }),
            Spread { min_domains: 3, honor_affinity: false, honor_taints: true, ..plain.clone() },
        ),
        (
            "nodes",
            json!({ "labelSelector": of_app, "topologyKey": names::HOSTNAME, "maxSkew": 2 }),
            Spread { topology_key: Term::NODE.to_owned(), max_skew: 2, ..plain.clone() },
        ),
        (
            "of one revision",
            json!({ "labelSelector": of_app, "matchLabelKeys": ["rev", "absent"] }),
            Spread { pods: equal(&[("app", "x"), ("rev", "1")]), ..plain.clone() },
        ),
        (
            "everybody, which counts nobody",
            json!({ "labelSelector": {} }),
            Spread { pods: PodSelector::nobody(), ..plain.clone() },
        ),
        ("nobody", json!({}), Spread { pods: PodSelector::nobody(), ..plain.clone() }),
    ];
    for (case, more, expected) in cases {
        assert_eq!(read(zones(more)).spread, [expected], "{case}");
    }
    let refused = [
        ("topologyKey", json!({ "topologyKey": "" })),
        ("maxSkew", json!({ "maxSkew": 0 })),
        ("minDomains", json!({ "minDomains": 0 })),
        ("nodeAffinityPolicy", json!({ "nodeAffinityPolicy": "Maybe" })),
        ("nodeTaintsPolicy", json!({ "nodeTaintsPolicy": "Maybe" })),
        ("whenUnsatisfiable", json!({ "whenUnsatisfiable": "Never" })),
        ("labelSelector", json!({ "labelSelector": { "matchExpressions": [asked("a", "Near", &[])] } })),
    ];
    for (field, more) in refused {
        let fields: Vec<String> = read(zones(more)).faults.into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, [format!("spec.topologySpreadConstraints[0].{field}")]);
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
