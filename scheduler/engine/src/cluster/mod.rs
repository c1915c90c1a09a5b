//! What there is: nodes, what is free on them, and which pods hold what.
//! Owns all of that state and keeps it incrementally; [`Cluster::rebuild`] is the oracle tests compare it with.
//! May not decide anything: who goes where is told to it, and it does not check whether that fits.

mod class;
mod request;
mod shape;
mod shared;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use class::{ClassId, Classes, NodeClass};
pub use request::{GpuRequest, Share, ShareSize, mig_slices};
pub use shape::{
    GPUS_PER_NODE_MAX, Member, MigShape, NodeShape, NodeSpec, PodShape, PodSpec, Seat, Taint, TaintEffect, Toleration,
};
pub(crate) use shared::Interner;
pub use shared::Shared;
pub use state::{Free, GpuIndexes, GpuKinds, Hold, NodeState, PerGpu};

use crate::filter;
use crate::units::{NodeId, PodId};

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name, for people.
    pub name: String,
    /// The class of its present state.
    pub class: ClassId,
    /// The pods that hold something of it, now or later.
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
    /// Now, later, or both.
    pub hold: Hold,
}

impl Placement {
    /// GPU it takes now of such a node, thousandths.
    fn gpu_used_milli(&self, node: &NodeShape) -> u64 {
        if self.hold.is_now() { self.shape.gpu_milli_on(node) } else { 0 }
    }

    /// What it adds to the kinds of pods that its node runs.
    fn kinds(&self) -> GpuKinds {
        if self.hold.is_later() { GpuKinds::of(self.shape.gpu) } else { GpuKinds::default() }
    }
}

/// Nodes, free resources and placed pods.
#[derive(Debug, Default)]
pub struct Cluster {
    shapes: Interner<NodeShape>,
    nodes: BTreeMap<NodeId, Node>,
    placed: BTreeMap<PodId, Placement>,
    classes: Classes,
    /// Node shapes that are present, by number, with how many nodes have them.
    populations: BTreeMap<u32, (Shared<NodeShape>, usize)>,
    /// Counts nodes that came or went.
    nodes_changed: u64,
    gpu_capacity_milli: u64,
    gpu_used_milli: u64,
    /// Placements that hold their place only now or only later.
    in_motion: usize,
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

    /// The node shapes that are present, each with how many nodes have it.
    pub(crate) fn populations(&self) -> impl Iterator<Item = (&Shared<NodeShape>, usize)> {
        self.populations.values().map(|(shape, nodes)| (shape, *nodes))
    }

    /// Grows whenever a node comes or goes.
    pub(crate) fn nodes_changed(&self) -> u64 {
        self.nodes_changed
    }

    /// All placed pods, by id.
    pub fn placed(&self) -> &BTreeMap<PodId, Placement> {
        &self.placed
    }

    /// The node classes.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// The classes that have nodes in scope (ascending ids; `None` = all nodes), each with its first node there. Ids
    /// that are not in the cluster are passed over.
    pub fn firsts_of_classes(&self, scope: Option<&[NodeId]>) -> Vec<(ClassId, NodeId)> {
        let Some(scope) = scope else {
            let first = |class: ClassId| Some((class, *self.classes.get(class).members.first()?));
            return self.classes.ids().filter_map(first).collect();
        };
        let mut met = vec![false; self.classes.slots().len()];
        let class_of = |node: &NodeId| Some((self.nodes.get(node)?.class, *node));
        let first = |(class, _): &(ClassId, NodeId)| !std::mem::replace(&mut met[class.index()], true);
        scope.iter().filter_map(class_of).filter(first).collect()
    }

    /// The least GPU memory of any known node shape, MiB; 0 where none is known.
    pub fn gpu_memory_least_mib(&self) -> u32 {
        self.shapes().map(|shape| shape.gpu_memory_mib).filter(|mib| *mib > 0).min().unwrap_or(0)
    }

    /// All GPUs of all nodes, thousandths; see [`NodeShape::gpu_milli`].
    pub fn gpu_capacity_milli(&self) -> u64 {
        self.gpu_capacity_milli
    }

    /// GPU that pods take now, thousandths: those that leave included, promises left out. Memory is rounded up to
    /// hundredths of a GPU, so the sum may exceed the capacity a little.
    pub fn gpu_used_milli(&self) -> u64 {
        self.gpu_used_milli
    }

    /// Is any pod leaving, or promised the place of one that is?
    pub fn is_in_motion(&self) -> bool {
        self.in_motion > 0
    }

    /// Will there be room for a pod on just these GPUs, later?
    pub fn fits_later(&self, place: &Placement) -> bool {
        self.state(place.node).is_some_and(|node| filter::fits_on(node, node.later(), &place.shape, &place.gpus))
    }

    /// Will there be room, later, for a pod that is there already? Nothing else could keep it away.
    pub(crate) fn has_room_later(&self, place: &Placement) -> bool {
        self.state(place.node).is_some_and(|node| node.can_seat(&place.shape, &place.gpus, Hold::Promised))
    }

