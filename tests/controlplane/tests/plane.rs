//! The control plane does what tests of Berth rely on. All of these share one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use berth_config::crd::Queue;
use berth_controlplane::{ControlPlane, ENDS_AS, Inventory, Options, Shared, TestPod};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::runtime::wait::conditions::is_pod_running;
use kube::{Api, Client};
use serde_json::{Value, json};

static PLANE: Shared = Shared::new(Options::FULL);

fn phase(pod: Option<&Pod>) -> &str {
    pod.and_then(|pod| pod.status.as_ref()).and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn node_name(pod: Option<&Pod>) -> &str {
    pod.and_then(|pod| pod.spec.as_ref()).and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// Nodes that only pods of one test go to: it names them by this label.
async fn nodes_of(plane: &ControlPlane, test: &str, count: u32) -> BTreeMap<String, String> {
    let mut inventory = Inventory::h100(test, count);
    inventory.labels.insert("test".to_owned(), test.to_owned());
    plane.create_nodes(&inventory.nodes()).await.expect("nodes");
    inventory.labels
}

async fn kinds(client: &Client, version: &str) -> BTreeSet<String> {
    let list = client.list_api_group_resources(version).await.expect("a served version");
    list.resources.into_iter().map(|resource| resource.kind).collect()
}

#[tokio::test]
async fn groups_claims_and_slices_are_served() {
    let Some(plane) = PLANE.get().await else { return };
    let client = plane.client().expect("a client");
    let version = client.apiserver_version().await.expect("a version").git_version;
    assert!(version.starts_with("v1.37."), "{version}");
    for (version, expected) in [
        ("scheduling.k8s.io/v1beta1", &["PodGroup", "Workload"][..]),
        ("scheduling.k8s.io/v1alpha3", &["CompositePodGroup"]),
        ("resource.k8s.io/v1", &["DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"]),
    ] {
        let served = kinds(&client, version).await;
        for kind in expected {
            assert!(served.contains(*kind), "{kind} is not among {served:?} of {version}");
        }
    }
}

fn queue(name: &str, spec: Value) -> Queue {
    let object =
        json!({ "apiVersion": "berth.dev/v1alpha1", "kind": "Queue", "metadata": { "name": name }, "spec": spec });
    serde_json::from_value(object).expect("a Queue")
}

#[tokio::test]
async fn our_definitions_are_accepted_and_their_rules_hold() {
    let Some(plane) = PLANE.get().await else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
    let mut definitions = Vec::new();
    for entry in fs::read_dir(&folder).expect("deploy/crds") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("text");
        definitions.push(serde_saphyr::from_str::<CustomResourceDefinition>(&text).expect("a definition"));
    }
    assert!(definitions.len() >= 2, "deploy/crds has our definitions");
    plane.define(&definitions).await.unwrap_or_else(|error| panic!("{error}"));

    let queues: Api<Queue> = Api::all(plane.client().expect("a client"));
    let create = async |queue: Queue| queues.create(&PostParams::default(), &queue).await;
    create(queue("lab", json!({ "resources": { "gpu": { "deserved": "8", "limit": "12.5" } } }))).await.expect("sound");
    for (spec, expected) in [
        (json!({ "resources": { "gpu": { "deserved": "9", "limit": "8" } } }), "deserved must not be more than limit"),
        (json!({ "gpuModels": [{ "model": "A", "limit": "1", "deserved": "2" }] }), "must not be more than limit"),
        (json!({ "parent": "bad" }), "a queue cannot be its own parent"),
        (json!({ "minRuntime": { "reclaim": "soon" } }), "spec.minRuntime.reclaim"),
    ] {
        let refused = create(queue("bad", spec.clone())).await.expect_err("a bad queue").to_string();
        assert!(refused.contains(expected), "{spec}: {refused}");
    }
}

#[tokio::test]
async fn a_pod_bound_by_hand_runs_and_ends_as_it_says() {
    let Some(plane) = PLANE.get().await else { return };
    nodes_of(plane, "by-hand", 2).await;
    plane.namespace("by-hand").await.expect("a namespace");
    let pods: Api<Pod> = Api::namespaced(plane.client().expect("a client"), "by-hand");
    let by_hand = |name: &str| TestPod { scheduler: Some("nobody".to_owned()), ..TestPod::new(name, 1) };
    let mut fails = by_hand("fails").runs(1);
    fails.annotations.insert(ENDS_AS.to_owned(), "Failed".to_owned());
    plane.create_pods("by-hand", &[by_hand("ends").runs(1), fails, by_hand("stays")]).await.expect("pods");
    for (pod, node) in [("ends", "by-hand-0"), ("fails", "by-hand-1"), ("stays", "by-hand-0")] {
        plane.bind("by-hand", pod, node).await.expect("a binding");
    }

    let running =
        plane.until(&pods, "stays", "it runs", is_pod_running()).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(node_name(running.as_ref()), "by-hand-0");
    for (name, end) in [("ends", "Succeeded"), ("fails", "Failed")] {
        let ended = |pod: Option<&Pod>| phase(pod) == end;
        let pod = plane.until(&pods, name, end, ended).await.unwrap_or_else(|error| panic!("{error}"));
        let status = pod.and_then(|pod| pod.status).expect("a status");
        let started = status.start_time.expect("it has run").0;
        let state = status.container_statuses.expect("a container")[0].state.clone().expect("its state");
        let finished = state.terminated.and_then(|end| end.finished_at).expect("it has ended").0;
        assert!(finished.duration_since(started).as_secs() >= 1, "{name} ran from {started} to {finished}");
    }
    assert_eq!(phase(Some(&pods.get("stays").await.expect("a pod"))), "Running", "no end was written on it");
    pods.delete("stays", &DeleteParams::default()).await.expect("a deletion");
    let gone = |pod: Option<&Pod>| pod.is_none();
    plane.until(&pods, "stays", "it is gone", gone).await.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn the_neighbour_schedules_its_own_pods_only() {
    let Some(plane) = PLANE.get().await else { return };
    let node_selector = nodes_of(plane, "neighbour", 4).await;
    plane.namespace("neighbour").await.expect("a namespace");
    let mut pods: Vec<TestPod> = (0..4).map(|index| TestPod::new(format!("theirs-{index}"), 8)).collect();
    pods.push(TestPod { scheduler: Some("berth".to_owned()), ..TestPod::new("ours", 0) });
    for pod in &mut pods {
        pod.node_selector.clone_from(&node_selector);
    }
    plane.create_pods("neighbour", &pods).await.expect("pods");
    let api: Api<Pod> = Api::namespaced(plane.client().expect("a client"), "neighbour");
    let theirs = pods.iter().map(|pod| pod.name.clone()).filter(|name| name != "ours");
    let runs = |pod: &Pod| phase(Some(pod)) == "Running";
    plane.until_all(&api, theirs, "they run", runs).await.unwrap_or_else(|error| panic!("{error}"));
    let all = api.list(&ListParams::default()).await.expect("pods").items;
    let on: BTreeSet<&str> = all.iter().map(|pod| node_name(Some(pod))).collect();
    let expected = ["", "neighbour-0", "neighbour-1", "neighbour-2", "neighbour-3"];
    assert_eq!(on, BTreeSet::from(expected), "eight GPUs each: every node has one, and ours is on none");
}

#[tokio::test]
async fn a_job_gets_its_group_before_its_pods() {
    let Some(plane) = PLANE.get().await else { return };
    plane.namespace("job").await.expect("a namespace");
    let client = plane.client().expect("a client");
    let api = |group: &str, version: &str, kind: &str| {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::<DynamicObject>::namespaced_with(client.clone(), "job", &resource)
    };
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "train" },
        "spec": {
            "parallelism": 2, "completions": 2, "completionMode": "Indexed",
            "scheduling": { "schedulingPolicy": { "gang": { "minCount": 2 } } },
            "template": { "spec": {
                "schedulerName": "berth", "restartPolicy": "Never",
                "containers": [{ "name": "main", "image": "never-pulled" }],
            } },
        },
    });
    let job: DynamicObject = serde_json::from_value(job).expect("a Job");
    api("batch", "v1", "Job").create(&PostParams::default(), &job).await.expect("a Job with a gang");

    let pods: Api<Pod> = Api::namespaced(client.clone(), "job");
    let first = plane.first(&pods, "the job has a pod", |_| true).await.unwrap_or_else(|error| panic!("{error}"));
    let group = first.spec.and_then(|spec| spec.scheduling_group).and_then(|group| group.pod_group_name);
    let group = group.expect("its pods name their group");
    let group = api("scheduling.k8s.io", "v1beta1", "PodGroup").get(&group).await.expect("the group is there first");
    assert_eq!(group.data.pointer("/spec/schedulingPolicy/gang/minCount"), Some(&json!(2)), "{:?}", group.data);
}

