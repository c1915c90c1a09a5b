//! Runs of one policy put together: means over the seeds, with their spread.

use berth_engine::Policy;
use serde::{Serialize, Serializer};

use super::result::{METRICS, PodKind, RunResult};
use super::stats::{mean_and_deviation, round3};

/// A mean over seeds, and the sample standard deviation around it (0 for one seed).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation.
    pub deviation: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let (mean, deviation) = mean_and_deviation(values);
        Spread { mean: round3(mean), deviation: round3(deviation) }
    }
}

/// One policy over all seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySummary {
    /// The policy.
    pub policy: Policy,
    /// How many seeds were run.
    pub runs: usize,
    /// Every metric of a run, in the order of [`METRICS`].
    pub metrics: Vec<(&'static str, Spread)>,
    /// Mean wait by kind of pod, seconds.
    pub wait_by_kind: Vec<(PodKind, Spread)>,
}

impl PolicySummary {
    /// One metric by name; 0 for a name that is none.
    pub fn get(&self, name: &str) -> Spread {
        let found = self.metrics.iter().find(|(known, _)| *known == name);
        found.map(|(_, spread)| *spread).unwrap_or_default()
    }
}

impl Serialize for PolicySummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let numbers: serde_json::Map<_, _> = self
            .metrics
            .iter()
            .map(|(name, spread)| (*name, spread))
            .map(|(name, s)| (name.to_owned(), serde_json::json!({ "mean": s.mean, "deviation": s.deviation })))
            .collect();
        serde_json::json!({ "policy": self.policy.name(), "runs": self.runs, "metrics": numbers }).serialize(serializer)
    }
}

/// One summary per policy, in the order in which the policies first occur.
pub fn summarise(runs: &[RunResult]) -> Vec<PolicySummary> {
    let mut policies: Vec<Policy> = Vec::new();
    for run in runs {
        if !policies.contains(&run.policy) {
            policies.push(run.policy);
        }
    }
    policies.into_iter().map(|policy| of_policy(policy, runs)).collect()
}

fn of_policy(policy: Policy, runs: &[RunResult]) -> PolicySummary {
    let runs: Vec<&RunResult> = runs.iter().filter(|run| run.policy == policy).collect();
    let over_runs = |value: &dyn Fn(&RunResult) -> Option<f64>| {
        Spread::of(&runs.iter().filter_map(|run| value(run)).collect::<Vec<_>>())
    };
    let kind_wait = |kind| {
        let mean_of = move |run: &RunResult| {
            let wait = run.wait_by_kind.iter().find(|entry| entry.kind == kind && entry.started > 0)?;
            Some(wait.wait.mean_s)
        };
        (kind, over_runs(&mean_of))
    };
    let occurs = |kind: &PodKind| runs.iter().any(|run| run.wait_by_kind.iter().any(|entry| entry.kind == *kind));
    PolicySummary {
        policy,
        runs: runs.len(),
        metrics: METRICS.iter().map(|(name, value)| (*name, over_runs(&|run| Some(value(run))))).collect(),
        wait_by_kind: PodKind::ALL.into_iter().filter(occurs).map(kind_wait).collect(),
    }
}
