//! What must hold after a run.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::TaskState;

/// What must hold afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// Of each task of a job, unless `tasks` speaks of it.
    #[serde(default)]
    pub jobs: BTreeMap<String, TaskResult>,
    /// Of a task.
    #[serde(default)]
    pub tasks: BTreeMap<String, TaskResult>,
    /// Of interchangeable tasks.
    #[serde(default)]
    pub groups: Vec<GroupResult>,
    /// Of tasks that must end together.
    #[serde(default)]
    pub same_domain: Vec<SameDomain>,
    /// Of nodes.
    #[serde(default)]
    pub nodes: BTreeMap<String, NodeResult>,
    /// Most evictions in any one round, moves included.
    #[serde(default)]
    pub max_evictions_per_round: Option<u32>,
}

/// How a task must end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskResult {
    /// In this state.
    pub state: ExpectedState,
    /// On this node.
    #[serde(default)]
    pub node: Option<String>,
    /// On one of these.
    #[serde(default)]
    pub nodes_any_of: Option<Vec<String>>,
}

/// A state, or `kept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum ExpectedState {
    /// Running or nominated.
    Kept,
    /// This one.
    Exactly(TaskState),
}

impl TryFrom<String> for ExpectedState {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let exactly = || TaskState::of_word(&word).map(ExpectedState::Exactly);
        let state = if word == "kept" { Some(ExpectedState::Kept) } else { exactly() };
        let known = || TaskState::ALL.map(TaskState::word).join(", ");
        state.ok_or_else(|| format!("unknown state `{word}`, expected one of {}, kept", known()))
    }
}

impl ExpectedState {
    /// Is a task in this state what is expected?
    pub fn admits(self, state: TaskState) -> bool {
        match self {
            ExpectedState::Kept => matches!(state, TaskState::Running | TaskState::Nominated),
            ExpectedState::Exactly(expected) => state == expected,
        }
    }
}

impl fmt::Display for ExpectedState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExpectedState::Kept => out.write_str("kept"),
            ExpectedState::Exactly(state) => state.fmt(out),
        }
    }
}

/// How interchangeable tasks must end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupResult {
    /// The tasks.
    pub tasks: Vec<String>,
    /// So many of them in this state.
    pub counts: BTreeMap<ExpectedState, u32>,
}

/// Tasks that must end in one domain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SameDomain {
    /// The tasks.
    pub tasks: Vec<String>,
    /// The topology.
    pub topology: String,
    /// Its level.
    pub level: String,
}

/// What must be left of a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeResult {
    /// Whole GPUs that nobody holds.
    pub idle_gpus: u32,
    /// Whole GPUs that only evicted tasks hold.
    pub releasing_gpus: u32,
}
