//! A scenario as data: a small cluster, its queues and jobs, what to run, and what must hold afterwards.
//! Owns the JSON form (FORMAT.md, section 2) and its defaults; fields beyond FORMAT.md are marked *ours* and may be left
//! out. Knows neither the engine nor what makes a scenario sensible; that is `validate`'s.
//!
//! Units: GPU and CPU in thousandths, memory in MiB, times in seconds; -1 where a field says so is unlimited.

mod expect;
mod job;
mod node;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

pub use expect::{Expect, ExpectedState, GroupResult, NodeResult, SameDomain, TaskResult};
pub use job::{
    Checkpoint, Gang, GangTopology, HostPort, Job, NodeTerm, Operator, PodAffinity, Protocol, Request, Requirement,
    Spread, Task, TaskState,
};
pub use node::{Mig, MigStrategy, Node, Taint, TaintEffect, Toleration};

/// The version of the format that is read.
pub const VERSION: u32 = 1;

/// The amount that stands for "unlimited".
pub const UNLIMITED: i64 = -1;

/// String to string: labels, and what they must be.
pub type Labels = BTreeMap<String, String>;

/// One scenario file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Version of the format, 1.
    pub version: u32,
    /// The file's name without its extension.
    pub id: String,
    /// What the case shows.
    pub name: String,
    /// The part of the scheduler it is about.
    pub area: String,
    /// How far the expectation binds.
    pub tier: Tier,
    /// Why.
    pub tier_reason: String,
    /// What the case contains, for filtering.
    pub features: Vec<String>,
    /// Where it comes from; none if it is our own.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// Oddities worth knowing.
    #[serde(default)]
    pub notes: Vec<String>,
    /// *Ours.* The policy set to run; none = `kai` for files with an origin, else `default`.
    #[serde(default)]
    pub policy_set: Option<PolicySet>,
    /// Hierarchies of node labels.
    #[serde(default)]
    pub topologies: Vec<Topology>,
    /// The nodes; their order means nothing.
    pub nodes: Vec<Node>,
    /// The queues, older siblings first.
    pub queues: Vec<Queue>,
    /// *Ours.* PodDisruptionBudgets.
    #[serde(default)]
    pub disruption_budgets: Vec<DisruptionBudget>,
    /// The jobs; their order means nothing.
    pub jobs: Vec<Job>,
    /// What to run.
    pub run: Run,
    /// *Ours.* What happens later; each step is followed by a round.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What must hold afterwards.
    #[serde(default)]
    pub expect: Option<Expect>,
    /// *Ours.* What the run must print, line by line.
    #[serde(default)]
    pub expect_text: Option<String>,
}

impl Scenario {
    /// The policy set to run: what it says itself, else `kai` for what comes from elsewhere.
    pub fn policy(&self) -> PolicySet {
        let by_origin = if self.origin.is_some() { PolicySet::Kai } else { PolicySet::Default };
        self.policy_set.unwrap_or(by_origin)
    }
}

/// How far an expectation binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Follows from common sense.
    #[default]
    Binding,
    /// Needs the rules of FORMAT.md, section 6.
    SharedSemantics,
    /// Depends on a placement policy that Berth need not share; never fails a run.
    Taste,
}

impl fmt::Display for Tier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Tier::Binding => "binding",
            Tier::SharedSemantics => "shared-semantics",
            Tier::Taste => "taste",
        })
    }
}

/// Where a scenario comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origin {
    /// The suite, such as `kai`.
    pub suite: String,
    /// The file it was derived from.
    pub file: String,
    /// At this commit.
    pub commit: String,
}

/// A set of rules the engine can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PolicySet {
    /// Berth's own rules
    Default,
    /// The rules of KAI-Scheduler, as FORMAT.md writes them down
    Kai,
}

impl fmt::Display for PolicySet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            PolicySet::Default => "default",
            PolicySet::Kai => "kai",
        })
    }
}

