//! Topologies: which nodes are close to each other. A node's domain at a level is its label values from the widest level
//! down to that one. Owns the domains' nodes, kept incrementally. May not know what runs on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::units::NodeId;

/// A domain: label values from the widest level down; empty for the whole topology.
pub type Path = Vec<String>;

/// One topology.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    /// Node label keys, the widest level first.
    pub levels: Vec<String>,
    /// Nodes by domain, of every level; a domain's depth is the length of its path.
    domains: BTreeMap<Path, Arc<Vec<NodeId>>>,
}

impl Topology {
    /// A node's full path, if it has a label for every level.
    pub fn path(&self, labels: &BTreeMap<String, String>) -> Option<Path> {
        self.levels.iter().map(|level| labels.get(level).cloned()).collect()
    }

    /// How deep a level is: 1 for the widest.
    pub fn depth(&self, level: &str) -> Option<usize> {
        self.levels.iter().position(|known| known == level).map(|index| index + 1)
    }

    /// The domains of a depth (0 = the whole topology) and their nodes, ascending.
    pub fn domains(&self, depth: usize) -> impl Iterator<Item = (&Path, &Arc<Vec<NodeId>>)> {
        self.domains.iter().filter(move |(path, _)| path.len() == depth)
    }

    fn change(&mut self, node: NodeId, labels: &BTreeMap<String, String>, add: bool) {
        let Some(path) = self.path(labels) else { return };
        for depth in 0..=path.len() {
            let domain = path[..depth].to_vec();
            let nodes = Arc::make_mut(self.domains.entry(domain.clone()).or_default());
            match (nodes.binary_search(&node), add) {
                (Err(at), true) => nodes.insert(at, node),
                (Ok(at), false) => {
                    nodes.remove(at);
                }
                _ => {}
            }
            if nodes.is_empty() {
                self.domains.remove(&domain);
            }
        }
    }
}

/// Every topology, by name.
#[derive(Debug, Clone, Default)]
pub struct Topologies {
    known: BTreeMap<String, Topology>,
    changed: u64,
}

impl Topologies {
    /// The topology of this name.
    pub fn get(&self, name: &str) -> Option<&Topology> {
        self.known.get(name)
    }

    /// Grows whenever a domain changes.
    pub(crate) fn changed(&self) -> u64 {
        self.changed
    }

    /// Adds or changes a topology; `nodes` are all nodes there are, with their labels.
    pub(crate) fn set<'a>(
        &mut self,
        name: &str,
        levels: Vec<String>,
        nodes: impl Iterator<Item = (NodeId, &'a BTreeMap<String, String>)>,
    ) {
        let mut topology = Topology { levels, domains: BTreeMap::new() };
        for (node, labels) in nodes {
            topology.change(node, labels, true);
        }
        self.known.insert(name.to_owned(), topology);
        self.changed += 1;
    }

    /// The same topologies before any node came.
    pub(crate) fn without_nodes(&self) -> Topologies {
        let mut bare = Topologies::default();
        for (name, topology) in &self.known {
            bare.set(name, topology.levels.clone(), std::iter::empty());
        }
        bare
    }

    pub(crate) fn add_node(&mut self, node: NodeId, labels: &BTreeMap<String, String>) {
        self.known.values_mut().for_each(|topology| topology.change(node, labels, true));
    }

    pub(crate) fn remove_node(&mut self, node: NodeId, labels: &BTreeMap<String, String>) {
        self.known.values_mut().for_each(|topology| topology.change(node, labels, false));
    }
}
