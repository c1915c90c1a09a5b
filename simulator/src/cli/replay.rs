//! `berth replay`: does a journal of the scheduler come out the same again, and what would another configuration change?

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::common::{self, Failure};
use super::config;
use crate::replay::changes::{Change, Changes, Start};
use crate::replay::{Difference, Replayed, replay, what_if::what_if};

/// Play a journal of the live scheduler again: every decision must come out the same.
///
/// The scheduler writes one where its configuration has `journal.path`. With --config, the same time is played under another
/// configuration instead, and what that changes is shown, gang by gang: who starts earlier, later or elsewhere, who is evicted.
///
/// Exits with 4 if a decision differs, and with 3 if a file is no journal or a broken one. A last line that is cut off, as after
/// a crash, is left out with a note.
///
/// Example: berth replay journal/berth-20261121T170000.000Z-*.jsonl --config other.yaml
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The files of one journal, in their order
    #[arg(required = true, value_name = "JOURNAL")]
    files: Vec<PathBuf>,
    /// Play it under this configuration of the scheduler, and show what changes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print the results
    #[arg(long, value_enum, default_value_t = Format::Table, help_heading = "Output")]
    format: Format,
    /// Write the results to this file instead of standard output (`-` is standard output)
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One JSON object
    Json,
}

pub(super) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let inputs: Vec<&Path> = args.files.iter().chain(&args.config).map(PathBuf::as_path).collect();
    common::not_over_input(&[args.output.as_deref()], &inputs)?;
    let deliver = |text: Result<String, Failure>| common::deliver(&text?, args.output.as_deref());
    if let Some(config) = &args.config {
        let configuration = config::read(config)?;
        let changes =
            what_if(&args.files, &configuration).map_err(|error| Failure::Input(common::with_causes(&error)))?;
        return deliver(render(args.format, &changes, changed));
    }
    let replayed = replay(&args.files).map_err(|error| Failure::Input(common::with_causes(&error)))?;
    deliver(render(args.format, &replayed, summary))?;
    match &replayed.difference {
        None => Ok(()),
        Some(Difference { place, .. }) => Err(Failure::Unexpected(format!("{place}: decided otherwise"))),
    }
}

fn render<T: Serialize>(format: Format, results: &T, table: fn(&T) -> String) -> Result<String, Failure> {
    match format {
        Format::Table => Ok(table(results)),
        Format::Json => json(results).map(|text| text + "\n"),
    }
}

fn json<T: Serialize>(what: &T) -> Result<String, Failure> {
    serde_json::to_string_pretty(what).map_err(|error| Failure::Run(format!("cannot render the results: {error}")))
}

fn summary(replayed: &Replayed) -> String {
    let Replayed { version, events, refused, cycles, decisions, .. } = replayed;
    let mut out = format!("written by {version}, {}\n", duration(replayed.covers_ms));
    let kinds: Vec<String> = decisions.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let all: u64 = decisions.values().sum();
    let _ =
        writeln!(out, "{events} events ({refused} refused), {cycles} cycles, {all} decisions: {}", kinds.join(", "));
    if let Some(place) = &replayed.cut_off {
        let _ = writeln!(out, "{place}: cut off, left out");
    }
    let Some(difference) = &replayed.difference else { return out + "every decision came out the same\n" };
    let Difference { place, at, number, recorded, replayed } = difference;
    let _ = writeln!(out, "{place}: the first difference, decision {number} at {} ms", at.0);
    for (whose, decision) in [("journal", recorded), ("replay ", replayed)] {
        let text = decision.as_ref().and_then(|decision| serde_json::to_string(decision).ok());
        let _ = writeln!(out, "  {whose}  {}", text.as_deref().unwrap_or("nothing further"));
    }
    out
}

fn changed(changes: &Changes) -> String {
    let Changes { gangs, counts, evictions_avoided, evictions_added, changed, refused, cut_off } = changes;
    let mut out = format!("{gangs} gangs");
    for (fate, count) in counts {
        let _ = write!(out, ", {count} {}", fate.name());
    }
    let _ = writeln!(out, "\n{evictions_avoided} evictions avoided, {evictions_added} added");
    if *refused > 0 {
        let _ = writeln!(out, "{refused} recorded events do not go with what is decided now, and were left out");
    }
    if let Some(place) = cut_off {
        let _ = writeln!(out, "{place}: cut off, left out");
    }
    for Change { gang, fate, recorded, replayed } in changed {
        let _ = write!(out, "\n{gang}: {}", fate.name());
        if let (Some(then), Some(now)) = (recorded.at, replayed.at)
            && then != now
        {
            let _ = write!(out, " by {}", duration(then.since(now).max(now.since(then))));
        }
        let _ = write!(out, "\n  was  {}\n  now  {}\n", course(recorded), course(replayed));
    }
    out
}

fn course(start: &Start) -> String {
    let mut nodes: Vec<(&str, usize)> = Vec::new();
    for node in &start.nodes {
        match nodes.last_mut() {
            Some((last, count)) if *last == node.as_str() => *count += 1,
            _ => nodes.push((node, 1)),
        }
    }
    let nodes: Vec<String> = nodes.into_iter().map(|(node, count)| format!("{count} on {node}")).collect();
    let nodes = if nodes.is_empty() { "not started".to_owned() } else { nodes.join(", ") };
    match start.evictions {
        0 => nodes,
        1 => format!("{nodes}; 1 eviction"),
        many => format!("{nodes}; {many} evictions"),
    }
}

fn duration(ms: u64) -> String {
    berth_config::units::Duration::from_ms(ms).to_string()
}
