//! What a scheduler on a real control plane has written down is repeated, and a snapshot of the same cluster is read.

use std::path::{Path, PathBuf};

use berth::replay::explain::{Status, explain};
use berth::replay::replay;
use berth_config::SchedulerConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use serde_json::json;

use crate::PLANE;
use crate::berth::{Berth, Stage};
use crate::gangs::group;
use crate::making_room::class;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the journal's folder").flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_journal_of_a_gang_and_a_preemption_replays_to_the_same_decisions() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "journal", 2).await;
    class(&stage, "journal-high", 1000).await;
    let folder = plane.folder().join("journal");
    let journal = json!({ "journal": { "path": folder, "rotateSize": "1Mi", "keepFiles": 100 } });
    let mut berth = Berth::start(plane, stage.name, journal).await;
    group(&stage, "job", 8).await;
    let pods: Vec<_> = (0..8)
        .map(|index| {
            let mut pod = stage.pod(format!("job-{index}"), 1);
            pod.pod_group = Some("job".into());
            pod
        })
        .collect();
    stage.create(&pods).await;
    stage.until_bound((0..8).map(|index| format!("job-{index}"))).await;
    stage.create(&[stage.pod("low", 8)]).await;
    stage.until_bound(["low".to_owned()]).await;
    let high = stage.pod("high", 8).to_pod();
    let mut json = serde_json::to_value(high).expect("JSON");
    json["spec"]["priorityClassName"] = json!("journal-high");
    let high: Pod = serde_json::from_value(json).expect("a pod");
    stage.pods.create(&PostParams::default(), &high).await.expect("created");
    stage.until_bound(["high".to_owned()]).await;
    stage.create(&[stage.pod("hopeless", 9)]).await;
    stage.until_says("hopeless", "nodes are available").await;
    berth.assert_sound();
    assert_eq!(berth.stop().await, Some(0));

    let files = files(&folder);
    let replayed = replay(&files).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(replayed.difference, None);
    assert_eq!(replayed.cut_off, None, "it ended in good order");
    let count = |kind| replayed.decisions.get(kind).copied().unwrap_or(0);
    assert!(count("bind") >= 3 && count("evict") >= 1 && count("wait") >= 1, "{:?}", replayed.decisions);
    let why = explain(&files, "hopeless").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((why.status, why.node), (Status::Waits, None));

    // The same cluster as a stranger sees it who has never heard of the scheduler.
    let configuration = SchedulerConfiguration { scheduler_name: stage.name.to_owned(), ..Default::default() };
    let snapshot = berth_scheduler::capture::snapshot(&plane.client().expect("a client"), &configuration).await;
    let file = plane.folder().join("snapshot.jsonl");
    std::fs::write(&file, snapshot.unwrap_or_else(|error| panic!("{error:#}"))).expect("is written");
    let files = [file];
    assert_eq!(replay(&files).unwrap_or_else(|error| panic!("{error}")).refused, 0);
    let high = explain(&files, "journal/high").unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(high.status, Status::Runs | Status::Placed), "{high:?}");
    let why = explain(&files, "hopeless").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(why.status, Status::Waits);
    assert!(why.because.is_some_and(|why| why.contains("nodes fit")));
}
