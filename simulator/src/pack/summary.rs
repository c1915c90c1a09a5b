//! Over the seeds: mean and deviation of each policy, its lead over another one seed by seed, and how much of what could
//! be gained it gains.

use std::collections::BTreeMap;

use serde::Serialize;

use super::experiment::Outcome;
use crate::simulate::mean_and_deviation;

/// One policy on one trace at one column, over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Name of the pod list.
    pub trace: String,
    /// Name of the policy.
    pub policy: &'static str,
    /// GPU asked for, per cent of capacity.
    pub arrived_percent: u32,
    /// Number of seeds.
    pub seeds: usize,
    /// Mean allocation, per cent of capacity.
    pub allocated_percent: f64,
    /// Standard deviation of the allocation over the seeds, points.
    pub deviation: f64,
    /// Mean number of rejected pods.
    pub rejected_pods: f64,
    /// Mean upper bound, per cent of capacity.
    pub bound_percent: Option<f64>,
    /// Lead over the policy compared with.
    pub lead: Option<Lead>,
}

/// The same seeds under two policies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lead {
    /// The other policy.
    pub over: &'static str,
    /// Mean difference of allocation, points.
    pub mean: f64,
    /// Standard error of that mean, points.
    pub standard_error: f64,
    /// Seeds on which this policy allocates more.
    pub seeds_ahead: usize,
    /// Share of the other policy's distance to the bound that is gained, 0 to 1: (this - other) / (bound - other).
    pub avoidable_share: Option<f64>,
}

/// Where less than this can be gained, points, a share of it says nothing: a column averages the samples around its per
/// cent, while its bound holds for exactly that per cent.
const AVOIDABLE_LEAST: f64 = 0.25;

impl Summary {
    /// The metrics `--fail-if` can name.
    pub const METRICS: [&'static str; 4] = ["allocated_percent", "rejected_pods", "bound_percent", "lead"];

    /// A metric by its name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        match name {
            "allocated_percent" => Some(self.allocated_percent),
            "rejected_pods" => Some(self.rejected_pods),
            "bound_percent" => self.bound_percent,
            "lead" => self.lead.as_ref().map(|lead| lead.mean),
            _ => None,
        }
    }
}

/// Summaries in the order of the outcomes; leads over `against` where it was run.
pub fn summarise(outcomes: &[Outcome], against: &str) -> Vec<Summary> {
    let mut order: Vec<(&str, &'static str, u32)> = Vec::new();
    let mut groups: BTreeMap<(&str, &str, u32), Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        let group = groups.entry((&outcome.trace, outcome.policy, outcome.arrived_percent)).or_default();
        if group.is_empty() {
            order.push((&outcome.trace, outcome.policy, outcome.arrived_percent));
        }
        group.push(outcome);
    }
    let summary = |(trace, policy, arrived_percent): (&str, &'static str, u32)| {
        let group = &groups[&(trace, policy, arrived_percent)];
        let other = groups.get(&(trace, against, arrived_percent)).filter(|_| policy != against);
        let allocated: Vec<f64> = group.iter().map(|outcome| outcome.allocated_percent).collect();
        let bounds: Option<Vec<f64>> = group.iter().map(|outcome| outcome.bound_percent).collect();
        let rejected: Vec<f64> = group.iter().map(|outcome| f64::from(outcome.rejected_pods)).collect();
        Summary {
            trace: trace.to_owned(),
            policy,
            arrived_percent,
            seeds: group.len(),
            allocated_percent: mean(&allocated),
            deviation: deviation(&allocated),
            rejected_pods: mean(&rejected),
            bound_percent: bounds.map(|bounds| mean(&bounds)),
            lead: other.map(|other| lead(group, other)),
        }
    };
    order.into_iter().map(summary).collect()
}

fn lead(these: &[&Outcome], others: &[&Outcome]) -> Lead {
    let differences: Vec<f64> = these
        .iter()
        .filter_map(|this| {
            let other = others.iter().find(|other| other.seed == this.seed)?;
            Some(this.allocated_percent - other.allocated_percent)
        })
        .collect();
    let allocated: Vec<f64> = others.iter().map(|other| other.allocated_percent).collect();
    let bounds: Option<Vec<f64>> = others.iter().map(|other| other.bound_percent).collect();
    let avoidable =
        bounds.map(|bounds| mean(&bounds) - mean(&allocated)).filter(|avoidable| *avoidable >= AVOIDABLE_LEAST);
    Lead {
        over: others.first().map_or("", |other| other.policy),
        mean: mean(&differences),
        standard_error: deviation(&differences) / (differences.len().max(1) as f64).sqrt(),
        seeds_ahead: differences.iter().filter(|difference| **difference > 0.0).count(),
        avoidable_share: avoidable.map(|avoidable| mean(&differences) / avoidable),
    }
}

fn mean(values: &[f64]) -> f64 {
    mean_and_deviation(values).0
}

fn deviation(values: &[f64]) -> f64 {
    mean_and_deviation(values).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(policy: &'static str, seed: u64, allocated_percent: f64) -> Outcome {
        let bound_percent = Some(97.0);
        Outcome {
            trace: "t".to_owned(),
            policy,
            seed,
            arrived_percent: 100,
            allocated_percent,
            rejected_pods: 3,
            bound_percent,
        }
    }

    #[test]
    fn leads_are_paired_by_seed() {
        let outcomes =
            [outcome("fgd", 1, 94.0), outcome("fgd", 2, 96.0), outcome("berth", 2, 97.0), outcome("berth", 1, 94.0)];
        let summaries = summarise(&outcomes, "fgd");
        assert_eq!(summaries[0].lead, None);
        let lead = summaries[1].lead.as_ref().expect("berth was compared with fgd");
        assert_eq!((lead.over, lead.mean, lead.seeds_ahead), ("fgd", 0.5, 1));
        assert_eq!(lead.avoidable_share, Some(0.25), "half a point of the two between 95 and 97");
        assert!((lead.standard_error - 0.5).abs() < 1e-12);
    }
}
