//! What the engine is told of objects, told to a real engine.

mod common;

use berth_config::scheduler::GroupConvention;
use berth_engine::gang::Stage;
use berth_engine::{Decision, Event, GpuRequest};
use berth_scheduler::{Change, Key, Kind, objects};
use common::{NOW, Pair, node, object, pod};
use serde_json::{Value, json};

fn fixture(name: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).expect("a fixture")).expect("JSON")
}

fn group(convention: GroupConvention) -> objects::Object {
    let name = format!("{convention:?}").to_lowercase();
    objects::read(Kind::PodGroup(convention), fixture("groups.json")[name].clone())
}

fn queue(name: &str, spec: Value) -> objects::Object {
    object(Kind::Queue, "", name, 1, json!({ "apiVersion": "berth.dev/v1alpha1", "kind": "Queue", "spec": spec }))
}

fn key(name: &str) -> Key {
    Key { kind: Kind::Pod, namespace: "lab".into(), name: name.into() }
}

fn stage(pair: &Pair, name: &str) -> Option<Stage> {
    let id = pair.world.pod_id(&key(name))?;
    pair.engine.state().pods().get(&id).map(|pod| pod.stage)
}

#[test]
fn objects_as_the_api_server_sends_them() {
    let mut pair = Pair::default();
    pair.applied([
        objects::read(Kind::Node, fixture("node.json")),
        objects::read(Kind::Pod, fixture("pod.json")),
        group(GroupConvention::Native),
        queue("research", json!({ "resources": { "gpu": { "deserved": 4 } } })),
    ]);
    assert_eq!(pair.problems(), Vec::<String>::new());
    let state = pair.engine.state();
    let id = pair.world.node_id("gpu-7").expect("a node");
    let shape = &state.cluster().state(id).expect("a node").shape;
    assert_eq!((shape.cpu_milli, shape.memory_bytes, shape.pods), (191_500, 2_113_359_872 << 10, 110));
    assert_eq!((shape.gpus, shape.gpu_memory_mib, shape.gpu_model.as_str()), (6, 81_559, "NVIDIA-H100-80GB-HBM3"));
    assert_eq!(shape.mig_instances(), [("1g.10gb".to_owned(), 7)]);
    let labels: Vec<&str> = shape.labels.keys().map(String::as_str).collect();
    assert_eq!(labels, ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"], "no hostname, no timestamp");
    let pod = &state.pods()[&pair.world.pod_id(&key("train-0")).expect("a pod")];
    assert_eq!((pod.shape.cpu_milli, pod.shape.memory_bytes, pod.shape.gpu), (16_000, 64 << 30, GpuRequest::Whole(4)));
    let gang = &state.gangs()[&pod.gang];
    assert_eq!(
        (&*gang.spec.name, gang.spec.priority, gang.spec.expected_runtime_ms),
        ("lab/train", 1000, Some(9_000_000))
    );
    assert_eq!(state.queues().get(gang.spec.queue).map(|queue| queue.spec.name.as_str()), Some("research"));
    let root = gang.tree.branch(0);
    assert_eq!(root.min_member, 2);
    let wish = root.topology.as_ref().expect("a wish");
    assert_eq!((wish.topology.as_str(), wish.required.as_deref()), ("zone", Some("topology.kubernetes.io/zone")));
}

#[test]
fn groups_of_other_systems() {
    let follows = |convention, min: &[u32], more: Value| {
        let mut pair = Pair::default();
        let mut rest = json!({ "metadata": { "labels": { "berth.dev/queue": "research" } } });
        common::merge(&mut rest, more);
        pair.applied([queue("research", json!({})), pod("p", 1, rest), group(convention)]);
        assert_eq!(pair.problems(), Vec::<String>::new(), "{convention:?}");
        let state = pair.engine.state();
        let pod = &state.pods()[&pair.world.pod_id(&key("p")).expect("a pod")];
        let gang = &state.gangs()[&pod.gang];
        let found: Vec<u32> = gang.tree.branches().iter().map(|branch| branch.min_member).collect();
        assert_eq!(found, min, "{convention:?}");
        (gang.tree.branch(pod.leaf).name.clone(), gang.spec.preemptible)
    };
    let labels = json!({ "metadata": { "labels": { "scheduling.x-k8s.io/pod-group": "train" } } });
    assert_eq!(follows(GroupConvention::Coscheduling, &[3], labels), (String::new(), true));
    let annotations = json!({ "metadata": { "annotations": { "scheduling.k8s.io/group-name": "train" } } });
    let class = "Volcano names a class that is not there";
    let mut pair = Pair::default();
    pair.applied([queue("research", json!({})), pod("p", 1, annotations), group(GroupConvention::Volcano)]);
    assert_eq!((pair.problems().len(), stage(&pair, "p")), (1, Some(Stage::Pending)), "{class}");
    let kai = json!({ "metadata": { "annotations": { "pod-group-name": "train" }, "labels": { "kai.scheduler/subgroup-name": "odd" } } });
    assert_eq!(follows(GroupConvention::Kai, &[2, 1, 2, 2, 2], kai), ("odd".to_owned(), false));
}

#[test]
fn gangs_by_annotations_have_the_size_their_pods_agree_on() {
    let member = |name: &str, version, size: &str| {
        pod(
            name,
            version,
            json!({ "metadata": { "annotations": { "berth.dev/gang": "g", "berth.dev/gang-size": size } } }),
        )
    };
    let mut pair = Pair::default();
    pair.applied([member("a", 1, "2"), member("b", 1, "3")]);
    assert!(pair.problems()[0].contains("differs between pods of the gang"), "{:?}", pair.problems());
    assert_eq!(stage(&pair, "a"), None);
    pair.applied([member("b", 2, "2")]);
    assert_eq!(
        (pair.problems().len(), stage(&pair, "a"), stage(&pair, "b")),
        (0, Some(Stage::Pending), Some(Stage::Pending))
    );
}

#[test]
fn a_pod_waits_for_its_group_its_queue_and_its_gates() {
    let mut pair = Pair::default();
    let gated = json!({ "metadata": { "labels": { "berth.dev/queue": "later" } },
        "spec": { "schedulingGroup": { "podGroupName": "train" }, "schedulingGates": [{ "name": "kueue.x-k8s.io/admission" }] } });
    let open = json!({ "metadata": { "labels": { "berth.dev/queue": "later" } },
        "spec": { "schedulingGroup": { "podGroupName": "train" }, "schedulingGates": [] } });
    pair.applied([pod("p", 1, gated)]);
    assert_eq!((stage(&pair, "p"), pair.problems().len()), (None, 0), "a gate is no problem");
    pair.applied([pod("p", 2, open)]);
    assert!(pair.problems()[0].contains("PodGroup lab/train is not there"), "{:?}", pair.problems());
    pair.applied([group(GroupConvention::Native)]);
    assert!(pair.problems()[0].contains("found `later`"), "{:?}", pair.problems());
    pair.applied([queue("later", json!({}))]);
    assert_eq!((stage(&pair, "p"), pair.problems().len()), (Some(Stage::Pending), 0));
    pair.applied([queue("below", json!({ "parent": "later" }))]);
    assert_eq!(stage(&pair, "p"), None, "a queue with queues below it holds no gangs");
    assert!(pair.problems()[0].contains("others below it"), "{:?}", pair.problems());
}

#[test]
fn what_cannot_be_honoured_is_refused_with_its_field_and_disturbs_nobody() {
    let cases = [
        ("metadata.annotations[gpu-fraction]", json!({ "metadata": { "annotations": { "gpu-fraction": "0.5" } } })),
        ("spec.resourceClaims", json!({ "spec": { "resourceClaims": [{ "name": "gpu" }] } })),
        (
            "spec.volumes: persistentvolumeclaim \"data\" not found",
            json!({ "spec": { "volumes": [{ "name": "d", "persistentVolumeClaim": { "claimName": "data" } }] } }),
        ),
        (
            "spec.topologySpreadConstraints[0].topologyKey",
            json!({ "spec": { "topologySpreadConstraints": [{ "whenUnsatisfiable": "DoNotSchedule" }] } }),
        ),
        (
            "requests[ephemeral-storage]",
            json!({ "spec": { "containers": [{ "resources": { "requests": { "ephemeral-storage": "1Gi" } } }] } }),
        ),
        (
            "spec.containers[0].resources.requests[cpu]",
            json!({ "spec": { "containers": [{ "resources": { "requests": { "cpu": "lots" } } }] } }),
        ),
    ];
    for (field, rest) in cases {
        let mut pair = Pair::default();
        pair.applied([pod("odd", 1, rest), pod("plain", 1, json!({}))]);
        let problems = pair.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("Pod lab/odd (not used)") && problems[0].contains(field), "{problems:?}");
        assert_eq!((stage(&pair, "odd"), stage(&pair, "plain")), (None, Some(Stage::Pending)), "{field}");
    }
}

