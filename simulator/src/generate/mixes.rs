//! The tables from which presets are put together: nodes, requests, model limits, run times.
//!
//! Sources, all aggregated and rounded here, none copied row by row. openb: Weng et al., "Beware of Fragmentation",
//! USENIX ATC 2023 (`alibaba/clusterdata`, cluster-trace-gpu-v2023): node list of GPU nodes, pod lists `default`,
//! `multigpu20`, `gpuspec10`. philly: Jeon et al., "Analysis of Large-Scale Multi-Tenant GPU Clusters for DNN Training
//! Workloads", USENIX ATC 2019, October 2017. itp: Gu et al., "ElasticFlow", ASPLOS 2023, clusters 02, 03, 07 and 10.
//!
//! Requests that openb's users wrote in many near-equal ways (11.3, 11.4, 11.9 cores) are one kind here. CPU is
//! rounded to half a core, memory to a GiB, shares to 0.02 GPU, weights to five in a thousand where they are large.

use super::preset::{Group, Limit, NodeKind, Part, PodKind, Qos, Quantiles, Size};

const fn node(count: u32, model: &'static str, gpus: u32, cores: u32, memory_gib: u32) -> NodeKind {
    NodeKind { count, model, gpus, cores, memory_gib }
}

const fn cpu_only(weight: u32, cpu_milli: u32, memory_gib: u32) -> PodKind {
    PodKind { weight, gpus: 0, size: Size::Fixed(0), cpu_milli, memory_gib }
}

const fn share(weight: u32, size_milli: u32, cpu_milli: u32, memory_gib: u32) -> PodKind {
    PodKind { weight, gpus: 1, size: Size::Fixed(size_milli), cpu_milli, memory_gib }
}

const fn any_share(weight: u32, cpu_milli: u32, memory_gib: u32) -> PodKind {
    PodKind { weight, gpus: 1, size: Size::Spread { low: 60, high: 930, step: 30 }, cpu_milli, memory_gib }
}

const fn whole(weight: u32, gpus: u32, cpu_milli: u32, memory_gib: u32) -> PodKind {
    PodKind { weight, gpus, size: Size::Fixed(1000), cpu_milli, memory_gib }
}

const fn limit(weight: u32, models: &'static [&'static str]) -> Limit {
    Limit { weight, models }
}

const fn qos(weight: u32, name: &'static str, priority: i32) -> Qos {
    Qos { weight, name, priority }
}

/// openb's GPU nodes: 1,213 with 6,212 GPUs, counts rounded to five. Its two undisclosed models are called by public
/// names here: the common one (8 GPUs, 96 cores) A10, the rare one (8 GPUs, 128 cores) A100.
/// GPUs by model: A10 70 %, T4 13 %, A100 5 %, P100 4 %, V100-16GB 4 %, V100-32GB 3 %. 17 cores for each GPU.
pub(super) const NODES_OPENB: &[NodeKind] = &[
    node(550, "A10", 8, 96, 384),
    node(40, "A100", 8, 128, 768),
    node(390, "T4", 2, 104, 512),
    node(15, "T4", 4, 96, 384),
    node(105, "P100", 2, 16, 120),
    node(20, "P100", 2, 64, 256),
    node(20, "V100-16GB", 1, 8, 32),
    node(30, "V100-16GB", 4, 32, 128),
    node(10, "V100-16GB", 8, 64, 256),
    node(10, "V100-32GB", 4, 48, 368),
    node(20, "V100-32GB", 8, 96, 768),
];

/// Nodes of one to four GPUs, with openb's cores for each GPU: 12 on most, 48 on T4 nodes, 8 on P100 nodes, 18 in
/// all. A made-up cluster, of models in about openb's proportions.
pub(super) const NODES_SMALL: &[NodeKind] = &[
    node(450, "A10", 4, 48, 192),
    node(150, "A10", 2, 24, 96),
    node(250, "T4", 2, 96, 512),
    node(100, "T4", 1, 32, 128),
    node(100, "P100", 2, 16, 120),
    node(70, "V100-16GB", 1, 12, 48),
    node(60, "V100-32GB", 4, 48, 368),
    node(70, "A100", 4, 64, 512),
];

