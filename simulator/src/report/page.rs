//! Everything the template shows, as text.

use std::collections::BTreeMap;

use berth_engine::Policy;
use serde::Serialize;

use super::{About, figures};
use crate::simulate::table::{HEADLINES, index_of};
use crate::simulate::units::{count, duration, significant};
use crate::simulate::{PodKind, PolicySummary, RunResult, mean_and_deviation, quantile, summarise};
use crate::trace::{PodRow, Trace};

/// Reasons for waiting that get a row of their own; the rest, hardly ever a per cent, is one row.
const REASONS_MAX: usize = 6;

/// The template's contents; names are the template's.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    version: &'static str,
    style: &'static str,
    title: String,
    subtitle: String,
    finding: String,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
    comparison_note: String,
    plots: Vec<Plot>,
    lacked: Vec<Reason>,
    never: Vec<Never>,
    simulated: String,
    cluster: Vec<Model>,
    kinds: Vec<Kind>,
    command: String,
    reproduce: String,
}

#[derive(Debug, Serialize)]
struct Row {
    policy: &'static str,
    index: usize,
    cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Cell {
    text: String,
    best: bool,
}

/// A plot with its heading.
#[derive(Debug, Serialize)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) note: String,
    /// Takes the height of two others.
    pub(super) tall: bool,
    /// Trusted: written and escaped by `svg`.
    pub(super) svg: String,
}