#[test]
fn pods_of_other_schedulers_hold_what_they_have_outside_of_all_queues() {
    let mut pair = Pair::default();
    let other =
        json!({ "spec": { "schedulerName": "default-scheduler", "nodeName": "n" }, "status": { "phase": "Running" } });
    pair.applied([
        pod("other", 1, other),
        node("n", 1, 2, json!({})),
        pod("waits", 1, json!({ "spec": { "schedulerName": "x" } })),
    ]);
    assert_eq!((stage(&pair, "other"), stage(&pair, "waits")), (Some(Stage::Running), None));
    let state = pair.engine.state();
    assert_eq!(
        state.cluster().state(pair.world.node_id("n").expect("a node")).map(|node| node.free.gpu_milli()),
        Some(1000)
    );
    let shrunk = node("n", 2, 0, json!({}));
    pair.applied([shrunk]);
    assert_eq!(stage(&pair, "other"), Some(Stage::Running), "it is still there, and the node is full");
    assert!(pair.problems()[0].contains("pods hold 1 of 0"), "{:?}", pair.problems());
}

#[test]
fn a_decision_comes_back_as_watches_see_it() {
    let mut pair = Pair::default();
    pair.applied([node("n", 1, 8, json!({})), pod("p", 1, json!({})), pod("q", 1, json!({}))]);
    let decisions = pair.engine.decide(NOW);
    decisions.iter().for_each(|decision| pair.world.decided(decision));
    assert!(decisions.iter().all(|decision| matches!(decision, Decision::Bind { .. })) && decisions.len() == 2);
    let id = pair.world.pod_id(&key("p")).expect("a pod");
    let bound = |phase: &str| json!({ "spec": { "nodeName": "n" }, "status": { "phase": phase } });
    assert_eq!(pair.applied([pod("p", 2, bound("Pending"))]), [], "as the engine has booked it");
    assert_eq!(pair.applied([pod("p", 3, bound("Running"))]), [Event::Confirmed { pod: id }]);
    assert_eq!(pair.world.pod(id), Some((&key("p"), "Pod/lab/p")));

    let event = pair.world.bind_failed(&key("q")).expect("it was booked");
    pair.engine.apply(event, NOW).expect("it was placed");
    assert_eq!((stage(&pair, "q"), pair.world.bind_failed(&key("q"))), (Some(Stage::Pending), None));

    let mut going = bound("Running");
    going["metadata"] = json!({ "deletionTimestamp": "2026-11-21T18:00:00Z" });
    pair.applied([pod("p", 4, going)]);
    assert_eq!(stage(&pair, "p"), Some(Stage::Evicted), "it still holds its place");
    pair.world.apply(Change::Deleted { key: key("p"), uid: "Pod/lab/p".into() });
    pair.tell();
    assert_eq!(stage(&pair, "p"), None);
    assert_eq!(pair.engine.state().digest(), pair.engine.state().rebuild().digest());
}

