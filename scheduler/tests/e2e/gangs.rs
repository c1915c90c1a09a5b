//! Gangs start together or not at all.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Binding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PostParams};
use serde_json::json;

use crate::PLANE;
use crate::berth::{Berth, Stage, held, node_of};

/// A native PodGroup that starts with so many pods.
pub(crate) async fn group(stage: &Stage<'_>, name: &str, min_count: u32) {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("scheduling.k8s.io", "v1beta1", "PodGroup"));
    let api: Api<DynamicObject> = Api::namespaced_with(stage.plane.client().expect("a client"), stage.name, &kind);
    let spec = json!({ "schedulingPolicy": { "gang": { "minCount": min_count } } });
    let object = DynamicObject::new(name, &kind).data(json!({ "spec": spec }));
    api.create(&PostParams::default(), &object).await.expect("a PodGroup");
}

/// Waits until a PodGroup says whether it has been scheduled.
async fn until_group_says(stage: &Stage<'_>, name: &str, status: &str) {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("scheduling.k8s.io", "v1beta1", "PodGroup"));
    let api: Api<DynamicObject> = Api::namespaced_with(stage.plane.client().expect("a client"), stage.name, &kind);
    let says = |group: &DynamicObject| {
        let conditions = group.data["status"]["conditions"].as_array().into_iter().flatten();
        group.metadata.name.as_deref() == Some(name)
            && conditions.into_iter().any(|one| one["type"] == "PodGroupInitiallyScheduled" && one["status"] == status)
    };
    let mut events = std::pin::pin!(kube::runtime::WatchStreamExt::applied_objects(kube::runtime::watcher(
        api.clone(),
        Default::default()
    )));
    let seen = async {
        while let Some(Ok(group)) = futures_util::StreamExt::next(&mut events).await {
            if says(&group) {
                return;
            }
        }
    };
    let seen = tokio::time::timeout(stage.plane.options().within, seen).await;
    assert!(seen.is_ok(), "{name} never said {status}: {:?}", api.get(name).await.map(|group| group.data));
}

#[tokio::test]
async fn a_gang_of_64_waits_for_its_last_pod_and_then_starts_whole() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "gang-64", 8).await;
    let berth = Berth::start(plane, stage.name, json!({})).await;
    group(&stage, "job", 64).await;
    let pods: Vec<_> = (0..64)
        .map(|index| {
            let mut pod = stage.pod(format!("job-{index}"), 1);
            pod.pod_group = Some("job".into());
            pod
        })
        .collect();
    stage.create(&pods[..63]).await;
    stage.until_says("job-0", "63/64 pods exist").await;
    let all = stage.pods.list(&ListParams::default()).await.expect("pods").items;
    assert!(all.iter().all(|pod| node_of(pod).is_empty()), "nobody starts alone");
    until_group_says(&stage, "job", "False").await;
    stage.create(&pods[63..]).await;
    let nodes = stage.until_bound((0..64).map(|index| format!("job-{index}"))).await;
    assert_eq!(nodes.iter().collect::<BTreeSet<_>>().len(), 8, "all eight nodes are full");
    until_group_says(&stage, "job", "True").await;
    let all = stage.pods.list(&ListParams::default()).await.expect("pods").items;
    assert!(held(&all).values().all(|gpus| *gpus == 8), "{:?}", held(&all));
    berth.assert_sound();
}

#[tokio::test]
async fn a_gang_that_does_not_fit_takes_nothing_and_lets_others_pass() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "too-big", 2).await;
    let berth = Berth::start(plane, stage.name, json!({})).await;
    group(&stage, "big", 3).await;
    let big: Vec<_> = (0..3)
        .map(|index| {
            let mut pod = stage.pod(format!("big-{index}"), 8);
            pod.pod_group = Some("big".into());
            pod
        })
        .collect();
    stage.create(&big).await;
    stage.until_says("big-0", "2 of the 3 pods it needs fit at once").await;
    stage.create(&[stage.pod("small", 8)]).await;
    stage.until_bound(["small".to_owned()]).await;
    let all = stage.pods.list(&ListParams::default()).await.expect("pods").items;
    let started = all.iter().filter(|pod| !node_of(pod).is_empty()).count();
    assert_eq!(started, 1, "none of the gang has started");
    berth.assert_sound();
}

