//! Scenario files that cannot be used: each fault with its message, and several at once.

use std::fs;

use berth::scenario::load::{self, parse_json};
use tempfile::TempDir;

/// A sound scenario; faults are made by replacing pieces of it.
const SOUND: &str = r#"{
  "version": 1, "id": "s", "name": "n", "area": "allocate", "tier": "binding", "tierReason": "r", "features": [],
  "topologies": [{"name": "t", "levels": ["zone", "rack"]}],
  "nodes": [
    {"name": "n0", "gpus": 2, "gpuMemoryMib": 100, "cpuMilli": 9000, "memoryMib": 9000, "pods": 9},
    {"name": "n1", "gpus": 0, "gpuMemoryMib": 100, "mig": {"strategy": "mixed", "instances": {"1g.10gb": 7}}, "cpuMilli": 9000, "memoryMib": 9000, "pods": 9}
  ],
  "queues": [
    {"name": "up", "priority": 1, "gpu": {"deserved": -1, "limit": -1, "overQuotaWeight": 1}, "cpu": {"deserved": -1, "limit": -1, "overQuotaWeight": 1}, "memory": {"deserved": -1, "limit": -1, "overQuotaWeight": 1}},
    {"name": "q", "parent": "up", "priority": 1, "gpu": {"deserved": 1000, "limit": -1, "overQuotaWeight": 1}, "cpu": {"deserved": -1, "limit": -1, "overQuotaWeight": 1}, "memory": {"deserved": -1, "limit": -1, "overQuotaWeight": 1}}
  ],
  "disruptionBudgets": [{"name": "b", "matchLabels": {"app": "db"}, "maxUnavailable": 1}],
  "jobs": [
    {"name": "j", "queue": "q", "priority": 5, "preemptible": true, "ageSeconds": 60, "startedSecondsAgo": 60,
     "gang": {"minMember": 1, "topology": {"name": "t", "required": "rack"}},
     "tasks": [
       {"name": "j-0", "state": "running", "node": "n0", "gpuClasses": ["A"], "request": {"gpuMilli": 500, "gpuDevices": 1, "cpuMilli": 1000, "memoryMib": 1000}},
       {"name": "j-1", "state": "pending", "request": {"gpus": 1, "cpuMilli": 1000, "memoryMib": 1000}}
     ]},
    {"name": "k", "queue": "q", "priority": 5, "preemptible": true, "ageSeconds": 60,
     "gang": {"minMember": 1, "subGroups": [{"name": "p", "minMember": 1}]},
     "tasks": [{"name": "k-0", "subGroup": "p", "state": "pending", "podAffinity": {"topologyKey": "node", "matchLabels": {"app": "db"}}, "request": {"mig": {"1g.10gb": 1}, "cpuMilli": 1000, "memoryMib": 1000}}]}
  ],
  "run": {"mode": "cycle", "rounds": 1, "stableRounds": 0, "staleGraceSeconds": 0},
  "steps": [{"atSeconds": 60, "events": [{"finish": "j-0"}]}, {"atSeconds": 120, "events": [{"removeNode": "n0"}]}],
  "expect": {"jobs": {"j": {"state": "kept", "node": "n0"}}, "groups": [{"tasks": ["j-0"], "counts": {"running": 1}}]}
}"#;

fn message(text: &str) -> String {
    parse_json(text, "s.json").err().map(|problems| problems.to_string()).unwrap_or_default()
}

#[test]
fn the_sound_one_is_sound() {
    assert_eq!(message(SOUND), "");
}