#[test]
fn a_node_told_anew_keeps_its_pods_booked_ones_too() {
    let mut pair = Pair::default();
    pair.applied([node("n", 1, 8, json!({})), pod("p", 1, json!({}))]);
    pair.engine.decide(NOW).iter().for_each(|decision| pair.world.decided(decision));
    let events = pair.applied([node("n", 2, 4, json!({ "spec": { "unschedulable": true } }))]);
    assert!(matches!(events.as_slice(), [Event::NodeChanged { .. }]), "{events:?}");
    assert_eq!(stage(&pair, "p"), Some(Stage::Placed));
    pair.world.apply(Change::Replaced { kind: Kind::Node, objects: vec![] });
    pair.tell();
    assert_eq!(stage(&pair, "p"), Some(Stage::Pending), "its node is gone before it was bound");
}

#[test]
fn pods_keep_to_the_gpus_that_are_left() {
    let mut pair = Pair::default();
    let on = json!({ "spec": { "nodeName": "n" }, "status": { "phase": "Running" } });
    pair.applied([node("n", 1, 2, json!({})), pod("p", 1, on.clone()), pod("q", 1, on)]);
    pair.world.apply(Change::Deleted { key: key("p"), uid: "Pod/lab/p".into() });
    pair.applied([node("n", 2, 1, json!({}))]);
    let id = pair.world.pod_id(&key("q")).expect("a pod");
    let place = pair.engine.state().whereabouts(id).place.expect("a place");
    assert_eq!(place.gpus.as_slice(), [0], "it had the second of two");
    let node = pair.engine.cluster().state(place.node).expect("a node");
    assert_eq!((node.shape.gpus, node.shape.unschedulable), (1, false));
}

