//! Jobs, their gangs and their tasks.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::{Labels, Toleration};

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The leaf queue it sits in.
    pub queue: String,
    /// Higher is served first in its queue.
    pub priority: i32,
    /// May its tasks be evicted or moved, and may it use more than its queue deserves?
    pub preemptible: bool,
    /// Since creation.
    pub age_seconds: u64,
    /// Since it last started; present if some task is placed or running.
    #[serde(default)]
    pub started_seconds_ago: Option<u64>,
    /// While younger than this it makes no room for itself.
    #[serde(default)]
    pub preemption_delay_seconds: u64,
    /// For how long the gang has been below its minimum.
    #[serde(default)]
    pub stale_seconds: Option<u64>,
    /// How long it may be; none = the run's, negative = for ever.
    #[serde(default)]
    pub stale_grace_seconds: Option<i64>,
    /// An evicted task stays, and keeps its capacity, for the whole run.
    #[serde(default)]
    pub terminates_slowly: bool,
    /// *Ours.* How long it is expected to run.
    #[serde(default)]
    pub expected_runtime_seconds: Option<u64>,
    /// *Ours.* Its last checkpoint; none = it says nothing about checkpoints.
    #[serde(default)]
    pub last_checkpoint_seconds_ago: Option<Checkpoint>,
    /// *Ours.* How long its tasks may take to start together; none = the run's.
    #[serde(default)]
    pub start_timeout_seconds: Option<u64>,
    /// *Ours.* Nothing creates its tasks anew when they are evicted.
    #[serde(default)]
    pub bare: bool,
    /// What starts together.
    pub gang: Gang,
    /// Its tasks.
    pub tasks: Vec<Task>,
}

/// *Ours.* When a job last saved its work: seconds ago, or `"never"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "CheckpointForm")]
pub enum Checkpoint {
    /// It can, but has not yet.
    Never,
    /// So many seconds ago.
    SecondsAgo(u64),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number of seconds, or \"never\"")]
enum CheckpointForm {
    Ago(u64),
    Word(String),
}

impl TryFrom<CheckpointForm> for Checkpoint {
    type Error = String;

    fn try_from(form: CheckpointForm) -> Result<Self, String> {
        match form {
            CheckpointForm::Ago(seconds) => Ok(Checkpoint::SecondsAgo(seconds)),
            CheckpointForm::Word(word) if word == "never" => Ok(Checkpoint::Never),
            CheckpointForm::Word(_) => {
                Err("lastCheckpointSecondsAgo: expected a number of seconds, or \"never\"".into())
            }
        }
    }
}

/// A gang: tasks, or gangs, of which a minimum starts together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gang {
    /// Its name; empty for the job's own.
    #[serde(default)]
    pub name: String,
    /// The least number of tasks, or of satisfied sub-groups.
    pub min_member: u32,
    /// Gangs below; a gang with sub-groups holds no tasks itself.
    #[serde(default)]
    pub sub_groups: Vec<Gang>,
    /// Where all tasks below must or should be together.
    #[serde(default)]
    pub topology: Option<GangTopology>,
}

/// Where the tasks of a gang must or should be together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GangTopology {
    /// The topology.
    pub name: String,
    /// The level they must share a domain of.
    #[serde(default)]
    pub required: Option<String>,
    /// The level they should share a domain of.
    #[serde(default)]
    pub preferred: Option<String>,
}

/// A task: one pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// The gang that holds it.
    #[serde(default)]
    pub sub_group: String,
    /// How far it is.
    pub state: TaskState,
    /// Where it holds capacity.
    #[serde(default)]
    pub node: Option<String>,
    /// A label for each device it shares: equal labels on a node are the same device.
    #[serde(default)]
    pub gpu_classes: Vec<String>,
    /// Tasks with an order go first, larger ones before smaller ones.
    #[serde(default)]
    pub order: Option<i32>,
    /// The only nodes it may use; none = any.
    #[serde(default)]
    pub node_names: Option<Vec<String>>,
    /// *Ours.* Labels its node must have.
    #[serde(default)]
    pub node_selector: Labels,
    /// *Ours.* Its node must meet one of these; empty = any node.
    #[serde(default)]
    pub node_affinity: Vec<NodeTerm>,
    /// *Ours.* Ports it opens on its node.
    #[serde(default)]
    pub host_ports: Vec<HostPort>,
    /// *Ours.* How tasks like it must be spread over domains.
    #[serde(default)]
    pub topology_spread: Vec<Spread>,
    /// *Ours.* Taints it puts up with.
    #[serde(default)]
    pub tolerations: Vec<Toleration>,
    /// *Ours.* GPU models it may run on; empty = any.
    #[serde(default)]
    pub gpu_models: Vec<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// Whom it must share a domain with.
    #[serde(default)]
    pub pod_affinity: Option<PodAffinity>,
    /// Whom it must not share a domain with.
    #[serde(default)]
    pub pod_anti_affinity: Option<PodAffinity>,
    /// *Ours.* Once placed, it stays `placed` and never runs.
    #[serde(default)]
    pub never_starts: bool,
    /// What it asks for.
    pub request: Request,
}

/// *Ours.* A term of required node affinity: all of it has to hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeTerm {
    /// Asked of the node's labels.
    #[serde(default)]
    pub match_expressions: Vec<Requirement>,
    /// Asked of its name, as `metadata.name`.
    #[serde(default)]
    pub match_fields: Vec<Requirement>,
}

