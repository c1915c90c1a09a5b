//! Comparing a run with what is expected, by hand-made states.

mod hand;

use berth::scenario::format::{Mode, Scenario};
use berth::scenario::played::{Action, Played, Round, initial};
use berth::scenario::world::World;
use berth::scenario::{compare, verdict};
use hand::{changed, scenario};

/// Differences of a state, made from the start by some changes, to what is expected.
fn differences(given: &str, expected: &str, tasks: &[&str]) -> Vec<String> {
    let scenario = scenario(&format!("{given}\n----\n{expected}\n"));
    let world = World::of(&scenario);
    let state = changed(&initial(&world), tasks);
    compare::differences(scenario.expect.as_ref().expect("results"), &world, &state)
}

#[test]
fn each_difference_is_told() {
    let given = "topology t levels=zone,rack\nnode n gpus=4 zone=z rack=r\nnode m gpus=4 zone=z rack=s\nnode o gpus=4\n\
                 job a 2 x gpu=1 running on n\njob b gpu=1\njob e gpu=1 evicted on m";
    let cases: [(&str, &[&str], &[&str]); 17] = [
        ("expect job a running", &[], &[]),
        (
            "expect job a running on m",
            &[],
            &[
                "task `a-0` is running on `n`, expected running on `m`",
                "task `a-1` is running on `n`, expected running on `m`",
            ],
        ),
        ("expect job a running on m|n", &[], &[]),
        (
            "expect job a running on m|o",
            &["a-1 running m 1"],
            &["task `a-0` is running on `n`, expected running on `m` or `o`"],
        ),
        ("expect job b placed", &[], &["task `b-0` is pending, expected placed"]),
        ("expect job a pending\nexpect task a-0 running", &["a-1 pending"], &[]),
        ("expect job a kept", &["a-0 nominated m 1"], &[]),
        ("expect job a kept", &["a-0 placed m 1"], &["task `a-0` is placed on `m`, expected kept"]),
        ("expect group a-0,a-1,b-0 running=2 pending=1", &[], &[]),
        ("expect group a-0,a-1,b-0 running=1", &[], &["of a-0, a-1, b-0: 2 running, expected 1 running"]),
        ("expect group a-0,a-1 kept=2", &["a-0 nominated n 0"], &[]),
        ("expect same-domain tasks=a-0,a-1 topology=t level=zone", &["a-1 running m 1"], &[]),
        (
            "expect same-domain tasks=a-0,a-1 topology=t level=rack",
            &["a-1 running m 1"],
            &["tasks expected in one domain of `t` at level `rack`: a-0 in z/r, a-1 in z/s"],
        ),
        (
            "expect same-domain tasks=a-0,b-0 topology=t level=zone",
            &["b-0 running o 0"],
            &["tasks expected in one domain of `t` at level `zone`: a-0 in z, b-0 in none"],
        ),
        ("expect node m idle=3 releasing=1", &[], &[]),
        (
            "expect node m idle=3 releasing=1",
            &["b-0 nominated m 0"],
            &["node `m` has 3 idle and 0 releasing GPUs, expected 3 and 1"],
        ),
        (
            "expect node n idle=2 releasing=0",
            &["a-0 pending"],
            &["node `n` has 3 idle and 0 releasing GPUs, expected 2 and 0"],
        ),
    ];
    for (expected, tasks, found) in cases {
        assert_eq!(differences(given, expected, tasks), found, "{expected}");
    }
}

/// A run by hand: for each round the changes that its one action makes; nothing settles.
fn played(scenario: &Scenario, rounds: &[&[&str]]) -> Played {
    let mut start = initial(&World::of(scenario));
    let mut played = Played::default();
    for tasks in rounds {
        let state = changed(&start, tasks);
        let action = Action { kind: Mode::Reclaim, decisions: Vec::new(), state: state.clone() };
        played.rounds.push(Round { start, actions: vec![action], settled: state.clone(), ..Round::default() });
        start = state;
    }
    played
}

#[test]
fn a_verdict_says_when_something_differs() {
    let scenario = scenario(
        "run rounds=1 stable=3\nnode n m gpus=1\njob a gpu=1 running on n\n----\nexpect job a running on n\n\
         expect evictions at-most=0",
    );
    let still: &[&str] = &[];
    let fine = played(&scenario, &[still, still, still, still]);
    assert_eq!(verdict::differences(&scenario, &fine), Vec::<String>::new());
    let flaps = played(&scenario, &[still, still, &["a-0 nominated m 0"], &["a-0 running n 0"]]);
    assert_eq!(
        verdict::differences(&scenario, &flaps),
        [
            "task `a-0` is nominated on `m`, expected running on `n` (stable round 2)",
            "stable round 2: 1 evictions or moves in one round (a-0), at most 0 expected",
        ]
    );
    let wrong = played(&scenario, &[still, &["a-0 running n 1"], still, still]);
    let said = verdict::differences(&scenario, &wrong);
    assert!(
        said.contains(&"round 2, after reclaim: task `a-0` asks for 1 devices and has [1] of the 1 on `n`".to_owned())
    );
}

#[test]
fn the_text_of_a_run_is_compared_line_by_line_and_reasons_only_where_some_are_expected() {
    let given = "node n gpus=1\njob a gpu=1\n----\n";
    let with_reason = |expected: &str| {
        let scenario = scenario(&format!("{given}{expected}"));
        let mut played = played(&scenario, &[&[]]);
        played.rounds[0].waits.insert("a".into(), "no room".into());
        verdict::differences(&scenario, &played)
    };
    assert_eq!(with_reason("end\n# a comment\n\n   a-0 pending\n"), Vec::<String>::new());
    assert_eq!(with_reason("end\na-0 pending\nwhy a: no room\n"), Vec::<String>::new());
    assert_eq!(with_reason("end\na-0 pending\nwhy a: bad luck\n"), ["- why a: bad luck", "+ why a: no room"]);
    assert_eq!(with_reason("round 1\nend\na-0 running on n\n"), ["- round 1", "- a-0 running on n", "+ a-0 pending"]);
}
