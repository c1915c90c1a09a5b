//! `berth replay` and `berth explain` as users run them, on a journal written by hand with the engine itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use berth_config::SchedulerConfiguration;
use berth_config::journal::{FORMAT, Header, Line};
use berth_engine::{
    Decision, Engine, Event, GangId, GangSpec, GpuRequest, Member, NodeId, NodeShape, NodeSpec, PodId, PodShape,
    PodSpec, Timestamp,
};
use tempfile::TempDir;

const BEGUN: Timestamp = Timestamp(1_000_000);

/// An engine and what was written of it.
struct Writer {
    engine: Engine,
    lines: Vec<String>,
    now: Timestamp,
}

impl Writer {
    fn new() -> Writer {
        let configuration = SchedulerConfiguration::default();
        let engine = Engine::new(berth_config::engine_config(&configuration));
        let header = Header {
            journal: FORMAT,
            version: "a test".to_owned(),
            begun: BEGUN,
            part: 1,
            configuration,
            problems: Vec::new(),
        };
        Writer { engine, lines: vec![serde_json::to_string(&header).expect("JSON")], now: BEGUN }
    }

    fn tell(&mut self, events: Vec<Event>) {
        for event in &events {
            self.engine.apply(event.clone(), self.now).expect("is accepted");
        }
        self.line(Line { at: self.now, events: Some(events), decided: None });
    }

    fn ask(&mut self) -> Vec<Decision> {
        let decided = self.engine.decide(self.now);
        self.line(Line { at: self.now, events: None, decided: Some(decided.clone()) });
        self.now = self.now.plus(60_000);
        decided
    }

    fn line(&mut self, line: Line) {
        self.lines.push(serde_json::to_string(&line).expect("JSON"));
    }
}

fn node(id: u32) -> Event {
    let shape = NodeShape {
        cpu_milli: 64_000,
        memory_bytes: 1 << 40,
        pods: 110,
        gpus: 8,
        gpu_model: "X".into(),
        ..NodeShape::default()
    };
    Event::NodeAdded { node: NodeId(id), spec: NodeSpec { name: format!("n{id}"), shape } }
}

/// A gang of one pod, which may be evicted.
fn single(id: u64, gpus: usize, priority: i64, now: Timestamp) -> Vec<Event> {
    let gang = GangSpec {
        name: format!("ns/g{id}").into(),
        preemptible: true,
        recreated: true,
        ..GangSpec::lone(Engine::DEFAULT_QUEUE, priority, now)
    };
    let shape = PodShape { cpu_milli: 1000, gpu: GpuRequest::Whole(gpus), ..PodShape::default() };
    let member = Member { gang: GangId(id), subgroup: String::new() };
    let spec = PodSpec { name: format!("ns/p{id}"), shape, gang: Some(member), ..PodSpec::default() };
    vec![Event::GangAdded { gang: GangId(id), spec: gang }, Event::PodAdded { pod: PodId(id), spec }]
}

fn confirmed(decisions: &[Decision]) -> Vec<Event> {
    let bound = decisions.iter().filter_map(|decision| match decision {
        Decision::Bind { pods, .. } => Some(pods),
        _ => None,
    });
    bound.flatten().map(|one| Event::Confirmed { pod: one.slot.pod }).collect()
}

/// One node; a small pod runs on it, a large one waits behind it until it ends.
fn journal() -> String {
    let mut writer = Writer::new();
    let now = writer.now;
    writer.tell([vec![node(0)], single(0, 1, 0, now)].concat());
    let decided = writer.ask();
    writer.tell(confirmed(&decided));
    let now = writer.now;
    writer.tell(single(1, 8, 0, now));
    assert!(matches!(writer.ask().as_slice(), [.., Decision::Wait { .. }]));
    writer.ask();
    writer.tell(vec![Event::PodSucceeded { pod: PodId(0) }]);
    assert!(matches!(writer.ask().as_slice(), [Decision::Bind { .. }, ..]));
    let now = writer.now;
    writer.tell(single(2, 1, 0, now));
    writer.ask();
    writer.lines.join("\n") + "\n"
}

