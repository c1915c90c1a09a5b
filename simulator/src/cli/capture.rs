//! `berth capture`: a live cluster as a file. Only with the feature `cluster`, since everything else works without one.

use std::path::PathBuf;

use clap::Args;

use super::common::{self, Failure};
use super::config;

/// Write down a live cluster: its nodes, queues, gangs and pods, as the scheduler would see them.
///
/// The file is a journal without decisions. `berth explain --snapshot FILE POD` and `berth replay FILE` read it. It names
/// nodes, namespaces, pods and their labels, and nothing else of their content. Only lists are read: the rights of the
/// scheduler's ClusterRole to get and list are enough.
///
/// Example: berth capture -o cluster.jsonl
#[derive(Debug, Args)]
pub(super) struct CaptureArgs {
    /// How to reach the cluster; without it, what kubectl would use
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The scheduler's configuration, which says which pods are its own and how they name queues and gangs; without it, every
    /// field has its default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write to this file (`-` is standard output)
    #[arg(short, long, required = true, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn run(args: &CaptureArgs) -> Result<(), Failure> {
    let inputs: Vec<_> = args.kubeconfig.iter().chain(&args.config).map(PathBuf::as_path).collect();
    common::not_over_input(&[Some(&args.output)], &inputs)?;
    let mut configuration = args.config.as_deref().map(config::read).transpose()?.unwrap_or_default();
    if let Some(kubeconfig) = &args.kubeconfig {
        configuration.client_connection.kubeconfig = Some(kubeconfig.to_string_lossy().into_owned());
    }
    let text = berth_scheduler::capture::capture(&configuration);
    let text = text.map_err(|error| Failure::Run(format!("{error:#}")))?;
    common::deliver(&text, Some(&args.output))
}
