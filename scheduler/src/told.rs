//! What the engine has been told, under which ids, and what it has decided since. Owns the ids; a number is never used for
//! two things, except that of a node that is told anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_engine::cluster::GpuIndexes;
use berth_engine::gang::{GangSpec, Stage};
use berth_engine::state::Budget;
use berth_engine::{GangId, NodeId, NodeSpec, PodId, PodSpec, QueueId, QueueSpec};

use crate::gang::GangKey;
use crate::objects::Key;

/// Where the engine believes a pod to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    /// Nowhere.
    Waits,
    /// On a node, at a stage.
    Seat { stage: Stage, node: String, gpus: GpuIndexes },
}

/// A pod as it was told.
#[derive(Debug, Clone)]
pub(crate) struct ToldPod {
    pub(crate) id: PodId,
    pub(crate) uid: String,
    /// Without its gang and seat, which are in `gang` and `at`.
    pub(crate) spec: PodSpec,
    /// Gang and subgroup; without one it is outside of all queues.
    pub(crate) gang: Option<(GangKey, String)>,
    pub(crate) at: At,
    /// The engine has told it to stop.
    pub(crate) evicted: bool,
    /// The engine has promised it a place on this node.
    pub(crate) nominated: Option<String>,
}

/// A gang as it was told.
#[derive(Debug, Clone)]
pub(crate) struct ToldGang {
    pub(crate) id: GangId,
    pub(crate) spec: GangSpec,
    /// Pods that are gone but still known to the engine, which keeps their new places for their successors.
    pub(crate) ghosts: Vec<ToldPod>,
}

/// Everything told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) nodes: BTreeMap<String, (NodeId, NodeSpec)>,
    pub(crate) node_names: BTreeMap<NodeId, String>,
    /// In the order of telling, parents first.
    pub(crate) queues: Vec<(String, QueueId, QueueSpec)>,
    pub(crate) gangs: BTreeMap<GangKey, ToldGang>,
    pub(crate) gang_keys: BTreeMap<GangId, GangKey>,
    /// Gangs that have or had ghosts.
    pub(crate) haunted: BTreeSet<GangKey>,
    pub(crate) pods: BTreeMap<Key, ToldPod>,
    pub(crate) pod_keys: BTreeMap<PodId, Key>,
    /// Pods with a seat, by node.
    pub(crate) on_node: BTreeMap<String, BTreeSet<Key>>,
    /// What nodes can attach, of those that say so.
    pub(crate) limits: BTreeMap<String, BTreeMap<Arc<str>, u32>>,
    /// Nodes on which a place may be promised; on others none is.
    pub(crate) promised_on: BTreeSet<String>,
    pub(crate) topologies: BTreeMap<String, Vec<String>>,
    pub(crate) budgets: BTreeMap<String, Budget>,
    queue_ids: BTreeMap<String, QueueId>,
    node_ids: BTreeMap<String, NodeId>,
    next_node: u32,
    next_gang: u64,
    next_pod: u64,
}

impl Told {
    /// The id of a queue, the same for as long as this runs.
    pub(crate) fn queue_id(&mut self, name: &str) -> QueueId {
        let next = QueueId(self.queue_ids.len() as u32);
        *self.queue_ids.entry(name.to_owned()).or_insert(next)
    }

    /// A node is there, under the id it had before or a new one.
    pub(crate) fn add_node(&mut self, name: &str, spec: NodeSpec) -> NodeId {
        let next = NodeId(self.next_node);
        let id = *self.node_ids.entry(name.to_owned()).or_insert(next);
        self.next_node += u32::from(id == next);
        self.node_names.insert(id, name.to_owned());
        self.nodes.insert(name.to_owned(), (id, spec));
        id
    }

    /// A node is not there, for now.
    pub(crate) fn remove_node(&mut self, name: &str) {
        if let Some((id, _)) = self.nodes.remove(name) {
            self.node_names.remove(&id);
            self.limits.remove(name);
        }
    }

    /// A node will not come back: another one of its name is another node.
    pub(crate) fn forget_node(&mut self, name: &str) {
        self.node_ids.remove(name);
    }

    pub(crate) fn new_gang(&mut self) -> GangId {
        self.next_gang += 1;
        GangId(self.next_gang - 1)
    }

    pub(crate) fn new_pod(&mut self) -> PodId {
        self.next_pod += 1;
        PodId(self.next_pod - 1)
    }

    pub(crate) fn add_pod(&mut self, key: Key, pod: ToldPod) {
        if let At::Seat { node, .. } = &pod.at {
            self.on_node.entry(node.clone()).or_default().insert(key.clone());
        }
        self.promised_on.extend(pod.nominated.clone());
        self.pod_keys.insert(pod.id, key.clone());
        self.pods.insert(key, pod);
    }

    pub(crate) fn remove_pod(&mut self, key: &Key) -> Option<ToldPod> {
        let pod = self.pods.remove(key)?;
        self.pod_keys.remove(&pod.id);
        self.leave(key, &pod.at);
        Some(pod)
    }

    /// Another place or stage.
    pub(crate) fn move_pod(&mut self, key: &Key, to: At) {
        let Some(pod) = self.pods.get_mut(key) else { return };
        if let At::Seat { node, .. } = &to {
            self.on_node.entry(node.clone()).or_default().insert(key.clone());
        }
        let old = std::mem::replace(&mut pod.at, to.clone());
        if !matches!((&old, &to), (At::Seat { node, .. }, At::Seat { node: new, .. }) if node == new) {
            self.leave(key, &old);
        }
    }

    fn leave(&mut self, key: &Key, at: &At) {
        let At::Seat { node, .. } = at else { return };
        if let Some(there) = self.on_node.get_mut(node) {
            there.remove(key);
            if there.is_empty() {
                self.on_node.remove(node);
            }
        }
    }

    /// The lowest GPUs of a node that no pod told of has; `None` where there are too few. Which of them a pod has got is known
    /// to the kubelet alone; those of one node are alike.
    pub(crate) fn free_gpus(&self, node: &str, count: usize) -> Option<GpuIndexes> {
        let all = self.nodes.get(node).map_or(0, |(_, spec)| spec.shape.gpus);
        let pods = self.on_node.get(node).into_iter().flatten().filter_map(|key| self.pods.get(key));
        let taken: BTreeSet<u8> = pods
            .flat_map(|pod| match &pod.at {
                At::Seat { gpus, .. } => gpus.iter().copied().collect(),
                At::Waits => Vec::new(),
            })
            .collect();
        let free: GpuIndexes =
            (0..all).filter_map(|gpu| u8::try_from(gpu).ok()).filter(|gpu| !taken.contains(gpu)).take(count).collect();
        (free.len() == count).then_some(free)
    }
}
