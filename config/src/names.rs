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
