//! What is left of the work when parts die: the scheduler itself, the API server, the watch's memory.

use std::time::Duration;

use berth_controlplane::{ControlPlane, Options, Part, own};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::berth::{Berth, Stage, held, install_now, node_of};
use crate::gangs::group;

/// Short, so that another replica takes over soon; in the ratio of the defaults.
fn election() -> serde_json::Value {
    json!({ "leaderElection": {
        "leaderElect": true, "leaseDuration": "2s", "renewDeadline": "1300ms", "retryPeriod": "250ms" } })
}

/// So often the leader is killed.
const KILLS: u32 = 20;

/// A moment within the time that binding a gang takes; another one each time, the same in every run.
fn moment(round: u32) -> Duration {
    Duration::from_millis(u64::from(round.wrapping_mul(2_654_435_761) >> 16) % 250)
}

async fn bound(pods: &Api<Pod>) -> Vec<Pod> {
    pods.list(&ListParams::default()).await.expect("pods").items
}

#[tokio::test]
async fn a_leader_killed_in_the_middle_of_a_gang_loses_nothing_and_gives_nothing_twice() {
    let Some(plane) = own(Options { kwok: true, ..Options::BARE }).await else { return };
    let plane: &ControlPlane = &plane;
    let kubeconfig = install_now(plane).await;
    let stage = Stage::new(plane, "kills", 10).await;
    // Few at once, so that there is a middle to be met.
    let mut configuration = election();
    configuration["binding"] = json!({ "workers": 4 });
    let start = |name: &str| Berth::start_with(plane, &kubeconfig, stage.name, name, configuration.clone());
    let mut replicas = [start("replica-0"), start("replica-1")];
    let mut in_the_middle = 0;
    for round in 0..KILLS {
        let name = format!("job-{round}");
        group(&stage, &name, 64).await;
        let names: Vec<String> = (0..64).map(|index| format!("{name}-{index}")).collect();
        let pods: Vec<_> = names
            .iter()
            .map(|pod| {
                let mut pod = stage.pod(pod.clone(), 1);
                pod.pod_group = Some(name.clone());
                pod
            })
            .collect();
        stage.create(&pods).await;
        let known = leader(plane).await;
        if round % 2 == 0 {
            tokio::time::sleep(moment(round)).await; // the moment is what is tested
        } else {
            // In the middle for certain, though not in the same place: bindings are quicker than any clock of a test.
            let some = &names[(7 * round as usize) % 48];
            let is_bound = |pod: Option<&Pod>| pod.is_some_and(|pod| !node_of(pod).is_empty());
            plane.until(&stage.pods, some, "it is bound", is_bound).await.unwrap_or_else(|error| panic!("{error}"));
        }
        let leader = if known.is_empty() { leader(plane).await } else { known };
        let at = replicas.iter().position(|replica| leader.starts_with(&format!("{}_", replica.name)));
        if let Some(at) = at {
            replicas[at].kill();
            let begun = bound(&stage.pods).await.iter().filter(|pod| !node_of(pod).is_empty()).count();
            in_the_middle += u32::from((1..64).contains(&begun));
            replicas[at] = start(&format!("replica-{}", round + 2));
        }
        stage.until_bound(names.clone()).await;
        let all = bound(&stage.pods).await;
        assert!(held(&all).values().all(|gpus| *gpus <= 8), "round {round}: {:?}", held(&all));
        let of_gang = all.iter().filter(|pod| !node_of(pod).is_empty()).count();
        assert_eq!(of_gang, 64, "round {round}: the gang is whole");
        replicas.iter().for_each(Berth::assert_sound);
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        stage.pods.delete_collection(&now, &ListParams::default()).await.expect("deleted");
        for name in names {
            let absent = |pod: Option<&Pod>| pod.is_none();
            plane.until(&stage.pods, &name, "it is gone", absent).await.unwrap_or_else(|error| panic!("{error}"));
        }
    }
    assert!(in_the_middle > 0, "no kill has met a gang that was half bound: other moments are needed");
    eprintln!("{in_the_middle} of {KILLS} kills met a gang that was half bound");
}

/// Who holds the Lease.
async fn leader(plane: &ControlPlane) -> String {
    let api: Api<k8s_openapi::api::coordination::v1::Lease> =
        Api::namespaced(plane.client().expect("a client"), "berth-system");
    let lease = api.get_opt("berth-scheduler").await.expect("an answer");
    lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default()
}

#[tokio::test]
async fn the_api_server_may_come_back() {
    let Some(plane) = own(Options { kwok: true, ..Options::BARE }).await else { return };
    let kubeconfig = install_now(&plane).await;
    let stage = Stage::new(&plane, "restarts", 2).await;
    let berth = Berth::start_with(&plane, &kubeconfig, stage.name, stage.name, json!({}));
    stage.create(&[stage.pod("before", 8)]).await;
    stage.until_bound(["before".to_owned()]).await;
    plane.restart(Part::ApiServer).await.unwrap_or_else(|error| panic!("{error}"));
    stage.create(&[stage.pod("after", 8)]).await;
    let nodes = stage.until_bound(["before".to_owned(), "after".to_owned()]).await;
    assert_ne!(nodes[0], nodes[1]);
    berth.assert_sound();
}

/// The store forgets what a watch would have to go on from, while the scheduler cannot hear: it has to list again.
#[tokio::test]
async fn a_watch_that_is_too_old_is_listed_anew() {
    let Some(plane) = own(Options { kwok: true, ..Options::BARE }).await else { return };
    let kubeconfig = install_now(&plane).await;
    let stage = Stage::new(&plane, "too-old", 2).await;
    let berth = Berth::start_with(&plane, &kubeconfig, stage.name, stage.name, json!({}));
    stage.create(&[stage.pod("before", 8)]).await;
    stage.until_bound(["before".to_owned()]).await;
    berth.pause();
    stage
        .pods
        .delete("before", &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() })
        .await
        .expect("deleted");
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(plane.client().expect("a client"));
    for round in 0..200 {
        let label = json!({ "metadata": { "labels": { "round": round.to_string() } } });
        nodes.patch("too-old-0", &PatchParams::default(), &Patch::Merge(label)).await.expect("patched");
    }
    // Its connections end with the server, which remembers no change from before its start.
    plane.restart(Part::ApiServer).await.unwrap_or_else(|error| panic!("{error}"));
    berth.go_on();
    stage.create(&[stage.pod("a", 8), stage.pod("b", 8)]).await;
    stage.until_bound(["a".to_owned(), "b".to_owned()]).await;
    assert!(berth.log().contains("too old resource version"), "the watch had to begin anew");
    berth.assert_sound();
}
