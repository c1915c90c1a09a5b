//! The configuration of the scheduler: every field with its meaning, default and range. Owns the form of the file. The
//! words above a field are what users read in `docs/configuration.md`, in the schema and in the printed defaults.
//!
//! Keywords of our own in the schema: `x-kind` (how a value is written), `x-minimum` and `x-maximum` (range of a value with
//! a unit), `x-unit` (of a plain number), `x-reload` (takes effect without a restart).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names;
use crate::rules::{Placement, PolicySet, RuleOverrides};
use crate::units::{Bytes, Duration};

/// The configuration of Berth's scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["apiVersion", "kind"]))]
pub struct SchedulerConfiguration {
    /// The version of this file's form.
    pub api_version: ApiVersion,
    /// What this file configures.
    pub kind: Kind,
    /// Pods with this `spec.schedulerName` are ours.
    #[schemars(extend("x-kind" = "name"))]
    pub scheduler_name: String,
    /// The rules to schedule by; each can be overridden below.
    pub policy_set: PolicySet,
    /// On which of the nodes where it fits a pod is placed.
    pub placement: Placement,
    /// Rules that differ from those of the policy set.
    pub rules: RuleOverrides,
    /// How pods name their queue.
    pub queues: Queues,
    /// How pods say that they belong together.
    pub groups: Groups,
    /// Hierarchies of node labels that pods can ask to be close in. Where a wish names a level only, the first topology that
    /// has it counts.
    #[schemars(length(max = 64))]
    pub topologies: Vec<Topology>,
    /// One replica schedules, the others stand by.
    pub leader_election: LeaderElection,
    /// How decisions become bindings.
    pub binding: Binding,
    /// Places promised to pods that cannot start there yet.
    pub nominations: Nominations,
    /// When the scheduler decides.
    pub cycle: Cycle,
    /// How the scheduler talks to the API server.
    pub client_connection: ClientConnection,
    /// What the scheduler serves over HTTP.
    pub server: Server,
    /// What the scheduler writes to standard error.
    pub logging: Logging,
    /// A record of everything that happened and was decided, from which all of it can be repeated offline.
    pub journal: Journal,
}

/// The version of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// May change with every release
    #[default]
    #[serde(rename = "config.berth.dev/v1alpha1")]
    V1Alpha1,
}

/// The kind of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// The scheduler
    #[default]
    SchedulerConfiguration,
}

/// How pods name their queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Queues {
    /// Labels of a pod that may name its queue; the first that is there counts.
    #[schemars(length(max = 32), extend("uniqueItems" = true, "items" = { "type": "string", "x-kind": "label-key" }))]
    pub pod_labels: Vec<String>,
    /// Annotations of a pod that may, where no label does.
    #[schemars(length(max = 32), extend("uniqueItems" = true, "items" = { "type": "string", "x-kind": "label-key" }))]
    pub pod_annotations: Vec<String>,
    /// Labels of a namespace that name the queue of its pods, where the pod itself does not.
    #[schemars(length(max = 32), extend("uniqueItems" = true, "items" = { "type": "string", "x-kind": "label-key" }))]
    pub namespace_labels: Vec<String>,
    /// The queue of pods that name none. It need not exist: then it is without bounds.
    #[schemars(extend("x-kind" = "name", "x-reload" = true))]
    pub default_queue: String,
    /// What becomes of pods that name a queue which does not exist.
    #[schemars(extend("x-reload" = true))]
    pub unknown_queue: UnknownQueue,
}

/// What becomes of pods whose queue does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownQueue {
    /// They wait, and say for which queue
    Wait,
    /// They go to the default queue
    UseDefault,
}

/// How pods say that they belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Groups {
    /// The conventions understood; where a pod follows several, the first of this list counts. One whose API is not served
    /// by the cluster is passed over.
    #[schemars(length(max = 16), extend("uniqueItems" = true))]
    pub accept: Vec<GroupConvention>,
}

/// A way to say that pods belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GroupConvention {
    /// `spec.schedulingGroup` and a PodGroup of `scheduling.k8s.io`
    Native,
    /// The annotations `berth.dev/gang` and `berth.dev/gang-size`
    Berth,
    /// A PodGroup of `scheduling.x-k8s.io`
    Coscheduling,
    /// A PodGroup of `scheduling.volcano.sh`
    Volcano,
    /// A PodGroup of `scheduling.run.ai`
    Kai,
}