/// The node the pod is bound to by the next cycle, if it is.
fn bound_to(pair: &mut Pair, name: &str) -> Option<String> {
    let decisions = pair.engine.decide(NOW);
    decisions.iter().for_each(|decision| pair.world.decided(decision));
    let id = pair.world.pod_id(&key(name))?;
    let place = pair.engine.state().whereabouts(id).place?;
    pair.world.node(place.node).map(str::to_owned)
}

#[test]
fn rules_about_nodes_reach_the_engine() {
    let affinity = |terms: Value| {
        let required = json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } });
        json!({ "spec": { "affinity": { "nodeAffinity": required } } })
    };
    let labels = |key: &str, operator: &str, values: &[&str]| {
        affinity(json!([{ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] }]))
    };
    let named = |operator: &str, name: &str| {
        affinity(json!([{ "matchFields": [{ "key": "metadata.name", "operator": operator, "values": [name] }] }]))
    };
    let tolerant = json!({ "spec": { "tolerations": [{ "operator": "Exists" }] } });
    let cases = [
        ("no rule", json!({}), Some("a")),
        ("a number", labels("generation", "Gt", &["7"]), Some("b")),
        ("a label that is not there", labels("generation", "DoesNotExist", &[]), Some("a")),
        ("a hostname", labels("kubernetes.io/hostname", "NotIn", &["a"]), Some("b")),
        ("a name", named("In", "b"), Some("b")),
        ("not a name", named("NotIn", "a"), Some("b")),
        ("no such name", named("In", "z"), None),
        (
            "a hostname that only a cordoned node has",
            json!({ "spec": { "nodeSelector": { "kubernetes.io/hostname": "c" } } }),
            None,
        ),
    ];
    let nodes = || {
        [
            node("a", 1, 8, json!({})),
            node("b", 1, 8, json!({ "metadata": { "labels": { "generation": "8" } } })),
            node("c", 1, 8, json!({ "spec": { "unschedulable": true } })),
        ]
    };
    for (case, rest, expected) in cases {
        let mut pair = Pair::default();
        pair.applied(nodes().into_iter().chain([pod("p", 1, rest)]));
        assert_eq!(bound_to(&mut pair, "p").as_deref(), expected, "{case}");
        assert_eq!(pair.problems(), Vec::<String>::new(), "{case}");
    }
    let mut pair = Pair::default();
    let mut rest = json!({ "spec": { "nodeSelector": { "kubernetes.io/hostname": "c" } } });
    common::merge(&mut rest, tolerant);
    pair.applied(nodes().into_iter().chain([pod("p", 1, rest)]));
    assert_eq!(bound_to(&mut pair, "p").as_deref(), Some("c"), "it tolerates the cordon");
}

#[test]
fn two_pods_with_one_host_port_are_on_two_nodes() {
    let mut pair = Pair::default();
    let port = || json!({ "spec": { "hostNetwork": true, "containers": [{ "name": "c", "ports": [{ "hostPort": 80, "containerPort": 80 }] }] } });
    let nodes = [node("a", 1, 8, json!({})), node("b", 1, 8, json!({}))];
    pair.applied(nodes.into_iter().chain([pod("p", 1, port()), pod("q", 1, port()), pod("r", 1, port())]));
    bound_to(&mut pair, "p");
    let mut found = ["p", "q", "r"].map(|name| bound_to(&mut pair, name));
    found.sort();
    assert_eq!(found.map(|node| node.unwrap_or_default()), ["", "a", "b"]);
}