#[tokio::test]
async fn annotations_make_a_gang_where_no_object_is_wanted() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "annotated", 2).await;
    let berth = Berth::start(plane, stage.name, json!({})).await;
    let pods: Vec<_> = (0..2)
        .map(|index| {
            let mut pod = stage.pod(format!("pair-{index}"), 8);
            pod.annotations.insert("berth.dev/gang".into(), "pair".into());
            pod.annotations.insert("berth.dev/gang-size".into(), "2".into());
            pod
        })
        .collect();
    stage.create(&pods[..1]).await;
    stage.until_says("pair-0", "1/2 pods exist").await;
    stage.create(&pods[1..]).await;
    stage.until_bound(["pair-0".to_owned(), "pair-1".to_owned()]).await;
    berth.assert_sound();
}

/// The API server learns of a policy a moment after it has taken it; nothing says when.
async fn until_rejected(stage: &Stage<'_>) {
    let probe = berth_controlplane::TestPod { scheduler: Some("nobody".into()), ..stage.pod("doomed-probe", 0) };
    stage.create(&[probe]).await;
    let binding: Binding = serde_json::from_value(json!({
        "metadata": { "name": "doomed-probe" }, "target": { "kind": "Node", "name": "rejected-0" } }))
    .expect("a binding");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let ask = async || stage.pods.create_subresource::<_, Status>("binding", "doomed-probe", &dry, &binding).await;
    while ask().await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// A policy that rejects some bindings for ever: the others of the gang do not stay, and other pods go on.
#[tokio::test]
async fn a_binding_that_is_always_rejected_holds_nobody_up() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "rejected", 2).await;
    let client = plane.client().expect("a client");
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "rejected" },
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": { "resourceRules": [
                { "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/binding"] } ] },
            "validations": [
                { "expression": "!object.metadata.name.startsWith('doomed')", "message": "doomed pods stay where they are" } ],
        },
    });
    let bound = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "rejected" },
        "spec": { "policyName": "rejected", "validationActions": ["Deny"],
            "matchResources": { "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": stage.name } } } },
    });
    for (kind, object) in [("ValidatingAdmissionPolicy", policy), ("ValidatingAdmissionPolicyBinding", bound)] {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        api.patch(&name, &kube::api::PatchParams::apply("test"), &Patch::Apply(&object)).await.expect("accepted");
    }
    until_rejected(&stage).await;
    let berth = Berth::start(plane, stage.name, json!({ "rules": { "staleGrace": "5s" } })).await;
    group(&stage, "half", 2).await;
    let mut pair = [stage.pod("fine", 8), stage.pod("doomed", 8)];
    pair.iter_mut().for_each(|pod| pod.pod_group = Some("half".into()));
    stage.create(&pair).await;
    stage.until_says("doomed", "doomed pods stay where they are").await;
    stage.create(&(0..8).map(|index| stage.pod(format!("other-{index}"), 1)).collect::<Vec<_>>()).await;
    stage.until_bound((0..8).map(|index| format!("other-{index}"))).await;
    // The one that was bound is evicted when the gang has been incomplete for too long: it is gone, or asked to go.
    let gone = |pod: Option<&k8s_openapi::api::core::v1::Pod>| {
        pod.is_none_or(|pod| node_of(pod).is_empty() || pod.metadata.deletion_timestamp.is_some())
    };
    let seen = plane.until(&stage.pods, "fine", "it does not stay alone", gone).await;
    seen.unwrap_or_else(|error| panic!("{error}"));
    berth.assert_sound();
}
