//! `berth scenario`: does the engine do in small, written cases what is expected of it?

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::common::{self, Failure};
use crate::output;
use crate::scenario::format::{PolicySet, Scenario, Tier};
use crate::scenario::load::{self, Loaded};
use crate::scenario::played::Played;
use crate::scenario::print::{self, WHY};
use crate::scenario::{play, text, verdict};

/// Run scenarios: small clusters with queues and jobs, and what the scheduler must make of them.
///
/// A scenario is a file: JSON (scenarios/FORMAT.md), or the shorter text form with `----` between what is given and what is
/// expected. `berth scenario show FILE` prints any of them in the text form.
///
/// Example: berth scenario run scenarios/
#[derive(Debug, Args)]
pub(super) struct ScenarioArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(RunArgs),
    Explain(ExplainArgs),
    Show(ShowArgs),
}

/// Run scenarios and compare how they end with what they expect.
///
/// Exits with 4 if one differs, its tier `taste` excepted, and with 3, running nothing, if a file cannot be read, is not
/// sound or expects nothing. Whatever a scenario expects: no node, device, limit or gang may be violated after any action.
///
/// Example: berth scenario run scenarios/ --format json
#[derive(Debug, Args)]
struct RunArgs {
    /// Scenario files (.json, .txt), or folders with everything below them; index.json is skipped there
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// The rules to run; by default those the scenario names, else `kai` where it has an origin, else `default`
    #[arg(long, value_enum, value_name = "NAME")]
    policy_set: Option<PolicySet>,
    /// List the scenarios that passed, too
    #[arg(short = 'v', long, visible_alias = "verbose")]
    all: bool,
    /// Write what the runs print into the text scenarios that expect something else or nothing yet; look at the changes
    /// before you keep them
    #[arg(long)]
    update: bool,
    /// How to print the results
    #[arg(long, value_enum, default_value_t = Format::Table, help_heading = "Output")]
    format: Format,
    /// Write the results to this file instead of standard output (`-` is standard output)
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
}

/// Print the whole course of one scenario: shares of queues, who was tried in which order, what was decided, and why the
/// rest waits.
///
/// Nothing need be expected in it, and nothing is compared.
///
/// Example: berth scenario explain reclaim.txt
#[derive(Debug, Args)]
struct ExplainArgs {
    /// The scenario file (.json or .txt)
    file: PathBuf,
    /// The rules to run; by default those the scenario names, else `kai` where it has an origin, else `default`
    #[arg(long, value_enum, value_name = "NAME")]
    policy_set: Option<PolicySet>,
}

/// Print one scenario in the text form, to read it or to start one of your own from it.
///
/// Example: berth scenario show case.json > case.txt
#[derive(Debug, Args)]
struct ShowArgs {
    /// The scenario file (.json or .txt)
    file: PathBuf,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: what differs, with where every task ended
    Table,
    /// One JSON object with every scenario
    Json,
}

/// Everything `--format json` prints.
#[derive(Debug, Serialize)]
struct Results {
    /// Scenarios that ended as expected.
    passed: usize,
    /// Scenarios that did not, those of tier `taste` included.
    failed: usize,
    cases: Vec<Case>,
}

/// One scenario and how it went.
#[derive(Debug, Serialize)]
struct Case {
    file: String,
    name: String,
    tier: String,
    policy_set: String,
    passed: bool,
    differences: Vec<String>,
    /// Where every task stands in the end.
    #[serde(skip)]
    outcome: Vec<String>,
    #[serde(skip)]
    binds: bool,
}

pub(super) fn run(args: ScenarioArgs) -> Result<(), Failure> {
    match args.command {
        Command::Run(args) => run_all(&args),
        Command::Explain(args) => explain(&args),
        Command::Show(args) => {
            let loaded = load::read(&args.file).map_err(|problems| Failure::Input(problems.to_string()))?;
            common::print(&text::write(&loaded.scenario))
        }
    }
}

fn run_all(args: &RunArgs) -> Result<(), Failure> {
    let inputs: Vec<&Path> = args.paths.iter().map(PathBuf::as_path).collect();
    common::not_over_input(&[args.output.as_deref()], &inputs)?;
    let mut scenarios = load::load(&args.paths).map_err(|problems| Failure::Input(problems.to_string()))?;
    if args.update {
        update(&mut scenarios, args.policy_set)?;
    }
    check_expected(&scenarios)?;
    let cases = scenarios.iter().map(|loaded| case(loaded, args.policy_set)).collect::<Result<Vec<_>, _>>()?;
    let passed = cases.iter().filter(|case| case.passed).count();
    let results = Results { passed, failed: cases.len() - passed, cases };
    let text = match args.format {
        Format::Table => table(&results, args.all),
        Format::Json => {
            let failed = |error: serde_json::Error| Failure::Run(format!("cannot render the results: {error}"));
            serde_json::to_string_pretty(&results).map_err(failed)? + "\n"
        }
    };
    common::deliver(&text, args.output.as_deref())?;
    match results.cases.iter().filter(|case| case.binds && !case.passed).count() {
        0 => Ok(()),
        1 => Err(Failure::Unexpected("1 scenario did not end as expected".into())),
        many => Err(Failure::Unexpected(format!("{many} scenarios did not end as expected"))),
    }
}

/// A scenario that expects nothing would always pass.
fn check_expected(scenarios: &[Loaded]) -> Result<(), Failure> {
    let expects = |scenario: &Scenario| scenario.expect.is_some() || scenario.expect_text.is_some();
    let without: Vec<String> = scenarios
        .iter()
        .filter(|loaded| !expects(&loaded.scenario))
        .map(|loaded| {
            let what = if loaded.file.ends_with(".txt") { "nothing below a line of `----`" } else { "no `expect`" };
            format!("{}: there is {what}, so nothing could fail; say what must hold", loaded.file)
        })
        .collect();
    if without.is_empty() { Ok(()) } else { Err(Failure::Input(without.join("\n"))) }
}

