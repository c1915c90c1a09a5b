//! From results to plots: which numbers are drawn, over which range.

use super::axis::Axis;
use super::page::Plot;
use super::plots::{Bar, BarPlot, LinePlot, Names, Series};
use crate::simulate::units::{duration, duration_spread, significant};
use crate::simulate::{PolicySummary, RunResult, Timeline, quantile};

/// Points per line of a plot over time; more would only draw noise into a few hundred pixels.
const POINTS_MAX: usize = 100;

/// Steps of a waiting-time curve.
const CURVE_STEPS: usize = 240;

/// Every plot of the report, in reading order.
pub(super) fn plots(runs: &[RunResult], summaries: &[PolicySummary], capacity_milli: u64) -> Vec<Plot> {
    // Time runs differently in every seed, so plots over time show one; the others pool or average all.
    let first: Vec<&RunResult> = summaries.iter().filter_map(|s| runs.iter().find(|r| r.policy == s.policy)).collect();
    let several = summaries.iter().any(|summary| summary.runs > 1);
    let one = |plot: Plot| Plot { note: plot.note + if several { " First seed only." } else { "" }, ..plot };
    vec![
        one(allocated(&first, capacity_milli)),
        one(waiting(&first)),
        waits(runs, summaries),
        waits_by_kind(summaries),
        one(waiting_pods(&first)),
    ]
}

fn allocated(runs: &[&RunResult], capacity_milli: u64) -> Plot {
    let percent = |timeline: &Timeline| {
        let share = |milli: &u64| *milli as f64 * 100.0 / capacity_milli.max(1) as f64;
        timeline.allocated_milli.iter().map(share).collect()
    };
    let (series, step_s) = over_time(runs, percent);
    let values = range(&series);
    let note = format!("Share of all GPUs, in percent. Each point is a mean over {}.", duration(step_s));
    let title = "GPUs allocated";
    line_plot("allocated", title, note, Axis::linear("", values, (0.0, 100.0), "\u{a0}%"), runs, series)
}

fn waiting(runs: &[&RunResult]) -> Plot {
    let gpus = |timeline: &Timeline| timeline.waiting_milli.iter().map(|milli| *milli as f64 / 1000.0).collect();
    let (series, step_s) = over_time(runs, gpus);
    let (_, most) = range(&series);
    let note = format!("GPUs that waiting pods ask for. Each point is a mean over {}.", duration(step_s));
    let axis = Axis::linear("", (0.0, most), (0.0, f64::MAX), "");
    line_plot("waiting", "GPUs waited for", note, axis, runs, series)
}

fn waiting_pods(runs: &[&RunResult]) -> Plot {
    let (series, step_s) = over_time(runs, |timeline| timeline.waiting_pods.clone());
    let (_, most) = range(&series);
    let note = format!("Pods that have arrived but not started. Each point is a mean over {}.", duration(step_s));
    line_plot("pods", "Pods waiting", note, Axis::linear("", (0.0, most), (0.0, f64::MAX), ""), runs, series)
}

fn line_plot(id: &str, title: &str, note: String, y: Axis, runs: &[&RunResult], series: Vec<Series>) -> Plot {
    let window_s = runs.first().map_or(0.0, |run| run.window_s);
    let means: Vec<String> = series
        .iter()
        .map(|series| {
            let mean = series.points.iter().map(|(_, y)| y).sum::<f64>() / series.points.len().max(1) as f64;
            format!("{} {}", series.policy.name(), significant(mean))
        })
        .collect();
    let description = format!("Lines over time, one per policy. Means: {}.", means.join(", "));
    let x = Axis::elapsed(window_s);
    let plot = LinePlot { id, title, description: &description, x, y, series, names: Names::AtEnds };
    Plot { title: title.to_owned(), note, tall: false, svg: plot.draw() }
}