    /// Is there room for a pod on just these GPUs, now?
    pub fn fits_now(&self, place: &Placement) -> bool {
        self.state(place.node).is_some_and(|node| filter::fits_on(node, &node.free, &place.shape, &place.gpus))
    }

    /// The state of a node that is there.
    pub fn state(&self, node: NodeId) -> Option<&NodeState> {
        self.nodes.get(&node).map(|node| &self.classes.get(node.class).state)
    }

    pub(crate) fn add_node(&mut self, id: NodeId, spec: NodeSpec) {
        let shape = self.shapes.intern(spec.shape);
        self.gpu_capacity_milli += shape.gpu_milli();
        self.populations.entry(shape.id()).or_insert_with(|| (shape.clone(), 0)).1 += 1;
        self.nodes_changed += 1;
        let class = self.classes.insert(id, NodeState::empty(shape));
        self.nodes.insert(id, Node { name: spec.name, class, pods: BTreeSet::new() });
    }

    /// Could a node be of this shape, with all pods on it?
    pub(crate) fn could_be(&mut self, id: NodeId, shape: &NodeShape) -> bool {
        let mut state = NodeState::empty(self.shapes.intern(shape.clone()));
        let Some(node) = self.nodes.get(&id) else { return false };
        node.pods.iter().filter_map(|pod| self.placed.get(pod)).all(|place| {
            let fits = state.can_seat(&place.shape, &place.gpus, place.hold);
            if fits {
                state.take(&place.shape, &place.gpus, place.hold);
            }
            fits
        })
    }

    /// Takes a node out, with the pods on it; returns those.
    pub(crate) fn remove_node(&mut self, id: NodeId) -> BTreeSet<PodId> {
        let Some(node) = self.nodes.remove(&id) else { return BTreeSet::new() };
        let shape = self.classes.get(node.class).state.shape.clone();
        self.gpu_capacity_milli -= shape.gpu_milli();
        if let Some((_, nodes)) = self.populations.get_mut(&shape.id()) {
            *nodes -= 1;
            if *nodes == 0 {
                self.populations.remove(&shape.id());
            }
        }
        self.nodes_changed += 1;
        self.classes.remove(id, node.class);
        for pod in &node.pods {
            if let Some(placement) = self.placed.remove(pod) {
                self.gpu_used_milli -= placement.gpu_used_milli(&shape);
                self.in_motion -= usize::from(placement.hold != Hold::Held);
            }
        }
        node.pods
    }

    /// Puts a pod where the caller has found room for it.
    pub(crate) fn place(&mut self, pod: PodId, placement: Placement) {
        let used = self.restate(placement.node, |state, pods, _| {
            state.take(&placement.shape, &placement.gpus, placement.hold);
            state.kinds = state.kinds.with(placement.kinds());
            pods.insert(pod);
            placement.gpu_used_milli(&state.shape)
        });
        self.gpu_used_milli += used.unwrap_or(0);
        self.in_motion += usize::from(placement.hold != Hold::Held);
        self.placed.insert(pod, placement);
    }

    /// Takes a placed pod off its node; returns where it was.
    pub(crate) fn release(&mut self, pod: PodId) -> Option<Placement> {
        let placement = self.placed.remove(&pod)?;
        let used = self.restate(placement.node, |state, pods, placed| {
            state.give_back(&placement.shape, &placement.gpus, placement.hold);
            pods.remove(&pod);
            let kinds = pods.iter().filter_map(|pod| placed.get(pod)).map(Placement::kinds);
            state.kinds = kinds.fold(GpuKinds::default(), GpuKinds::with);
            placement.gpu_used_milli(&state.shape)
        });
        self.gpu_used_milli -= used.unwrap_or(0);
        self.in_motion -= usize::from(placement.hold != Hold::Held);
        Some(placement)
    }

    /// Changes one node's state and moves it to the class of the new state; `None` where there is no such node.
    fn restate<T>(
        &mut self,
        id: NodeId,
        change: impl FnOnce(&mut NodeState, &mut BTreeSet<PodId>, &BTreeMap<PodId, Placement>) -> T,
    ) -> Option<T> {
        let node = self.nodes.get_mut(&id)?;
        let mut state = self.classes.get(node.class).state.clone();
        let said = change(&mut state, &mut node.pods, &self.placed);
        self.classes.remove(id, node.class);
        node.class = self.classes.insert(id, state);
        Some(said)
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
            digest.write(&format!("{:?} {:?}", class.state.later, class.state.kinds));
            digest.write(&format!("{:?} {:?}", class.members, node.pods));
        }
        for (pod, placement) in &self.placed {
            digest.write(&format!("{pod} {:?} {} {:?}", *placement.shape, placement.node, placement.gpus));
            digest.write(&format!("{:?}", placement.hold));
        }
        digest.write(&format!("{} {} {}", self.gpu_capacity_milli, self.gpu_used_milli, self.classes.len()));
        digest.0
    }
}

/// FNV-1a, 64 bits: enough to tell states apart in tests, and the same on every machine.
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn value(&self) -> u64 {
        self.0
    }

    pub(crate) fn write(&mut self, text: &str) {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