/// A hierarchy of node labels.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Topology {
    /// Its name.
    pub name: String,
    /// Node label keys, widest level first.
    pub levels: Vec<String>,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// The queue above; none for a root.
    #[serde(default)]
    pub parent: Option<String>,
    /// Higher is served first among siblings.
    pub priority: i32,
    /// GPUs, thousandths.
    pub gpu: Quota,
    /// CPU, thousandths of a core.
    pub cpu: Quota,
    /// Memory, MiB.
    pub memory: Quota,
    /// *Ours.* GPUs of one model, thousandths.
    #[serde(default)]
    pub gpu_models: BTreeMap<String, Quota>,
    /// A job that started less than this ago loses nothing below its gang's minimum to another queue.
    #[serde(default)]
    pub reclaim_min_runtime_seconds: u64,
    /// The same, towards jobs of its own queue.
    #[serde(default)]
    pub preempt_min_runtime_seconds: u64,
    /// *Ours.* GPU-seconds it has used before the scenario starts, as they count now, after decay.
    #[serde(default)]
    pub used_gpu_seconds: u64,
}

/// What a queue may have of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// Guaranteed amount; -1 = unlimited.
    pub deserved: i64,
    /// Hard ceiling; -1 = unlimited.
    pub limit: i64,
    /// Share of what nobody deserves.
    pub over_quota_weight: u64,
}

impl Quota {
    /// Everything deserved, no ceiling.
    pub const UNLIMITED: Quota = Quota { deserved: UNLIMITED, limit: UNLIMITED, over_quota_weight: 1 };
}

/// *Ours.* A PodDisruptionBudget; exactly one of the two amounts is set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DisruptionBudget {
    /// Its name.
    pub name: String,
    /// The tasks it speaks of: those with all these labels.
    pub match_labels: Labels,
    /// So many of them may be away.
    #[serde(default)]
    pub max_unavailable: Option<u32>,
    /// So many of them must run.
    #[serde(default)]
    pub min_available: Option<u32>,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Run {
    /// One action, or whole rounds.
    pub mode: Mode,
    /// Rounds before the first comparison.
    pub rounds: u32,
    /// Further rounds, each compared again.
    pub stable_rounds: u32,
    /// How long a gang may be below its minimum; negative = for ever.
    pub stale_grace_seconds: i64,
    /// *Ours.* How long a gang may take to start; none = the engine's default.
    #[serde(default)]
    pub start_timeout_seconds: Option<u64>,
    /// *Ours.* Half-life of what queues have used; none = usage does not count.
    #[serde(default)]
    pub usage_half_life_seconds: Option<u64>,
}

/// One action, or whole rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Rounds of all actions.
    #[default]
    Cycle,
    /// Only the pass that places.
    Allocate,
    /// Only the pass that moves.
    Consolidate,
    /// Only the pass that takes from other queues.
    Reclaim,
    /// Only the pass that takes from lower priorities.
    Preempt,
    /// Only the pass that gives up broken gangs.
    StaleGang,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 6] =
        [Mode::Cycle, Mode::Allocate, Mode::Consolidate, Mode::Reclaim, Mode::Preempt, Mode::StaleGang];

    /// Its word in files.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Cycle => "cycle",
            Mode::Allocate => "allocate",
            Mode::Consolidate => "consolidate",
            Mode::Reclaim => "reclaim",
            Mode::Preempt => "preempt",
            Mode::StaleGang => "staleGang",
        }
    }
}

impl DisruptionBudget {
    /// How many of its `members` must run.
    pub fn needed(&self, members: usize) -> usize {
        let least = self.min_available.map(|least| least as usize);
        least.or_else(|| self.max_unavailable.map(|most| members.saturating_sub(most as usize))).unwrap_or(0)
    }
}

/// *Ours.* Something that happens later, and the rounds after it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// When, since the start of the scenario.
    pub at_seconds: u64,
    /// Rounds that follow.
    #[serde(default = "one")]
    pub rounds: u32,
    /// What happens, in this order.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// *Ours.* One thing that happens. Where a task is meant, the name of a job means all its tasks that it can happen to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// A running task ends well.
    Finish(String),
    /// A running task ends badly, and nobody replaces it.
    Fail(String),
    /// A placed or running task is lost; its owner makes it anew, so it waits again.
    Lose(String),
    /// A placed task could not be bound to its node.
    BindFails(String),
    /// A job saves its work.
    Checkpoint(String),
    /// A node joins, or changes.
    SetNode(Node),
    /// A node leaves; its tasks are made anew.
    RemoveNode(String),
    /// A queue comes, or changes.
    SetQueue(Queue),
    /// A job arrives; its age counts from then.
    AddJob(Job),
    /// A job is deleted with all its tasks.
    RemoveJob(String),
}

fn one() -> u32 {
    1
}
