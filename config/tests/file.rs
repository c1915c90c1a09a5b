//! The configuration file: what is wrong with one is told at once, what is right is what the engine gets, and what is
//! printed and documented is what is read.

use std::path::{Path, PathBuf};

use berth_config::rules::{FirstServed, Policy, PolicySet, WaitingMode};
use berth_config::units::{Duration, Factor, Lasting};
use berth_config::{
    SchedulerConfiguration, engine_config, json_schema, needs_restart, print_defaults, read, reference,
};
use berth_engine::gang::StaleGrace;
use berth_engine::queue::UsageRule;
use berth_engine::rules::WaitingRule;
use berth_engine::{Config, Rules};
use proptest::prelude::*;

const HEAD: &str = "apiVersion: config.berth.dev/v1alpha1\nkind: SchedulerConfiguration\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Compares with a file of the repository; with `BERTH_UPDATE=1` writes it instead.
fn is_as_committed(file: &Path, text: &str) {
    if std::env::var_os("BERTH_UPDATE").is_some() {
        std::fs::write(file, text).expect("a writable file");
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == text,
        "{} is not what the code makes; `make generated` writes it anew:\n{text}",
        file.display()
    );
}

fn with(text: &str) -> SchedulerConfiguration {
    read("berth.yaml", &format!("{HEAD}{text}")).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(text: &str) -> Vec<String> {
    let problems = read("f", &format!("{HEAD}{text}")).expect_err(text);
    problems.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let broken = std::fs::read_to_string(root().join("tests/cases/broken.yaml")).expect("the broken file");
    let problems = read("broken.yaml", &broken).expect_err("it is broken");
    is_as_committed(&root().join("tests/cases/broken.txt"), &format!("{problems}\n"));
}

#[test]
fn two_lines_are_enough() {
    assert_eq!(with(""), SchedulerConfiguration::default());
    let missing = read("f", "schedulerName: x\n").expect_err("no version").to_string();
    assert_eq!(missing.lines().count(), 2, "{missing}");
    assert!(missing.contains("f:1:1: apiVersion: is missing; add it: `config.berth.dev/v1alpha1`"), "{missing}");
}

#[test]
fn what_is_printed_is_what_is_the_default() {
    let printed = print_defaults();
    assert_eq!(read("printed", &printed).as_ref(), Ok(&SchedulerConfiguration::default()));
    assert!(printed.lines().all(|line| line.len() <= 120));
}

#[test]
fn each_set_value_that_is_printed_is_the_one_in_force() {
    let uncommented: String = print_defaults()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(field) if !field.starts_with(" Berth") && is_field(field) => format!("{field}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let configuration =
        read("uncommented", &uncommented).unwrap_or_else(|problems| panic!("{problems}\n{uncommented}"));
    assert_eq!(configuration.placement.policy, Some(Policy::Berth));
    assert_eq!(configuration.rules.first_served, Some(FirstServed::Damaged));
    let (set, default) = (engine_config(&configuration), Config::default());
    assert_eq!(
        (set.policy, set.ties, set.seed, set.rules),
        (default.policy, default.ties, default.seed, default.rules)
    );
}

/// A field without words before it, that has a value or fields of its own.
fn is_field(line: &str) -> bool {
    let text = line.trim_start();
    let depth = line.len() - text.len();
    let name = text.split(':').next().unwrap_or_default();
    let unset = ["identity", "resourceNamespace", "kubeconfig", "path"].contains(&name);
    depth.is_multiple_of(2) && text.contains(':') && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !unset
}

#[test]
fn a_policy_set_is_what_the_engine_has_under_that_name() {
    let kai = engine_config(&with("policySet: kai\n"));
    assert_eq!((kai.policy, kai.rules), (berth_engine::Policy::Pack, Rules::kai()));
    assert_eq!(engine_config(&with("")).rules, Rules::default());
}

#[test]
fn every_rule_can_be_overridden() {
    let text = "\
policySet: kai
placement: {policy: random, ties: least-gpu, seed: 7}
rules:
  firstServed: damaged
  victims: least-loss
  reprieve: true
  moveBarePods: false
  leavePreferredTopology: true
  waiting: {mode: reserve, dated: false, passedOverMax: 1h, departuresMax: 3}
  staleTest: whole-tree
  staleGrace: forever
  startTimeout: 2m
  restartCost: 1.5s
  usage: {enabled: true, halfLife: 24h, factor: 500m}
  stepsPerCycle: 1000
";
    let Config { policy, ties, demand: _, seed, rules } = engine_config(&with(text));
    assert_eq!((policy, ties, seed), (berth_engine::Policy::Random, berth_engine::TieBreak::LeastGpu, 7));
    let expected = Rules {
        first: berth_engine::rules::FirstServed::Damaged,
        victims: berth_engine::rules::VictimOrder::LeastLoss,
        reprieve: true,
        move_bare_pods: false,
        leave_preferred_topology: true,
        waiting: WaitingRule::Reserve { dated: false, passed_over_max_ms: 3_600_000, departures_max: 3 },
        stale_test: berth_engine::rules::StaleTest::WholeTree,
        stale_grace: StaleGrace::Forever,
        start_timeout_ms: Some(120_000),
        restart_cost_ms: 1500,
        usage: Some(UsageRule { half_life_ms: 24 * 3_600_000, factor_milli: 500 }),
        steps_per_cycle: 1000,
    };
    assert_eq!(rules, expected);
}

#[test]
fn what_is_left_open_of_a_rule_is_as_in_the_set() {
    let rules = engine_config(&with("rules:\n  waiting: {dated: false}\n  startTimeout: forever\n")).rules;
    let WaitingRule::Reserve { dated: own, passed_over_max_ms, departures_max } = Rules::default().waiting else {
        panic!("our own set keeps places")
    };
    assert!(own);
    assert_eq!(rules.waiting, WaitingRule::Reserve { dated: false, passed_over_max_ms, departures_max });
    assert_eq!(rules.start_timeout_ms, None);
    let off = engine_config(&with("rules:\n  waiting: {mode: skip, dated: true}\n")).rules;
    assert_eq!(off.waiting, WaitingRule::Skip);
    let week = engine_config(&with("rules:\n  usage: {enabled: true}\n")).rules.usage;
    assert_eq!(week, Some(UsageRule { half_life_ms: 168 * 3_600_000, factor_milli: 1000 }));
}

#[test]
fn fields_that_do_not_go_together_are_told_with_their_place() {
    for (text, said) in [
        (
            "leaderElection: {renewDeadline: 15s}\n",
            "f:3:33: leaderElection.renewDeadline: is 15s, expected less than `leaderElection.leaseDuration`, which is 15s",
        ),
        ("leaderElection: {leaseDuration: 5s}\n", "f:3:33: leaderElection.renewDeadline: is 10s"),
        ("leaderElection: {retryPeriod: 9s}\n", "more than 1.2 times"),
        ("binding: {workers: 65}\n", "`clientConnection.writesInFlight`, which is 64"),
        (
            "binding: {timeout: 1s}\n",
            "binding.timeout: is 1s, expected no less than `clientConnection.requestTimeout`, which is 15s",
        ),
        ("clientConnection: {requestTimeout: 1s}\n", "no less than `clientConnection.connectTimeout`"),
        ("binding: {initialBackoff: 11s}\n", "f:3:27: binding.maxBackoff: is 10s"),
        ("cycle: {settle: 1s}\n", "cycle.maxDelay"),
        (
            "topologies: [{name: a, levels: [x]}, {name: a, levels: [y]}]\n",
            "f:3:45: topologies[1].name: another topology is called `a`",
        ),
        ("policySet: kai\nrules: {waiting: {dated: true}}\n", "has no effect"),
        ("rules: {usage: {halfLife: 1h}}\n", "f:3:27: rules.usage.halfLife: has no effect"),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].contains(said), "{text}{found:#?}");
    }
    // With no election its times do not matter, and exactly the bound is within it.
    with("leaderElection: {leaderElect: false, renewDeadline: 15s}\n");
    with("binding: {workers: 64, timeout: 15s, initialBackoff: 10s}\ncycle: {settle: 200ms}\n");
    with("leaderElection: {retryPeriod: 8333ms}\n");
}

