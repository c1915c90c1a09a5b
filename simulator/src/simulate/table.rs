//! Results of runs as text: a table for people, JSON, JSON Lines and CSV for programs.

use berth_engine::Policy;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use serde::Serialize;

use super::units::{count, duration_spread, percent_spread, significant};
use super::{METRICS, PolicySummary, RunResult, summarise};

/// The headline numbers: title for people, metric, how to write it, which direction is good.
pub(crate) const HEADLINES: [Headline; 7] = [
    Headline { title: "mean wait", metric: "wait_mean_s", form: Form::Duration, good: Good::Low },
    Headline { title: "p90 wait", metric: "wait_p90_s", form: Form::Duration, good: Good::Low },
    Headline { title: "p99 wait", metric: "wait_p99_s", form: Form::Duration, good: Good::Low },
    Headline { title: "longest wait", metric: "wait_max_s", form: Form::Duration, good: Good::Low },
    Headline { title: "GPU allocated", metric: "allocated_percent", form: Form::Percent, good: Good::High },
    Headline { title: "GPU stranded", metric: "stranded_percent", form: Form::Percent, good: Good::Low },
    Headline { title: "GPUs waited for", metric: "waiting_gpus_mean", form: Form::Number, good: Good::Low },
];

/// One column of the comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Headline {
    /// Column title.
    pub(crate) title: &'static str,
    /// Name of the metric.
    pub(crate) metric: &'static str,
    /// How it is written.
    pub(crate) form: Form,
    /// Which direction is good.
    pub(crate) good: Good,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Duration,
    Percent,
    Number,
}

/// Which direction is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Good {
    High,
    Low,
}

impl Headline {
    /// The cell of one policy.
    pub(crate) fn cell(&self, summary: &PolicySummary) -> String {
        let spread = summary.get(self.metric);
        match self.form {
            Form::Duration => duration_spread(spread, summary.runs),
            Form::Percent => percent_spread(spread, summary.runs),
            Form::Number => significant(spread.mean),
        }
    }

    /// Does this policy have the best value of all, as it is written? Nobody does where all are the same.
    pub(crate) fn is_best(&self, summary: &PolicySummary, all: &[PolicySummary]) -> bool {
        let mean = |summary: &PolicySummary| summary.get(self.metric).mean;
        let better = |a: f64, b: f64| if self.good == Good::Low { a < b } else { a > b };
        let beaten =
            all.iter().any(|other| better(mean(other), mean(summary)) && self.cell(other) != self.cell(summary));
        !beaten && all.iter().any(|other| self.cell(other) != self.cell(summary))
    }
}

/// The comparison of policies, for a terminal.
pub fn table(runs: &[RunResult]) -> String {
    let summaries = summarise(runs);
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::new('\u{2500}', '\u{2500}', '\u{2500}', '\u{2500}')));
    // Two lines a title: all columns fit into 100 characters for a single seed.
    let titles = HEADLINES.iter().map(|headline| headline.title).chain(["never started"]);
    let titles = titles.map(|title| title.replacen(' ', "\n", 1));
    table.set_header(["policy".to_owned()].into_iter().chain(titles));
    for summary in &summaries {
        // The deviation on a line of its own keeps the table within a terminal.
        let cells = HEADLINES.iter().map(|headline| headline.cell(summary).replacen("\u{a0}\u{b1}", "\n\u{b1}", 1));
        let never = count(summary.get("never_started").mean.round() as u64);
        table.add_row([summary.policy.name().to_owned()].into_iter().chain(cells).chain([never]));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let runs_each = summaries.first().map_or(0, |summary| summary.runs);
    let spread = if runs_each > 1 { format!("\nMean \u{b1} deviation over {runs_each} seeds.") } else { String::new() };
    format!(
        "{table}\n\nWaits are from arrival to start; 90 % of the pods waited at most the p90. GPU numbers are means over\n\
         time, from the first to the last arrival; stranded GPUs idle although waiting pods ask for as many.{spread}\n"
    )
}

/// Everything as one JSON object.
///
/// # Errors
/// Never in practice: every value is a plain number or text.
pub fn json(runs: &[RunResult]) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Output<'a> {
        version: &'static str,
        runs: &'a [RunResult],
        summary: Vec<PolicySummary>,
    }
    let output = Output { version: env!("CARGO_PKG_VERSION"), runs, summary: summarise(runs) };
    serde_json::to_string_pretty(&output).map(|text| text + "\n")
}

/// One JSON object per run and line.
///
/// # Errors
/// Never in practice: every value is a plain number or text.
pub fn jsonl(runs: &[RunResult]) -> Result<String, serde_json::Error> {
    runs.iter().map(|run| serde_json::to_string(run).map(|line| line + "\n")).collect()
}

/// One line per run: its settings and its [`METRICS`]. No value needs quoting: words and numbers only.
pub fn csv(runs: &[RunResult]) -> String {
    let header = ["policy", "ties", "seed"].into_iter().chain(METRICS.iter().map(|(name, _)| *name));
    let mut lines = vec![header.collect::<Vec<_>>().join(",")];
    for run in runs {
        let settings = [run.policy.name().to_owned(), run.ties.name().to_owned(), run.seed.to_string()];
        let numbers = METRICS.iter().map(|(_, value)| plain(value(run)));
        lines.push(settings.into_iter().chain(numbers).collect::<Vec<_>>().join(","));
    }
    lines.join("\n") + "\n"
}

/// Three decimals, or none where they are zero.
fn plain(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// The policies' place in [`Policy::ALL`], so that one policy looks the same in every plot.
pub(crate) fn index_of(policy: Policy) -> usize {
    Policy::ALL.iter().position(|known| *known == policy).unwrap_or(0)
}
