//! What one simulated run has to say for itself.

use berth_engine::{Policy, TieBreak};
use serde::{Serialize, Serializer};

use super::measure::Timeline;
use crate::trace::PodRow;

/// The sizes of pods that reports tell apart: they wait for different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodKind {
    /// No GPU.
    CpuOnly,
    /// Less than one GPU.
    Share,
    /// One whole GPU.
    One,
    /// Two to four GPUs.
    TwoToFour,
    /// Five GPUs or more; in practice a whole node of eight.
    FiveOrMore,
}

impl PodKind {
    /// Every kind, smallest first.
    pub const ALL: [PodKind; 5] =
        [PodKind::CpuOnly, PodKind::Share, PodKind::One, PodKind::TwoToFour, PodKind::FiveOrMore];

    /// The kind of a pod.
    pub fn of(pod: &PodRow) -> Self {
        match (pod.num_gpu, pod.gpu_milli) {
            (0, _) => PodKind::CpuOnly,
            (1, 0..1000) => PodKind::Share,
            (1, _) => PodKind::One,
            (2..=4, _) => PodKind::TwoToFour,
            _ => PodKind::FiveOrMore,
        }
    }

    /// For machines: one word.
    pub fn name(self) -> &'static str {
        match self {
            PodKind::CpuOnly => "cpu-only",
            PodKind::Share => "gpu-share",
            PodKind::One => "1-gpu",
            PodKind::TwoToFour => "2-4-gpus",
            PodKind::FiveOrMore => "5-or-more-gpus",
        }
    }

    /// For people.
    pub fn label(self) -> &'static str {
        match self {
            PodKind::CpuOnly => "CPU only",
            PodKind::Share => "part of a GPU",
            PodKind::One => "1 GPU",
            PodKind::TwoToFour => "2\u{2013}4 GPUs",
            PodKind::FiveOrMore => "5 or more GPUs",
        }
    }
}

impl Serialize for PodKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One run: one trace under one policy. Times are simulated seconds; floats carry three decimals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunResult {
    /// Ordered the candidates.
    #[serde(serialize_with = "policy_name")]
    pub policy: Policy,
    /// Decided between equally good nodes.
    #[serde(serialize_with = "ties_name")]
    pub ties: TieBreak,
    /// The run's seed.
    pub seed: u64,
    /// Pods in the trace.
    pub pods: u64,
    /// Pods that got a place.
    pub started: u64,
    /// Pods that did not: no node could take them even when empty.
    pub never_started: u64,
    /// From arrival to start, over the pods that started.
    pub wait: WaitStats,
    /// The same for each kind of pod.
    pub wait_by_kind: Vec<KindWait>,
    /// Length of the window that averages over time refer to, seconds: first arrival to last arrival, so that the
    /// drain after the last arrival dilutes nothing. If all pods arrive at once: the longest run time.
    pub window_s: f64,
    /// Time-weighted share of all GPUs held by pods, percent, over the window.
    pub allocated_percent: f64,
    /// Time-weighted share of all GPUs that idled although waiting pods asked for as much, percent, over the window.
    /// After a cycle no waiting pod fits anywhere, so this is the part of the idle GPUs that no waiting pod could use
    /// and that demand would have filled: fragmentation as it hurts.
    pub stranded_percent: f64,
    /// GPUs that waiting pods asked for, time-weighted mean over the window.
    pub waiting_gpus_mean: f64,
    /// From the first arrival to the last end, seconds.
    pub makespan_s: u64,
    /// What waiting pods lacked over the whole run, most pod-hours first.
    pub lacked: Vec<Lacked>,
    /// The pods that never started, by kind.
    pub never: Vec<NeverStarted>,
    /// The window in buckets.
    pub timeline: Timeline,
    /// Every pod's wait in seconds, in file order; `None` for one that never started.
    #[serde(skip)]
    pub pod_waits_s: Vec<Option<u64>>,
}

/// Waiting times of a set of pods. Quantiles are nearest-rank: the least wait that this share of the pods did not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct WaitStats {
    /// Mean, seconds.
    pub mean_s: f64,
    /// Median, seconds.
    pub p50_s: u64,
    /// 90 % waited at most this long, seconds.
    pub p90_s: u64,
    /// 99 % waited at most this long, seconds.
    pub p99_s: u64,
    /// The longest wait, seconds.
    pub max_s: u64,
}

/// Waiting times of one kind of pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindWait {
    /// The kind.
    pub kind: PodKind,
    /// Pods of this kind that started.
    pub started: u64,
    /// Their waiting times.
    pub wait: WaitStats,
}

/// One reason for waiting, and how much waiting it caused.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lacked {
    /// What every node open to the pod lacked.
    pub what: String,
    /// Waiting pods times the hours they waited for this.
    pub pod_hours: f64,
    /// The GPUs they asked for times those hours.
    pub gpu_hours: f64,
    /// The engine's words, from the longest such wait.
    pub example: String,
}

/// Pods of one kind that no node could take even when empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeverStarted {
    /// The kind.
    pub kind: PodKind,
    /// How many.
    pub pods: u64,
    /// One of them.
    pub example_pod: String,
    /// The engine's words about that one.
    pub why: String,
}

/// Reads one number off a run.
pub type Metric = fn(&RunResult) -> f64;

/// The numbers of a run that have a name of their own: columns of the CSV, operands of `--fail-if`.
pub const METRICS: [(&str, Metric); 14] = [
    ("pods", |run| run.pods as f64),
    ("started", |run| run.started as f64),
    ("never_started", |run| run.never_started as f64),
    ("wait_mean_s", |run| run.wait.mean_s),
    ("wait_p50_s", |run| run.wait.p50_s as f64),
    ("wait_p90_s", |run| run.wait.p90_s as f64),
    ("wait_p99_s", |run| run.wait.p99_s as f64),
    ("wait_max_s", |run| run.wait.max_s as f64),
    ("allocated_percent", |run| run.allocated_percent),
    ("stranded_percent", |run| run.stranded_percent),
    ("waiting_gpus_mean", |run| run.waiting_gpus_mean),
    ("waited_pod_hours", |run| run.wait.mean_s * run.started as f64 / 3600.0),
    ("window_s", |run| run.window_s),
    ("makespan_s", |run| run.makespan_s as f64),
];

fn policy_name<S: Serializer>(policy: &Policy, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(policy.name())
}

fn ties_name<S: Serializer>(ties: &TieBreak, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(ties.name())
}
