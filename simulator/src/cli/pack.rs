//! `berth pack`: how full does a policy get a cluster?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_engine::Policy;
use clap::Args;
use serde::Serialize;

use super::common::{self, Failure, Format, RunArgs, Seeds, parse_policy};
use crate::generate;
use crate::openb;
use crate::pack::experiment::{self, Case, Classes, Experiment, ExperimentError, INFLATE_TO_PERCENT, Outcome, Source};
use crate::pack::summary::{Summary, summarise};
use crate::pack::table;
use crate::trace::Trace;

/// Fill a cluster with arriving pods until nothing fits, and compare how full policies get it.
///
/// The experiment of Weng et al. (USENIX ATC 2023): the pods of a list arrive one by one in random order, pods drawn
/// from the list follow until 130 % of the GPU capacity has been asked for, nothing ever ends, and a pod that fits
/// nowhere is deleted. Reported is how much of the GPU capacity is allocated when a given share of it has been asked for.
/// A seed gives the same arrivals and node order as the published runs.
///
/// Example: berth pack --nodes nodes.csv --pods pods.csv --policy berth,fgd --seeds 42..51
#[derive(Debug, Args)]
pub(super) struct PackArgs {
    /// Node list: CSV with columns sn, cpu_milli, memory_mib, gpu, model
    #[arg(long, value_name = "CSV", requires = "pods", help_heading = "Input")]
    nodes: Option<PathBuf>,
    /// Pod list: CSV with columns name, cpu_milli, memory_mib, num_gpu, gpu_milli and, if models matter, gpu_spec; give
    /// several to run them one after another
    #[arg(long, value_name = "CSV", value_delimiter = ',', requires = "nodes", help_heading = "Input")]
    pods: Vec<PathBuf>,
    /// Instead of files: presets of `berth generate`, made anew for every seed
    #[arg(long, value_name = "NAME", value_delimiter = ',', conflicts_with_all = ["nodes", "pods"], help_heading = "Input")]
    preset: Vec<String>,
    /// Policies to compare: berth, fgd, best-fit, dot-product, gpu-packing, gpu-clustering, random
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "berth,fgd", value_parser = parse_policy)]
    policy: Vec<Policy>,
    /// Seeds: `7`, `42..51` (both ends included) or `1,2,5..9`
    #[arg(long, visible_alias = "seed", default_value = "42..51")]
    seeds: Seeds,
    /// Report when this much of the GPU capacity has been asked for, per cent
    #[arg(long, value_name = "PERCENTS", value_delimiter = ',', default_value = "90,95,100,130",
          value_parser = clap::value_parser!(u32).range(0..=i64::from(INFLATE_TO_PERCENT)))]
    columns: Vec<u32>,
    /// Where policies take the typical pods from
    #[arg(long, value_enum, default_value_t = Classes::Trace)]
    classes: Classes,
    /// Show leads over this policy, seed by seed
    #[arg(long, value_name = "NAME", default_value = "fgd", value_parser = parse_policy)]
    against: Policy,
    /// Also work out what no scheduler can exceed with the pods arrived at exactly that per cent (linear programming). A
    /// column averages the samples that round to its per cent, so it can end up a few hundredths above
    #[arg(long)]
    bound: bool,
    #[command(flatten)]
    run: RunArgs,
}

/// Everything `--format json` prints.
#[derive(Serialize)]
struct Results<'a> {
    runs: &'a [Outcome],
    summary: &'a [Summary],
}