fn play(loaded: &Loaded, set: Option<PolicySet>, tracing: bool) -> Result<(PolicySet, Played), Failure> {
    let set = set.unwrap_or(loaded.scenario.policy());
    let played = play::play(&loaded.scenario, set, tracing);
    let failed = |error| Failure::Input(format!("{}: {}", loaded.file, common::with_causes(&error)));
    Ok((set, played.map_err(failed)?))
}

fn case(loaded: &Loaded, set: Option<PolicySet>) -> Result<Case, Failure> {
    let scenario = &loaded.scenario;
    let (set, played) = play(loaded, set, false)?;
    let differences = verdict::differences(scenario, &played);
    let outcome = if differences.is_empty() { Vec::new() } else { print::outcome(scenario, &played) };
    Ok(Case {
        file: loaded.file.to_string(),
        name: scenario.name.clone(),
        tier: scenario.tier.to_string(),
        policy_set: set.to_string(),
        passed: differences.is_empty(),
        differences,
        outcome,
        binds: scenario.tier != Tier::Taste,
    })
}

/// What differs, scenario by scenario, and a line that sums up.
fn table(results: &Results, all: bool) -> String {
    let mut text = String::new();
    for case in results.cases.iter().filter(|case| all || !case.passed) {
        let verdict = match (case.passed, case.binds) {
            (true, _) => "passed ",
            (false, true) => "FAILED ",
            (false, false) => "differs",
        };
        let _ = writeln!(text, "{verdict} {} ({}, {}): {}", case.file, case.tier, case.policy_set, case.name);
        for difference in &case.differences {
            let _ = writeln!(text, "    {difference}");
        }
        if !case.passed {
            let _ = writeln!(text, "  in the end");
        }
        for line in &case.outcome {
            let _ = writeln!(text, "    {line}");
        }
    }
    let taste = results.cases.iter().filter(|case| !case.passed && !case.binds).count();
    let taste_words = if taste > 0 { format!(", {taste} differ in taste only") } else { String::new() };
    let count = results.cases.len();
    let scenarios = if count == 1 { "scenario" } else { "scenarios" };
    let (passed, failed) = (results.passed, results.failed - taste);
    let _ = writeln!(text, "{count} {scenarios}: {passed} passed, {failed} failed{taste_words}");
    text
}

/// Puts what the runs print where text scenarios expect something else; reasons only where there were some.
fn update(scenarios: &mut [Loaded], set: Option<PolicySet>) -> Result<(), Failure> {
    for loaded in scenarios.iter_mut().filter(|loaded| loaded.file.ends_with(".txt")) {
        let (_, played) = play(loaded, set, false)?;
        let scenario = &mut loaded.scenario;
        let old = scenario.expect_text.clone().unwrap_or_default();
        let fixed = scenario.expect.is_some() && scenario.expect_text.is_none();
        if fixed || (scenario.expect_text.is_some() && verdict::differences(scenario, &played).is_empty()) {
            continue;
        }
        let reasons = old.lines().any(|line| line.trim().starts_with(WHY));
        let lines = print::lines(scenario, &played);
        let kept = lines.into_iter().filter(|line| reasons || !line.trim().starts_with(WHY));
        let new: String = kept.map(|line| line + "\n").collect();
        rewrite(&loaded.path, &new)?;
        loaded.scenario = load::read(&loaded.path).map_err(|problems| Failure::Input(problems.to_string()))?.scenario;
    }
    Ok(())
}

/// Replaces what stands below `----`, results and comments excepted.
fn rewrite(path: &Path, new: &str) -> Result<(), Failure> {
    let file = path.display();
    let old = std::fs::read_to_string(path).map_err(|error| Failure::Input(format!("{file}: {error}")))?;
    let given: String =
        old.lines().take_while(|line| line.trim_end() != text::RULE).map(|line| line.to_owned() + "\n").collect();
    let below = old.lines().skip_while(|line| line.trim_end() != text::RULE).skip(1);
    let kept: String = below
        .filter(|line| line.starts_with("expect ") || line.starts_with('#'))
        .map(|line| line.to_owned() + "\n")
        .collect();
    let whole = format!("{given}{}\n{kept}{new}", text::RULE);
    let written = output::write_atomically(path, |out| out.write_all(whole.as_bytes()));
    written.map_err(|error| Failure::Run(common::with_causes(&error)))
}

fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let loaded = load::read(&args.file).map_err(|problems| Failure::Input(problems.to_string()))?;
    let (set, played) = play(&loaded, args.policy_set, true)?;
    let mut text = format!("{}\npolicy set {set}\n", loaded.scenario.name);
    for (heading, round) in print::headings(&loaded.scenario, &played).iter().zip(&played.rounds) {
        let _ = writeln!(text, "\n{heading}");
        for line in &round.report {
            let _ = writeln!(text, "  {line}");
        }
        let waits = round.waits.iter().map(|(job, why)| format!("waits {job}: {why}"));
        waits.for_each(|line| {
            let _ = writeln!(text, "  {line}");
        });
    }
    let _ = writeln!(text, "\nall that was decided, and where everything stands in the end");
    for line in print::lines(&loaded.scenario, &played) {
        let _ = writeln!(text, "  {line}");
    }
    for line in verdict::impossible(&loaded.scenario, &played) {
        let _ = writeln!(text, "  WRONG: {line}");
    }
    common::print(&text)
}