fn berth(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_berth")).args(arguments).output().expect("berth runs")
}

fn save(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("is written");
    path
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_same_journal_comes_out_the_same() {
    let folder = TempDir::new().expect("a folder");
    let path = save(&folder, "j.jsonl", &journal());
    let run = berth(&["replay", shown(&path)]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let text = out(&run);
    assert!(text.contains("written by a test, 4m"), "{text}");
    assert!(text.contains("9 events (0 refused), 5 cycles"), "{text}");
    assert!(text.ends_with("every decision came out the same\n"), "{text}");
    let json = berth(&["replay", shown(&path), "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&out(&json)).expect("JSON");
    assert_eq!(
        (&json["cycles"], &json["decisions"]["bind"], &json["difference"]),
        (&5.into(), &2.into(), &serde_json::Value::Null)
    );
}

#[test]
fn a_difference_is_4_and_names_line_and_both_sides() {
    let folder = TempDir::new().expect("a folder");
    let changed = journal().replacen(r#""loss":"#, r#""loss":77777"#, 1);
    let path = save(&folder, "j.jsonl", &changed);
    let run = berth(&["replay", shown(&path)]);
    assert_eq!(run.status.code(), Some(4));
    assert!(out(&run).contains("j.jsonl:3: the first difference, decision 1"), "{}", out(&run));
    assert!(out(&run).contains(r#"journal  {"bind""#) && out(&run).contains(r#"replay   {"bind""#), "{}", out(&run));
    assert!(said(&run).contains("j.jsonl:3: decided otherwise"), "{}", said(&run));
}

#[test]
fn what_is_broken_is_3_with_file_and_line() {
    let folder = TempDir::new().expect("a folder");
    let whole = journal();
    let cases = [
        (
            "kind",
            whole.replacen("node-added", "node-vanished", 1),
            "kind:2: cannot be read: unknown variant `node-vanished`",
        ),
        ("field", whole.replacen("\"gpus\":8", "\"gpu\":8", 1), "field:2: cannot be read: unknown field `gpu`"),
        (
            "neither",
            whole.replacen("\n{\"at\":", "\n{\"at\":1}\n{\"at\":", 1),
            "neither:2: expected either `events` or `decided`",
        ),
        ("csv", "sn,cpu_milli\n".to_owned(), "csv:1: not a journal"),
        ("middle", whole.replacen("]}\n", "\n", 1), "middle:2: cannot be read"),
    ];
    for (name, text, expected) in cases {
        let run = berth(&["replay", shown(&save(&folder, name, &text))]);
        assert_eq!(run.status.code(), Some(3), "{name}");
        assert!(said(&run).contains(expected), "{name}: {}", said(&run));
    }
    let missing = berth(&["replay", shown(&folder.path().join("missing"))]);
    assert_eq!(missing.status.code(), Some(3));
    let cut = berth(&["replay", shown(&save(&folder, "cut", &whole[..whole.len() - 9]))]);
    assert_eq!(cut.status.code(), Some(0), "{}", said(&cut));
    assert!(out(&cut).contains(": cut off, left out"), "{}", out(&cut));
}

#[test]
fn another_configuration_is_played_with_what_ran_then() {
    let folder = TempDir::new().expect("a folder");
    let path = save(&folder, "j.jsonl", &journal());
    let head = "apiVersion: config.berth.dev/v1alpha1\nkind: SchedulerConfiguration\n";
    let same = save(&folder, "same.yaml", head);
    let run = berth(&["replay", shown(&path), "--config", shown(&same)]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert_eq!(out(&run), "3 gangs, 3 same\n0 evictions avoided, 0 added\n");
    let wrong = save(&folder, "wrong.yaml", "kind: Pod\n");
    assert_eq!(berth(&["replay", shown(&path), "--config", shown(&wrong)]).status.code(), Some(3));
}

/// Under Berth's rules the large gang that waits has a reservation, and the small one that comes late may not pass it.
#[test]
fn who_is_placed_earlier_or_later_is_told() {
    let mut writer = Writer::new();
    let now = writer.now;
    writer.tell([vec![node(0)], single(0, 4, 0, now)].concat());
    let decided = writer.ask();
    writer.tell(confirmed(&decided));
    let now = writer.now;
    let runs = |gang: Vec<Event>, ms| gang.into_iter().map(|event| expected(event, ms)).collect::<Vec<_>>();
    writer.tell(runs(single(1, 8, 0, now), 600_000));
    writer.ask();
    let now = writer.now;
    writer.tell(runs(single(2, 1, -5, now), 6_000_000));
    let passed = writer.ask();
    for _ in 0..3 {
        writer.ask();
    }
    writer.tell(vec![Event::PodSucceeded { pod: PodId(0) }]);
    writer.ask();
    writer.ask();
    let text = writer.lines.join("\n") + "\n";
    let folder = TempDir::new().expect("a folder");
    let path = save(&folder, "j.jsonl", &text);
    let head = "apiVersion: config.berth.dev/v1alpha1\nkind: SchedulerConfiguration\n";
    let (mode, gang, fate) =
        if confirmed(&passed).is_empty() { ("skip", "ns/g2", "earlier") } else { ("reserve", "ns/g1", "earlier") };
    let rules = format!("{head}rules:\n  waiting:\n    mode: {mode}\n    dated: false\n    passedOverMax: 0s\n");
    let other = save(&folder, "other.yaml", &rules);
    let run = berth(&["replay", shown(&path), "--config", shown(&other), "--format", "json"]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let json: serde_json::Value = serde_json::from_str(&out(&run)).expect("JSON");
    let changed = json["changed"].as_array().expect("a list");
    let found = changed.iter().find(|change| change["gang"] == gang).unwrap_or_else(|| panic!("{json:#}"));
    assert!(found["fate"] == fate || found["fate"] == "starts-now", "{found:#}");
    assert!(changed.iter().any(|change| change["fate"] == "later" || change["fate"] == "no-longer-starts"), "{json:#}");
    let table = out(&berth(&["replay", shown(&path), "--config", shown(&other)]));
    assert!(
        table.contains(&format!("\n{gang}: ")) && table.contains("\n  was  ") && table.contains("\n  now  "),
        "{table}"
    );
}

/// The gang of an event runs so long, as its owner says.
fn expected(event: Event, ms: u64) -> Event {
    match event {
        Event::GangAdded { gang, spec } => {
            Event::GangAdded { gang, spec: GangSpec { expected_runtime_ms: Some(ms), ..spec } }
        }
        other => other,
    }
}

#[test]
fn a_pod_at_the_end_of_a_journal_is_explained() {
    let folder = TempDir::new().expect("a folder");
    let path = save(&folder, "j.jsonl", &journal());
    let placed = berth(&["explain", "--snapshot", shown(&path), "ns/p1"]);
    assert_eq!(
        out(&placed),
        "ns/p1 has a place on n0 and is about to start\nqueue default, gang ns/g1\n",
        "{}",
        said(&placed)
    );
    let waits = out(&berth(&["explain", "--snapshot", shown(&path), "p2"]));
    assert!(waits.starts_with("ns/p2 waits: 0/1 nodes fit: 1 "), "{waits}");
    let json = berth(&["explain", "--snapshot", shown(&path), "p2", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out(&json)).expect("JSON");
    assert_eq!((&json["status"], &json["node"]), (&"waits".into(), &serde_json::Value::Null));
    let nobody = berth(&["explain", "--snapshot", shown(&path), "p0"]);
    assert_eq!(nobody.status.code(), Some(3), "it is over");
    assert!(said(&nobody).contains("there is no pod `p0`"), "{}", said(&nobody));
}
