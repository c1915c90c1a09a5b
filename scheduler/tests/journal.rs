//! What the driver writes down is enough to repeat it: every decision, by the library that `berth replay` calls.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use berth::replay::changes::Fate;
use berth::replay::explain::{Status, explain};
use berth::replay::{replay, what_if::what_if};
use berth_config::SchedulerConfiguration;
use berth_config::rules::{Placement, Policy};
use berth_engine::Timestamp;
use berth_scheduler::driver::{Call, Outcome};
use berth_scheduler::journal::{Recorder, header};
use berth_scheduler::{Change, Driver, Key, Kind, World, capture};
use common::{NOW, merge, node, object, pod};
use serde_json::{Value, json};

/// A driver, the pods of an API that does what it is asked at once, and what was written down.
struct Stage {
    driver: Driver,
    written: Arc<Mutex<String>>,
    now: Timestamp,
    version: u64,
    pods: BTreeMap<String, Value>,
}

impl Stage {
    fn new(configuration: &SchedulerConfiguration) -> Stage {
        let written = Arc::new(Mutex::new(serde_json::to_string(&header(configuration, NOW)).expect("JSON") + "\n"));
        let mut driver = Driver::new(configuration, []);
        let into = written.clone();
        driver.record(Recorder::new(move |line| {
            into.lock().expect("no panic").push_str(&line.expect("a line"));
            true
        }));
        driver.lead();
        Stage { driver, written, now: NOW, version: 1, pods: BTreeMap::new() }
    }

    fn see(&mut self, name: &str, rest: Value) {
        self.version += 1;
        let json = self.pods.entry(name.to_owned()).or_insert_with(|| json!({}));
        merge(json, rest);
        self.driver.observe(Change::Applied(pod(name, self.version, json.clone())));
    }

    fn gone(&mut self, name: &str) {
        self.pods.remove(name);
        let key = Key { namespace: "lab".to_owned(), ..Key::cluster(Kind::Pod, name) };
        self.driver.observe(Change::Deleted { key, uid: String::new() });
    }

    /// A second passes, and everything asked for is done.
    fn turn(&mut self) {
        self.now = self.now.plus(1_000);
        let mut calls = self.driver.step(self.now);
        while let Some((id, call)) = calls.pop() {
            self.driver.finished(id, Outcome::Done(None), self.now);
            match call {
                Call::Bind { pod, node, .. } => {
                    self.see(&pod.name, json!({ "spec": { "nodeName": node }, "status": { "phase": "Running" } }));
                }
                Call::Evict { pod, .. } => {
                    // Its owner creates another one.
                    let next = format!("{}x", pod.name);
                    let mut json = self.pods[&pod.name].clone();
                    (json["spec"]["nodeName"], json["status"]["phase"]) = (Value::Null, json!("Pending"));
                    self.gone(&pod.name);
                    self.see(&next, json);
                }
                _ => {}
            }
            calls.extend(self.driver.start_calls());
        }
    }

    fn node_of(&self, pod: &str) -> &str {
        self.pods[pod]["spec"]["nodeName"].as_str().unwrap_or_default()
    }
}

fn wants(gpus: u32, priority: i32) -> Value {
    let requests = json!({ "cpu": "1", "memory": "1Gi", "nvidia.com/gpu": gpus.to_string() });
    json!({ "spec": { "priority": priority, "containers": [{ "name": "c", "resources": { "requests": requests } }] } })
}

/// Two nodes of eight GPUs: a pod on each, a gang that has to wait for them, one for whose sake one of them has to go, and comes
/// back as another pod when that has ended.
fn play(configuration: &SchedulerConfiguration) -> Stage {
    let mut stage = Stage::new(configuration);
    for name in ["n1", "n2"] {
        stage.driver.observe(Change::Applied(node(name, 1, 8, json!({}))));
    }
    stage.see("small-a", wants(5, 0));
    stage.see("small-b", wants(5, 0));
    stage.turn();
    for name in ["gang-0", "gang-1"] {
        let annotations = json!({ "berth.dev/gang": "both", "berth.dev/gang-size": "2" });
        let mut json = wants(7, 0);
        merge(&mut json, json!({ "metadata": { "annotations": annotations } }));
        stage.see(name, json);
    }
    stage.turn();
    stage.see("big", wants(8, 1_000));
    (0..3).for_each(|_| stage.turn());
    for _ in 0..3 {
        let running: Vec<_> = stage.pods.keys().filter(|name| !stage.node_of(name).is_empty()).cloned().collect();
        running.iter().for_each(|name| stage.see(name, json!({ "status": { "phase": "Succeeded" } })));
        running.iter().for_each(|name| drop(stage.pods.remove(name)));
        (0..2).for_each(|_| stage.turn());
    }
    stage
}

