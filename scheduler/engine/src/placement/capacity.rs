//! For one pod shape: how many such pods fit at once, later. Counted per node class, remembered while the class stands;
//! the sum over all nodes is kept in step through the cluster's change log.

use crate::cluster::{ClassId, Classes, Cluster, NodeClass, PodShape};
use crate::filter;
use crate::units::NodeId;

/// What is known of one class slot.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    /// The slot's generation when counted; `None` while it has not been.
    generation: Option<u32>,
    /// Pods per node.
    each: u32,
    /// What the slot has added to the sum over all nodes.
    added: u64,
}

/// The counts for one pod shape.
#[derive(Debug, Default)]
pub(super) struct Capacity {
    seen: u64,
    counts: Vec<Count>,
    total: u64,
}

impl Capacity {
    /// Over all nodes.
    pub(super) fn everywhere(&mut self, classes: &Classes, pod: &PodShape) -> u64 {
        self.counts.resize(classes.slots().len(), Count::default());
        match classes.changed_since(self.seen) {
            Some(changed) => changed.iter().for_each(|class| self.refresh(classes, *class, pod)),
            None => classes.ids().for_each(|class| self.refresh(classes, class, pod)),
        }
        self.seen = classes.now();
        self.total
    }

    /// Over these nodes, those not in the cluster passed over; counts no further than needed to reach `at_most`.
    pub(super) fn among(&mut self, cluster: &Cluster, scope: &[NodeId], pod: &PodShape, at_most: u64) -> u64 {
        let classes = cluster.classes();
        self.counts.resize(classes.slots().len(), Count::default());
        let mut sum = 0;
        for node in scope.iter().filter_map(|node| cluster.nodes().get(node)) {
            if sum >= at_most {
                break;
            }
            sum += u64::from(self.each(classes.get(node.class), node.class, pod));
        }
        sum
    }

    fn refresh(&mut self, classes: &Classes, id: ClassId, pod: &PodShape) {
        let class = classes.get(id);
        let members = class.members.len() as u64;
        let adds = if members == 0 { 0 } else { members * u64::from(self.each(class, id, pod)) };
        let count = &mut self.counts[id.index()];
        self.total = self.total - count.added + adds;
        count.added = adds;
    }

    /// Pods per node of an inhabited class.
    fn each(&mut self, class: &NodeClass, id: ClassId, pod: &PodShape) -> u32 {
        let count = &mut self.counts[id.index()];
        if count.generation != Some(class.generation) {
            count.generation = Some(class.generation);
            count.each = filter::how_many(&class.state, pod);
        }
        count.each
    }
}