pub(super) fn run(args: PackArgs) -> Result<(), Failure> {
    check(&args)?;
    let cases = cases(&args)?;
    let experiment = Experiment {
        policies: args.policy.clone(),
        ties: args.run.ties,
        classes: args.classes,
        columns: args.columns.clone(),
        bound: args.bound,
    };
    let bar = common::progress(experiment.steps(cases.len()), args.run.quiet);
    let outcomes = common::on_threads(args.run.jobs, || experiment::run(&experiment, &cases, || bar.inc(1)))?;
    bar.finish_and_clear();
    let outcomes = outcomes.map_err(|error| match error {
        ExperimentError::Trace { .. } => Failure::Input(common::with_causes(&error)),
        ExperimentError::Engine { .. } | ExperimentError::Bound { .. } => Failure::Run(common::with_causes(&error)),
    })?;
    let summaries = summarise(&outcomes, args.against.name());
    common::deliver(&render(args.run.format, &outcomes, &summaries)?, args.run.output.as_deref())?;
    let Some(threshold) = &args.run.fail_if else { return Ok(()) };
    // The policy compared with has no lead over itself.
    let measured = summaries.iter().filter(|summary| !threshold.is_about("lead") || summary.lead.is_some());
    measured.into_iter().try_for_each(|summary| {
        let what = format!("{} on {} at {} % arrived", summary.policy, summary.trace, summary.arrived_percent);
        threshold.check(&what, |metric| summary.metric(metric))
    })
}

/// What can be said before anything is read.
fn check(args: &PackArgs) -> Result<(), Failure> {
    common::no_repeats("policy", args.policy.iter().map(|policy| policy.name()))?;
    common::no_repeats("seed", &args.seeds.0)?;
    common::no_repeats("column", &args.columns)?;
    common::no_repeats("preset", &args.preset)?;
    common::no_repeats("pod list", args.pods.iter().map(|path| common::file_stem(path)))?;
    let inputs: Vec<&Path> = args.pods.iter().chain(&args.nodes).map(PathBuf::as_path).collect();
    common::not_over_input(&[args.run.output.as_deref()], &inputs)?;
    let Some(threshold) = &args.run.fail_if else { return Ok(()) };
    let compared = args.policy.len() > 1 && args.policy.contains(&args.against);
    let metrics: Vec<&str> = Summary::METRICS
        .into_iter()
        .filter(|metric| (args.bound || *metric != "bound_percent") && (compared || *metric != "lead"))
        .collect();
    threshold.check_metric(&metrics)
}

/// The traces to run, each under every seed.
fn cases(args: &PackArgs) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    if let Some(nodes) = &args.nodes {
        let nodes = openb::read_nodes(nodes).map_err(|error| Failure::Input(common::with_causes(&error)))?;
        for pods in &args.pods {
            let name = common::file_stem(pods);
            let pods = openb::read_pods(pods).map_err(|error| Failure::Input(common::with_causes(&error)))?;
            let source = Source::Trace(Arc::new(Trace { nodes: nodes.clone(), pods }));
            cases.extend(args.seeds.0.iter().map(|&seed| Case { name: name.clone(), source: source.clone(), seed }));
        }
        return Ok(cases);
    }
    if args.preset.is_empty() {
        let hint = "give --nodes and --pods, or --preset with a name from `berth generate --list`";
        return Err(Failure::Usage(format!("nothing to pack: {hint}")));
    }
    for name in &args.preset {
        let preset = generate::find(name).ok_or_else(|| Failure::Usage(common::no_such_preset(name)))?;
        let case = |&seed: &u64| Case { name: name.clone(), source: Source::Preset(preset), seed };
        cases.extend(args.seeds.0.iter().map(case));
    }
    Ok(cases)
}

fn render(format: Format, outcomes: &[Outcome], summaries: &[Summary]) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Run(format!("cannot render the results: {error}"));
    match format {
        Format::Table => Ok(table::tables(summaries)),
        Format::Json => {
            let results = Results { runs: outcomes, summary: summaries };
            let text = serde_json::to_string_pretty(&results).map_err(|error| failed(&error))?;
            Ok(text + "\n")
        }
        Format::Jsonl => {
            let line = |outcome| serde_json::to_string(outcome).map(|line| line + "\n");
            outcomes.iter().map(line).collect::<Result<_, _>>().map_err(|error| failed(&error))
        }
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(Vec::new());
            outcomes.iter().try_for_each(|outcome| csv.serialize(outcome)).map_err(|error| failed(&error))?;
            let bytes = csv.into_inner().map_err(|error| failed(&error))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
    }
}