fn file(folder: &tempfile::TempDir, name: &str, text: impl AsRef<[u8]>) -> Vec<PathBuf> {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("is written");
    vec![path]
}

fn text(stage: Stage) -> String {
    let Stage { driver, written, .. } = stage;
    drop(driver);
    written.lock().expect("no panic").clone()
}

#[test]
fn every_decision_comes_out_the_same() {
    let stage = play(&SchedulerConfiguration::default());
    assert!(stage.pods.is_empty(), "all of it has ended: {:#?}", stage.pods);
    let folder = tempfile::tempdir().expect("a folder");
    let text = text(stage);
    let replayed = replay(&file(&folder, "journal", &text)).expect("a journal");
    assert_eq!(replayed.difference, None);
    assert_eq!((replayed.cut_off, replayed.refused), (None, 0));
    let count = |kind| replayed.decisions.get(kind).copied().unwrap_or(0);
    assert!(count("bind") >= 4 && count("evict") >= 1 && count("wait") >= 1, "{:?}", replayed.decisions);
    assert_eq!(replayed.cycles, text.matches("\"decided\":").count() as u64);
    assert_eq!(replayed.events, text.matches("-added\":").count() as u64 + others(&text));
}

/// Events that add nothing.
fn others(text: &str) -> u64 {
    let count = |name: &str| text.matches(&format!("{{\"{name}\":{{")).count() as u64;
    let names = [
        "topology-set",
        "queue-set",
        "budget-set",
        "gang-changed",
        "gang-removed",
        "pod-gone",
        "pod-succeeded",
        "confirmed",
        "nomination-expired",
        "node-changed",
        "node-removed",
        "bind-failed",
        "pod-stuck",
    ];
    names.into_iter().map(count).sum()
}

#[test]
fn a_decision_that_was_another_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = text(play(&SchedulerConfiguration::default()));
    let line = text.lines().position(|line| line.contains("\"bind\"")).expect("a binding");
    let changed: Vec<String> = text
        .lines()
        .enumerate()
        .map(
            |(number, text)| {
                if number == line { text.replacen("\"node\":0", "\"node\":1", 1) } else { text.to_owned() }
            },
        )
        .collect();
    let difference = replay(&file(&folder, "changed", changed.join("\n") + "\n")).expect("a journal").difference;
    let difference = difference.expect("it differs");
    assert!(difference.place.ends_with(&format!("changed:{}", line + 1)), "{}", difference.place);
    assert!(difference.recorded.is_some() && difference.replayed.is_some());
    assert_ne!(difference.recorded, difference.replayed);
}

#[test]
fn a_cut_off_end_is_left_out_and_anything_else_is_an_error_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = text(play(&SchedulerConfiguration::default()));
    let lines = text.lines().count();
    let cut = replay(&file(&folder, "cut", &text[..text.len() - 5])).expect("a journal");
    assert!(cut.cut_off.is_some_and(|place| place.ends_with(&format!("cut:{lines}"))));
    assert_eq!(cut.difference, None);

    let broken = |name: &str, text: String| replay(&file(&folder, name, text)).expect_err(name).to_string();
    let garbled = broken("garbled", text.replacen("\"events\"", "\"evnts\"", 1));
    assert!(garbled.contains("garbled:2: cannot be read: unknown field `evnts`"), "{garbled}");
    let empty = broken("empty", String::new());
    assert!(empty.contains("empty:1: not a journal"), "{empty}");
    let newer = broken("newer", text.replacen("\"journal\":1", "\"journal\":2", 1));
    assert!(newer.contains("newer:1: a journal of form 2"), "{newer}");
    let second = broken("second", text.replacen("\"part\":1", "\"part\":2", 1));
    assert!(second.contains("this is part 2"), "{second}");
}

#[test]
fn a_journal_in_parts_is_one_if_none_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = text(play(&SchedulerConfiguration::default()));
    let header = text.lines().next().expect("a header").to_owned();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let mut files = Vec::new();
    for (index, part) in lines.chunks(lines.len().div_ceil(3)).enumerate() {
        let header = header.replacen("\"part\":1", &format!("\"part\":{}", index + 1), 1);
        files.extend(file(&folder, &format!("part-{index}"), format!("{header}\n{}\n", part.join("\n"))));
    }
    let replayed = replay(&files).expect("a journal");
    assert_eq!(replayed.difference, None);
    assert_eq!(replayed.cycles, text.matches("\"decided\":").count() as u64);
    files.remove(1);
    let missing = replay(&files).expect_err("one is missing").to_string();
    assert!(missing.contains("this is part 3, and the one before is part 1"), "{missing}");
}

