//! `berth explain`: why does a pod wait?

use std::path::PathBuf;

use clap::Args;

use super::common::{self, Failure};
use crate::replay::explain::{Explained, Status, Unexplained, explain};

/// Say of one pod of a cluster where it is, or why it waits and what would help.
///
/// The cluster is one that `berth capture` has written down, or the end of a journal of the scheduler. What is said is what
/// the engine says that schedules in production.
///
/// Exits with 3 if there is no such pod.
///
/// Example: berth explain --snapshot cluster.jsonl team-a/train-0
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The snapshot, or all files of a journal in their order (give the flag for each)
    #[arg(long, required = true, value_name = "FILE")]
    snapshot: Vec<PathBuf>,
    /// The pod, with its namespace where the name is not enough
    #[arg(value_name = "[NAMESPACE/]POD")]
    pod: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let explained = explain(&args.snapshot, &args.pod).map_err(|error| match &error {
        Unexplained::Broken(broken) => Failure::Input(common::with_causes(broken)),
        _ => Failure::Input(error.to_string()),
    })?;
    if args.json {
        let text = serde_json::to_string_pretty(&explained);
        let text = text.map_err(|error| Failure::Run(format!("cannot render the results: {error}")))?;
        return common::print(&(text + "\n"));
    }
    common::print(&sentences(&explained))
}

fn sentences(explained: &Explained) -> String {
    let Explained { pod, gang, queue, status, node, because, problems } = explained;
    let node = node.as_deref().unwrap_or("?");
    let mut out = match status {
        Status::Runs => format!("{pod} runs on {node}"),
        Status::Placed => format!("{pod} has a place on {node} and is about to start"),
        Status::Promised => format!("{pod} is promised a place on {node}, which others have yet to leave"),
        Status::Leaves => format!("{pod} has been told to leave {node}"),
        Status::NextToStart => format!("{pod} waits; {node} is next"),
        Status::Waits => format!("{pod} waits"),
    };
    if let Some(because) = because {
        out += &format!(": {because}");
    }
    out += &format!("\nqueue {queue}");
    if gang != pod {
        out += &format!(", gang {gang}");
    }
    problems.iter().for_each(|problem| out += &format!("\n{problem}"));
    out + "\n"
}
