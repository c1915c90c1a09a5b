//! What a node's agent says of its GPUs: facts, never wishes.

// What kube derives has items of its own that nobody reaches; columns of a table may well be of the same type.
#![allow(unreachable_pub, clippy::duplicated_attributes)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Condition;

/// Empty: everything about a node is observed. The object is named as its node.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "berth.dev",
    version = "v1alpha1",
    kind = "GpuNode",
    plural = "gpunodes",
    status = "GpuNodeStatus",
    derive = "PartialEq",
    category = "berth",
    doc = "The GPUs of the node of the same name, as its agent sees them.",
    printcolumn(name = "Product", type_ = "string", json_path = ".status.gpus[0].product"),
    printcolumn(name = "GPUs", type_ = "integer", json_path = ".status.gpuCount"),
    printcolumn(name = "Healthy", type_ = "integer", json_path = ".status.healthyCount"),
    printcolumn(name = "Capability", type_ = "string", json_path = ".status.capability"),
    printcolumn(name = "Reported", type_ = "date", json_path = ".status.reportedAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct GpuNodeSpec {}

/// What the agent sees. Written by the agent of this node only.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GpuNodeStatus {
    /// The `metadata.generation` this was written for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the agent looked last (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub reported_at: Option<String>,
    /// `Ready`: does the agent see all it should?
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Can a scheduler choose single devices here?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    /// Version of the NVIDIA driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub driver_version: Option<String>,
    /// The NVLink fabric it is part of together with other nodes (`nvidia.com/gpu.clique`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub nvlink_domain: Option<String>,
    /// How many GPUs there are.
    #[schemars(range(min = 0, max = 64))]
    pub gpu_count: i32,
    /// How many of them are healthy.
    #[schemars(range(min = 0, max = 64))]
    pub healthy_count: i32,
    /// The GPUs.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["uuid"]))]
    pub gpus: Vec<Gpu>,
}

/// Can a scheduler choose single devices of a node?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Capability {
    /// Yes: devices are allocated by claims.
    Device,
    /// No: the kubelet chooses among those that are free.
    Node,
}

/// One GPU.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gpu {
    /// As NVML has it, `GPU-…`.
    #[schemars(length(min = 1, max = 96))]
    pub uuid: String,
    /// Its number on the node; may change with a restart.
    #[schemars(range(min = 0, max = 255))]
    pub index: i32,
    /// The model, as the node label `nvidia.com/gpu.product` has it.
    #[schemars(length(min = 1, max = 63))]
    pub product: String,
    /// Its memory, MiB.
    #[serde(rename = "memoryMiB")]
    #[schemars(range(min = 0))]
    pub memory_mib: i64,
    /// Can it be used?
    pub health: Health,
    /// What is wrong with it; empty where nothing is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub health_message: String,
    /// The NUMA node it is next to, if the machine says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 255))]
    pub numa_node: Option<i32>,
    /// The PCIe root it hangs on, such as `pci0000:16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub pcie_root: Option<String>,
    /// GPUs of this node it reaches by NVLink.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["uuid"]))]
    pub nvlink_peers: Vec<NvlinkPeer>,
    /// Thousandths of it that pods hold, shares and whole GPUs alike; 1000 = all of it.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub used_milli: i32,
    /// The pods that hold some of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub used_by: Vec<PodUse>,
    /// Do processes run on it that belong to no pod?
    #[serde(default)]
    pub foreign_use: bool,
    /// Its MIG layout; unset where MIG is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mig: Option<Mig>,
}

/// Can a GPU be used?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Health {
    /// Yes.
    Healthy,
    /// No; what is wrong is in the message.
    Unhealthy,
    /// Nobody can say at the moment.
    Unknown,
}

/// A GPU reached by NVLink.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NvlinkPeer {
    /// The other GPU.
    #[schemars(length(min = 1, max = 96))]
    pub uuid: String,
    /// How many links join the two.
    #[schemars(range(min = 1, max = 255))]
    pub links: i32,
}

/// A pod that holds some of a GPU.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodUse {
    /// The pod's namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The pod's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The MIG layout of a GPU, in memory slices counted from 0.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mig {
    /// What the driver says could be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub profiles: Vec<MigProfile>,
    /// What is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["uuid"]))]
    pub instances: Vec<MigInstance>,
}

/// A size of MIG instance that could be made.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigProfile {
    /// As `nvidia-smi mig -lgip` shows it.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub id: i32,
    /// Such as `1g.10gb`; differs between drivers.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Memory slices it takes.
    #[schemars(range(min = 1, max = 64))]
    pub size: i32,
    /// First slices it may start at.
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "set", "items" = { "type": "integer", "minimum": 0, "maximum": 63 })
    )]
    pub starts: Vec<i32>,
}

/// A MIG instance.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigInstance {
    /// As NVML has it, `MIG-…`.
    #[schemars(length(min = 1, max = 96))]
    pub uuid: String,
    /// Its profile, such as `1g.10gb`.
    #[schemars(length(min = 1, max = 63))]
    pub profile: String,
    /// Its first memory slice.
    #[schemars(range(min = 0, max = 63))]
    pub start: i32,
    /// Memory slices it takes.
    #[schemars(range(min = 1, max = 64))]
    pub size: i32,
    /// The pod that holds it, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<PodUse>,
}
