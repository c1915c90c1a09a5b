//! `berth generate`: a synthetic cluster and its pods as files.

use std::path::PathBuf;

use clap::Args;

use super::common::{self, Failure};
use crate::generate;
use crate::openb;
use crate::output;

/// Write a synthetic cluster and its pods to CSV files, to look at, edit and simulate.
///
/// Writes nodes.csv and pods.csv, in the form that `berth simulate` and `berth pack` read. The same preset and seed give
/// the same bytes on any machine. `berth generate --list` says what presets there are.
///
/// Example: berth generate --preset example --seed 1 -o my-cluster
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// What to make; see --list
    #[arg(long, value_name = "NAME", default_value = "example")]
    preset: String,
    /// Another seed gives other pods of the same kind
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for nodes.csv and pods.csv; made if it is not there. Files of these names in it are replaced
    #[arg(short, long, value_name = "FOLDER", default_value = "berth-cluster")]
    output: PathBuf,
    /// List the presets and stop
    #[arg(long)]
    list: bool,
    /// Say nothing
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: GenerateArgs) -> Result<(), Failure> {
    if args.list {
        let line = |preset: &generate::Preset| format!("{:14} {}\n", preset.name, preset.about);
        return common::print(&generate::presets().iter().map(line).collect::<String>());
    }
    let preset = generate::find(&args.preset).ok_or_else(|| Failure::Usage(common::no_such_preset(&args.preset)))?;
    let trace = generate::generate(preset, args.seed);
    let (mut nodes, mut pods) = (Vec::new(), Vec::new());
    let failed = |error: std::io::Error| Failure::Run(format!("cannot write `{}`: {error}", preset.name));
    openb::write_nodes(&mut nodes, &trace.nodes).map_err(failed)?;
    openb::write_pods(&mut pods, &trace.pods).map_err(failed)?;
    let folder = &args.output;
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::Run(format!("cannot make the folder {}: {error}", folder.display())))?;
    let (nodes_file, pods_file) = (folder.join("nodes.csv"), folder.join("pods.csv"));
    let written = output::write_all_atomically(&[(nodes_file.clone(), nodes), (pods_file.clone(), pods)]);
    written.map_err(|error| Failure::Run(common::with_causes(&error)))?;
    if !args.quiet {
        let gpus: u32 = trace.nodes.iter().map(|node| node.gpus).sum();
        eprintln!(
            "{}: {} nodes with {gpus} GPUs, {}: {} pods",
            nodes_file.display(),
            trace.nodes.len(),
            pods_file.display(),
            trace.pods.len()
        );
    }
    Ok(())
}