#[test]
fn hostnames_are_looked_up_and_make_no_classes() {
    let mut pair = Pair::default();
    let pinned = json!({ "spec": { "nodeSelector": { "kubernetes.io/hostname": "b" } } });
    pair.applied([node("a", 1, 8, json!({})), node("b", 1, 8, json!({})), pod("p", 1, pinned)]);
    assert_eq!(pair.engine.cluster().classes().len(), 1);
    let decisions = pair.engine.decide(NOW);
    let Some(Decision::Bind { pods, .. }) = decisions.first() else { panic!("{decisions:?}") };
    assert_eq!(pair.world.node(pods[0].slot.node), Some("b"));
}

#[test]
fn a_gang_that_must_be_on_one_node_is() {
    let mut pair = Pair::default();
    let member = |name| {
        pod(
            name,
            1,
            json!({ "metadata": { "annotations": { "berth.dev/gang": "g", "berth.dev/gang-size": "3",
            "berth.dev/required-topology": "kubernetes.io/hostname" } } }),
        )
    };
    pair.applied([node("a", 1, 2, json!({})), node("b", 1, 2, json!({})), member("x"), member("y"), member("z")]);
    assert!(pair.engine.decide(NOW).iter().all(|decision| !matches!(decision, Decision::Bind { .. })));
    pair.applied([node("c", 1, 3, json!({}))]);
    let decisions = pair.engine.decide(NOW);
    let Some(Decision::Bind { pods, .. }) = decisions.first() else { panic!("{decisions:?}") };
    assert!(pods.iter().all(|pod| pair.world.node(pod.slot.node) == Some("c")));
}

#[test]
fn a_disruption_budget_counts_pods_of_its_namespace_only() {
    let mut pair = Pair::default();
    let labels = json!({ "metadata": { "labels": { "app": "x" } } });
    let budget =
        json!({ "spec": { "selector": { "matchLabels": { "app": "x" } } }, "status": { "disruptionsAllowed": 0 } });
    pair.applied([pod("p", 1, labels), object(Kind::Budget, "other", "b", 1, budget.clone())]);
    let labelled = |pair: &Pair| {
        let id = pair.world.pod_id(&key("p")).expect("a pod");
        pair.engine.state().pods()[&id].terms.is_some()
    };
    assert!(!labelled(&pair));
    pair.applied([object(Kind::Budget, "lab", "b", 1, budget)]);
    assert!(labelled(&pair));
}

/// A running pod of the namespace on the node, with the label `app`.
fn neighbour(namespace: &str, node: &str, app: &str) -> objects::Object {
    let rest = json!({
        "metadata": { "labels": { "app": app } },
        "spec": { "schedulerName": "default-scheduler", "nodeName": node, "containers": [] },
        "status": { "phase": "Running" },
    });
    object(Kind::Pod, namespace, &format!("on-{node}"), 1, rest)
}

#[test]
fn pods_keep_away_from_pods_of_namespaces_by_their_labels() {
    let mut pair = Pair::default();
    let term = json!([{
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": { "matchExpressions": [{ "key": "app", "operator": "NotIn", "values": ["quiet"] }] },
        "namespaceSelector": { "matchLabels": { "noisy": "yes" } },
    }]);
    let rest = json!({ "spec": { "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": term } } } });
    let namespace = |version, noisy: &str| {
        object(Kind::Namespace, "", "fair", version, json!({ "metadata": { "labels": { "noisy": noisy } } }))
    };
    let nodes = [node("a", 1, 8, json!({})), node("b", 1, 8, json!({}))];
    let neighbours = [neighbour("fair", "a", "band"), neighbour("fair", "b", "quiet")];
    pair.applied(nodes.into_iter().chain(neighbours).chain([namespace(1, "yes"), pod("p", 1, rest.clone())]));
    assert_eq!(bound_to(&mut pair, "p").as_deref(), Some("b"));
    pair.applied([pod("q", 1, rest.clone())]);
    assert_eq!(bound_to(&mut pair, "q").as_deref(), Some("b"));
    pair.applied([
        namespace(2, "no"),
        node("b", 2, 8, json!({ "spec": { "unschedulable": true } })),
        pod("r", 1, rest.clone()),
    ]);
    assert_eq!(bound_to(&mut pair, "r").as_deref(), Some("a"), "the namespace is not noisy any longer");
    pair.applied([namespace(3, "yes"), pod("s", 1, rest)]);
    assert_eq!(bound_to(&mut pair, "s"), None);
    assert_eq!(pair.engine.state().digest(), pair.engine.state().rebuild().digest());
}

