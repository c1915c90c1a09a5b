//! Claims, volumes, storage classes and what nodes can attach, as far as they are used; and volumes as pods name them.

use serde::Deserialize;

use super::{Amounts, LabelSelector, Meta, NodeSelector, or_default};

/// `v1` PersistentVolumeClaim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Claim {
    /// Its names and annotations.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// What it asks for.
    #[serde(deserialize_with = "or_default")]
    pub spec: ClaimSpec,
    /// What became of it.
    #[serde(deserialize_with = "or_default")]
    pub status: Phase,
}

/// `spec` of a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSpec {
    /// How it is to be used; a volume must allow all of it.
    #[serde(deserialize_with = "or_default")]
    pub access_modes: Vec<String>,
    /// The volumes it may have, by their labels.
    pub selector: Option<LabelSelector>,
    /// How much it asks for.
    #[serde(deserialize_with = "or_default")]
    pub resources: super::Resources,
    /// The volume it has.
    #[serde(deserialize_with = "or_default")]
    pub volume_name: String,
    /// Its class.
    pub storage_class_name: Option<String>,
    /// `Filesystem` or `Block`; nothing is `Filesystem`.
    pub volume_mode: Option<String>,
    /// Its attributes, by name.
    pub volume_attributes_class_name: Option<String>,
}

/// `status` of a claim or volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Phase {
    /// `Pending`, `Bound` or `Lost` of a claim; `Pending`, `Available`, `Bound`, `Released` or `Failed` of a volume.
    #[serde(deserialize_with = "or_default")]
    pub phase: String,
}

/// `v1` PersistentVolume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Its name and labels.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// What it is.
    #[serde(deserialize_with = "or_default")]
    pub spec: VolumeSpec,
    /// Whether it can be had.
    #[serde(deserialize_with = "or_default")]
    pub status: Phase,
}

/// `spec` of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeSpec {
    /// How large it is.
    #[serde(deserialize_with = "or_default")]
    pub capacity: Amounts,
    /// How it may be used.
    #[serde(deserialize_with = "or_default")]
    pub access_modes: Vec<String>,
    /// Whose it is.
    pub claim_ref: Option<ClaimRef>,
    /// Its class.
    #[serde(deserialize_with = "or_default")]
    pub storage_class_name: String,
    /// `Filesystem` or `Block`; nothing is `Filesystem`.
    pub volume_mode: Option<String>,
    /// Its attributes, by name.
    pub volume_attributes_class_name: Option<String>,
    /// Where it can be.
    pub node_affinity: Option<VolumeNodeAffinity>,
    /// For one that a CSI driver attaches.
    pub csi: Option<Csi>,
    /// For one that is attached as Kubernetes itself once did.
    #[serde(flatten)]
    pub source: InTree,
}

/// The claim a volume belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClaimRef {
    /// Its namespace.
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its uid; empty where a person wrote this.
    #[serde(deserialize_with = "or_default")]
    pub uid: String,
}

/// Where a volume can be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VolumeNodeAffinity {
    /// The nodes.
    pub required: Option<NodeSelector>,
}

/// A volume of a CSI driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Csi {
    /// The driver.
    #[serde(deserialize_with = "or_default")]
    pub driver: String,
    /// What the driver calls it.
    #[serde(deserialize_with = "or_default")]
    pub volume_handle: String,
}

/// Disks as they are named without a CSI driver, in pods and in volumes. At most one is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InTree {
    /// Of Google.
    pub gce_persistent_disk: Option<GceDisk>,
    /// Of Amazon.
    pub aws_elastic_block_store: Option<ById>,
    /// Of Azure.
    pub azure_disk: Option<AzureDisk>,
    /// Of OpenStack.
    pub cinder: Option<ById>,
    /// Of Portworx.
    pub portworx_volume: Option<ById>,
    /// By iSCSI.
    pub iscsi: Option<Iscsi>,
    /// Of Ceph.
    pub rbd: Option<Rbd>,
}

/// A disk of Google.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GceDisk {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub pd_name: String,
    /// Is it only read?
    #[serde(deserialize_with = "or_default")]
    pub read_only: bool,
}

/// A disk with an id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ById {
    /// The id.
    #[serde(rename = "volumeID", deserialize_with = "or_default")]
    pub volume_id: String,
}

/// A disk of Azure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AzureDisk {
    /// Where it is.
    #[serde(rename = "diskURI", deserialize_with = "or_default")]
    pub disk_uri: String,
}

/// A disk by iSCSI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Iscsi {
    /// Its qualified name.
    #[serde(deserialize_with = "or_default")]
    pub iqn: String,
    /// Is it only read?
    #[serde(deserialize_with = "or_default")]
    pub read_only: bool,
}

/// An image of Ceph.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rbd {
    /// The cluster's monitors; any one of them tells clusters apart.
    #[serde(deserialize_with = "or_default")]
    pub monitors: Vec<String>,
    /// The pool; nothing is `rbd`.
    pub pool: Option<String>,
    /// The image.
    #[serde(deserialize_with = "or_default")]
    pub image: String,
    /// Is it only read?
    #[serde(deserialize_with = "or_default")]
    pub read_only: bool,
}

/// A volume as a pod names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodVolume {
    /// Unique in the pod.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// By a claim.
    pub persistent_volume_claim: Option<ClaimName>,
    /// By a claim that is made for this pod.
    pub ephemeral: Option<super::Empty>,
    /// By naming a disk.
    #[serde(flatten)]
    pub source: InTree,
}

/// A claim by name, in the pod's namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimName {
    /// The name.
    #[serde(deserialize_with = "or_default")]
    pub claim_name: String,
}

/// `storage.k8s.io/v1` StorageClass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageClass {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// Who makes volumes of it.
    #[serde(deserialize_with = "or_default")]
    pub provisioner: String,
    /// `Immediate` or `WaitForFirstConsumer`.
    pub volume_binding_mode: Option<String>,
    /// Where volumes of it can be made; nothing is everywhere.
    #[serde(deserialize_with = "or_default")]
    pub allowed_topologies: Vec<TopologyTerm>,
}

/// Nodes by labels, all of which have to match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologyTerm {
    /// The labels.
    #[serde(deserialize_with = "or_default")]
    pub match_label_expressions: Vec<TopologyLabel>,
}

/// A label and the values it may have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TopologyLabel {
    /// The key.
    #[serde(deserialize_with = "or_default")]
    pub key: String,
    /// The values.
    #[serde(deserialize_with = "or_default")]
    pub values: Vec<String>,
}

/// `storage.k8s.io/v1` CSINode: of the node's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CsiNode {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub metadata: Meta,
    /// What is installed there.
    #[serde(deserialize_with = "or_default")]
    pub spec: CsiNodeSpec,
}

/// `spec` of a CSINode.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CsiNodeSpec {
    /// The drivers.
    #[serde(deserialize_with = "or_default")]
    pub drivers: Vec<CsiNodeDriver>,
}

/// A driver on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CsiNodeDriver {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// How much it can attach.
    #[serde(deserialize_with = "or_default")]
    pub allocatable: CsiAllocatable,
}

/// How much a driver can attach to a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CsiAllocatable {
    /// So many volumes; nothing = any number.
    pub count: Option<i64>,
}
