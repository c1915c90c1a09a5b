//! Nodes with GPUs that do not exist: an inventory worked out from a few numbers, labelled as NVIDIA's operator and topograph
//! label real ones, and created in bulk.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeSpec, NodeStatus, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::{ControlPlane, Error, Part};

/// Requests in flight while nodes or pods are created: more gain nothing on a few cores.
pub(crate) const IN_FLIGHT: usize = 16;

/// Node label of the zone.
const ZONE: &str = "topology.kubernetes.io/zone";
/// Node label of the rack, as topograph sets it for a block of one leaf switch.
const RACK: &str = "network.topology.nvidia.com/block";

/// A model of GPU, as labels tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuModel {
    /// `nvidia.com/gpu.product`.
    pub product: &'static str,
    /// `nvidia.com/gpu.family`.
    pub family: &'static str,
    /// `nvidia.com/gpu.memory`, in MiB.
    pub memory_mib: u32,
    /// `nvidia.com/gpu.compute.major` and `.minor`.
    pub compute: (u8, u8),
    /// Can it be partitioned?
    pub mig_capable: bool,
    /// Is a rack of them one NVLink domain, so that nodes have the label `nvidia.com/gpu.clique`?
    pub rack_is_clique: bool,
}

impl GpuModel {
    /// A100 with 80 GB.
    pub const A100: GpuModel = model("NVIDIA-A100-SXM4-80GB", "ampere", 81_920, (8, 0), true);
    /// H100 with 80 GB.
    pub const H100: GpuModel = model("NVIDIA-H100-80GB-HBM3", "hopper", 81_559, (9, 0), true);
    /// H200.
    pub const H200: GpuModel = model("NVIDIA-H200", "hopper", 143_771, (9, 0), true);
    /// L40S, without NVLink and without partitions.
    pub const L40S: GpuModel = model("NVIDIA-L40S", "ada-lovelace", 46_068, (8, 9), false);
    /// GB200: 18 nodes of 4 are one NVLink domain.
    pub const GB200: GpuModel =
        GpuModel { rack_is_clique: true, ..model("NVIDIA-GB200", "blackwell", 189_471, (10, 0), true) };
}

const fn model(
    product: &'static str,
    family: &'static str,
    memory_mib: u32,
    compute: (u8, u8),
    mig_capable: bool,
) -> GpuModel {
    GpuModel { product, family, memory_mib, compute, mig_capable, rack_is_clique: false }
}

/// Equal nodes in racks and zones, which are filled one after the other.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// Names are `<prefix>-0`, `<prefix>-1` and so on; racks and zones are `<prefix>-rack-0`, `<prefix>-zone-0`.
    pub prefix: String,
    /// How many nodes.
    pub nodes: u32,
    /// The model of their GPUs.
    pub model: GpuModel,
    /// GPUs of a node.
    pub gpus: u32,
    /// Cores of a node.
    pub cpus: u32,
    /// Memory of a node, in GiB.
    pub memory_gib: u32,
    /// Nodes of a rack; at least one.
    pub nodes_per_rack: u32,
    /// Racks of a zone; at least one.
    pub racks_per_zone: u32,
    /// Taints every node has and keeps.
    pub taints: Vec<Taint>,
    /// Further labels of every node, by which a test finds its own.
    pub labels: BTreeMap<String, String>,
}

