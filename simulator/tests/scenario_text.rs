//! The text form of scenarios: what is written reads back, what is left out has its default, what is wrong is told with
//! its line.

use std::path::PathBuf;

use berth::scenario::format::{Checkpoint, Event, ExpectedState, Scenario, TaskState, UNLIMITED};
use berth::scenario::{load, play, text, verdict};
use proptest::prelude::*;

fn parse(text: &str) -> Scenario {
    text::parse(text, "t.txt", "t").unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// Tasks stand with their group in the text form, so their order is that of the groups.
fn tasks_by_name(mut scenario: Scenario) -> Scenario {
    scenario.jobs.iter_mut().for_each(|job| job.tasks.sort_by(|a, b| a.name.cmp(&b.name)));
    scenario
}

fn reads_back(scenario: &Scenario) {
    let written = text::write(scenario);
    let again = text::parse(&written, "again.txt", &scenario.id).unwrap_or_else(|found| panic!("{found}\n{written}"));
    let same = tasks_by_name(again) == tasks_by_name(scenario.clone());
    assert!(same, "does not read back:\n{written}");
}

#[test]
fn every_kai_scenario_reads_back_from_its_text_form() {
    let shared = std::env::var_os("BERTH_SHARED").map_or_else(|| PathBuf::from("../../shared"), PathBuf::from);
    let folder = shared.join("scenarios/kai");
    if !folder.is_dir() {
        eprintln!("skipped: no {}", folder.display());
        return;
    }
    let loaded = load::load(&[folder]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.len(), 143);
    loaded.iter().for_each(|one| reads_back(&one.scenario));
}

/// One of everything that the format has and the kai scenarios have not.
const EVERYTHING: &str = "\
# Everything at once
# failure-modes 1.2
policy kai
area wait
tier taste depends on taste
features gang steps
origin suite=kai file=a.go commit=c
note the first note
note the second
run rounds=2 stable=3 stale-grace=never start-timeout=90s usage-half-life=1h
topology net levels=zone,rack
node a b gpus=8 model=H100 gpu-memory=80Gi cpu=64 memory=512Gi pods=50 zone=z1 rack=r1 label.disk=ssd
node c gpus=4 taint=team=x:NoExecute taint=old cordoned
node d mig=mixed:1g.10gb*7,2g.20gb
queue root deserved=8 limit=16 weight=2 cpu.limit=500m memory.deserved=1Gi
queue lab parent=root priority=7 gpu:H100.limit=4 gpu:H100.weight=0 reclaim-min-runtime=10m preempt-min-runtime=1h used-gpu-seconds=5
queue prod parent=root
budget keep max-unavailable=1 match.app=db
budget two min-available=2 match.app=web
job db queue=lab priority=-5 non-preemptible age=2h started=1h delay=10m stale=5s stale-grace=1m runtime=3h checkpoint=never start-timeout=1m bare label.app=db label.app2=x
  2 x running on a gpu=0.5 sharing=A
  gpu=250m devices=2 running on b sharing=A,B order=3
  pending gpu-memory=8Gi only=a,b select.disk=ssd node-affinity=disk:In:ssd,nvme&cores:Gt:8|metadata.name:NotIn:a|rack:Exists host-port=80 host-port=UDP/10.0.0.1:53 spread=zone:1:app=db,a=b+min-domains=3+key=track+ignore-affinity+honor-taints models=H100,A100 tolerate=team=x:NoExecute tolerate=* never-starts
  name=odd only=none affinity=rack:app=db anti-affinity=node:app=db,app2=x mig=1g.10gb*2
job tree queue=prod gang=tree min=1 topology=net required=zone checkpoint=5m terminates-slowly
  group p min=2 preferred=rack gpu=1
    3 x cpu=500m memory=2Gi
  group q
    group q1 gpu=1 2 x
    group q2 gpu=2 evicted on b
at +10m rounds=3
  finish db-0 db-1
  fail db-2
  node c gpus=3 uncordoned untainted
  queue lab limit=1
  job late queue=prod gpu=1 2 x
at +20m
  lose tree
  bind-fails late-0
  checkpoint tree
  remove node d
  remove job late
----
expect job db kept on a|b
expect task odd pending
expect group tree-0,tree-1 pending=1 kept=1
expect same-domain tasks=tree-0,tree-1 topology=net level=rack
expect node a idle=7 releasing=0
expect evictions at-most=0
round 1
  allocate: place tree-0 on a
";

#[test]
fn everything_reads_back() {
    let scenario = parse(EVERYTHING);
    reads_back(&scenario);
    let job = &scenario.jobs[0];
    assert_eq!(job.last_checkpoint_seconds_ago, Some(Checkpoint::Never));
    assert_eq!((job.gang.min_member, job.tasks.len()), (5, 5));
    let third = &job.tasks[2].request;
    assert_eq!((third.gpu_milli, third.gpu_devices), (250, 2));
    let quota = scenario.queues[1].gpu_models["H100"];
    assert_eq!((quota.deserved, quota.limit, quota.over_quota_weight), (UNLIMITED, 4000, 0));
    let Event::SetNode(changed) = &scenario.steps[0].events[3] else { panic!("a node changes there") };
    assert_eq!((changed.gpus, changed.cordoned, changed.taints.len()), (3, false, 0));
    let Event::SetQueue(changed) = &scenario.steps[0].events[4] else { panic!("a queue changes there") };
    assert_eq!((changed.gpu.limit, changed.priority), (1000, 7), "what is not said stays");
    let expect = scenario.expect.as_ref().expect("results are expected");
    assert_eq!(expect.jobs["db"].state, ExpectedState::Kept);
    assert_eq!(scenario.expect_text.as_deref(), Some("round 1\n  allocate: place tree-0 on a"));
}

#[test]
fn what_is_not_said_has_a_sensible_default() {
    let scenario =
        parse("# Little is said\nnode a gpus=8\njob one gpu=1 age=5m running on a\njob two 3 x gpu=1\n----\n");
    assert_eq!(scenario.queues.len(), 1);
    assert_eq!((scenario.queues[0].gpu.deserved, scenario.queues[0].gpu.limit), (UNLIMITED, UNLIMITED));
    let [one, two] = scenario.jobs.as_slice() else { panic!("two jobs") };
    assert_eq!((one.queue.as_str(), one.started_seconds_ago, one.gang.min_member), ("default", Some(300), 1));
    assert_eq!(one.tasks[0].state, TaskState::Running);
    assert_eq!((two.gang.min_member, two.tasks[2].name.as_str(), two.preemptible), (3, "two-2", true));
    assert_eq!(scenario.expect_text.as_deref(), Some(""), "nothing may be printed then");
    assert_eq!((scenario.expect, scenario.run.rounds, scenario.nodes[0].pods), (None, 1, 110));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let cases = [
        ("node a\n", "t.txt:1: expected `# ` and, in a sentence, the rule"),
        ("# t\nnode\n", "t.txt:2: expected the name of the node here"),
        ("# t\nnode a gpu=8\n", "t.txt:2: `gpu=` is not known here (or stands here twice), expected gpus=, model=,"),
        ("# t\nnode a gpus=8 gpus=9\n", "t.txt:2: `gpus=` is not known here (or stands here twice)"),
        ("# t\nnode a gpus=eight\n", "t.txt:2: `gpus`: found `eight`, expected a number"),
        ("# t\nnode a memory=8\n", "t.txt:2: `memory`: found `8`, expected an amount such as 512Mi or 16Gi"),
        ("# t\nnod a\n", "t.txt:2: `nod` begins no line here, expected node, queue, job"),
        ("# t\nnode a\n  job b\n", "t.txt:3: nothing stands below a `node` line"),
        ("# t\npolicy best\n", "t.txt:2: expected `policy default` or `policy kai`"),
        ("# t\ntier sure\n", "t.txt:2: expected `tier` and binding"),
        ("# t\njob a 3 gpu=1\n", "t.txt:2: expected `x` after the count 3, as in `3 x gpu=1`"),
        ("# t\njob a 0 x gpu=1\n", "t.txt:2: found 0 tasks, expected 1 to 100000"),
        ("# t\njob a 2 x gpu=1\n  gpu=1\n", "t.txt:2: a count belongs to the lines below"),
        ("# t\njob a\n  group g\n  gpu=1\n", "t.txt:2: has both groups and tasks directly below it"),
        ("# t\njob a gpu=1 flying\n", "t.txt:2: `flying` is not known here"),
        ("# t\njob a required=rack\n", "t.txt:2: say which topology is meant"),
        ("# t\njob a gpu=1.2345\n", "t.txt:2: `gpu`: found `1.2345`, expected a number such as 2, 0.5 or 500m"),
        ("# t\njob a affinity=db\n", "t.txt:2: `affinity`: found `db`, expected TOPOLOGY-KEY:LABEL=VALUE"),
        ("# t\nat 10m\n", "t.txt:2: expected `at +TIME` since the start"),
        ("# t\nat +10m\n  sing\n", "t.txt:3: expected finish, fail, lose"),
        ("# t\nat +10m\n  finish\n", "t.txt:3: expected a name here"),
        ("# t\nat +10m\n  remove a\n", "t.txt:3: expected `remove node NAME` or `remove job NAME`"),
        ("# t\n----\nexpect job a flying\n", "t.txt:3: expected a task's state, or `kept`"),
        ("# t\n----\nexpect fun\n", "t.txt:3: expected job, task, group"),
        ("# t\nqueue q gpu:H100=2\n", "t.txt:2: `gpu:H100`: expected gpu:MODEL.deserved, .limit or .weight"),
        ("# t\nnode n\n\njob a gpu=1 running on m\n", "t.txt:4: task `a-0`: field `node`: found `m`, expected a node"),
        ("# t\nqueue a\nqueue b\njob j gpu=1\n", "t.txt:4: job `j`: field `queue`: found nothing, expected a queue"),
        ("# t\nnode n gpus=1\njob a 2 x gpu=1 running on n\n", "t.txt: at the start: "),
    ];
    for (written, expected) in cases {
        let problems = text::parse(written, "t.txt", "t").expect_err(written).to_string();
        assert!(problems.lines().any(|line| line.starts_with(expected)), "{written}:\n{problems}\nnot {expected}");
    }
}

/// [`EVERYTHING`] without what the engine does not know and without events that find nothing.
fn playable() -> String {
    let pieces =
        [" start-timeout=90s usage-half-life=1h", " used-gpu-seconds=5", " start-timeout=1m", "  bind-fails late-0\n"];
    pieces.into_iter().fold(EVERYTHING.to_owned(), |text, piece| text.replace(piece, ""))
}

#[test]
fn everything_can_be_played() {
    let scenario = parse(&playable());
    let played = play::play(&scenario, scenario.policy(), true).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(played.rounds.len(), 2 + 3 + 1 + 3, "rounds, those of two steps, and stable ones");
    let lacks: Vec<String> = verdict::impossible(&scenario, &played);
    assert_eq!(lacks, Vec::<String>::new());
}

proptest! {
    /// Whatever stands in a file, reading it ends in a scenario or in messages, and playing it in a course or a message.
    #[test]
    fn no_text_makes_it_panic(
        edits in prop::collection::vec((0usize..2500, 0usize..40, "[ -~\n]{0,6}"), 0..4),
        swapped in prop::collection::vec((0usize..45, 0usize..45), 0..3),
    ) {
        let mut edited = playable();
        for (at, length, with) in edits {
            let at = at.min(edited.len());
            edited.replace_range(at..(at + length).min(edited.len()), &with);
        }
        let mut lines: Vec<&str> = edited.lines().collect();
        for (one, other) in swapped {
            if one < lines.len() && other < lines.len() {
                lines.swap(one, other);
            }
        }
        if let Ok(scenario) = text::parse(&lines.join("\n"), "t.txt", "t") {
            reads_back(&scenario);
            if let Ok(played) = play::play(&scenario, scenario.policy(), false) {
                prop_assert!(!played.rounds.is_empty());
            }
        }
    }
}