/// *Ours.* Something asked of labels, as Kubernetes has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What is asked of its value.
    pub operator: Operator,
    /// The values the operator compares with.
    #[serde(default)]
    pub values: Vec<String>,
}

/// The operators of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Operator {
    /// One of the values.
    In,
    /// None of the values, or no such label.
    NotIn,
    /// Such a label.
    Exists,
    /// No such label.
    DoesNotExist,
    /// A whole number above the value.
    Gt,
    /// A whole number below the value.
    Lt,
}

impl Operator {
    /// All operators.
    pub const ALL: [Operator; 6] =
        [Operator::In, Operator::NotIn, Operator::Exists, Operator::DoesNotExist, Operator::Gt, Operator::Lt];

    /// Its word in files.
    pub fn word(self) -> &'static str {
        match self {
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::Gt => "Gt",
            Operator::Lt => "Lt",
        }
    }
}

/// *Ours.* A topology spread constraint that must hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spread {
    /// The node label whose values are the domains.
    pub topology_key: String,
    /// How many tasks a domain may be ahead of the emptiest one.
    pub max_skew: u32,
    /// With fewer domains the emptiest counts as empty; none = 1.
    #[serde(default)]
    pub min_domains: Option<u32>,
    /// The tasks that count: those with all these labels.
    pub match_labels: Labels,
    /// And as the task itself in these.
    #[serde(default)]
    pub match_label_keys: Vec<String>,
    /// Nodes that the task's affinity rules out make domains too.
    #[serde(default)]
    pub ignore_affinity: bool,
    /// Nodes whose taints the task does not tolerate make no domains.
    #[serde(default)]
    pub honor_taints: bool,
}

/// *Ours.* A port opened on the node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostPort {
    /// `TCP`, `UDP` or `SCTP`.
    #[serde(default)]
    pub protocol: Protocol,
    /// Its number.
    pub host_port: u16,
    /// The address of the node it is opened on; none = all.
    #[serde(default, rename = "hostIP")]
    pub host_ip: Option<String>,
}

/// *Ours.* The protocols of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Waits.
    #[default]
    Pending,
    /// Promised capacity that others are still leaving.
    Nominated,
    /// Given a node in this round.
    Placed,
    /// Runs.
    Running,
    /// Told to stop, not gone yet.
    Evicted,
    /// Told to stop long ago and does not go.
    Stuck,
    /// Over, and well.
    Succeeded,
    /// Over, and not well.
    Failed,
}

impl TaskState {
    /// All states.
    pub const ALL: [TaskState; 8] = [
        TaskState::Pending,
        TaskState::Nominated,
        TaskState::Placed,
        TaskState::Running,
        TaskState::Evicted,
        TaskState::Stuck,
        TaskState::Succeeded,
        TaskState::Failed,
    ];

    /// Its word in files.
    pub fn word(self) -> &'static str {
        match self {
            TaskState::Pending => "pending",
            TaskState::Nominated => "nominated",
            TaskState::Placed => "placed",
            TaskState::Running => "running",
            TaskState::Evicted => "evicted",
            TaskState::Stuck => "stuck",
            TaskState::Succeeded => "succeeded",
            TaskState::Failed => "failed",
        }
    }

    /// The state of that word.
    pub fn of_word(word: &str) -> Option<TaskState> {
        TaskState::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Nominated, placed or running: it counts in queues.
    pub fn is_active(self) -> bool {
        matches!(self, TaskState::Nominated | TaskState::Placed | TaskState::Running)
    }

    /// Has it a node?
    pub fn has_node(self) -> bool {
        self.is_active() || matches!(self, TaskState::Evicted | TaskState::Stuck)
    }

    /// Does it hold capacity of its node now (a promise does not)?
    pub fn holds_now(self) -> bool {
        self.has_node() && self != TaskState::Nominated
    }

    /// Will it hold capacity once those that leave are gone?
    pub fn holds_later(self) -> bool {
        self.has_node() && self != TaskState::Evicted
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// Tasks to be near to, or away from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodAffinity {
    /// The node label whose values are the domains; `node` = the node itself.
    pub topology_key: String,
    /// The tasks meant: those with all these labels.
    pub match_labels: Labels,
}

/// What a task asks for. At most one of `gpus`, `gpu_milli`, `gpu_memory_mib` and `mig` is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Whole GPUs.
    #[serde(default)]
    pub gpus: u32,
    /// Thousandths of each of `gpu_devices` devices.
    #[serde(default)]
    pub gpu_milli: u32,
    /// Memory on each of `gpu_devices` devices, MiB.
    #[serde(default)]
    pub gpu_memory_mib: u64,
    /// Different devices.
    #[serde(default)]
    pub gpu_devices: u32,
    /// Instances of each MIG profile.
    #[serde(default)]
    pub mig: BTreeMap<String, u32>,
    /// CPU, thousandths of a core.
    pub cpu_milli: u64,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// *Ours.* Other resources by name, whole units.
    #[serde(default)]
    pub others: BTreeMap<String, u64>,
}

impl Request {
    /// How many devices of its node it holds, MIG instances not counted.
    pub fn devices(&self) -> u32 {
        if self.gpus > 0 { self.gpus } else { self.gpu_devices }
    }

    /// Does it ask for a part of a device?
    pub fn is_share(&self) -> bool {
        self.gpu_milli > 0 || self.gpu_memory_mib > 0
    }
}