/// A mid-size cluster bought over some years, in shapes that vendors sell: 60 nodes, 296 GPUs. Made up.
pub(super) const NODES_EXAMPLE: &[NodeKind] = &[
    node(4, "H100", 8, 192, 2000),
    node(16, "A100", 8, 128, 1000),
    node(14, "A10", 4, 64, 250),
    node(8, "V100", 4, 48, 360),
    node(12, "T4", 4, 96, 380),
    node(6, "", 0, 64, 250),
];

/// openb `default`, 1,088 pods without GPU: mean 17.6 cores, 48 GiB. Weight: pods in a thousand.
const CPU_ONLY: &[PodKind] = &[
    cpu_only(345, 12_500, 56),
    cpu_only(265, 32_000, 48),
    cpu_only(155, 8_000, 30),
    cpu_only(110, 15_500, 50),
    cpu_only(90, 16_500, 50),
    cpu_only(15, 8_000, 15),
    cpu_only(15, 16_000, 31),
    cpu_only(5, 12_000, 24),
];

/// openb `default`, 3,078 pods with a share of a GPU: mean 0.56 GPU, 6.0 cores, 21 GiB. Weight: pods in a thousand.
const SHARES: &[PodKind] = &[
    share(365, 820, 3_000, 6),
    share(10, 820, 4_000, 10),
    share(85, 660, 12_000, 46),
    share(25, 600, 3_000, 6),
    share(25, 560, 4_000, 10),
    share(130, 480, 12_000, 46),
    share(125, 480, 8_000, 30),
    share(20, 460, 6_000, 6),
    share(20, 460, 6_000, 15),
    share(15, 380, 4_000, 10),
    share(40, 320, 4_000, 22),
    share(25, 320, 4_000, 15),
    share(25, 320, 8_000, 30),
    share(15, 320, 4_000, 30),
    share(10, 320, 1_000, 2),
    share(30, 240, 4_000, 30),
    share(15, 240, 4_000, 20),
    share(15, 220, 8_000, 30),
    share(10, 220, 4_000, 15),
    share(20, 160, 4_000, 15),
    share(10, 160, 6_000, 22),
];

/// Shares of 30 sizes from 0.06 to 0.93 GPU, all equally likely: multiples of 0.03, of which no number fills a GPU. CPU
/// and memory as in [`SHARES`], in four classes.
const SHARES_MIXED: &[PodKind] =
    &[any_share(390, 3_000, 6), any_share(210, 4_000, 20), any_share(190, 8_000, 30), any_share(210, 12_000, 46)];

/// openb `default`, 3,911 pods with one whole GPU: mean 11.1 cores, 41 GiB. Weight: pods in a thousand.
const ONES: &[PodKind] = &[
    whole(355, 1, 11_500, 48),
    whole(40, 1, 12_000, 46),
    whole(30, 1, 11_500, 76),
    whole(120, 1, 3_000, 6),
    whole(65, 1, 18_500, 63),
    whole(50, 1, 10_000, 41),
    whole(40, 1, 12_000, 24),
    whole(40, 1, 15_500, 57),
    whole(40, 1, 12_000, 15),
    whole(30, 1, 16_000, 32),
    whole(25, 1, 14_000, 57),
    whole(25, 1, 8_000, 16),
    whole(25, 1, 8_000, 32),
    whole(25, 1, 4_000, 24),
    whole(20, 1, 24_000, 91),
    whole(10, 1, 4_000, 31),
    whole(10, 1, 15_000, 79),
    whole(10, 1, 16_000, 64),
    whole(5, 1, 16_500, 123),
    whole(5, 1, 1_000, 6),
    whole(5, 1, 7_000, 29),
];

/// openb `default`, 16 pods with two GPUs. Weight: pods in sixteen.
const TWOS: &[PodKind] =
    &[whole(7, 2, 16_000, 65), whole(3, 2, 6_000, 64), whole(3, 2, 30_000, 157), whole(3, 2, 17_000, 42)];