#[test]
fn a_restart_is_needed_for_what_is_not_marked() {
    let base = SchedulerConfiguration::default();
    assert_eq!(needs_restart(&base, &base), Vec::<String>::new());
    let live = "\
logging: {verbosity: 4}
binding: {timeout: 2m, attempts: 9, initialBackoff: 1s, maxBackoff: 2s}
nominations: {expiry: 1h}
cycle: {settle: 1ms, maxDelay: 1s, maxEvents: 5}
queues: {defaultQueue: other, unknownQueue: use-default}
journal: {rotateSize: 1Gi, keepFiles: 2}
rules: {reprieve: true, waiting: {mode: skip}, staleGrace: 1m, stepsPerCycle: 5000}
";
    assert_eq!(needs_restart(&base, &with(live)), Vec::<String>::new());
    let fixed = "\
schedulerName: other
policySet: kai
placement: {seed: 1}
queues: {podLabels: [a]}
groups: {accept: [kai]}
topologies: []
leaderElection: {identity: me, leaseDuration: 20s}
binding: {workers: 1, attempts: 7}
clientConnection: {kubeconfig: /k}
server: {debug: true}
logging: {format: json}
journal: {path: /j}
";
    let fields = [
        "schedulerName",
        "policySet",
        "placement.seed",
        "queues.podLabels",
        "groups.accept",
        "topologies",
        "leaderElection.leaseDuration",
        "leaderElection.identity",
        "binding.workers",
        "clientConnection.kubeconfig",
        "server.debug",
        "logging.format",
        "journal.path",
    ];
    assert_eq!(needs_restart(&base, &with(fixed)), fields);
}

