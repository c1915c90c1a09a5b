//! What fields of the configuration have to do with each other. Owns these rules and their words; each field by itself is
//! sound here.

use std::collections::BTreeSet;

use crate::rules::{PolicySet, WaitingMode};
use crate::scheduler::SchedulerConfiguration;

/// Fields that do not go together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// The fields, the one it is told of first.
    pub(crate) fields: Vec<String>,
    /// What is wrong, and what to do.
    pub(crate) text: String,
}

/// A leader tries to renew after up to this many times the retry period, in tenths: so a replica's attempts spread.
const JITTER_TENTHS: u64 = 12;

/// Everything that does not go together.
pub(crate) fn find(configuration: &SchedulerConfiguration) -> Vec<Contradiction> {
    let mut found = Vec::new();
    leader_election(configuration, &mut found);
    times_and_counts(configuration, &mut found);
    topologies(configuration, &mut found);
    without_effect(configuration, &mut found);
    found
}

fn tell(fields: &[&str], text: String, found: &mut Vec<Contradiction>) {
    found.push(Contradiction { fields: fields.iter().map(|field| (*field).to_owned()).collect(), text });
}

fn leader_election(configuration: &SchedulerConfiguration, found: &mut Vec<Contradiction>) {
    let election = &configuration.leader_election;
    if !election.leader_elect {
        return;
    }
    let [lease, renew, retry] =
        ["leaderElection.leaseDuration", "leaderElection.renewDeadline", "leaderElection.retryPeriod"];
    if election.renew_deadline >= election.lease_duration {
        let (found_ms, bound) = (election.renew_deadline, election.lease_duration);
        let text =
            format!("is {found_ms}, expected less than `{lease}`, which is {bound}; else two could lead at a time");
        tell(&[renew, lease], text, found);
    }
    if election.renew_deadline.ms() * 10 <= election.retry_period.ms() * JITTER_TENTHS {
        let (deadline, period) = (election.renew_deadline, election.retry_period);
        let text = format!(
            "is {deadline}, expected more than 1.2 times `{retry}`, which is {period}; else no renewal comes in time"
        );
        tell(&[renew, retry], text, found);
    }
}

fn times_and_counts(configuration: &SchedulerConfiguration, found: &mut Vec<Contradiction>) {
    let SchedulerConfiguration { binding, cycle, client_connection: client, .. } = configuration;
    let [workers, writes] = ["binding.workers", "clientConnection.writesInFlight"];
    if binding.workers > client.writes_in_flight {
        let (have, most) = (binding.workers, client.writes_in_flight);
        tell(&[workers, writes], format!("is {have}, expected at most `{writes}`, which is {most}"), found);
    }
    for (less, less_name, more, more_name) in [
        (client.request_timeout, "clientConnection.requestTimeout", binding.timeout, "binding.timeout"),
        (
            client.connect_timeout,
            "clientConnection.connectTimeout",
            client.request_timeout,
            "clientConnection.requestTimeout",
        ),
        (binding.initial_backoff, "binding.initialBackoff", binding.max_backoff, "binding.maxBackoff"),
        (cycle.settle, "cycle.settle", cycle.max_delay, "cycle.maxDelay"),
    ] {
        if less > more {
            let text = format!("is {more}, expected no less than `{less_name}`, which is {less}");
            tell(&[more_name, less_name], text, found);
        }
    }
}

fn topologies(configuration: &SchedulerConfiguration, found: &mut Vec<Contradiction>) {
    let mut seen = BTreeSet::new();
    for (index, topology) in configuration.topologies.iter().enumerate() {
        if !topology.name.is_empty() && !seen.insert(&topology.name) {
            let text = format!("another topology is called `{}`; give each a name of its own", topology.name);
            tell(&[&format!("topologies[{index}].name")], text, found);
        }
    }
}

/// What is written but cannot matter was surely meant to.
fn without_effect(configuration: &SchedulerConfiguration, found: &mut Vec<Contradiction>) {
    let (set, waiting, usage) = (configuration.policy_set, &configuration.rules.waiting, &configuration.rules.usage);
    let skips = waiting.mode.is_none() && waiting.mode(set) == WaitingMode::Skip;
    for (given, field) in [
        (waiting.dated.is_some(), "rules.waiting.dated"),
        (waiting.passed_over_max.is_some(), "rules.waiting.passedOverMax"),
        (waiting.departures_max.is_some(), "rules.waiting.departuresMax"),
    ] {
        if given && skips {
            let text = format!(
                "has no effect, since others pass freely under the policy set `{}`; add `mode: reserve` beside it, or take it away",
                set.name()
            );
            tell(&[field, "policySet", "rules.waiting.mode"], text, found);
        }
    }
    let counts = |set: PolicySet| set.written().1.usage.enabled == Some(true);
    let off = usage.enabled.is_none() && !counts(set);
    for (given, field) in
        [(usage.half_life.is_some(), "rules.usage.halfLife"), (usage.factor.is_some(), "rules.usage.factor")]
    {
        if given && off {
            let text =
                "has no effect, since usage of late does not count; add `enabled: true` beside it, or take it away";
            tell(&[field, "rules.usage.enabled"], text.to_owned(), found);
        }
    }
}
