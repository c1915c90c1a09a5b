//! The whole experiment: traces × seeds × policies, run in parallel, results in a fixed order.

use std::sync::Arc;

use berth_engine::{Config, Demand, EventError, Policy, TieBreak};
use rayon::prelude::*;
use serde::Serialize;

use super::bound::{BoundError, upper_bound};
use super::columns::{self, Column};
use super::run;
use super::stream::{Stream, StreamError};
use crate::convert;
use crate::generate::{self, Preset};
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
pub const INFLATE_TO_PERCENT: u32 = 130;

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
    pub source: Source,
    /// Seed of the arrival stream, and of a generated trace.
    pub seed: u64,
}

/// Where a trace comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// It is here.
    Trace(Arc<Trace>),
    /// It is made when its turn comes, so that many seeds need no more memory than few.
    Preset(&'static Preset),
}

impl Case {
    fn trace(&self) -> Arc<Trace> {
        match &self.source {
            Source::Trace(trace) => Arc::clone(trace),
            Source::Preset(preset) => Arc::new(generate::generate(preset, self.seed)),
        }
    }
}

/// Why an experiment broke off. Of several errors the one of the first case is reported, on any number of threads.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// The trace does not suit the experiment.
    #[error("`{name}`, seed {seed}, cannot be packed")]
    Trace {
        /// Name of the pod list.
        name: String,
        /// Seed of the arrival stream.
        seed: u64,
        /// What is wrong with it.
        source: StreamError,
    },
    /// The engine refused an event, which a checked trace never causes: a bug in Berth.
    #[error("`{name}`, seed {seed}: the engine refused an event, which is a bug in Berth")]
    Engine {
        /// Name of the pod list.
        name: String,
        /// Seed of the arrival stream.
        seed: u64,
        /// Which event.
        source: EventError,
    },
    /// An upper bound could not be worked out.
    #[error("`{name}`, seed {seed}: no upper bound at {percent} %; try without --bound")]
    Bound {
        /// Name of the pod list.
        name: String,
        /// Seed of the arrival stream.
        seed: u64,
        /// Arrived per cent.
        percent: u32,
        /// Why not.
        source: BoundError,
    },
}

/// Runs every case under every policy. `step` is called once per finished piece of work; there are
/// [`Experiment::steps`] of them.
///
/// # Errors
/// For a trace that cannot be inflated or a bound that cannot be worked out.
pub fn run(experiment: &Experiment, cases: &[Case], step: impl Fn() + Sync) -> Result<Vec<Outcome>, ExperimentError> {
    let of_case = |case: &Case| {
        let (name, seed) = (case.name.clone(), case.seed);
        let trace = case.trace();
        let stream = Stream::new(&trace.nodes, &trace.pods, seed, INFLATE_TO_PERCENT);
        let stream = stream.map_err(|source| ExperimentError::Trace { name, seed, source })?;
        let run = |policy: &Policy| {
            let columns = run_policy(experiment, case, &trace, &stream, *policy);
            step();
            columns.map(|columns| (*policy, columns))
        };
        let (runs, bounds) = rayon::join(
            || in_order(experiment.policies.par_iter().map(run).collect()),
            || bounds(experiment, case, &trace, &stream, &step),
        );
        Ok(outcomes(experiment, case, runs?, &bounds?))
    };
    let per_case = in_order(cases.par_iter().map(of_case).collect())?;
    Ok(per_case.into_iter().flatten().collect())
}

/// The results, or the first error by place rather than by time.
fn in_order<T>(results: Vec<Result<T, ExperimentError>>) -> Result<Vec<T>, ExperimentError> {
    results.into_iter().collect()
}

impl Experiment {
    /// How many pieces of work there are for this many cases.
    pub fn steps(&self, cases: usize) -> u64 {
        let bounds = if self.bound { self.columns.len() } else { 0 };
        (cases * (self.policies.len() + bounds)) as u64
    }
}

fn run_policy(
    experiment: &Experiment,
    case: &Case,
    trace: &Trace,
    stream: &Stream,
    policy: Policy,
) -> Result<Vec<Column>, ExperimentError> {
    let demand = match experiment.classes {
        Classes::Trace => Demand::Given(trace.pods.iter().map(|row| convert::pod(row).shape).collect()),
        Classes::Learnt => Demand::Learnt,
    };
    let config = Config { policy, ties: experiment.ties, demand, seed: case.seed, ..Config::default() };
    let samples = run::run(trace, stream, config);
    let (name, seed) = (case.name.clone(), case.seed);
    let samples = samples.map_err(|source| ExperimentError::Engine { name, seed, source })?;
    let column = |percent: &u32| columns::column(&samples, stream.capacity_milli, *percent);
    Ok(experiment.columns.iter().map(column).collect())
}

/// The bound at every column, in per cent of capacity; empty where not asked for.
fn bounds(
    experiment: &Experiment,
    case: &Case,
    trace: &Trace,
    stream: &Stream,
    step: impl Fn() + Sync,
) -> Result<Vec<f64>, ExperimentError> {
    let columns: &[u32] = if experiment.bound { &experiment.columns } else { &[] };
    let bound = |&percent: &u32| {
        let arrived = stream.arrived_by(&trace.pods, f64::from(percent));
        let arrived: Vec<&PodRow> = stream.arrivals[..arrived].iter().map(|index| &trace.pods[*index]).collect();
        let bound = upper_bound(&trace.nodes, &arrived);
        step();
        let (name, seed) = (case.name.clone(), case.seed);
        let bound = bound.map_err(|source| ExperimentError::Bound { name, seed, percent, source })?;
        Ok(100.0 * bound.gpu_milli as f64 / stream.capacity_milli as f64)
    };
    in_order(columns.par_iter().map(bound).collect())
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