#[test]
fn the_reference_is_what_the_code_says() {
    is_as_committed(&root().join("../docs/configuration.md"), &reference());
}

#[test]
fn the_schema_names_every_default() {
    let schema = json_schema();
    let at = |pointer: &str| schema.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/required"), serde_json::json!(["apiVersion", "kind"]));
    assert_eq!(at("/additionalProperties"), false);
    assert_eq!(at("/properties/leaderElection/properties/leaseDuration/default"), "15s");
    assert_eq!(at("/properties/leaderElection/additionalProperties"), false);
}

#[test]
fn a_configuration_written_down_reads_back() {
    let mut configuration =
        with("policySet: kai\nrules: {usage: {enabled: true, factor: 1.5}, startTimeout: forever}\n");
    assert_eq!(configuration.policy_set, PolicySet::Kai);
    configuration.rules.waiting.mode = Some(WaitingMode::Reserve);
    configuration.rules.stale_grace = Some(Lasting::For(Duration::from_secs(61)));
    assert_eq!(configuration.rules.usage.factor, Some(Factor { milli: 1500 }));
    let json = serde_json::to_string_pretty(&configuration).expect("JSON");
    assert_eq!(read("json", &json), Ok(configuration));
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "\\PC{0,200}", cut in 0_usize..4000, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read("f", &text);
        let _ = read("f", &String::from_utf8_lossy(&bytes));
        let printed = print_defaults();
        let cut = (0..=cut.min(printed.len())).rev().find(|cut| printed.is_char_boundary(*cut)).unwrap_or(0);
        let _ = read("f", &format!("{}{text}{}", &printed[..cut], &printed[cut..]));
    }

    #[test]
    fn any_value_in_any_field_is_read_or_refused(which in 0_usize..200, value in prop_oneof![
        Just("null".to_owned()), Just("[]".to_owned()), Just("{}".to_owned()), Just("[{}]".to_owned()), Just("-1".to_owned()),
        Just("99999999999999999999".to_owned()), Just("\"\"".to_owned()), Just("1e400".to_owned()), "[a-z0-9.]{0,8}",
    ]) {
        let printed = print_defaults();
        let lines: Vec<&str> = printed.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        let which = which % lines.len();
        let changed: Vec<String> = lines.iter().enumerate().map(|(at, line)| match line.split_once(':') {
            Some((name, _)) if at == which => format!("{name}: {value}"),
            _ => (*line).to_owned(),
        }).collect();
        if let Err(problems) = read("f", &changed.join("\n")) {
            prop_assert!(problems.all.iter().all(|problem| problem.at.is_some()), "{}", problems);
        }
    }
}
