//! Each filter, once where it lets a pod through and once where it does not. kube-scheduler judges random mixtures of them
//! elsewhere; this says which one is broken.

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::PLANE;
use crate::berth::{Berth, Stage, node_of};

/// What becomes of a pod.
enum Verdict {
    /// It goes to this node.
    On(&'static str),
    /// It says this.
    Says(&'static str),
}
use Verdict::{On, Says};

/// The nodes: 0 is plain, 1 is tainted, 2 is cordoned.
const PLAIN: &str = "filters-0";
const TAINTED: &str = "filters-1";
const CORDONED: &str = "filters-2";

async fn nodes(stage: &Stage<'_>) {
    let api: Api<Node> = Api::all(stage.plane.client().expect("a client"));
    let labels = |disk: &str| json!({ "metadata": { "labels": { "disk": disk, "size": "40" } } });
    let taint = json!({ "metadata": { "labels": { "disk": "hdd" } },
        "spec": { "taints": [ { "key": "team", "value": "vision", "effect": "NoSchedule" } ] } });
    for (node, patch) in
        [(PLAIN, labels("ssd")), (TAINTED, taint), (CORDONED, json!({ "spec": { "unschedulable": true } }))]
    {
        api.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }
    let class = json!({ "metadata": { "name": "filters-heavy" }, "handler": "heavy",
        "overhead": { "podFixed": { "cpu": "100" } } });
    let class: RuntimeClass = serde_json::from_value(class).expect("a RuntimeClass");
    Api::all(stage.plane.client().expect("a client")).create(&PostParams::default(), &class).await.expect("created");
}

fn container(cpu: u32) -> Value {
    let amounts = json!({ "cpu": cpu.to_string() });
    json!({ "name": format!("c{cpu}"), "image": "never-pulled", "resources": { "requests": amounts } })
}

fn sidecar(cpu: u32) -> Value {
    let mut container = container(cpu);
    (container["name"], container["restartPolicy"]) = (json!("sidecar"), json!("Always"));
    container
}

fn affinity(requirement: Value) -> Value {
    let term = json!({ "matchExpressions": [requirement] });
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } } })
}

fn by_name(node: &str) -> Value {
    let term = json!({ "matchFields": [ { "key": "metadata.name", "operator": "In", "values": [node] } ] });
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } } })
}

fn near(kind: &str, app: &str) -> Value {
    let term = json!({ "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": app } } });
    json!({ kind: { "requiredDuringSchedulingIgnoredDuringExecution": [term] } })
}