/// A hierarchy of node labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["name", "levels"]))]
pub struct Topology {
    /// Its name; another one for each topology.
    #[schemars(extend("x-kind" = "name"))]
    pub name: String,
    /// Keys of node labels, the widest level first. Only nodes that have all of them are part of the topology.
    #[schemars(length(min = 1, max = 16), extend("uniqueItems" = true, "items" = { "type": "string", "x-kind": "label-key" }))]
    pub levels: Vec<String>,
}

/// How replicas agree on the one that schedules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeaderElection {
    /// Is there an election? Without one, only one replica may run.
    pub leader_elect: bool,
    /// For so long after its last renewal nobody else takes over from a leader that is gone; more than `renewDeadline`.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub lease_duration: Duration,
    /// A leader that could not renew for so long stops; more than 1.2 times `retryPeriod`.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub renew_deadline: Duration,
    /// Time between two attempts to become or stay leader.
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "10m"))]
    pub retry_period: Duration,
    /// Name of the Lease.
    #[schemars(extend("x-kind" = "name"))]
    pub resource_name: String,
    /// Namespace of the Lease. Unset: the one the scheduler runs in (`POD_NAMESPACE`).
    #[schemars(extend("x-kind" = "namespace"))]
    pub resource_namespace: Option<String>,
    /// Name of this replica, another one for each. Unset: the name of its pod (`POD_NAME`) and a random suffix.
    #[schemars(length(min = 1, max = 253))]
    pub identity: Option<String>,
}

/// How decisions become bindings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Binding {
    /// Pods bound at the same time; no more than `clientConnection.writesInFlight`, and better fewer: conditions and events are
    /// written with what is left of these.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "pods"))]
    pub workers: u32,
    /// For so long a pod may take to be bound, with its volumes and claims, all attempts included; no less than
    /// `clientConnection.requestTimeout`.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "1h", "x-reload" = true))]
    pub timeout: Duration,
    /// So often the same binding is tried before the pod goes back to its queue.
    #[schemars(range(min = 1, max = 100), extend("x-unit" = "attempts", "x-reload" = true))]
    pub attempts: u32,
    /// Wait after the first failed attempt; it doubles with each further one.
    #[schemars(extend("x-minimum" = "1ms", "x-maximum" = "1h", "x-reload" = true))]
    pub initial_backoff: Duration,
    /// It never waits longer than this.
    #[schemars(extend("x-minimum" = "1ms", "x-maximum" = "1h", "x-reload" = true))]
    pub max_backoff: Duration,
}

/// Places promised to pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Nominations {
    /// A promised place that has not come free for so long is given up, and the pod waits in its old turn. Longer than the
    /// grace period in which pods usually end.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "168h", "x-reload" = true))]
    pub expiry: Duration,
}

/// When the scheduler decides: events that come together are decided on together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cycle {
    /// A cycle starts when no event has come for so long; 0s = at once.
    #[schemars(extend("x-minimum" = "0s", "x-maximum" = "1m", "x-reload" = true))]
    pub settle: Duration,
    /// But no later than this after the first event; no less than `settle`.
    #[schemars(extend("x-minimum" = "0s", "x-maximum" = "5m", "x-reload" = true))]
    pub max_delay: Duration,
    /// And no later than after so many events.
    #[schemars(range(min = 1, max = 10_000_000), extend("x-unit" = "events", "x-reload" = true))]
    pub max_events: u32,
}

/// How the scheduler talks to the API server. There is no limit on requests per second: the API server's own fairness
/// decides, and what is in flight is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClientConnection {
    /// Path of a kubeconfig file. Unset: the service account of the pod, else what kubectl would use.
    #[schemars(length(min = 1, max = 4096))]
    pub kubeconfig: Option<String>,
    /// For so long a connection may take to stand.
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub connect_timeout: Duration,
    /// For so long a request may take, watches excepted; no less than `connectTimeout`. Renewals of the Lease take at most
    /// half of `leaderElection.renewDeadline`.
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub request_timeout: Duration,
    /// Writes that may be under way at the same time, of all kinds together.
    #[schemars(range(min = 1, max = 4096), extend("x-unit" = "requests"))]
    pub writes_in_flight: u32,
}

/// What the scheduler serves over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Server {
    /// Where `/livez`, `/readyz` and `/healthz` are served: address and port, or `:port` for every address.
    #[schemars(extend("x-kind" = "bind-address"))]
    pub health_bind_address: String,
    /// Where `/metrics` and `/configz` are served; may be the same.
    #[schemars(extend("x-kind" = "bind-address"))]
    pub metrics_bind_address: String,
    /// Are `/debug` pages served beside the metrics? They show names of pods and queues.
    pub debug: bool,
}

