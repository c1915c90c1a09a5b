//! One pod at a time: where it goes, what it says while it waits, what is written about it.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use kube::runtime::wait::conditions::is_pod_running;
use serde_json::json;

use crate::PLANE;
use crate::berth::{Berth, Stage, message};

async fn events(stage: &Stage<'_>, pod: &str, reason: &str) -> Vec<Event> {
    let api: Api<Event> = Api::namespaced(stage.plane.client().expect("a client"), stage.name);
    let all = api.list(&ListParams::default()).await.expect("events");
    let about = |event: &Event| {
        let name = event.regarding.as_ref().and_then(|object| object.name.as_deref());
        name == Some(pod) && event.reason.as_deref() == Some(reason)
    };
    all.into_iter().filter(about).collect()
}

#[tokio::test]
async fn a_pod_that_only_names_its_scheduler_runs() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "one-pod", 2).await;
    let mut berth = Berth::start(plane, stage.name, json!({})).await;
    stage.create(&[stage.pod("a", 8)]).await;
    let runs = plane.until(&stage.pods, "a", "it runs", is_pod_running()).await;
    runs.unwrap_or_else(|error| panic!("{error}"));
    let api: Api<Event> = Api::namespaced(plane.client().expect("a client"), stage.name);
    let scheduled = plane.first(&api, "the event", |event| event.reason.as_deref() == Some("Scheduled")).await;
    let note = scheduled.unwrap_or_else(|error| panic!("{error}")).note.unwrap_or_default();
    assert!(note.starts_with("Successfully assigned one-pod/a to one-pod-"), "{note}");
    assert_eq!(berth.stop().await, Some(0), "it ends in good order: {}", berth.tail());
    berth.assert_sound();
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_says_so_once_and_goes_when_room_comes() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "no-room", 2).await;
    let berth = Berth::start(plane, stage.name, json!({})).await;
    stage.create(&[stage.pod("a", 8), stage.pod("b", 8)]).await;
    stage.until_bound(["a".to_owned(), "b".to_owned()]).await;
    stage.create(&[stage.pod("c", 8)]).await;
    let waits = stage.until_says("c", "2 Insufficient nvidia.com/gpu").await;
    assert!(message(&waits).starts_with("0/"), "{}", message(&waits));
    stage.pods.delete("a", &Default::default()).await.expect("deleted");
    stage.until_bound(["c".to_owned()]).await;
    let failed = events(&stage, "c", "FailedScheduling").await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    berth.assert_sound();
}

#[tokio::test]
async fn pods_with_gates_wait_until_they_are_taken_away() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "gates", 1).await;
    let berth = Berth::start(plane, stage.name, json!({})).await;
    let mut gated = stage.pod("gated", 1).to_pod();
    let gate = k8s_openapi::api::core::v1::PodSchedulingGate { name: "wait.example/quota".into() };
    gated.spec.as_mut().expect("a spec").scheduling_gates = Some(vec![gate]);
    stage.pods.create(&Default::default(), &gated).await.expect("created");
    stage.create(&[stage.pod("free", 1)]).await;
    stage.until_bound(["free".to_owned()]).await;
    let pod: Pod = stage.pods.get("gated").await.expect("a pod");
    assert_eq!(crate::berth::node_of(&pod), "", "it is still gated");
    let open = kube::api::Patch::Merge(json!({ "spec": { "schedulingGates": null } }));
    stage.pods.patch("gated", &Default::default(), &open).await.expect("opened");
    stage.until_bound(["gated".to_owned()]).await;
    berth.assert_sound();
}

#[tokio::test]
async fn a_changed_configuration_takes_effect_without_a_restart() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "reload", 1).await;
    let mut berth = Berth::start(plane, stage.name, json!({})).await;
    let mut pod = stage.pod("lost", 1);
    pod.labels.insert("berth.dev/queue".into(), "no-such-queue".into());
    stage.create(&[pod]).await;
    stage.until_says("lost", "no such queue").await;
    berth.reconfigure(json!({ "queues": { "unknownQueue": "use-default" } }));
    stage.until_bound(["lost".to_owned()]).await;
    berth.assert_sound();
}
