//! Every label, annotation and other name that Berth reads or writes on objects of the API. Owns nothing else.

/// `spec.schedulerName` of our pods, unless configured otherwise.
pub const SCHEDULER: &str = "berth";

/// API group of our custom resources.
pub const GROUP: &str = "berth.dev";

/// Label of a pod or namespace: the queue it belongs to.
pub const QUEUE: &str = "berth.dev/queue";
/// Annotation of a pod: the gang it belongs to, where no object describes one.
pub const GANG: &str = "berth.dev/gang";
/// Annotation of a pod: how many pods its gang has.
pub const GANG_SIZE: &str = "berth.dev/gang-size";
/// Annotation of a pod: its share of one GPU, in thousandths.
pub const GPU_MILLI: &str = "berth.dev/gpu-milli";
/// Annotation of a pod: its share of one GPU, as GPU memory in MiB.
pub const GPU_MEMORY_MIB: &str = "berth.dev/gpu-memory-mib";
/// Annotation of a pod or PodGroup: the topology level within which all pods must be.
pub const REQUIRED_TOPOLOGY: &str = "berth.dev/required-topology";
/// Annotation of a pod or PodGroup: the topology level within which all pods should be.
pub const PREFERRED_TOPOLOGY: &str = "berth.dev/preferred-topology";
/// Annotation of a pod or PodGroup: how long it will run.
pub const EXPECTED_RUNTIME: &str = "berth.dev/expected-runtime";
/// Annotation of a pod or PodGroup: when it last saved its work.
pub const LAST_CHECKPOINT: &str = "berth.dev/last-checkpoint";

/// Label of a pod: the gang it belongs to, for the coscheduling plugin.
pub const COSCHEDULING_GROUP: &str = "scheduling.x-k8s.io/pod-group";
/// Annotations of a pod: the gang it belongs to, for Volcano; the first that is there counts.
pub const VOLCANO_GROUP: [&str; 2] = ["scheduling.k8s.io/group-name", "scheduling.volcano.sh/group-name"];
/// Annotation of a pod: the gang it belongs to, for KAI.
pub const KAI_GROUP: &str = "pod-group-name";
/// Label of a pod: the subgroup of its gang, for KAI.
pub const KAI_SUBGROUP: &str = "kai.scheduler/subgroup-name";
/// Label of a pod: may it be evicted (`preemptible`) or not (`non-preemptible`), for KAI.
pub const KAI_PREEMPTIBILITY: &str = "kai.scheduler/preemptibility";
/// Annotation of a pod: may it be evicted (`true`, `false`), for Volcano.
pub const VOLCANO_PREEMPTABLE: &str = "volcano.sh/preemptable";
/// Annotation of a pod: its share of one GPU as a fraction, for KAI.
pub const KAI_GPU_FRACTION: &str = "gpu-fraction";
/// Annotation of a pod: its share of one GPU as MiB of memory, for KAI.
pub const KAI_GPU_MEMORY: &str = "gpu-memory";
/// Annotation of a pod: of how many GPUs it wants the share, for KAI.
pub const KAI_GPU_DEVICES: &str = "gpu-fraction-num-devices";
/// Label of a pod: how many seconds it may run, for Kueue.
pub const KUEUE_MAX_SECONDS: &str = "kueue.x-k8s.io/max-exec-time-seconds";

/// Annotations that name the topology level within which all pods must be: ours, then those of KAI and Kueue.
pub const REQUIRED_LEVELS: [&str; 3] =
    [REQUIRED_TOPOLOGY, "kai.scheduler/topology-required-placement", "kueue.x-k8s.io/podset-required-topology"];
/// Annotations that name the topology level within which all pods should be: ours, then those of KAI and Kueue.
pub const PREFERRED_LEVELS: [&str; 3] =
    [PREFERRED_TOPOLOGY, "kai.scheduler/topology-preferred-placement", "kueue.x-k8s.io/podset-preferred-topology"];
/// Annotation of a pod: the topology its wishes are about, for KAI.
pub const KAI_TOPOLOGY: &str = "kai.scheduler/topology";
/// Annotations of a pod that ask for parts of a gang to be close, which nothing of ours understands yet.
pub const UNKNOWN_TOPOLOGY: [&str; 7] = [
    "kai.scheduler/segment-size",
    "kai.scheduler/segment-topology-required-placement",
    "kai.scheduler/segment-topology-preferred-placement",
    "kueue.x-k8s.io/podset-slice-required-topology",
    "kueue.x-k8s.io/podset-slice-size",
    "kueue.x-k8s.io/podset-slice-required-topology-constraints",
    "volcano.sh/network-topology-mode",
];

/// Resource of whole GPUs, as NVIDIA's device plugin offers them.
pub const GPU_RESOURCE: &str = "nvidia.com/gpu";
/// What the resources of MIG instances begin with, before the profile.
pub const MIG_RESOURCE: &str = "nvidia.com/mig-";
/// Node label: the GPU model.
pub const GPU_PRODUCT: &str = "nvidia.com/gpu.product";
/// Node label: memory of one GPU, MiB.
pub const GPU_MEMORY: &str = "nvidia.com/gpu.memory";
/// Node label: how MIG instances are offered (`none`, `single`, `mixed`).
pub const MIG_STRATEGY: &str = "nvidia.com/mig.strategy";

/// Labels that name a pod's queue: ours, then those of other systems (KAI, Kueue, YuniKorn, Koordinator).
pub const QUEUE_LABELS: [&str; 5] = [
    QUEUE,
    "kai.scheduler/queue",
    "kueue.x-k8s.io/queue-name",
    "yunikorn.apache.org/queue",
    "quota.scheduling.koordinator.sh/name",
];

/// Annotations that do (Volcano, YuniKorn).
pub const QUEUE_ANNOTATIONS: [&str; 2] = ["scheduling.volcano.sh/queue-name", "yunikorn.apache.org/queue"];

/// Node labels of cloud providers, the widest first.
pub const ZONE_LEVELS: [&str; 2] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

/// Node labels that topograph sets, the widest first.
pub const NETWORK_LEVELS: [&str; 4] = [
    "network.topology.nvidia.com/datacenter",
    "network.topology.nvidia.com/spine",
    "network.topology.nvidia.com/block",
    "network.topology.nvidia.com/accelerator",
];

/// Node label of the NVLink domain.
pub const NVLINK_DOMAIN: &str = "nvidia.com/gpu.clique";

/// Node label of the node itself.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
