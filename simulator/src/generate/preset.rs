//! What a generated cluster and its pods are drawn from: plain data, so that a mix can be read and compared.
//! Owns the words and units of a preset; `mixes` and `catalog` hold the numbers, `pods` does the drawing.

/// A cluster, the mix of its pods and the times at which they come.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Name by which it is found.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// The nodes by kind.
    pub nodes: &'static [NodeKind],
    /// What the pods ask for.
    pub pods: PodMix,
    /// How much they ask for together.
    pub demand: Demand,
    /// When they come.
    pub arrivals: Arrivals,
}

/// Nodes that are all alike.
#[derive(Debug, Clone, Copy)]
pub struct NodeKind {
    /// Number of such nodes.
    pub count: u32,
    /// GPU model: a public product name; empty without GPUs.
    pub model: &'static str,
    /// GPUs of one node, at most 16.
    pub gpus: u32,
    /// Allocatable CPU of one node, cores.
    pub cores: u32,
    /// Allocatable memory of one node, GiB.
    pub memory_gib: u32,
}

/// What the pods of a preset ask for.
#[derive(Debug, Clone, Copy)]
pub struct PodMix {
    /// Groups of pods by what they want of GPUs.
    pub groups: &'static [Group],
    /// Factor on the CPU of pods that want GPUs, thousandths; 1000 = as the kinds have it.
    pub cpu_permille: u32,
    /// Factor on the memory of all pods, thousandths; 1000 = as the kinds have it.
    pub memory_permille: u32,
    /// How many of the pods that want GPUs may run on some models only, thousandths.
    pub limited_permille: u32,
    /// The sets of models to which those are limited.
    pub limits: &'static [Limit],
}

/// Pods that want the same of GPUs: none, a share of one, one, two, four or eight.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// How much of the demand they make up.
    pub part: Part,
    /// The requests they come with.
    pub kinds: &'static [PodKind],
    /// How long they run.
    pub runtimes: Quantiles,
    /// Their qualities of service.
    pub qos: &'static [Qos],
}

/// How much of a preset's demand a group makes up.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// Thousandths of the GPUs that all pods request together, each pod counted once however long it runs.
    GpuPermille(u32),
    /// Thousandths of a core for each GPU that all pods request together: pods without GPU.
    CpuMilliPerGpu(u32),
}

/// A request that many pods share; some pods differ from it a little.
#[derive(Debug, Clone, Copy)]
pub struct PodKind {
    /// How often it comes, relative to the other kinds of its group.
    pub weight: u32,
    /// Number of GPUs; 0 for a CPU-only pod.
    pub gpus: u32,
    /// How much of each GPU.
    pub size: Size,
    /// CPU of the pod, thousandths of a core.
    pub cpu_milli: u32,
    /// Memory of the pod, GiB.
    pub memory_gib: u32,
}

/// How much of each of its GPUs a pod asks for, thousandths.
#[derive(Debug, Clone, Copy)]
pub enum Size {
    /// Always the same: 1000 for whole GPUs, 0 without GPU.
    Fixed(u32),
    /// `low`, `low` + `step` and so on up to `high` at most, each as often as any other.
    Spread {
        /// Smallest size, at least 1.
        low: u32,
        /// No size is above this; at most 1000.
        high: u32,
        /// Distance of two sizes, at least 1.
        step: u32,
    },
}

/// A set of GPU models to which pods are limited.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// How often it comes, relative to the other sets.
    pub weight: u32,
    /// The models a pod may run on.
    pub models: &'static [&'static str],
}

/// A distribution by its quantiles: thousandths of the pods, and the seconds that so many of them stay at or below.
/// Ascending, from 0 to 1000; between two of them all values are equally likely.
pub type Quantiles = &'static [(u32, u64)];

/// A quality of service.
#[derive(Debug, Clone, Copy)]
pub struct Qos {
    /// How often it comes, relative to the others.
    pub weight: u32,
    /// Its name, as openb has it: LS (latency-sensitive), BE (best-effort), Burstable, Guaranteed.
    pub name: &'static str,
    /// The pod's priority; higher goes first.
    pub priority: i32,
}

/// How much the pods of a preset ask for together.
#[derive(Debug, Clone, Copy)]
pub enum Demand {
    /// GPUs requested by all pods, thousandths of the cluster's: for packing, where nothing departs.
    Capacity {
        /// Thousandths of the cluster's GPUs.
        permille: u32,
    },
    /// GPU time of all pods, thousandths of what the cluster has while pods arrive: for replay.
    Load {
        /// Thousandths of the cluster's GPU time.
        permille: u32,
    },
}

/// When pods arrive: independently of each other, more often at some hours than at others.
#[derive(Debug, Clone, Copy)]
pub struct Arrivals {
    /// Days during which pods arrive.
    pub days: u32,
    /// Relative rate in each hour of the day, from midnight.
    pub by_hour: &'static [u32; 24],
    /// How many submissions are sweeps, thousandths: near-identical pods of at most one GPU each in the same second.
    pub sweep_permille: u32,
    /// Pods of the largest sweep; the smallest has 2, every number between is equally likely.
    pub sweep_pods_max: u32,
}

impl Arrivals {
    /// Seconds during which pods arrive.
    pub fn span_s(&self) -> u64 {
        u64::from(self.days) * 24 * 3600
    }
}
