//! `berth simulate`: how long do pods wait, and what do the GPUs do meanwhile?

use std::io::Write;
use std::path::{Path, PathBuf};

use berth_engine::{Config, Demand, Policy};
use clap::Args;

use super::common::{self, Failure, Format, RunArgs, Seeds, parse_policy};
use crate::report::{self, About};
use crate::simulate::{self, Case, METRICS, RunResult, SimulateError, summarise, table};
use crate::trace::Trace;
use crate::{generate, openb};

/// Where the report goes when nothing is said.
const REPORT_DEFAULT: &str = "berth-report.html";

/// Replay a cluster over time: pods arrive, wait, run and leave, under one or more placement policies.
///
/// Without arguments, a made-up example cluster is replayed: some days of pods on a few hundred GPUs. A table on standard
/// output compares how long pods waited and how well the GPUs were used; an HTML report with plots says more. Waiting
/// pods are tried by priority, then arrival, again whenever room appears. All decisions are those of the engine that
/// runs in production. The same command gives the same bytes, on any number of threads.
///
/// Example: berth simulate --nodes nodes.csv --pods pods.csv --policy berth,fgd
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// Node list: CSV with columns sn, cpu_milli, memory_mib, gpu, model
    #[arg(long, value_name = "CSV", requires = "pods", help_heading = "Input")]
    nodes: Option<PathBuf>,
    /// Pod list: CSV with columns name, cpu_milli, memory_mib, num_gpu, gpu_milli, creation_time, deletion_time and,
    /// where known, scheduled_time and gpu_spec. A pod runs for deletion minus scheduled (else creation) time
    #[arg(long, value_name = "CSV", requires = "nodes", help_heading = "Input")]
    pods: Option<PathBuf>,
    /// Instead of files: a preset of `berth generate`, made anew for every seed
    #[arg(long, value_name = "NAME", default_value = "example", conflicts_with_all = ["nodes", "pods"],
          help_heading = "Input")]
    preset: String,
    /// Policies to compare: berth, fgd, best-fit, dot-product, gpu-packing, gpu-clustering, random
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse_policy,
          default_value = "berth,fgd,best-fit,gpu-packing,random")]
    policy: Vec<Policy>,
    /// Seeds: `7`, `1..5` (both ends included) or `1,2,5..9`. A seed makes the generated trace and the choices of the
    /// policy `random`; with files, nothing else depends on it [default: 1..5, with files 1]
    #[arg(long, visible_alias = "seed")]
    seeds: Option<Seeds>,
    /// Write the HTML report to this file [default: berth-report.html; with another --format than table: no report]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    report: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

impl SimulateArgs {
    fn seeds(&self) -> Seeds {
        let default = if self.nodes.is_some() { vec![1] } else { (1..=5).collect() };
        self.seeds.clone().unwrap_or(Seeds(default))
    }
}

/// What is replayed.
struct Source {
    /// In words, for the report.
    name: String,
    /// One trace for all seeds, or one for each.
    traces: Vec<Trace>,
}

pub(super) fn run(args: SimulateArgs) -> Result<(), Failure> {
    check(&args)?;
    let source = source(&args)?;
    let runs = simulate_all(&args, &source)?;
    let results = render(args.run.format, &runs)?;
    common::deliver(&results, args.run.output.as_deref())?;
    if !args.run.quiet {
        say_what_never_starts(&runs);
    }
    if let Some(path) = report_path(&args) {
        write_report(path, &source, &runs)?;
        if !args.run.quiet {
            // A closed standard error is no reason to fail.
            let _ = writeln!(std::io::stderr(), "Report: {} (one file; open it in a browser)", path.display());
        }
    }
    let Some(threshold) = &args.run.fail_if else { return Ok(()) };
    let check = |summary: &simulate::PolicySummary| {
        threshold.check(&format!("policy {}", summary.policy.name()), |metric| Some(summary.get(metric).mean))
    };
    summarise(&runs).iter().try_for_each(check)
}

/// Pods that no node can take are no matter of policy: one word about them, before anybody reads too much into waits.
fn say_what_never_starts(runs: &[RunResult]) {
    for never in runs.first().iter().flat_map(|run| &run.never) {
        let (pods, example, why) = (never.pods, &never.example_pod, &never.why);
        let _ = writeln!(std::io::stderr(), "berth: {pods} pods can never start, such as `{example}`: {why}");
    }
}

/// What can be said before anything is read.
fn check(args: &SimulateArgs) -> Result<(), Failure> {
    common::no_repeats("policy", args.policy.iter().map(|policy| policy.name()))?;
    common::no_repeats("seed", &args.seeds().0)?;
    if let Some(threshold) = &args.run.fail_if {
        threshold.check_metric(&METRICS.map(|(name, _)| name))?;
    }
    let report = report_path(args);
    let inputs: Vec<&Path> = args.pods.iter().chain(&args.nodes).map(PathBuf::as_path).collect();
    common::not_over_input(&[args.run.output.as_deref(), report], &inputs)?;
    if report == Some(Path::new("-")) {
        return Err(Failure::Usage("the report is a page for a browser; give --report the name of a file".into()));
    }
    if report.is_some() && report == args.run.output.as_deref() {
        return Err(Failure::Usage(
            "results and report cannot share a file; give --output and --report two names".into(),
        ));
    }
    Ok(())
}