/// openb `default`, 15 pods with four GPUs. Weight: pods in fifteen.
const FOURS: &[PodKind] = &[whole(12, 4, 32_000, 128), whole(3, 4, 60_000, 313)];

/// openb `default`, 44 pods with eight GPUs. Weight: pods in 44.
const EIGHTS: &[PodKind] = &[whole(18, 8, 88_000, 320), whole(21, 8, 64_000, 257), whole(5, 8, 120_000, 680)];

/// Sets of models, for mixes where up to 60 % of the pods are limited. openb's `gpuspec10` names single models for
/// most limited pods (T4, then the common one, P100) and both kinds of V100 together. Its weights would ask for twice
/// the T4 there are if 60 % were limited; here no set of models is asked for more than it has. Thousandths.
pub(super) const LIMITS_OPENB: &[Limit] = &[
    limit(410, &["A10"]),
    limit(170, &["T4"]),
    limit(30, &["P100"]),
    limit(50, &["A100"]),
    limit(20, &["V100-32GB"]),
    limit(70, &["V100-16GB", "V100-32GB"]),
    limit(20, &["P100", "V100-16GB", "V100-32GB"]),
    limit(120, &["A10", "A100"]),
    limit(70, &["A10", "T4"]),
    limit(20, &["A100", "V100-32GB"]),
    limit(20, &["P100", "T4"]),
];

/// Sets of models of [`NODES_EXAMPLE`] that people limit themselves to: the newest for training, the cheapest for
/// inference. Thousandths; made up.
pub(super) const LIMITS_EXAMPLE: &[Limit] = &[
    limit(250, &["A100", "H100"]),
    limit(100, &["H100"]),
    limit(250, &["A100"]),
    limit(200, &["A10", "T4"]),
    limit(100, &["V100"]),
    limit(100, &["A100", "H100", "V100"]),
];

/// openb `default`, run times (deletion - scheduling, or - creation where never scheduled) of CPU-only pods; the last
/// per cent, up to four months, cut at a day.
const RUN_CPU_ONLY: Quantiles = &[
    (0, 10),
    (50, 75),
    (100, 120),
    (250, 150),
    (400, 240),
    (500, 445),
    (650, 1_000),
    (750, 1_950),
    (850, 3_850),
    (900, 12_900),
    (950, 19_500),
    (990, 28_400),
    (1000, 86_400),
];

/// openb `default`, run times of pods with a share; the last per cent, up to five months, cut at two days.
const RUN_SHARE: Quantiles = &[
    (0, 5),
    (50, 26),
    (100, 45),
    (250, 105),
    (400, 210),
    (500, 355),
    (650, 880),
    (750, 1_300),
    (850, 3_600),
    (900, 7_100),
    (950, 16_600),
    (990, 74_700),
    (1000, 172_800),
];

/// openb `default`, run times of pods with one GPU; the last per cent, up to five months, cut at three days.
const RUN_ONE: Quantiles = &[
    (0, 5),
    (50, 49),
    (100, 67),
    (250, 165),
    (400, 315),
    (500, 585),
    (650, 1_300),
    (750, 2_150),
    (850, 4_000),
    (900, 5_400),
    (950, 12_300),
    (980, 50_300),
    (990, 170_000),
    (1000, 259_200),
];

/// openb `default`, run times of the 75 pods with several GPUs; the last twentieth, up to 15 days, cut at four days.
const RUN_MANY: Quantiles = &[
    (0, 22),
    (100, 40),
    (250, 155),
    (500, 575),
    (650, 2_350),
    (750, 6_700),
    (850, 27_400),
    (900, 68_500),
    (950, 210_000),
    (1000, 345_600),
];

/// One GPU in training clusters: between philly (median 1,661 s, 90 % 8,368 s, 99 % 104,751 s) and itp (5,154 to
/// 11,155 s, 10,875 to 67,810 s, 80,437 to 224,723 s), cut at two days so that a replay of some days ends.
const RUN_ONE_TRAINING: Quantiles = &[
    (0, 30),
    (50, 60),
    (100, 90),
    (250, 600),
    (500, 2_200),
    (750, 5_500),
    (900, 15_000),
    (950, 30_000),
    (990, 110_000),
    (1000, 172_800),
];

