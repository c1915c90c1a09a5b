//! Summaries as a table for people: one per trace, policies down, arrived per cents across.

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use super::summary::{Lead, Summary};

/// A table per trace, in the order of the summaries.
pub fn tables(summaries: &[Summary]) -> String {
    let of_one_trace = |a: &Summary, b: &Summary| a.trace == b.trace;
    summaries.chunk_by(of_one_trace).map(table).collect()
}

fn table(summaries: &[Summary]) -> String {
    let Some(first) = summaries.first() else { return String::new() };
    let of_first = summaries.iter().take_while(|summary| summary.policy == first.policy);
    let columns: Vec<u32> = of_first.map(|summary| summary.arrived_percent).collect();
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─')));
    let headings = columns.iter().map(|percent| format!("at {percent} %"));
    table.set_header([String::from("policy")].into_iter().chain(headings));
    for of_policy in summaries.chunk_by(|a, b| a.policy == b.policy) {
        for row in rows(of_policy) {
            table.add_row(row);
        }
    }
    if first.bound_percent.is_some() {
        let bound = |summary: &Summary| summary.bound_percent.map(|bound| format!("{bound:.2}"));
        table.add_row(row("upper bound", &summaries[..columns.len()], bound));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let seeds = if first.seeds == 1 { "1 seed".to_owned() } else { format!("{} seeds", first.seeds) };
    format!(
        "{}: GPU allocated, per cent of capacity, when so much of it had been asked for; mean ± deviation over {seeds}\n\
         {table}\n\n",
        first.trace
    )
}

/// One policy: its allocation and, where it was compared, its lead.
fn rows(of_policy: &[Summary]) -> Vec<Vec<String>> {
    let Some(first) = of_policy.first() else { return Vec::new() };
    let spread = |mean: String, spread: f64, seeds| if seeds > 1 { format!("{mean} ± {spread:.2}") } else { mean };
    let allocated =
        |summary: &Summary| Some(spread(format!("{:.2}", summary.allocated_percent), summary.deviation, summary.seeds));
    let mut rows = vec![row(first.policy, of_policy, allocated)];
    if let Some(Lead { over, .. }) = first.lead {
        let of = |summary: &Summary| summary.lead.clone().map(|lead| (summary.seeds, lead));
        let lead = |summary: &Summary| {
            of(summary).map(|(seeds, lead)| spread(format!("{:+.2}", lead.mean), lead.standard_error, seeds))
        };
        let ahead = |summary: &Summary| of(summary).map(|(seeds, lead)| format!("{}/{seeds}", lead.seeds_ahead));
        let avoidable = |summary: &Summary| {
            let share = of(summary)?.1.avoidable_share.filter(|share| *share > 0.0)?;
            Some(format!("{:.0} %", 100.0 * share))
        };
        rows.push(row(&format!("  over {over}, ± error"), of_policy, lead));
        rows.push(row("  seeds ahead", of_policy, ahead));
        rows.push(row("  of the avoidable", of_policy, avoidable));
        rows.retain(|row| row[1..].iter().any(|cell| !cell.is_empty()));
    }
    rows
}

fn row(label: &str, summaries: &[Summary], cell: impl Fn(&Summary) -> Option<String>) -> Vec<String> {
    let cells = summaries.iter().map(|summary| cell(summary).unwrap_or_default());
    [label.to_owned()].into_iter().chain(cells).collect()
}