/// Name, what its spec says, and what becomes of it. Those that are there for others come first.
fn cases() -> Vec<(&'static str, Value, Verdict)> {
    let tolerates = |key: &str| json!([ { "key": key, "operator": "Exists" } ]);
    let ports = json!([ { "containerPort": 80, "hostPort": 8080 } ]);
    let mut with_port = container(1);
    with_port["ports"] = ports;
    let spread = |max_skew: u32| {
        json!([ { "maxSkew": max_skew, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": { "matchLabels": { "app": "spread" } }, "nodeTaintsPolicy": "Ignore" } ])
    };
    vec![
        ("first-port", json!({ "containers": [with_port] }), On(PLAIN)),
        (
            "second-port",
            json!({ "containers": [with_port] }),
            Says("didn't have free ports for the requested pod ports"),
        ),
        ("web", json!({}), On(PLAIN)),
        ("spread-0", json!({}), On(PLAIN)),
        ("cpu", json!({ "containers": [container(100)] }), On(PLAIN)),
        ("much-cpu", json!({ "containers": [container(129)] }), Says("Insufficient cpu")),
        ("init", json!({ "initContainers": [container(20)], "containers": [container(1)] }), On(PLAIN)),
        (
            "much-init",
            json!({ "initContainers": [container(129)], "containers": [container(1)] }),
            Says("Insufficient cpu"),
        ),
        (
            "much-sidecar",
            json!({ "initContainers": [sidecar(70)], "containers": [container(70)] }),
            Says("Insufficient cpu"),
        ),
        ("pod-level", json!({ "resources": { "requests": { "cpu": "2" } } }), On(PLAIN)),
        ("much-pod-level", json!({ "resources": { "requests": { "cpu": "129" } } }), Says("Insufficient cpu")),
        (
            "overhead",
            json!({ "runtimeClassName": "filters-heavy", "containers": [container(30)] }),
            Says("Insufficient cpu"),
        ),
        ("selector", json!({ "nodeSelector": { "disk": "ssd" } }), On(PLAIN)),
        (
            "wrong-selector",
            json!({ "nodeSelector": { "disk": "tape" } }),
            Says("didn't match Pod's node affinity/selector"),
        ),
        (
            "not-in",
            json!({ "affinity": affinity(json!({ "key": "disk", "operator": "NotIn", "values": ["hdd"] })) }),
            On(PLAIN),
        ),
        (
            "too-big",
            json!({ "affinity": affinity(json!({ "key": "size", "operator": "Gt", "values": ["40"] })) }),
            Says("didn't match Pod's node affinity/selector"),
        ),
        ("by-name", json!({ "affinity": by_name(PLAIN) }), On(PLAIN)),
        ("tolerant", json!({ "affinity": by_name(TAINTED), "tolerations": tolerates("team") }), On(TAINTED)),
        ("not-tolerant", json!({ "affinity": by_name(TAINTED) }), Says("untolerated taint")),
        (
            "not-cordoned",
            json!({ "affinity": by_name(CORDONED), "tolerations": tolerates("node.kubernetes.io/unschedulable") }),
            On(CORDONED),
        ),
        ("cordoned", json!({ "affinity": by_name(CORDONED) }), Says("unschedulable")),
        ("near-web", json!({ "affinity": near("podAffinity", "web") }), On(PLAIN)),
        ("near-nobody", json!({ "affinity": near("podAffinity", "nobody") }), Says("didn't match pod affinity rules")),
        (
            "away-from-web",
            json!({ "affinity": near("podAntiAffinity", "web"), "tolerations": tolerates("team") }),
            On(TAINTED),
        ),
        ("away-but-here", json!({ "affinity": near("podAntiAffinity", "web") }), Says("anti-affinity rules")),
        ("spread-wide", json!({ "topologySpreadConstraints": spread(9) }), On(PLAIN)),
        (
            "spread-narrow",
            json!({ "topologySpreadConstraints": spread(1) }),
            Says("didn't match pod topology spread constraints"),
        ),
    ]
}

fn pod(stage: &Stage<'_>, name: &str, spec: &Value) -> Pod {
    let app = name.split('-').next().unwrap_or_default();
    let mut json = json!({
        "metadata": { "name": name, "labels": { "app": app } },
        "spec": { "schedulerName": stage.name, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "nodeSelector": { "test": stage.name }, "containers": [container(1)] },
    });
    for (key, value) in spec.as_object().expect("an object") {
        if key == "nodeSelector" {
            let own = json["spec"][key].as_object_mut().expect("an object");
            own.extend(value.as_object().expect("an object").clone());
        } else {
            json["spec"][key] = value.clone();
        }
    }
    serde_json::from_value(json).expect("a pod")
}

#[tokio::test]
async fn each_filter_lets_pods_through_and_keeps_pods_out() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "filters", 3).await;
    nodes(&stage).await;
    let berth = Berth::start(plane, stage.name, json!({})).await;
    for (name, spec, verdict) in cases() {
        stage
            .pods
            .create(&PostParams::default(), &pod(&stage, name, &spec))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        match verdict {
            On(node) => {
                let at = stage.until_bound([name.to_owned()]).await;
                assert_eq!(at, [node], "{name}");
            }
            Says(words) => {
                stage.until_says(name, words).await;
            }
        }
        // Those that others look at stay; the others would only fill the node.
        if !["first-port", "web", "spread-0"].contains(&name) {
            let now = kube::api::DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
            stage.pods.delete(name, &now).await.expect("deleted");
        }
    }
    let left = stage.pods.list(&Default::default()).await.expect("pods").items;
    assert!(left.iter().all(|pod| node_of(pod) == PLAIN), "the three that others looked at");
    berth.assert_sound();
}
