//! Others on the same nodes: kube-scheduler with pods of its own, and thousands of pods that can never be placed.

use berth_controlplane::{Options, TestPod, own};
use kube::api::ListParams;
use serde_json::json;

use crate::berth::{Berth, Stage, held, install_now, node_of};

#[tokio::test]
async fn what_kube_scheduler_has_given_away_is_not_given_twice() {
    let Some(plane) = own(Options { kwok: true, scheduler: true, ..Options::BARE }).await else { return };
    let kubeconfig = install_now(&plane).await;
    let stage = Stage::new(&plane, "beside", 4).await;
    let berth = Berth::start_with(&plane, &kubeconfig, stage.name, stage.name, json!({}));
    let theirs = |name: String| TestPod { scheduler: None, ..stage.pod(name, 1) };
    let names = |prefix: &str, count: u32| (0..count).map(|index| format!("{prefix}-{index}")).collect::<Vec<_>>();
    // While Berth is looking elsewhere its neighbour takes twelve of the 32 GPUs.
    berth.pause();
    stage.create(&names("theirs", 12).into_iter().map(theirs).collect::<Vec<_>>()).await;
    stage.until_bound(names("theirs", 12)).await;
    stage.create(&names("ours", 20).into_iter().map(|name| stage.pod(name, 1)).collect::<Vec<_>>()).await;
    berth.go_on();
    stage.until_bound(names("ours", 20)).await;
    let all = stage.pods.list(&ListParams::default()).await.expect("pods").items;
    assert!(held(&all).values().all(|gpus| *gpus == 8), "{:?}", held(&all));
    stage.create(&[stage.pod("one-more", 1)]).await;
    stage.until_says("one-more", "4 Insufficient nvidia.com/gpu").await;
    // What the neighbour's pods leave is seen at once.
    stage.pods.delete("theirs-3", &Default::default()).await.expect("deleted");
    stage.until_bound(["one-more".to_owned()]).await;
    berth.assert_sound();
}

/// So many pods that nothing can be done about; each says so, and those that fit do not wait for them.
const HOPELESS: u32 = 2_000;

#[tokio::test]
async fn thousands_of_hopeless_pods_hold_nobody_up() {
    let Some(plane) = own(Options { kwok: true, benchmark: true, ..Options::BARE }).await else { return };
    let kubeconfig = install_now(&plane).await;
    let stage = Stage::new(&plane, "hopeless", 2).await;
    let hopeless: Vec<TestPod> = (0..HOPELESS).map(|index| stage.pod(format!("hopeless-{index}"), 9)).collect();
    stage.create(&hopeless).await;
    let berth = Berth::start_with(&plane, &kubeconfig, stage.name, stage.name, json!({}));
    stage.create(&[stage.pod("fits", 8)]).await;
    stage.until_bound(["fits".to_owned()]).await;
    let last = format!("hopeless-{}", HOPELESS - 1);
    stage.until_says(&last, "2 Insufficient nvidia.com/gpu").await;
    let all = stage.pods.list(&ListParams::default()).await.expect("pods").items;
    assert_eq!(all.iter().filter(|pod| !node_of(pod).is_empty()).count(), 1);
    stage.create(&[stage.pod("fits-too", 8)]).await;
    stage.until_bound(["fits-too".to_owned()]).await;
    berth.assert_sound();
}