#[tokio::test]
async fn an_account_may_do_what_its_role_says_and_no_more() {
    let Some(plane) = PLANE.get().await else { return };
    plane.namespace("accounts").await.expect("a namespace");
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": { "name": "reads-nodes" },
        "rules": [{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["list"] }],
    }))
    .expect("a role");
    for (name, role, may) in [("reader", Some(&role), true), ("nobody", None, false)] {
        let config = plane.service_account("accounts", name, role).await.expect("an account");
        let client = Client::try_from(config).expect("a client");
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.map(drop);
        assert_eq!(nodes.as_ref().err().map(code), if may { None } else { Some(403) }, "{name} lists nodes: {nodes:?}");
        let maps = Api::<ConfigMap>::namespaced(client, "accounts").list(&ListParams::default()).await.map(drop);
        assert_eq!(maps.as_ref().err().map(code), Some(403), "{name} lists what no role of its own names: {maps:?}");
    }
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("not an answer: {other}"),
    }
}

#[tokio::test]
async fn what_never_happens_is_told_with_what_was_seen() {
    let Some(plane) = PLANE.get().await else { return };
    let pods: Api<Pod> = Api::namespaced(plane.client().expect("a client"), "default");
    let (soon, runs) = (Duration::from_millis(500), is_pod_running());
    let said = plane.until_within(soon, &pods, "nobody", "it runs", runs).await.expect_err("there is no such pod");
    assert_eq!(said.to_string(), "`it runs` did not happen within 500ms; it does not exist");
}
