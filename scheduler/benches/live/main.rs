//! Berth beside the least a scheduler can do and beside kube-scheduler, on a real API server: pods bound per second, CPU, memory
//! and API writes. `make bench-live` runs it; `-- --help` says what can be chosen. Ratios are of runs in one rotation, since
//! machines are noisy.

mod load;
mod measure;
mod null;

use std::process::ExitCode;

use clap::Parser;

use load::Work;
use measure::{Run, Who};

/// Measure schedulers on a real control plane.
#[derive(Debug, Parser)]
struct Options {
    /// Rotations: each runs every scheduler once on every kind of work, in another order
    #[arg(long, default_value_t = 5)]
    rotations: usize,

    /// Rotations in which kube-scheduler takes part; it needs minutes for what the others do in seconds
    #[arg(long, default_value_t = 1)]
    kube_rotations: usize,

    /// Nodes, of eight GPUs each
    #[arg(long, default_value_t = 1_000)]
    nodes: u32,

    /// Pods of one GPU each
    #[arg(long, default_value_t = 5_000)]
    pods: u32,

    /// Native gangs of 32 pods of one GPU each
    #[arg(long, default_value_t = 100)]
    gangs: u32,

    /// Only this kind of work
    #[arg(long)]
    only: Option<Work>,

    /// Be the null scheduler, with this kubeconfig
    #[arg(long, hide = true)]
    null: Option<std::path::PathBuf>,

    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(kubeconfig) = &options.null {
        return match null::run(kubeconfig).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("null scheduler: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    match rotate(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-live: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn rotate(options: &Options) -> anyhow::Result<()> {
    let mut runs: Vec<(usize, Run)> = Vec::new();
    println!("{}", Run::HEAD);
    for rotation in 0..options.rotations {
        for work in [Work::Pods, Work::Gangs] {
            if options.only.is_some_and(|only| only != work) {
                continue;
            }
            let mut who = vec![Who::Null, Who::Berth];
            if rotation < options.kube_rotations {
                who.push(Who::Kube);
            }
            let count = who.len();
            who.rotate_left(rotation % count);
            for who in who {
                let run = measure::run(who, work, options).await?;
                println!("{rotation:>2} {run}");
                runs.push((rotation, run));
            }
        }
    }
    for work in [Work::Pods, Work::Gangs] {
        summary(&runs, work);
    }
    Ok(())
}

/// The median of the ratios, one of each rotation.
fn summary(runs: &[(usize, Run)], work: Work) {
    let of = |rotation: usize, who: Who| {
        runs.iter().find(|(at, run)| (*at, run.who, run.work) == (rotation, who, work)).map(|(_, run)| run)
    };
    let rotations = runs.iter().map(|(at, _)| at + 1).max().unwrap_or(0);
    let mut ratios: Vec<f64> = (0..rotations)
        .filter_map(|at| Some(of(at, Who::Berth)?.per_second() / of(at, Who::Null)?.per_second()))
        .collect();
    if ratios.is_empty() {
        return;
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    let all: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    println!("{work}: Berth binds {median:.2} of the ceiling (median of {})", all.join(" "));
    for at in 0..rotations {
        if let (Some(null), Some(kube)) = (of(at, Who::Null), of(at, Who::Kube)) {
            let ratio = null.per_second() / kube.per_second();
            let verdict = if ratio < 3.0 { "; void, the ceiling is too low" } else { "" };
            println!("{work}: rotation {at}: the ceiling is {ratio:.1} times kube-scheduler{verdict}");
        }
    }
}
