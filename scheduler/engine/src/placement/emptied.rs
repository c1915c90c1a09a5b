//! For one pod shape: how many such pods would fit if nothing ran, on one node, on all and in a domain. What does not fit even
//! then need not be searched for. Remembered until a node comes or goes.

use std::collections::BTreeMap;

use crate::cluster::{Cluster, Free, NodeShape, PodShape};
use crate::filter::{resources, shape_rejection};
use crate::topology::Topologies;

/// The counts for one pod shape.
#[derive(Debug, Default)]
pub(super) struct Emptied {
    /// The changes of nodes and of topologies that had been seen.
    seen: (u64, u64),
    /// By node shape: pods per node.
    each: BTreeMap<u32, u64>,
    total: u64,
    /// By topology and depth: in the roomiest domain, where somebody has asked for it.
    domains: BTreeMap<(String, usize), u64>,
}

impl Emptied {
    /// On one node at most, and on all nodes together.
    pub(super) fn nodes(&mut self, cluster: &Cluster, topologies: &Topologies, pod: &PodShape) -> (u64, u64) {
        self.catch_up(cluster, topologies, pod);
        (self.each.values().copied().max().unwrap_or(0), self.total)
    }

    /// In the roomiest domain of a depth.
    pub(super) fn domain(
        &mut self,
        cluster: &Cluster,
        topologies: &Topologies,
        pod: &PodShape,
        (topology, depth): (&str, usize),
    ) -> u64 {
        self.catch_up(cluster, topologies, pod);
        if let Some(most) = self.domains.get(&(topology.to_owned(), depth)) {
            return *most;
        }
        let on = |node| cluster.state(node).and_then(|state| self.each.get(&state.shape.id())).copied().unwrap_or(0);
        let domains = topologies.get(topology).into_iter().flat_map(|topology| topology.domains(depth));
        let most = domains.map(|(_, nodes)| nodes.iter().map(|node| on(*node)).sum()).max().unwrap_or(0);
        self.domains.insert((topology.to_owned(), depth), most);
        most
    }

    fn catch_up(&mut self, cluster: &Cluster, topologies: &Topologies, pod: &PodShape) {
        let now = (cluster.nodes_changed(), topologies.changed());
        if self.seen == now {
            return;
        }
        *self = Emptied { seen: now, ..Emptied::default() };
        for (shape, nodes) in cluster.populations() {
            let each = on_empty(shape, pod);
            self.each.insert(shape.id(), each);
            self.total += each * nodes as u64;
        }
    }
}

fn on_empty(node: &NodeShape, pod: &PodShape) -> u64 {
    match shape_rejection(node, pod) {
        Some(_) => 0,
        None => resources::how_many(node, &Free::all_of(node), pod).into(),
    }
}