/// Two to eight GPUs in training clusters: quartiles 3,000, 10,000 and 40,000 s lie between those of itp's eight-GPU
/// jobs (2,770 to 32,811 s, 6,860 to 88,858 s, 22,055 to 168,170 s), cut at two days.
const RUN_MANY_TRAINING: Quantiles =
    &[(0, 60), (50, 300), (100, 1_000), (250, 3_000), (500, 10_000), (750, 40_000), (900, 100_000), (1000, 172_800)];

/// openb `default`, quality of service of pods without GPU. It says nothing of priority there, so all are equal.
const QOS_CPU_ONLY: &[Qos] = &[qos(585, "LS", 0), qos(415, "BE", 0)];

/// openb `default`, pods with a share: mostly best-effort.
const QOS_SHARE: &[Qos] = &[qos(250, "LS", 0), qos(750, "BE", 0)];

/// openb `default`, pods with whole GPUs: mostly latency-sensitive.
const QOS_WHOLE: &[Qos] = &[qos(815, "LS", 0), qos(160, "BE", 0), qos(25, "Burstable", 0)];

/// Qualities of service with priorities, as a cluster with preemption has them; openb's proportions over all pods,
/// with more of the middle.
const QOS_EXAMPLE: &[Qos] = &[qos(300, "LS", 100), qos(300, "Burstable", 50), qos(400, "BE", 0)];

/// CPU-only pods of openb: in `default` they ask for 19,200 cores beside 6,087 GPUs.
pub(super) const CPU_ONLY_OPENB: Group =
    Group { part: Part::CpuMilliPerGpu(3150), kinds: CPU_ONLY, runtimes: RUN_CPU_ONLY, qos: QOS_CPU_ONLY };

/// Pods with a share of a GPU that make up so many thousandths of the GPU demand.
pub(super) const fn shares(permille: u32) -> Group {
    Group { part: Part::GpuPermille(permille), kinds: SHARES, runtimes: RUN_SHARE, qos: QOS_SHARE }
}

/// Such pods with shares of many sizes.
pub(super) const fn shares_mixed(permille: u32) -> Group {
    Group { kinds: SHARES_MIXED, ..shares(permille) }
}

/// Pods with one whole GPU that make up so many thousandths of the GPU demand.
pub(super) const fn ones(permille: u32) -> Group {
    Group { part: Part::GpuPermille(permille), kinds: ONES, runtimes: RUN_ONE, qos: QOS_WHOLE }
}

/// Pods with two GPUs that make up so many thousandths of the GPU demand.
pub(super) const fn twos(permille: u32) -> Group {
    Group { part: Part::GpuPermille(permille), kinds: TWOS, runtimes: RUN_MANY, qos: QOS_WHOLE }
}

/// Pods with four GPUs that make up so many thousandths of the GPU demand.
pub(super) const fn fours(permille: u32) -> Group {
    Group { kinds: FOURS, ..twos(permille) }
}

/// Pods with eight GPUs that make up so many thousandths of the GPU demand.
pub(super) const fn eights(permille: u32) -> Group {
    Group { kinds: EIGHTS, ..twos(permille) }
}

/// The groups of `example`: requests as in openb, more pods with several GPUs, run times of training clusters.
pub(super) const GROUPS_EXAMPLE: &[Group] = &[
    Group { part: Part::CpuMilliPerGpu(2000), qos: QOS_EXAMPLE, ..CPU_ONLY_OPENB },
    Group { qos: QOS_EXAMPLE, ..shares(280) },
    Group { runtimes: RUN_ONE_TRAINING, qos: QOS_EXAMPLE, ..ones(540) },
    Group { runtimes: RUN_MANY_TRAINING, qos: QOS_EXAMPLE, ..twos(40) },
    Group { runtimes: RUN_MANY_TRAINING, qos: QOS_EXAMPLE, ..fours(60) },
    Group { runtimes: RUN_MANY_TRAINING, qos: QOS_EXAMPLE, ..eights(80) },
];