impl Inventory {
    /// Nodes with eight H100 each, four to a rack, four racks to a zone.
    pub fn h100(prefix: &str, nodes: u32) -> Inventory {
        Inventory {
            prefix: prefix.to_owned(),
            nodes,
            model: GpuModel::H100,
            gpus: 8,
            cpus: 128,
            memory_gib: 2048,
            nodes_per_rack: 4,
            racks_per_zone: 4,
            taints: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> Vec<Node> {
        (0..self.nodes).map(|index| self.node(index)).collect()
    }

    fn node(&self, index: u32) -> Node {
        let amounts = [
            ("cpu", self.cpus.to_string()),
            ("memory", format!("{}Gi", self.memory_gib)),
            ("ephemeral-storage", "1Ti".to_owned()),
            ("pods", "110".to_owned()),
            ("nvidia.com/gpu", self.gpus.to_string()),
        ];
        let resources: BTreeMap<String, Quantity> =
            amounts.into_iter().map(|(name, amount)| (name.to_owned(), Quantity(amount))).collect();
        Node {
            metadata: ObjectMeta {
                name: Some(format!("{}-{index}", self.prefix)),
                labels: Some(self.labels(index)),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec { taints: Some(self.taints.clone()), ..NodeSpec::default() }),
            status: Some(NodeStatus {
                capacity: Some(resources.clone()),
                allocatable: Some(resources),
                ..NodeStatus::default()
            }),
        }
    }

    fn labels(&self, index: u32) -> BTreeMap<String, String> {
        let rack = index / self.nodes_per_rack.max(1);
        let zone = rack / self.racks_per_zone.max(1);
        let GpuModel { product, family, memory_mib, compute: (major, minor), mig_capable, rack_is_clique } = self.model;
        let own = [
            ("kubernetes.io/hostname", format!("{}-{index}", self.prefix)),
            ("kubernetes.io/os", "linux".to_owned()),
            ("kubernetes.io/arch", "amd64".to_owned()),
            (ZONE, format!("{}-zone-{zone}", self.prefix)),
            (RACK, format!("{}-rack-{rack}", self.prefix)),
        ];
        let gpu = [
            ("nvidia.com/gpu.present", "true".to_owned()),
            ("nvidia.com/gpu.count", self.gpus.to_string()),
            ("nvidia.com/gpu.product", product.to_owned()),
            ("nvidia.com/gpu.memory", memory_mib.to_string()),
            ("nvidia.com/gpu.family", family.to_owned()),
            ("nvidia.com/gpu.compute.major", major.to_string()),
            ("nvidia.com/gpu.compute.minor", minor.to_string()),
            ("nvidia.com/gpu.replicas", "1".to_owned()),
            ("nvidia.com/gpu.sharing-strategy", "none".to_owned()),
            ("nvidia.com/mig.capable", mig_capable.to_string()),
        ];
        let clique = ("nvidia.com/gpu.clique", format!("00000000-0000-0000-0000-000000000000.{rack}"));
        let gpu = gpu.into_iter().chain(rack_is_clique.then_some(clique)).filter(|_| self.gpus > 0);
        let mut labels = self.labels.clone();
        labels.extend(own.into_iter().chain(gpu).map(|(key, value)| (key.to_owned(), value)));
        labels
    }
}

impl ControlPlane {
    /// Creates nodes and returns when pods can be bound to them: without the taint that admission puts on each new node, ready,
    /// and, where KWOK runs, known to it (it ignores pods that come before their node).
    ///
    /// # Errors
    /// What the API server says, and what [`ControlPlane::until_all`] does.
    pub async fn create_nodes(&self, nodes: &[Node]) -> Result<(), Error> {
        let client = self.client()?;
        let played = self.runs(Part::Kwok);
        let created = stream::iter(nodes).map(|node| create(&client, node, played)).buffer_unordered(IN_FLIGHT);
        created.try_collect::<()>().await?;
        let names = nodes.iter().map(ResourceExt::name_any);
        self.until_all(&Api::all(client.clone()), names, "the nodes are ready", |node| is_ready(Some(node))).await
    }
}

async fn create(client: &Client, node: &Node, played: bool) -> Result<(), Error> {
    let api: Api<Node> = Api::all(client.clone());
    let mut first = node.clone();
    if !played {
        let ready = NodeCondition { type_: "Ready".into(), status: "True".into(), ..NodeCondition::default() };
        first.status.get_or_insert_default().conditions = Some(vec![ready]);
    }
    api.create(&PostParams::default(), &first).await?;
    // Admission says `not-ready` of every new node, and only node-lifecycle-controller would take that back.
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).filter(|taints| !taints.is_empty());
    let patch = json!({ "spec": { "taints": taints } });
    api.patch(&node.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Does the node say that it is ready?
pub(crate) fn is_ready(node: Option<&Node>) -> bool {
    let conditions = node.and_then(|node| node.status.as_ref()).and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
        node.labels().get(key).map(String::as_str)
    }

    #[test]
    fn nodes_fill_racks_and_racks_fill_zones() {
        let inventory = Inventory {
            model: GpuModel::GB200,
            gpus: 4,
            nodes_per_rack: 18,
            racks_per_zone: 2,
            ..Inventory::h100("nvl", 38)
        };
        let nodes = inventory.nodes();
        for (index, rack, zone) in [(0, 0, 0), (17, 0, 0), (18, 1, 0), (35, 1, 0), (36, 2, 1), (37, 2, 1)] {
            let node = &nodes[index];
            assert_eq!(node.name_any(), format!("nvl-{index}"));
            assert_eq!(label(node, RACK), Some(format!("nvl-rack-{rack}").as_str()), "{index}");
            assert_eq!(label(node, ZONE), Some(format!("nvl-zone-{zone}").as_str()), "{index}");
            let clique = label(node, "nvidia.com/gpu.clique").and_then(|clique| clique.rsplit_once('.'));
            assert_eq!(clique.map(|(_, id)| id), Some(rack.to_string().as_str()), "a rack is one NVLink domain");
        }
    }

    #[test]
    fn labels_tell_what_the_node_has() {
        let own = BTreeMap::from([("test".to_owned(), "mine".to_owned())]);
        let bare = Inventory { gpus: 0, labels: own, ..Inventory::h100("cpu", 1) }.nodes().remove(0);
        assert!(bare.labels().keys().all(|key| !key.starts_with("nvidia.com/")), "{:?}", bare.labels());
        assert_eq!(label(&bare, "test"), Some("mine"));
        let full = Inventory { model: GpuModel::L40S, ..Inventory::h100("gpu", 1) }.nodes().remove(0);
        assert_eq!(label(&full, "nvidia.com/gpu.clique"), None);
        assert_eq!(label(&full, "nvidia.com/gpu.count"), Some("8"));
        let allocatable = full.status.and_then(|status| status.allocatable).expect("amounts");
        assert_eq!(allocatable["nvidia.com/gpu"], Quantity("8".to_owned()));
    }
}