fn report_path(args: &SimulateArgs) -> Option<&Path> {
    let default = || (args.run.format == Format::Table).then_some(Path::new(REPORT_DEFAULT));
    args.report.as_deref().or_else(default)
}

fn source(args: &SimulateArgs) -> Result<Source, Failure> {
    if let (Some(nodes), Some(pods)) = (&args.nodes, &args.pods) {
        let input = |error: crate::input::InputError| Failure::Input(common::with_causes(&error));
        let trace =
            Trace { nodes: openb::read_nodes(nodes).map_err(input)?, pods: openb::read_pods(pods).map_err(input)? };
        let name = format!("read from {} and {}", file_name(nodes), file_name(pods));
        return Ok(Source { name, traces: vec![trace] });
    }
    let preset = generate::find(&args.preset).ok_or_else(|| Failure::Usage(common::no_such_preset(&args.preset)))?;
    let traces = args.seeds().0.iter().map(|&seed| generate::generate(preset, seed)).collect();
    Ok(Source { name: format!("made by berth generate, preset {}", args.preset), traces })
}

/// Every seed under every policy, policies together.
fn simulate_all(args: &SimulateArgs, source: &Source) -> Result<Vec<RunResult>, Failure> {
    let config =
        |policy, seed| Config { policy, ties: args.run.ties, demand: Demand::Learnt, seed, ..Config::default() };
    let mut cases = Vec::new();
    for &policy in &args.policy {
        for (index, &seed) in args.seeds().0.iter().enumerate() {
            let trace = source.traces.get(index).or(source.traces.first());
            cases.extend(trace.map(|trace| Case { trace, config: config(policy, seed) }));
        }
    }
    let bar = common::progress(cases.iter().map(Case::events).sum(), args.run.quiet);
    let runs = common::on_threads(args.run.jobs, || simulate::run_all(&cases, &|done| bar.set_position(done)))?;
    bar.finish_and_clear();
    runs.map_err(|error| failure(args, &error))
}

/// The engine's refusal of a row is the row's fault, except where it is ours.
fn failure(args: &SimulateArgs, error: &SimulateError) -> Failure {
    let file = args.pods.as_deref().map(|path| format!("{}: ", path.display())).unwrap_or_default();
    match error {
        SimulateError::Impossible(_) => Failure::Run(error.to_string()),
        _ => Failure::Input(format!("{file}{}", common::with_causes(error))),
    }
}

fn render(format: Format, runs: &[RunResult]) -> Result<String, Failure> {
    let failed = |error: serde_json::Error| Failure::Run(format!("cannot render the results: {error}"));
    match format {
        Format::Table => Ok(table::table(runs)),
        Format::Json => table::json(runs).map_err(failed),
        Format::Jsonl => table::jsonl(runs).map_err(failed),
        Format::Csv => Ok(table::csv(runs)),
    }
}

fn write_report(path: &Path, source: &Source, runs: &[RunResult]) -> Result<(), Failure> {
    let Some(trace) = source.traces.first() else { return Ok(()) };
    let about = About {
        source: source.name.clone(),
        command: command_line(what_matters(std::env::args_os().map(|word| word.to_string_lossy().into_owned()))),
        trace,
    };
    let page = report::render(&about, runs).map_err(|error| Failure::Run(error.to_string()))?;
    common::deliver(&page, Some(path))
}

/// The last part of a path: reports are passed on, and directories are nobody else's business.
fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The words of a command line that have a say in the result: the same run gives the same report on any number of threads.
fn what_matters(words: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let mut value_follows = false;
    words.filter(move |word| {
        let value = std::mem::take(&mut value_follows);
        value_follows = !value && (word == "--jobs" || word == "-j");
        !(value
            || value_follows
            || word.starts_with("--jobs=")
            || (word.starts_with("-j") && word.len() > 2)
            || word == "--quiet"
            || word == "-q")
    })
}

/// The command line as one would type it again.
fn command_line(words: impl Iterator<Item = String>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@%+".contains(c);
    let quote = |word: String| match word.as_str() {
        "" => "''".to_owned(),
        text if text.chars().all(plain) => word,
        text => format!("'{}'", text.replace('\'', r"'\''")),
    };
    let words: Vec<String> = ["berth".to_owned()].into_iter().chain(words.skip(1).map(quote)).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_can_be_typed_again() {
        let words = ["/x/berth", "simulate", "--pods", "my pods.csv", "--fail-if", "a<1", "it's", ""];
        let expected = r"berth simulate --pods 'my pods.csv' --fail-if 'a<1' 'it'\''s' ''";
        assert_eq!(command_line(words.into_iter().map(str::to_owned)), expected);
    }

    #[test]
    fn threads_and_quiet_are_left_out() {
        let words = "berth simulate -j 4 --jobs=3 -j3 --seeds 1 --jobs 2 -q".split(' ').map(str::to_owned);
        assert_eq!(what_matters(words).collect::<Vec<_>>().join(" "), "berth simulate --seeds 1");
    }
}
