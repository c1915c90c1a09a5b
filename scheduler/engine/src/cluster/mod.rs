//! What there is: nodes, what is free on them, and which pods hold what.
//! Owns all of that state and keeps it incrementally; [`Cluster::rebuild`] is the oracle tests compare it with.
//! May not decide anything: who goes where is told to it, and it does not check whether that fits.

mod class;
mod shape;
mod shared;
mod state;

use std::collections::{BTreeMap, BTreeSet};

pub use class::{ClassId, Classes, NodeClass, NodeState};
pub use shape::{
    GPUS_PER_NODE_MAX, GpuRequest, NodeShape, NodeSpec, PodShape, PodSpec, Taint, TaintEffect, Toleration,
};
pub(crate) use shared::Interner;
pub use shared::Shared;
pub use state::{Free, GpuIndexes, GpuKinds, PerGpu};

use crate::units::{NodeId, PodId};

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name, for people.
    pub name: String,
    /// The class of its present state.
    pub class: ClassId,
    /// The pods it runs.
    pub pods: BTreeSet<PodId>,
}

/// Where a placed pod is and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// What the pod asked for, and so holds.
    pub shape: Shared<PodShape>,
    /// On this node.
    pub node: NodeId,
    /// On these GPUs of it.
    pub gpus: GpuIndexes,
}

/// Nodes, free resources and placed pods.
#[derive(Debug)]
pub struct Cluster {
    shapes: Interner<NodeShape>,
    nodes: BTreeMap<NodeId, Node>,
    placed: BTreeMap<PodId, Placement>,
    classes: Classes,
    gpu_capacity_milli: u64,
    gpu_used_milli: u64,
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster {
            shapes: Interner::new(),
            nodes: BTreeMap::new(),
            placed: BTreeMap::new(),
            classes: Classes::default(),
            gpu_capacity_milli: 0,
            gpu_used_milli: 0,
        }
    }
}

impl Cluster {
    /// All nodes, by id.
    pub fn nodes(&self) -> &BTreeMap<NodeId, Node> {
        &self.nodes
    }

    /// How many node shapes there have ever been; grows whenever one comes that was not there.
    pub fn shapes_known(&self) -> u32 {
        self.shapes.handed_out()
    }

    /// The shapes of the nodes present, and perhaps some that are gone.
    pub fn shapes(&self) -> impl Iterator<Item = &NodeShape> {
        self.shapes.values()
    }

    /// All placed pods, by id.
    pub fn placed(&self) -> &BTreeMap<PodId, Placement> {
        &self.placed
    }

    /// The node classes.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// All GPUs of all nodes, thousandths.
    pub fn gpu_capacity_milli(&self) -> u64 {
        self.gpu_capacity_milli
    }

    /// GPU held by placed pods, thousandths.
    pub fn gpu_used_milli(&self) -> u64 {
        self.gpu_used_milli
    }

    /// The state of a node that is there.
    pub fn state(&self, node: NodeId) -> Option<&NodeState> {
        self.nodes.get(&node).map(|node| &self.classes.get(node.class).state)
    }

    pub(crate) fn add_node(&mut self, id: NodeId, spec: NodeSpec) {
        let shape = self.shapes.intern(spec.shape);
        self.gpu_capacity_milli += 1000 * shape.gpus as u64;
        let free = Free::all_of(&shape);
        let class = self.classes.insert(id, NodeState { shape, free, kinds: GpuKinds::default() });
        self.nodes.insert(id, Node { name: spec.name, class, pods: BTreeSet::new() });
    }

    /// Takes a node out, with the pods on it; returns those.
    pub(crate) fn remove_node(&mut self, id: NodeId) -> BTreeSet<PodId> {
        let Some(node) = self.nodes.remove(&id) else { return BTreeSet::new() };
        self.gpu_capacity_milli -= 1000 * self.classes.get(node.class).state.shape.gpus as u64;
        self.classes.remove(id, node.class);
        for pod in &node.pods {
            if let Some(placement) = self.placed.remove(pod) {
                self.gpu_used_milli -= placement.shape.gpu.total_milli();
            }
        }
        node.pods
    }

    /// Puts a pod where the caller has found room for it.
    pub(crate) fn place(&mut self, pod: PodId, placement: Placement) {
        self.gpu_used_milli += placement.shape.gpu.total_milli();
        self.restate(placement.node, |state, pods, _| {
            state.free.take(&placement.shape, &placement.gpus);
            state.kinds = state.kinds.with(GpuKinds::of(placement.shape.gpu));
            pods.insert(pod);
        });
        self.placed.insert(pod, placement);
    }

    /// Takes a placed pod off its node; returns where it was.
    pub(crate) fn release(&mut self, pod: PodId) -> Option<Placement> {
        let placement = self.placed.remove(&pod)?;
        self.gpu_used_milli -= placement.shape.gpu.total_milli();
        self.restate(placement.node, |state, pods, placed| {
            state.free.give_back(&placement.shape, &placement.gpus);
            pods.remove(&pod);
            let kinds = pods.iter().filter_map(|pod| placed.get(pod)).map(|other| GpuKinds::of(other.shape.gpu));
            state.kinds = kinds.fold(GpuKinds::default(), GpuKinds::with);
        });
        Some(placement)
    }

    /// Changes one node's state and moves it to the class of the new state.
    fn restate(
        &mut self,
        id: NodeId,
        change: impl FnOnce(&mut NodeState, &mut BTreeSet<PodId>, &BTreeMap<PodId, Placement>),
    ) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let mut state = self.classes.get(node.class).state.clone();
        change(&mut state, &mut node.pods, &self.placed);
        self.classes.remove(id, node.class);
        node.class = self.classes.insert(id, state);
    }

    /// The same cluster built from nothing: every node added anew, every pod placed again. Slower, and obviously right.
    pub fn rebuild(&self) -> Cluster {
        let mut rebuilt = Cluster::default();
        for (&id, node) in &self.nodes {
            let shape = NodeShape::clone(&self.classes.get(node.class).state.shape);
            rebuilt.add_node(id, NodeSpec { name: node.name.clone(), shape });
        }
        for (&pod, placement) in &self.placed {
            rebuilt.place(pod, placement.clone());
        }
        rebuilt
    }

    /// A number that two clusters share exactly when nodes, free resources, placed pods and class membership agree.
    pub fn digest(&self) -> u64 {
        let mut digest = Fnv::new();
        for (id, node) in &self.nodes {
            let class = self.classes.get(node.class);
            digest.write(&format!("{id} {} {:?} {:?}", node.name, *class.state.shape, class.state.free));
            digest.write(&format!("{:?} {:?} {:?}", class.state.kinds, class.members, node.pods));
        }
        for (pod, placement) in &self.placed {
            digest.write(&format!("{pod} {:?} {} {:?}", *placement.shape, placement.node, placement.gpus));
        }
        digest.write(&format!("{} {} {}", self.gpu_capacity_milli, self.gpu_used_milli, self.classes.len()));
        digest.0
    }
}

/// FNV-1a, 64 bits: enough to tell states apart in tests, and the same on every machine.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, text: &str) {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
