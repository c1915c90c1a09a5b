//! Nodes come, change and go: the accounts that hang on what they offer.

use std::collections::BTreeSet;

use super::{State, Whereabouts, signed};
use crate::cluster::{NodeShape, NodeSpec};
use crate::queue::amounts::Amounts;
use crate::units::{NodeId, PodId};

impl State {
    pub(crate) fn add_node(&mut self, id: NodeId, spec: NodeSpec) {
        self.count_capacity(&spec.shape, 1);
        self.names.insert(spec.name.clone(), id);
        self.topologies.add_node(id, &spec.shape.labels);
        self.cluster.add_node(id, spec);
    }

    /// The pods that have something on a node, now or later.
    pub(crate) fn owners_on(&self, id: NodeId) -> BTreeSet<PodId> {
        self.cluster.nodes().get(&id).into_iter().flat_map(|node| &node.pods).map(|pod| pod.owner()).collect()
    }

    /// A node is of another shape from now on, with all pods on it. One that offers less than is in use keeps what it had of
    /// that and takes nobody, until enough of them are gone.
    pub(crate) fn change_node(&mut self, id: NodeId, shape: NodeShape) {
        let Some((name, old)) = self
            .cluster
            .nodes()
            .get(&id)
            .zip(self.cluster.state(id))
            .map(|(node, state)| (node.name.clone(), NodeShape::clone(&state.shape)))
        else {
            return;
        };
        let (shape, narrowed) = if self.cluster.could_be(id, &shape) {
            (shape, None)
        } else {
            // What it had is enough for those on it. Its labels and taints are the new ones.
            let (labels, taints) = (shape.labels.clone(), shape.taints.clone());
            (NodeShape { labels, taints, unschedulable: true, ..old }, Some(shape))
        };
        let homes: Vec<(PodId, Whereabouts)> =
            self.owners_on(id).into_iter().map(|pod| (pod, self.whereabouts(pod))).collect();
        homes.iter().for_each(|(pod, _)| {
            self.set(*pod, Whereabouts::PENDING);
        });
        self.remove_node(id);
        self.add_node(id, NodeSpec { name, shape });
        self.narrowed.extend(narrowed.map(|shape| (id, shape)));
        homes.into_iter().for_each(|(pod, home)| {
            self.set(pod, home);
        });
    }

    /// Nodes that offered less than was in use are what they offer, where enough of that has gone by now.
    pub(crate) fn settle_narrowed(&mut self) {
        for (id, shape) in self.narrowed.clone() {
            if self.cluster.could_be(id, &shape) {
                self.change_node(id, shape);
            }
        }
    }

    /// Takes out a node; its pods must have been moved or removed before.
    pub(crate) fn remove_node(&mut self, id: NodeId) {
        let Some(shape) = self.cluster.state(id).map(|state| state.shape.clone()) else { return };
        self.narrowed.remove(&id);
        self.count_capacity(&shape, -1);
        self.topologies.remove_node(id, &shape.labels);
        if let Some(node) = self.cluster.nodes().get(&id) {
            self.names.remove(&node.name);
        }
        self.cluster.remove_node(id);
    }

    /// Counts a node in or out.
    fn count_capacity(&mut self, node: &NodeShape, times: i64) {
        let (gpu, mib) = (signed(node.gpu_milli()), signed(node.memory_bytes >> 20));
        self.capacity.add(&Amounts::of(gpu, signed(node.cpu_milli), mib), times);
        *self.capacity_by_model.entry(node.gpu_model.clone()).or_default() += gpu * times;
        let known = self.memories.len();
        let count = self.memories.entry(node.gpu_memory_mib).or_default();
        *count += times;
        if *count == 0 {
            self.memories.remove(&node.gpu_memory_mib);
        }
        if self.memories.len() != known {
            self.queues.all_stale(); // what memory asked for comes to in GPUs depends on these
        }
    }
}