#[test]
fn each_fault_names_object_and_field_and_says_what_to_do() {
    let cases = [
        // What JSON and the fields themselves say, with the line.
        (
            r#""gpus": 2"#,
            r#""gpus": "two""#,
            "invalid type: string \"two\", expected u32; FORMAT.md, section 2, lists the fields",
        ),
        (r#""gpus": 2"#, r#""gpus": -2"#, "invalid value: integer `-2`, expected u32"),
        (r#""gpus": 2"#, r#""gpu": 2"#, "unknown field `gpu`, expected one of `name`, `gpus`"),
        (r#""pods": 9}"#, r#""label": {}}"#, "unknown field `label`"),
        (r#", "priority": 5"#, "", "missing field `priority`"),
        (
            r#""state": "running""#,
            r#""state": "runs""#,
            "unknown variant `runs`, expected one of `pending`, `nominated`",
        ),
        (r#""state": "kept""#, r#""state": "keeps""#, "unknown state `keeps`, expected one of pending, nominated"),
        (
            r#""tier": "binding""#,
            r#""tier": "sure""#,
            "unknown variant `sure`, expected one of `binding`, `shared-semantics`, `taste`",
        ),
        (r#""atSeconds": 60,"#, r#""atSeconds": 60, "event": 1,"#, "unknown field `event`"),
        (r#"{"finish": "j-0"}"#, r#"{"end": "j-0"}"#, "unknown variant `end`, expected one of `finish`"),
        (
            r#""startedSecondsAgo": 60,"#,
            r#""lastCheckpointSecondsAgo": "soon","#,
            "lastCheckpointSecondsAgo: expected a number of seconds, or \"never\"",
        ),
        // The scenario as a whole.
        (r#""version": 1"#, r#""version": 2"#, "s.json: field `version`: found `2`, expected 1"),
        (r#""rounds": 1"#, r#""rounds": 0"#, "s.json: run: field `rounds`: found `0`, expected 1 to 1000"),
        (r#""mode": "cycle""#, r#""mode": "reclaim""#, "s.json: run: a single action runs once"),
        (r#""name": "n1""#, r#""name": "n0""#, "s.json: node `n0`: there are two of this name"),
        (
            r#""name": "n1""#,
            r#""name": "n 1""#,
            "s.json: node `n 1`: field `name`: found `n 1`, expected 1 to 253 characters without spaces",
        ),
        (r#""name": "j-1""#, r#""name": "j-0""#, "s.json: task `j-0`: there are two of this name"),
        // Topologies, nodes, queues, budgets.
        (
            r#"["zone", "rack"]"#,
            r#"["rack", "rack"]"#,
            "s.json: topology `t`: field `levels`: found `rack`, `rack`, expected label keys",
        ),
        (r#""gpus": 2"#, r#""gpus": 256"#, "s.json: node `n0`: field `gpus`: found `256`, expected at most 255"),
        (
            r#""gpuMemoryMib": 100"#,
            r#""gpuMemoryMib": 0"#,
            "s.json: node `n0`: field `gpuMemoryMib`: found `0`, expected at least 1",
        ),
        (
            r#""cpuMilli": 9000"#,
            r#""cpuMilli": 9000000000000000000"#,
            "s.json: node `n0`: field `cpuMilli`: found `9000000000000000000`, expected at most",
        ),
        (
            r#""1g.10gb": 7"#,
            r#""xg.10gb": 7"#,
            "s.json: node `n1`: field `mig`: found `xg.10gb`, expected a profile that begins with its compute slices",
        ),
        (
            r#""parent": "up""#,
            r#""parent": "down""#,
            "s.json: queue `q`: field `parent`: found `down`, expected a queue that is there: `up`, `q`",
        ),
        (
            r#""parent": "up""#,
            r#""parent": "q""#,
            "s.json: queue `q`: field `parent`: found `q`, expected a queue above it; its parents form a ring",
        ),
        (
            r#""deserved": 1000"#,
            r#""deserved": -2"#,
            "s.json: queue `q`: field `gpu.deserved`: found `-2`, expected 0 to 1125899906842624, or -1 for unlimited",
        ),
        (
            r#""deserved": 1000, "limit": -1, "overQuotaWeight": 1"#,
            r#""deserved": 1, "limit": 1, "overQuotaWeight": 9999999999"#,
            "s.json: queue `q`: field `gpu.overQuotaWeight`: found `9999999999`",
        ),
        (r#""maxUnavailable": 1"#, r#""maxUnavailable": 1, "minAvailable": 1"#, "s.json: budget `b`: give either"),
        (
            r#"{"app": "db"}, "maxUnavailable""#,
            r#"{}, "maxUnavailable""#,
            "s.json: budget `b`: field `matchLabels`: found nothing",
        ),
        // Jobs and tasks.
        (
            r#""queue": "q""#,
            r#""queue": "x""#,
            "s.json: job `j`: field `queue`: found `x`, expected a queue that is there",
        ),
        (
            r#""queue": "q""#,
            r#""queue": "up""#,
            "s.json: job `j`: field `queue`: found `up`, expected a queue without queues below it",
        ),
        (
            r#""startedSecondsAgo": 60,"#,
            "",
            "s.json: job `j`: field `startedSecondsAgo`: found nothing, expected when it started",
        ),
        (
            r#""ageSeconds": 60, "started"#,
            r#""ageSeconds": 99999999999999, "started"#,
            "s.json: job `j`: field `ageSeconds`: found `99999999999999`",
        ),
        (
            r#""name": "t", "required": "rack""#,
            r#""name": "u", "required": "rack""#,
            "s.json: job `j`: field `topology.name`: found `u`, expected a topology that is there: `t`",
        ),
        (
            r#""required": "rack""#,
            r#""required": "row""#,
            "s.json: job `j`: field `topology.required`: found `row`, expected a level of the topology",
        ),
        (
            r#"[{"name": "p", "minMember": 1}]"#,
            r#"[{"name": "p", "minMember": 1}, {"name": "p", "minMember": 1}]"#,
            "s.json: sub-group of job `k` `p`: there are two of this name",
        ),
        (
            r#""subGroup": "p""#,
            r#""subGroup": "r""#,
            "s.json: task `k-0`: field `subGroup`: found `r`, expected a gang of its job that holds tasks: `p`",
        ),
        (
            r#""node": "n0", "gpuC"#,
            r#""gpuC"#,
            "s.json: task `j-0`: field `node`: found nothing, expected the node it is on, since it is running",
        ),
        (
            r#""state": "pending", "request""#,
            r#""state": "pending", "node": "n0", "request""#,
            "s.json: task `j-1`: field `node`: found `n0`, expected nothing, since it is pending",
        ),
        (
            r#""node": "n0", "gpuC"#,
            r#""node": "n7", "gpuC"#,
            "s.json: task `j-0`: field `node`: found `n7`, expected a node that is there: `n0`, `n1`",
        ),
        (
            r#""gpuClasses": ["A"], "#,
            "",
            "s.json: task `j-0`: field `gpuClasses`: found none, expected 1 different labels, one for each device it shares",
        ),
        (
            r#""request": {"gpus": 1,"#,
            r#""gpuClasses": ["A"], "request": {"gpus": 1,"#,
            "s.json: task `j-1`: field `gpuClasses`: found `A`, expected 0 different labels",
        ),
        (
            r#"{"gpus": 1,"#,
            r#"{"gpus": 1, "gpuMilli": 5, "gpuDevices": 1,"#,
            "s.json: task `j-1`: asks for GPUs in 2 ways (`gpus`, `gpuMilli`); choose one",
        ),
        (
            r#"{"gpus": 1,"#,
            r#"{"gpus": 1, "gpuDevices": 1,"#,
            "s.json: task `j-1`: field `gpuDevices`: found `1`, expected 0 where no share is asked for",
        ),
        (
            r#""gpuMilli": 500, "gpuDevices": 1"#,
            r#""gpuMilli": 500"#,
            "s.json: task `j-0`: field `gpuDevices`: found `0`, expected at least 1 for a share",
        ),
        (
            r#""gpuMilli": 500"#,
            r#""gpuMilli": 1500"#,
            "s.json: task `j-0`: field `gpuMilli`: found `1500`, expected at most 1000",
        ),
        (
            r#"{"1g.10gb": 1}"#,
            r#"{"1g.10gb": 0}"#,
            "s.json: task `k-0`: field `mig`: found `0`, expected at least 1 instance",
        ),
        (
            r#""state": "pending", "request""#,
            r#""state": "pending", "nodeNames": ["n9"], "request""#,
            "s.json: task `j-1`: field `nodeNames`: found `n9`, expected a node",
        ),
        (
            r#""topologyKey": "node""#,
            r#""topologyKey": """#,
            "s.json: task `k-0`: field `podAffinity`: expected a `topologyKey` and some `matchLabels`",
        ),
        (
            r#""state": "running", "node": "n0", "gpuClasses": ["A"], "request": {"gpuMilli": 500, "gpuDevices": 1,"#,
            r#""state": "running", "node": "n0", "request": {"gpus": 3,"#,
            "s.json: at the start: task `j-0` asks for 3 devices and has [0, 1, 2] of the 2 on `n0`",
        ),
        // Steps.
        (r#""atSeconds": 120"#, r#""atSeconds": 5"#, "s.json: step at 5 s: comes after a later step"),
        (
            r#""finish": "j-0""#,
            r#""finish": "j-7""#,
            "s.json: step at 60 s: field `events`: found `j-7`, expected the name of a job or task that is there then",
        ),
        (
            r#""removeNode": "n0""#,
            r#""removeJob": "x""#,
            "s.json: step at 120 s: field `events`: found `x`, expected a job that is there: `j`, `k`",
        ),
        // What is expected.
        (
            r#"{"jobs": {"j":"#,
            r#"{"jobs": {"x":"#,
            "s.json: expect: field `jobs`: found `x`, expected a job that is there: `j`, `k`",
        ),
        (
            r#""kept", "node": "n0""#,
            r#""kept", "node": "n0", "nodesAnyOf": ["n1"]"#,
            "s.json: expect: result of `j`: give either `node` or `nodesAnyOf`",
        ),
        (
            r#""kept", "node": "n0""#,
            r#""kept", "node": "n5""#,
            "s.json: expect: field `result of j`: found `n5`, expected a node",
        ),
        (
            r#"["j-0"], "counts""#,
            r#"["j-9"], "counts""#,
            "s.json: expect: field `groups`: found `j-9`, expected a task",
        ),
        (r#"{"running": 1}"#, r#"{"running": 2}"#, "s.json: expect: groups: 2 counted, but 1 tasks listed"),
    ];
    let mut wrong = Vec::new();
    for (piece, fault, expected) in cases {
        assert!(SOUND.contains(piece), "no {piece}");
        let found = message(&SOUND.replacen(piece, fault, 1));
        if !found.lines().any(|line| line.contains(expected)) {
            wrong.push(format!("{fault}:\n{found}\nnot {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn sums_that_would_overflow_are_refused() {
    let many = SOUND
        .replace(r#""memoryMib": 1000"#, r#""memoryMib": 1099511627775"#)
        .replace(r#""memoryMib": 9000"#, r#""memoryMib": 1099511627775"#);
    let found = message(&many);
    for of in ["tasks", "nodes"] {
        let expected = format!("s.json: `memoryMib` of all {of} together is ");
        assert!(found.lines().any(|line| line.starts_with(&expected)), "{found}");
    }
}

#[test]
fn several_faults_are_told_at_once_and_a_file_cut_short_by_its_line() {
    let found = message(&SOUND.replacen(r#""parent": "up""#, r#""parent": "x""#, 1).replacen(
        r#""gpus": 2"#,
        r#""gpus": 999"#,
        1,
    ));
    assert!(found.contains("queue `q`") && found.contains("node `n0`"), "{found}");
    let cut = message(&SOUND[..300]);
    assert!(cut.starts_with("s.json:6: column 10: ") && cut.ends_with("the file may be cut short"), "{cut}");
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let found = message(&SOUND.replacen(r#""name": "n1""#, r#""name": "\u001b[31m""#, 1));
    assert!(found.contains("\\u{1b}[31m") && !found.contains('\u{1b}'), "{found}");
}

#[test]
fn folders_are_read_whole_and_in_order_and_all_that_is_wrong_is_told() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("a folder");
        fs::write(path, text).expect("a small file");
    };
    write("b/s.json", SOUND);
    write("a.txt", "# t\nnode n\n----\n");
    write("index.json", "not a scenario");
    write("LICENSE", "nor this");
    let loaded = load::load(&[folder.path().to_owned()]).expect("both are sound");
    let names: Vec<&str> = loaded.iter().map(|one| one.scenario.id.as_str()).collect();
    assert_eq!(names, ["a", "s"]);
    write("c.txt", "nothing");
    write("d.json", "{}");
    let missing = folder.path().join("missing.txt");
    let problems = load::load(&[folder.path().to_owned(), missing]).expect_err("three are wrong").to_string();
    assert_eq!(problems.lines().count(), 4, "{problems}");
    for (file, text) in
        [("c.txt:1:", "expected `# `"), ("d.json:1:", "missing field"), ("missing.txt:", "cannot be read")]
    {
        assert!(problems.lines().any(|line| line.contains(file) && line.contains(text)), "{problems}");
    }
    let empty = TempDir::new().expect("a folder");
    let problems = load::load(&[empty.path().to_owned()]).expect_err("nothing there").to_string();
    assert!(problems.contains("no scenario in this folder"), "{problems}");
    let odd = folder.path().join("LICENSE");
    assert!(load::read(&odd).expect_err("no form").to_string().contains("ends neither in .json nor in .txt"));
}