#[derive(Debug, Serialize)]
struct Reason {
    what: String,
    example: String,
    cells: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Never {
    kind: &'static str,
    pods: String,
    example: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Model {
    name: String,
    nodes: String,
    gpus: String,
    cores: String,
    memory: String,
}

#[derive(Debug, Serialize)]
struct Kind {
    name: &'static str,
    pods: String,
    share: String,
    gpu_hours: String,
    runtime: String,
}

impl Page {
    pub(super) fn of(about: &About<'_>, runs: &[RunResult]) -> Page {
        let summaries = summarise(runs);
        let trace = about.trace;
        let gpus: u64 = trace.nodes.iter().map(|node| u64::from(node.gpus)).sum();
        let version = env!("CARGO_PKG_VERSION");
        Page {
            version,
            style: include_str!("style.css"),
            title: title(&summaries),
            subtitle: format!(
                "{} pods on {} nodes with {} GPUs; {}",
                count(trace.pods.len() as u64),
                count(trace.nodes.len() as u64),
                count(gpus),
                about.source
            ),
            finding: finding(&summaries, runs),
            columns: HEADLINES.iter().map(|headline| headline.title).collect(),
            rows: summaries.iter().map(|summary| row(summary, &summaries)).collect(),
            comparison_note: comparison_note(&summaries),
            plots: figures::plots(runs, &summaries, gpus * 1000),
            lacked: lacked(runs, &summaries),
            never: never(runs),
            simulated: simulated(trace, gpus, runs),
            cluster: cluster(trace),
            kinds: kinds(trace),
            command: about.command.clone(),
            reproduce: format!(
                "Written by berth {version}. Cluster and pods {}; seeds: {}; ties between equally good nodes: {}. \
                 The same command gives the same numbers on any machine, with any number of threads.",
                about.source,
                seeds(runs),
                runs.first().map_or("", |run| run.ties.name())
            ),
        }
    }
}

fn title(summaries: &[PolicySummary]) -> String {
    match summaries {
        [only] => format!("Simulation of the placement policy {}", only.policy.name()),
        _ => format!("{} placement policies compared", in_words(summaries.len())),
    }
}

fn in_words(number: usize) -> String {
    let words = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven"];
    words.get(number).map_or_else(|| number.to_string(), |word| (*word).to_owned())
}

/// The one sentence to remember.
fn finding(summaries: &[PolicySummary], runs: &[RunResult]) -> String {
    let wait = |summary: &PolicySummary| summary.get("wait_mean_s").mean;
    let mut order: Vec<&PolicySummary> = summaries.iter().collect();
    order.sort_by(|a, b| wait(a).total_cmp(&wait(b)));
    let (Some(best), Some(worst)) = (order.first(), order.last()) else { return String::new() };
    let (best_name, best_wait) = (best.policy.name(), duration(wait(best)));
    if order.len() == 1 {
        let allocated = best.get("allocated_percent").mean;
        return format!("Under {best_name}, pods waited {best_wait} on average and held {allocated:.1} % of the GPUs.");
    }
    if wait(best) == wait(worst) {
        return format!("All policies made pods wait equally long: {best_wait} on average.");
    }
    let next = order.get(1).copied().unwrap_or(best);
    if !told_apart(best.policy, next.policy, runs) {
        return format!(
            "Pods waited about as long under {best_name} ({best_wait} on average) as under {} ({}): {} seeds do not tell \
             the two apart.",
            next.policy.name(),
            duration(wait(next)),
            best.runs
        );
    }
    let less = (wait(next) - wait(best)) * 100.0 / wait(next).max(f64::MIN_POSITIVE);
    let ahead = match less {
        less if less >= 0.5 => format!("{less:.0} % less than under {}, the next best", next.policy.name()),
        _ => format!("hardly less than under {}, the next best", next.policy.name()),
    };
    let last = if order.len() > 2 {
        format!(" They waited longest under {}: {}.", worst.policy.name(), duration(wait(worst)))
    } else {
        String::new()
    };
    format!("Pods waited least under {best_name}: {best_wait} on average, {ahead}.{last}")
}

/// Do the seeds agree that pods wait longer under the second policy? Their mean difference, seed by seed, must exceed
/// two standard errors. One seed has no say in this.
fn told_apart(best: Policy, next: Policy, runs: &[RunResult]) -> bool {
    let of = |policy| runs.iter().filter(move |run| run.policy == policy).map(|run| run.wait.mean_s);
    let differences: Vec<f64> = of(best).zip(of(next)).map(|(best_s, next_s)| next_s - best_s).collect();
    let (mean, deviation) = mean_and_deviation(&differences);
    differences.len() < 2 || mean > 2.0 * deviation / (differences.len() as f64).sqrt()
}

fn row(summary: &PolicySummary, all: &[PolicySummary]) -> Row {
    let cells = HEADLINES.iter();
    let cells = cells.map(|headline| Cell { text: headline.cell(summary), best: headline.is_best(summary, all) });
    Row { policy: summary.policy.name(), index: index_of(summary.policy), cells: cells.collect() }
}

fn comparison_note(summaries: &[PolicySummary]) -> String {
    let best = "The best of each column is bold and marked \u{25c2}.";
    match summaries.first().map_or(0, |summary| summary.runs) {
        0 | 1 => format!("{best} One run for each policy: small differences may be luck; more --seeds tell."),
        runs => format!("{best} Mean \u{b1} standard deviation over {runs} seeds."),
    }
}

/// Pod-hours by reason and policy, a mean over seeds; the reasons that cost most come first.
fn lacked(runs: &[RunResult], summaries: &[PolicySummary]) -> Vec<Reason> {
    let mut by_reason: BTreeMap<&str, (f64, &str)> = BTreeMap::new();
    for reason in runs.iter().flat_map(|run| &run.lacked) {
        by_reason.entry(&reason.what).or_insert((0.0, &reason.example)).0 += reason.pod_hours;
    }
    let mut reasons: Vec<_> = by_reason.into_iter().collect();
    reasons.sort_by(|(a_what, (a, _)), (b_what, (b, _))| b.total_cmp(a).then_with(|| a_what.cmp(b_what)));
    let cell = |whats: &[&str], summary: &PolicySummary| {
        let of_policy = runs.iter().filter(|run| run.policy == summary.policy).flat_map(|run| &run.lacked);
        let hours: f64 = of_policy.filter(|l| whats.contains(&l.what.as_str())).map(|l| l.pod_hours).sum();
        significant(hours / summary.runs.max(1) as f64)
    };
    let reason = |name: &str, example: &str, whats: &[&str]| Reason {
        what: name.to_owned(),
        example: example.to_owned(),
        cells: summaries.iter().map(|summary| cell(whats, summary)).collect(),
    };
    let rest = reasons.split_off(REASONS_MAX.min(reasons.len()));
    let mut rows: Vec<Reason> =
        reasons.into_iter().map(|(what, (_, example))| reason(what, example, &[what])).collect();
    if !rest.is_empty() {
        let whats: Vec<&str> = rest.into_iter().map(|(what, _)| what).collect();
        rows.push(reason("other combinations", "", &whats));
    }
    rows
}

fn never(runs: &[RunResult]) -> Vec<Never> {
    let entries = runs.first().map(|run| run.never.as_slice()).unwrap_or_default();
    let never = |entry: &crate::simulate::NeverStarted| Never {
        kind: entry.kind.label(),
        pods: count(entry.pods),
        example: entry.example_pod.clone(),
        why: entry.why.clone(),
    };
    entries.iter().map(never).collect()
}

fn simulated(trace: &Trace, gpus: u64, runs: &[RunResult]) -> String {
    let window_s = runs.first().map_or(0.0, |run| run.window_s);
    let offered: f64 = trace.pods.iter().map(gpu_seconds).sum();
    let capacity = gpus as f64 * window_s;
    let load = if capacity > 0.0 { offered * 100.0 / capacity } else { 0.0 };
    let several =
        if seed_list(runs).len() > 1 { " The tables and the plots over time show the first seed." } else { "" };
    format!(
        "Pods arrive over {}. What they ask for adds up to {load:.0} % of what all GPUs can do in that time.{several}",
        duration(window_s)
    )
}

fn gpu_seconds(pod: &PodRow) -> f64 {
    let runtime_s = pod.times.map_or(0, |times| times.runtime_s);
    pod.gpu_total_milli() as f64 / 1000.0 * runtime_s as f64
}

fn cluster(trace: &Trace) -> Vec<Model> {
    let mut models: BTreeMap<(bool, &str), (u64, u64, u64, u64)> = BTreeMap::new();
    for node in &trace.nodes {
        let entry = models.entry((node.gpus == 0, &node.model)).or_default();
        entry.0 += 1;
        entry.1 += u64::from(node.gpus);
        entry.2 = entry.2.saturating_add(node.cpu_milli);
        entry.3 = entry.3.saturating_add(node.memory_mib);
    }
    let model = |((cpu_only, name), (nodes, gpus, cpu_milli, memory_mib)): (_, (u64, u64, u64, u64))| Model {
        name: if cpu_only { "no GPU".to_owned() } else { name },
        nodes: count(nodes),
        gpus: count(gpus),
        cores: count(cpu_milli / 1000),
        memory: count(memory_mib / 1024),
    };
    models.into_iter().map(|((cpu_only, name), sums)| model(((cpu_only, name.to_owned()), sums))).collect()
}

fn kinds(trace: &Trace) -> Vec<Kind> {
    let all_gpu_seconds: f64 = trace.pods.iter().map(gpu_seconds).sum();
    let share = |part: f64, whole: f64| format!("{:.1}\u{a0}%", if whole > 0.0 { part * 100.0 / whole } else { 0.0 });
    let kind = |kind: PodKind| {
        let pods: Vec<&PodRow> = trace.pods.iter().filter(|pod| PodKind::of(pod) == kind).collect();
        let mut runtimes_s: Vec<u64> = pods.iter().filter_map(|pod| Some(pod.times?.runtime_s)).collect();
        runtimes_s.sort_unstable();
        let median_s = quantile(&runtimes_s, 50);
        (!pods.is_empty()).then(|| Kind {
            name: kind.label(),
            pods: count(pods.len() as u64),
            share: share(pods.len() as f64, trace.pods.len() as f64),
            gpu_hours: share(pods.iter().map(|pod| gpu_seconds(pod)).sum(), all_gpu_seconds),
            runtime: duration(median_s as f64),
        })
    };
    PodKind::ALL.into_iter().filter_map(kind).collect()
}

fn seed_list(runs: &[RunResult]) -> Vec<u64> {
    let mut seeds: Vec<u64> = runs.iter().map(|run| run.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

fn seeds(runs: &[RunResult]) -> String {
    let seeds = seed_list(runs);
    seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