#[test]
fn pods_are_spread_over_nodes_and_zones() {
    let spread = |key: &str| {
        json!({ "metadata": { "labels": { "app": "x" } }, "spec": { "topologySpreadConstraints": [
            { "topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": "x" } } },
        ] } })
    };
    let zone = |name: &str, zone: &str| node(name, 1, 8, json!({ "metadata": { "labels": { "zone": zone } } }));
    let place = |key: &str, names: &[&str]| {
        let mut pair = Pair::default();
        pair.applied([zone("a", "z1"), zone("b", "z1"), zone("c", "z2")]);
        let one = |name: &&str| {
            pair.applied([pod(name, 1, spread(key))]);
            bound_to(&mut pair, name).unwrap_or_default()
        };
        let mut found: Vec<String> = names.iter().map(one).collect();
        found.sort();
        found
    };
    assert_eq!(place("kubernetes.io/hostname", &["p", "q", "r"]), ["a", "b", "c"]);
    let found = place("zone", &["p", "q", "r", "s"]);
    assert_eq!(found.iter().filter(|node| *node == "c").count(), 2, "{found:?}");
    assert_eq!(place("no-such-label", &["p"]), [""]);
}

#[test]
fn a_disruption_budget_protects_whom_its_expressions_mean() {
    let mut pair = Pair::default();
    let selector = json!({ "matchExpressions": [{ "key": "app", "operator": "DoesNotExist" }] });
    let rest = json!({ "spec": { "selector": selector }, "status": { "disruptionsAllowed": 2 } });
    let labelled = pod("labelled", 1, json!({ "metadata": { "labels": { "app": "x" } } }));
    pair.applied([object(Kind::Budget, "lab", "b", 1, rest), labelled, pod("bare", 1, json!({}))]);
    let state = pair.engine.state();
    let seen = |name: &str| {
        let id = pair.world.pod_id(&key(name)).expect("a pod");
        let terms = state.pods()[&id].terms.as_ref().expect("it is looked at");
        (terms.namespace.clone(), terms.labels.keys().cloned().collect::<Vec<_>>())
    };
    assert_eq!(seen("labelled"), ("lab".to_owned(), vec!["app".to_owned()]));
    assert_eq!(seen("bare"), ("lab".to_owned(), vec![]));
    assert_eq!(pair.problems(), Vec::<String>::new());
}

#[test]
fn a_pod_made_anew_under_its_name_is_another_pod() {
    let mut pair = Pair::default();
    let made = |uid: &str| json!({ "metadata": { "uid": uid } });
    let mut ended = made("first");
    common::merge(&mut ended, json!({ "spec": { "nodeName": "n" }, "status": { "phase": "Running" } }));
    pair.applied([node("n", 1, 8, json!({})), pod("p", 1, ended)]);
    let first = pair.world.pod_id(&key("p")).expect("a pod");
    let events = pair.applied([pod("p", 2, made("second"))]);
    assert!(events.contains(&Event::PodGone { pod: first }), "the first is gone, though no watch said so: {events:?}");
    let second = pair.world.pod_id(&key("p")).expect("a pod");
    assert!(second != first && pair.world.pod(first).is_none());
    assert_eq!((pair.world.pod(second), stage(&pair, "p")), (Some((&key("p"), "second")), Some(Stage::Pending)));
}

#[test]
fn a_pod_counts_as_done_only_in_the_gang_it_is_of() {
    let of =
        |gang: &str| json!({ "metadata": { "annotations": { "berth.dev/gang": gang, "berth.dev/gang-size": "1" } } });
    let done = |gang: &str| {
        let mut json = of(gang);
        common::merge(&mut json, json!({ "spec": { "nodeName": "n" }, "status": { "phase": "Succeeded" } }));
        json
    };
    for (last, succeeded) in [("g", 1), ("h", 0)] {
        let mut pair = Pair::default();
        pair.applied([node("n", 1, 8, json!({})), pod("p", 1, of("g")), pod("q", 1, of("g"))]);
        pair.applied([pod("p", 2, done(last))]);
        let found: Vec<u32> = pair.engine.state().gangs().values().map(|gang| gang.spec.succeeded).collect();
        assert_eq!(found, [succeeded], "{last}");
    }
}
