//! Where a pod may run. Rules are tried in kube-scheduler's default order; a node counts under the first that rejects it.
//! A rule about the node as such is a function in a file of its own and one line in `SHAPE_RULES`; what is left on the
//! node comes after these, in `ports` and `resources`; what names and other pods say, in `affinity`; what volumes say, in
//! `volumes`.

pub mod affinity;
mod cordon;
mod gpu_model;
pub mod labels;
pub(crate) mod mig;
pub mod node_affinity;
pub mod ports;
mod reason;
pub mod resources;
pub mod spread;
mod taints;
pub mod volumes;

use std::fmt;

use crate::cluster::{Free, NodeShape, NodeState, PodShape};
pub use resources::Resource;
pub use volumes::VolumeRule;

/// Something that can rule a node out for a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Constraint {
    /// The pod names nodes, and this is none of them.
    NodeName,
    /// The node is cordoned.
    Cordon,
    /// The node has a taint that the pod does not tolerate.
    Taint,
    /// The node lacks a label the pod asks for, or is none of those its node affinity requires.
    NodeSelector,
    /// The node's GPUs are of a model that the pod does not accept.
    GpuModel,
    /// The node's GPUs are split by MIG, and the pod wants a part of one by other means.
    Mig,
    /// A port that the pod opens on its node is taken there.
    HostPorts,
    /// Too little of this is left.
    Lack(Resource),
    /// The pod's volumes cannot be there, or not together with those of others.
    Volume(VolumeRule),
    /// The node lacks the label over which the pod's like are to be spread.
    SpreadLabel,
    /// Too many of the pod's like are there already, compared with elsewhere.
    Spread,
    /// Those are not near whom the pod must be near to.
    PodAffinity,
    /// Somebody is near whom the pod must be away from.
    PodAntiAffinity,
    /// Somebody is near who wants the pod away.
    Unwanted,
}

impl Constraint {
    /// Every constraint, in the order they are tried.
    pub const ALL: [Constraint; 27] = [
        Constraint::NodeName,
        Constraint::Cordon,
        Constraint::Taint,
        Constraint::NodeSelector,
        Constraint::GpuModel,
        Constraint::Mig,
        Constraint::HostPorts,
        Constraint::Lack(Resource::Pods),
        Constraint::Lack(Resource::Cpu),
        Constraint::Lack(Resource::Memory),
        Constraint::Lack(Resource::Gpus),
        Constraint::Lack(Resource::GpuShare),
        Constraint::Lack(Resource::GpuMemory),
        Constraint::Lack(Resource::Mig),
        Constraint::Lack(Resource::Other),
        Constraint::Volume(VolumeRule::Disk),
        Constraint::Volume(VolumeRule::Sole),
        Constraint::Volume(VolumeRule::Count),
        Constraint::Volume(VolumeRule::Affinity),
        Constraint::Volume(VolumeRule::NoneFree),
        Constraint::Volume(VolumeRule::Missing),
        Constraint::Volume(VolumeRule::Zone),
        Constraint::SpreadLabel,
        Constraint::Spread,
        Constraint::PodAffinity,
        Constraint::PodAntiAffinity,
        Constraint::Unwanted,
    ];
}

/// One rule about a node as such: may this pod run on such a node at all?
type ShapeRule = fn(&NodeShape, &PodShape) -> bool;

/// kube-scheduler's order: NodeUnschedulable, TaintToleration, NodeAffinity (GPU model and MIG strategy are labels there).
const SHAPE_RULES: [(Constraint, ShapeRule); 5] = [
    (Constraint::Cordon, cordon::allows),
    (Constraint::Taint, taints::allow),
    (Constraint::NodeSelector, node_affinity::allows),
    (Constraint::GpuModel, gpu_model::allows),
    (Constraint::Mig, mig::allows),
];

/// The first rule about the node as such that keeps the pod away, if any.
pub fn shape_rejection(node: &NodeShape, pod: &PodShape) -> Option<Constraint> {
    SHAPE_RULES.iter().find(|(_, allows)| !allows(node, pod)).map(|(constraint, _)| *constraint)
}

/// The first rule that keeps the pod away but for what is left of resources, if any, with this much free.
pub fn rejection(node: &NodeShape, free: &Free, pod: &PodShape) -> Option<Constraint> {
    shape_rejection(node, pod).or_else(|| (!ports::are_open(free, pod)).then_some(Constraint::HostPorts))
}

/// May the pod run on a node in this state, now or once those that leave have gone?
pub fn fits(node: &NodeState, pod: &PodShape) -> bool {
    resources::fit(&node.shape, node.later(), pod) && shape_rejection(&node.shape, pod).is_none()
}

/// Would a pod that fits on the node have to wait until others have left? Where it need not, there are GPUs for it that
/// are free now and stay so.
pub fn must_wait(node: &NodeState, pod: &PodShape) -> bool {
    node.later.is_some() && !resources::fit(&node.shape, &node.at_once(), pod)
}

/// How many such pods may run on a node in this state at once, when those that leave have gone.
pub(crate) fn how_many(node: &NodeState, pod: &PodShape) -> u32 {
    if shape_rejection(&node.shape, pod).is_some() { 0 } else { resources::how_many(&node.shape, node.later(), pod) }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Constraint::Cordon => write!(f, "cordoned"),
            Constraint::Taint => write!(f, "tainted"),
            Constraint::NodeSelector => write!(f, "without the labels asked for"),
            Constraint::NodeName => write!(f, "not among those it names"),
            Constraint::GpuModel => write!(f, "of another GPU model"),
            Constraint::Mig => write!(f, "with GPUs split by MIG"),
            Constraint::HostPorts => write!(f, "without the host ports asked for"),
            Constraint::Lack(resource) => write!(f, "short of {resource}"),
            Constraint::Volume(rule) => write!(f, "{rule}"),
            Constraint::SpreadLabel => write!(f, "without the label it must be spread over"),
            Constraint::Spread => write!(f, "where it would be spread too unevenly"),
            Constraint::PodAffinity => write!(f, "without the pods it must be near to"),
            Constraint::PodAntiAffinity => write!(f, "with pods it must be away from"),
            Constraint::Unwanted => write!(f, "with pods that want it away"),
        }
    }
}

/// May the pod run on just these GPUs of the node, with this much free?
pub(crate) fn fits_on(node: &NodeState, free: &Free, pod: &PodShape, gpus: &[u8]) -> bool {
    resources::fit_on(&node.shape, free, pod, gpus) && shape_rejection(&node.shape, pod).is_none()
}