/// One line per run, with neighbouring buckets averaged to at most [`POINTS_MAX`] points; and the time between points.
fn over_time(runs: &[&RunResult], values: impl Fn(&Timeline) -> Vec<f64>) -> (Vec<Series>, f64) {
    let mut step_s = 0.0;
    let line = |run: &&RunResult| {
        let values = values(&run.timeline);
        let together = values.len().div_ceil(POINTS_MAX).max(1);
        step_s = run.timeline.step_s * together as f64;
        let middle = |index: usize| ((index as f64 + 0.5) * step_s).min(run.window_s);
        let mean = |chunk: &[f64]| chunk.iter().sum::<f64>() / chunk.len() as f64;
        let points = values.chunks(together).enumerate().map(|(index, chunk)| (middle(index), mean(chunk))).collect();
        Series { policy: run.policy, points }
    };
    let series = runs.iter().map(line).collect();
    (series, step_s)
}

fn range(series: &[Series]) -> (f64, f64) {
    let values = || series.iter().flat_map(|series| &series.points).map(|(_, value)| *value);
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// The distribution of waiting times, all seeds together.
fn waits(runs: &[RunResult], summaries: &[PolicySummary]) -> Plot {
    let of_policy = |summary: &PolicySummary| {
        let runs = runs.iter().filter(|run| run.policy == summary.policy);
        let mut waits: Vec<u64> = runs.flat_map(|run| run.pod_waits_s.iter().flatten().copied()).collect();
        waits.sort_unstable();
        (summary.policy, waits)
    };
    let all: Vec<_> = summaries.iter().map(of_policy).collect();
    let longest = all.iter().filter_map(|(_, waits)| waits.last()).max().copied().unwrap_or(0);
    let x = Axis::log_wait(longest as f64);
    let share = |waits: &[u64], at_most: f64| {
        let count = waits.partition_point(|&wait| wait as f64 <= at_most);
        count as f64 * 100.0 / waits.len().max(1) as f64
    };
    let curve = |waits: &[u64]| -> Vec<(f64, f64)> {
        let at = |step: usize| x.range.1 * step as f64 / CURVE_STEPS as f64;
        (0..=CURVE_STEPS).map(at).map(|log| (log, share(waits, libm::pow(10.0, log) + 1e-6))).collect()
    };
    let series = all.iter().map(|(policy, waits)| Series { policy: *policy, points: curve(waits) }).collect::<Vec<_>>();
    let (low, _) = range(&series);
    let at_once: Vec<String> = all
        .iter()
        .map(|(policy, waits)| {
            let (median, p99) = (quantile(waits, 50), quantile(waits, 99));
            let (median, p99) = (duration(median as f64), duration(p99 as f64));
            format!("{}: half within {median}, 99 % within {p99}", policy.name())
        })
        .collect();
    let title = "How long pods wait";
    let description = format!("Share of pods started within a waiting time. {}.", at_once.join("; "));
    let y = Axis::linear("", (low, 100.0), (0.0, 100.0), "\u{a0}%");
    let plot = LinePlot { id: "waits", title, description: &description, x, y, series, names: Names::Inside };
    let note = "Share of pods that started within the time on the axis; higher is better.".to_owned();
    Plot { title: title.to_owned(), note, tall: false, svg: plot.draw() }
}

fn waits_by_kind(summaries: &[PolicySummary]) -> Plot {
    let kinds = summaries.first().map(|summary| summary.wait_by_kind.as_slice()).unwrap_or_default();
    let groups = kinds.iter().map(|(kind, _)| {
        let bar = |summary: &PolicySummary| {
            let (_, spread) = summary.wait_by_kind.iter().find(|(other, _)| other == kind)?;
            Some(Bar { policy: summary.policy, value: spread.mean, label: duration_spread(*spread, summary.runs) })
        };
        (kind.label().to_owned(), summaries.iter().filter_map(bar).collect())
    });
    let groups: Vec<(String, Vec<Bar>)> = groups.collect();
    let spoken: Vec<String> = groups
        .iter()
        .map(|(kind, bars)| {
            let bars: Vec<String> = bars.iter().map(|bar| format!("{} {}", bar.policy.name(), bar.label)).collect();
            format!("{kind}: {}", bars.join(", "))
        })
        .collect();
    let title = "Mean wait by kind of pod";
    let description = format!("Bars by kind of pod. {}.", spoken.join("; "));
    let plot = BarPlot { id: "kinds", title, description: &description, groups };
    let note = "Over the pods that started. All bars are on one scale.".to_owned();
    Plot { title: title.to_owned(), note, tall: true, svg: plot.draw() }
}
