//! Who gives way: evictions through the API, with budgets kept.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::PLANE;
use crate::berth::{Berth, Stage, node_of};

pub(crate) async fn class(stage: &Stage<'_>, name: &str, value: i32) {
    let object = json!({ "metadata": { "name": name }, "value": value });
    let object: PriorityClass = serde_json::from_value(object).expect("a PriorityClass");
    let api: Api<PriorityClass> = Api::all(stage.plane.client().expect("a client"));
    api.create(&PostParams::default(), &object).await.expect("a PriorityClass");
}

fn with(pod: Pod, spec: Value) -> Pod {
    let mut json = serde_json::to_value(pod).expect("JSON");
    for (key, value) in spec.as_object().expect("an object") {
        json["spec"][key] = value.clone();
    }
    serde_json::from_value(json).expect("a pod")
}

fn is_going(pod: Option<&Pod>) -> bool {
    pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some())
}

#[tokio::test]
async fn who_has_a_higher_priority_takes_a_place_that_no_budget_protects() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "preempts", 2).await;
    class(&stage, "preempts-high", 1000).await;
    let budget = json!({ "metadata": { "name": "keep" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "kept" } } } });
    let budget: PodDisruptionBudget = serde_json::from_value(budget).expect("a budget");
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(plane.client().expect("a client"), stage.name);
    budgets.create(&PostParams::default(), &budget).await.expect("a budget");
    let berth = Berth::start(plane, stage.name, json!({})).await;
    let mut kept = stage.pod("kept", 8);
    kept.labels.insert("app".into(), "kept".into());
    stage.create(&[kept, stage.pod("free", 8)]).await;
    let nodes = stage.until_bound(["kept".to_owned(), "free".to_owned()]).await;
    let counted = |budget: Option<&PodDisruptionBudget>| {
        budget.and_then(|budget| budget.status.as_ref()).is_some_and(|status| status.current_healthy == Some(1))
    };
    plane.until(&budgets, "keep", "the budget counts its pod", counted).await.unwrap_or_else(|error| panic!("{error}"));

    let high = with(stage.pod("high", 8).to_pod(), json!({ "priorityClassName": "preempts-high" }));
    stage.pods.create(&PostParams::default(), &high).await.expect("created");
    let promised = |pod: Option<&Pod>| {
        let status = pod.and_then(|pod| pod.status.as_ref());
        pod.is_some_and(|pod| !node_of(pod).is_empty())
            || status.and_then(|status| status.nominated_node_name.as_deref()) == Some(nodes[1].as_str())
    };
    let seen = plane.until(&stage.pods, "high", "it is promised the node", promised).await;
    seen.unwrap_or_else(|error| panic!("{error}"));
    let seen = plane.until(&stage.pods, "free", "it has to go", is_going).await;
    if let Some(victim) = seen.unwrap_or_else(|error| panic!("{error}")) {
        let conditions = victim.status.and_then(|status| status.conditions).unwrap_or_default();
        let disrupted = conditions.iter().any(|one| one.type_ == "DisruptionTarget" && one.status == "True");
        assert!(disrupted, "{conditions:?}");
    }
    let at = stage.until_bound(["high".to_owned()]).await;
    assert_eq!(at[0], nodes[1], "where the other was");
    let kept = stage.pods.get("kept").await.expect("it is still there");
    assert!(!is_going(Some(&kept)), "its budget protects it");
    berth.assert_sound();
}

/// Two queues that deserve one node each: the second takes back what the first has borrowed, and no more.
#[tokio::test]
async fn a_queue_takes_back_what_it_deserves() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "reclaims", 2).await;
    let queues: Api<berth_config::crd::Queue> = Api::all(plane.client().expect("a client"));
    let berth = Berth::start(plane, stage.name, json!({})).await;
    for name in ["reclaims-a", "reclaims-b"] {
        let object = json!({ "apiVersion": "berth.dev/v1alpha1", "kind": "Queue", "metadata": { "name": name },
            "spec": { "resources": { "gpu": { "deserved": "8" } } } });
        let object = serde_json::from_value(object).expect("a Queue");
        queues.create(&PostParams::default(), &object).await.expect("a Queue");
    }
    let pod = |name: &str, queue: &str| {
        let mut pod = stage.pod(name, 4);
        pod.labels.insert("berth.dev/queue".into(), queue.into());
        pod
    };
    let first: Vec<_> = (0..4).map(|index| pod(&format!("a-{index}"), "reclaims-a")).collect();
    stage.create(&first).await;
    stage.until_bound((0..4).map(|index| format!("a-{index}"))).await;
    let second: Vec<_> = (0..3).map(|index| pod(&format!("b-{index}"), "reclaims-b")).collect();
    stage.create(&second).await;
    // Two of the three have a right to a place; the third would take from what the other deserves.
    let bound =
        |pod: &Pod| pod.metadata.name.as_ref().is_some_and(|name| name.starts_with("b-")) && !node_of(pod).is_empty();
    let mut at = std::collections::BTreeSet::new();
    while at.len() < 2 {
        let new = |pod: &Pod| bound(pod) && !at.contains(&pod.metadata.name);
        let pod =
            plane.first(&stage.pods, "one more of b is bound", new).await.unwrap_or_else(|error| panic!("{error}"));
        at.insert(pod.metadata.name);
    }
    let left =
        ["b-0", "b-1", "b-2"].into_iter().find(|name| !at.contains(&Some((*name).to_owned()))).expect("one of three");
    stage.until_says(left, "nodes are available").await;
    let all = stage.pods.list(&Default::default()).await.expect("pods").items;
    let of = |queue: &str| {
        all.iter()
            .filter(|pod| {
                pod.metadata.name.as_ref().is_some_and(|name| name.starts_with(queue))
                    && !node_of(pod).is_empty()
                    && !is_going(Some(pod))
            })
            .count()
    };
    assert_eq!((of("a-"), of("b-")), (2, 2));
    let shows = |queue: Option<&berth_config::crd::Queue>| {
        let status = queue.and_then(|queue| queue.status.as_ref());
        status.is_some_and(|status| {
            let used = status.used.as_ref().map(|used| used.gpu.0.as_str());
            let pods = status.pending.map(|pending| pending.pods);
            let head = status.head.as_ref().map(|head| (head.gang.as_str(), head.reason.as_str()));
            let next = format!("{}/{left}", stage.name);
            (used, pods, head) == (Some("8"), Some(1), Some((next.as_str(), "Unschedulable")))
        })
    };
    let seen = plane.until(&queues, "reclaims-b", "its status says what it has and what waits", shows).await;
    seen.unwrap_or_else(|error| panic!("{error}"));
    berth.assert_sound();
}
