//! The whole experiment: traces × seeds × policies, run in parallel, results in a fixed order.

use berth_engine::{Config, Demand, Policy, TieBreak};
use rayon::prelude::*;
use serde::Serialize;

use super::bound::upper_bound;
use super::columns::{self, Column};
use super::run;
use super::stream::Stream;
use crate::convert;
use crate::trace::{PodRow, Trace};

/// Where the policies take their expectation of future pods from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Classes {
    /// From the whole list of pods, as published
    Trace,
    /// From the arrivals so far
    Learnt,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Compared with each other.
    pub policies: Vec<Policy>,
    /// Decides between nodes a policy finds equally good.
    pub ties: TieBreak,
    /// Expectation of future pods.
    pub classes: Classes,
    /// Arrived per cents to report.
    pub columns: Vec<u32>,
    /// Work out the upper bound at every column?
    pub bound: bool,
}

/// Pods are cloned until this much of the GPU capacity is asked for. Source: fgd-protocol, section 1.
const INFLATE_TO_PERCENT: u32 = 130;

/// One run's result at one column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Name of the pod list.
    pub trace: String,
    /// Name of the policy.
    pub policy: &'static str,
    /// Seed of the arrival stream.
    pub seed: u64,
    /// GPU asked for by all pods so far, per cent of capacity.
    pub arrived_percent: u32,
    /// GPU held by placed pods, per cent of capacity.
    pub allocated_percent: f64,
    /// Pods that fitted nowhere, up to here.
    pub rejected_pods: u32,
    /// What no scheduler can exceed here, per cent of capacity; only where asked for.
    pub bound_percent: Option<f64>,
}

/// A trace under one seed, to be run under every policy.
#[derive(Debug)]
pub struct Case {
    /// Name of the pod list.
    pub name: String,
    /// Cluster and pods.
    pub trace: std::sync::Arc<Trace>,
    /// Seed of the arrival stream.
    pub seed: u64,
}

/// Runs every case under every policy. `step` is called once per finished piece of work; there are
/// [`Experiment::steps`] of them.
///
/// # Errors
/// A sentence that names the case, for a trace that cannot be inflated or a bound that cannot be worked out.
pub fn run(experiment: &Experiment, cases: &[Case], step: impl Fn() + Sync) -> Result<Vec<Outcome>, String> {
    let of_case = |case: &Case| {
        let stream = Stream::new(&case.trace.nodes, &case.trace.pods, case.seed, INFLATE_TO_PERCENT);
        let stream = stream.map_err(|error| format!("`{}`, seed {}: {error}", case.name, case.seed))?;
        let (runs, bounds) = rayon::join(
            || {
                let run = |policy: &Policy| {
                    let columns = run_policy(experiment, case, &stream, *policy);
                    step();
                    columns.map(|columns| (*policy, columns))
                };
                experiment.policies.par_iter().map(run).collect::<Result<Vec<_>, String>>()
            },
            || bounds(experiment, case, &stream, &step),
        );
        Ok(outcomes(experiment, case, runs?, &bounds?))
    };
    let per_case: Vec<Vec<Outcome>> = cases.par_iter().map(of_case).collect::<Result<_, String>>()?;
    Ok(per_case.into_iter().flatten().collect())
}

impl Experiment {
    /// How many pieces of work there are for this many cases.
    pub fn steps(&self, cases: usize) -> u64 {
        let bounds = if self.bound { self.columns.len() } else { 0 };
        (cases * (self.policies.len() + bounds)) as u64
    }
}

fn run_policy(experiment: &Experiment, case: &Case, stream: &Stream, policy: Policy) -> Result<Vec<Column>, String> {
    let demand = match experiment.classes {
        Classes::Trace => Demand::Given(case.trace.pods.iter().map(|row| convert::pod(row).shape).collect()),
        Classes::Learnt => Demand::Learnt,
    };
    let config = Config { policy, ties: experiment.ties, demand, seed: case.seed };
    let samples = run::run(&case.trace, stream, config);
    let samples = samples.map_err(|error| format!("`{}`, seed {}: {error}", case.name, case.seed))?;
    let column = |percent: &u32| columns::column(&samples, stream.capacity_milli, *percent);
    Ok(experiment.columns.iter().map(column).collect())
}

/// The bound at every column, in per cent of capacity; empty where not asked for.
fn bounds(experiment: &Experiment, case: &Case, stream: &Stream, step: impl Fn() + Sync) -> Result<Vec<f64>, String> {
    let columns: &[u32] = if experiment.bound { &experiment.columns } else { &[] };
    let bound = |percent: &u32| {
        let arrived = stream.arrived_by(&case.trace.pods, f64::from(*percent));
        let arrived: Vec<&PodRow> = stream.arrivals[..arrived].iter().map(|index| &case.trace.pods[*index]).collect();
        let bound = upper_bound(&case.trace.nodes, &arrived);
        step();
        let name = &case.name;
        let bound = bound.map_err(|error| format!("`{name}`, seed {}, bound at {percent} %: {error}", case.seed))?;
        Ok(100.0 * bound.gpu_milli as f64 / stream.capacity_milli as f64)
    };
    columns.par_iter().map(bound).collect()
}

fn outcomes(experiment: &Experiment, case: &Case, runs: Vec<(Policy, Vec<Column>)>, bounds: &[f64]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for (policy, columns) in runs {
        for (index, (percent, column)) in experiment.columns.iter().zip(columns).enumerate() {
            outcomes.push(Outcome {
                trace: case.name.clone(),
                policy: policy.name(),
                seed: case.seed,
                arrived_percent: *percent,
                allocated_percent: rounded(column.allocated_percent),
                rejected_pods: column.rejected_pods,
                bound_percent: bounds.get(index).copied().map(rounded),
            });
        }
    }
    outcomes
}

/// To four decimals: more than the experiment resolves, and short to read.
fn rounded(percent: f64) -> f64 {
    (percent * 10_000.0).round() / 10_000.0
}