/// What the scheduler writes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Logging {
    /// How lines are written.
    pub format: LogFormat,
    /// How much is written: 0 to 2 what happens to pods, 4 and 5 why, from 6 on every step.
    #[schemars(range(min = 0, max = 10), extend("x-reload" = true))]
    pub verbosity: u8,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people
    Text,
    /// One object a line, with the keys of Kubernetes' own components
    Json,
}

/// Where everything that happened and was decided is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Journal {
    /// Folder of the journal's files, of one replica only. Unset: there is no journal.
    #[schemars(length(min = 1, max = 4096))]
    pub path: Option<String>,
    /// A file that has grown to this size is closed and the next one begun. The files of one start of the scheduler are one
    /// journal: each goes on where the one before ends.
    #[schemars(extend("x-minimum" = "1Mi", "x-maximum" = "1Ti", "x-reload" = true))]
    pub rotate_size: Bytes,
    /// Files kept, the open one included; those of earlier starts are deleted. Where so many of this start are full, the journal
    /// ends with a warning until the next start, since none of them means anything without the first.
    #[schemars(range(min = 1, max = 10_000), extend("x-unit" = "files", "x-reload" = true))]
    pub keep_files: u32,
}

impl Default for SchedulerConfiguration {
    fn default() -> Self {
        SchedulerConfiguration {
            api_version: ApiVersion::default(),
            kind: Kind::default(),
            scheduler_name: names::SCHEDULER.to_owned(),
            policy_set: PolicySet::default(),
            placement: Placement::default(),
            rules: RuleOverrides::default(),
            queues: Queues::default(),
            groups: Groups::default(),
            topologies: default_topologies(),
            leader_election: LeaderElection::default(),
            binding: Binding::default(),
            nominations: Nominations::default(),
            cycle: Cycle::default(),
            client_connection: ClientConnection::default(),
            server: Server::default(),
            logging: Logging::default(),
            journal: Journal::default(),
        }
    }
}

/// One per source of labels: a node that lacks the labels of one is still part of the others.
fn default_topologies() -> Vec<Topology> {
    let topology = |name: &str, levels: &[&str]| Topology {
        name: name.to_owned(),
        levels: levels.iter().map(|level| (*level).to_owned()).collect(),
    };
    vec![
        topology("zone", &names::ZONE_LEVELS),
        topology("network", &names::NETWORK_LEVELS),
        topology("nvlink", &[names::NVLINK_DOMAIN]),
        topology("node", &[names::HOSTNAME]),
    ]
}

impl Default for Queues {
    fn default() -> Self {
        let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        Queues {
            pod_labels: owned(&names::QUEUE_LABELS),
            pod_annotations: owned(&names::QUEUE_ANNOTATIONS),
            namespace_labels: owned(&[names::QUEUE]),
            default_queue: "default".to_owned(),
            unknown_queue: UnknownQueue::Wait,
        }
    }
}

impl Default for Groups {
    fn default() -> Self {
        use GroupConvention::{Berth, Coscheduling, Kai, Native, Volcano};
        Groups { accept: vec![Native, Berth, Coscheduling, Volcano, Kai] }
    }
}

impl Default for LeaderElection {
    fn default() -> Self {
        LeaderElection {
            leader_elect: true,
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            resource_name: "berth-scheduler".to_owned(),
            resource_namespace: None,
            identity: None,
        }
    }
}

impl Default for Binding {
    fn default() -> Self {
        Binding {
            workers: 48,
            timeout: Duration::from_secs(60),
            attempts: 5,
            initial_backoff: Duration::from_ms(500),
            max_backoff: Duration::from_secs(10),
        }
    }
}

impl Default for Cycle {
    fn default() -> Self {
        Cycle { settle: Duration::from_ms(20), max_delay: Duration::from_ms(200), max_events: 10_000 }
    }
}

impl Default for Nominations {
    fn default() -> Self {
        Nominations { expiry: Duration::from_secs(600) }
    }
}

impl Default for ClientConnection {
    fn default() -> Self {
        ClientConnection {
            kubeconfig: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(15),
            writes_in_flight: 64,
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        let (health, metrics) = ("0.0.0.0:8081".to_owned(), "0.0.0.0:8080".to_owned());
        Server { health_bind_address: health, metrics_bind_address: metrics, debug: false }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Logging { format: LogFormat::Text, verbosity: 2 }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Journal { path: None, rotate_size: Bytes(64 << 20), keep_files: 16 }
    }
}