#[test]
fn another_configuration_shows_what_would_change_and_the_same_one_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let configuration = SchedulerConfiguration::default();
    let files = file(&folder, "journal", text(play(&configuration)));
    let same = what_if(&files, &configuration).expect("a journal");
    assert_eq!((&same.changed[..], same.refused), (&[][..], 0));
    assert!(same.counts[&Fate::Same] >= 4, "{:?}", same.counts);

    // Chance puts somebody elsewhere with one of a few seeds, and what was evicted for that is another one then.
    let by_chance = |seed| {
        let placement = Placement { policy: Some(Policy::Random), seed, ..Placement::default() };
        what_if(&files, &SchedulerConfiguration { placement, ..configuration.clone() }).expect("a journal")
    };
    let changes = (0..10).map(by_chance).find(|changes| !changes.changed.is_empty()).expect("one of ten");
    let change = &changes.changed[0];
    assert!(change.fate == Fate::Elsewhere && change.recorded.nodes != change.replayed.nodes, "{changes:#?}");
    assert_eq!(change.recorded.at, change.replayed.at);
    assert_eq!(changes.counts.values().sum::<usize>(), changes.gangs);
}

#[test]
fn objects_of_every_kind_are_told_and_repeated() {
    let mut stage = Stage::new(&SchedulerConfiguration::default());
    stage.driver.observe(Change::Applied(node(
        "n1",
        1,
        8,
        json!({ "spec": { "taints": [{ "key": "k", "effect": "NoSchedule" }] } }),
    )));
    let queue = json!({ "spec": { "resources": { "gpu": { "deserved": "4", "limit": "6" } } } });
    stage.driver.observe(Change::Applied(object(Kind::Queue, "", "team", 1, queue)));
    let mut labelled = wants(2, 0);
    merge(
        &mut labelled,
        json!({ "metadata": { "labels": { "berth.dev/queue": "team", "app": "x" } }, "spec": {
        "tolerations": [{ "key": "k", "operator": "Exists" }], "hostNetwork": false,
        "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
            { "labelSelector": { "matchLabels": { "app": "x" } }, "topologyKey": "kubernetes.io/hostname" }] } } } }),
    );
    stage.see("one", labelled.clone());
    stage.see("two", labelled);
    (0..2).for_each(|_| stage.turn());
    stage.driver.observe(Change::Deleted { key: Key::cluster(Kind::Node, "n1"), uid: String::new() });
    (0..2).for_each(|_| stage.turn());
    let folder = tempfile::tempdir().expect("a folder");
    let replayed = replay(&file(&folder, "journal", text(stage))).expect("a journal");
    assert_eq!(replayed.difference, None);
    assert!(replayed.decisions["bind"] >= 1, "{:?}", replayed.decisions);
}

#[test]
fn a_snapshot_says_of_each_pod_where_it_is_or_why_it_waits() {
    let configuration = SchedulerConfiguration::default();
    let mut world = World::new(&configuration);
    for name in ["n1", "n2"] {
        world.apply(Change::Applied(node(name, 1, 8, json!({}))));
    }
    let mut runs = wants(8, 0);
    merge(&mut runs, json!({ "spec": { "nodeName": "n2" }, "status": { "phase": "Running" } }));
    for (name, json) in [("runs", runs), ("next", wants(8, 0)), ("hopeless", wants(9, 0))] {
        world.apply(Change::Applied(pod(name, 1, json)));
    }
    let broken = json!({ "metadata": { "annotations": { "gpu-fraction": "0.5" } } });
    world.apply(Change::Applied(pod("broken", 1, broken)));
    let text = capture::write(&mut world, &configuration, NOW).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    let files = file(&folder, "snapshot", text);
    let explained = |pod: &str| explain(&files, pod).unwrap_or_else(|error| panic!("{error}"));
    let (runs, next, hopeless) = (explained("lab/runs"), explained("next"), explained("hopeless"));
    assert_eq!((runs.status, runs.node.as_deref(), runs.because), (Status::Runs, Some("n2"), None));
    assert_eq!((next.status, next.node.as_deref()), (Status::NextToStart, Some("n1")));
    assert_eq!((hopeless.status, hopeless.node), (Status::Waits, None));
    let why = hopeless.because.unwrap_or_default();
    assert!(why.contains("0/2 nodes fit") && why.contains("even when empty"), "{why}");
    assert_eq!(hopeless.queue, "default");
    let nobody = explain(&files, "nobody").expect_err("is not there").to_string();
    assert!(nobody.contains("there is no pod `nobody`") && !nobody.contains("broken"), "{nobody}");
    let refused = explain(&files, "broken").expect_err("is not used").to_string();
    assert!(refused.contains("not used") && refused.contains("gpu-fraction"), "{refused}");
}
