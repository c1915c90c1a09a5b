//! Nodes come, change and go, and what that means for the pods on them.

use std::collections::BTreeSet;

use super::Engine;
use crate::cluster::{GPUS_PER_NODE_MAX, NodeSpec};
use crate::event::EventError;
use crate::gang::{Health, Stage};
use crate::state::Whereabouts;
use crate::units::{GangId, NodeId, PodId};

/// A node that the engine can model.
fn possible(spec: NodeSpec) -> Result<NodeSpec, EventError> {
    if spec.shape.gpus > GPUS_PER_NODE_MAX {
        let (gpus, limit) = (spec.shape.gpus, GPUS_PER_NODE_MAX);
        return Err(EventError::TooManyGpus { name: spec.name, gpus, limit });
    }
    if !spec.shape.mig_is_possible() {
        return Err(EventError::BadMigShape { name: spec.name });
    }
    Ok(spec)
}

impl Engine {
    pub(super) fn add_node(&mut self, node: NodeId, spec: NodeSpec) -> Result<(), EventError> {
        if self.state.cluster.nodes().contains_key(&node) {
            return Err(EventError::NodeTwice { node, name: spec.name });
        }
        let spec = possible(spec)?;
        self.state.add_node(node, spec);
        Ok(())
    }

    /// The pods on the node stay. Promises on it that it could not keep fall.
    pub(super) fn change_node(&mut self, node: NodeId, spec: NodeSpec) -> Result<(), EventError> {
        let known = self.state.cluster.nodes().get(&node).ok_or(EventError::NoSuchNode { node })?;
        if known.name != spec.name {
            return Err(EventError::NodeTwice { node, name: spec.name });
        }
        let NodeSpec { shape, .. } = possible(spec)?;
        self.reservations.leave_node(node);
        let mut touched: BTreeSet<GangId> = BTreeSet::new();
        if !self.state.cluster.could_be(node, &shape) {
            for pod in self.state.owners_on(node) {
                let there = self.state.whereabouts(pod);
                let promised = matches!(there.stage, Stage::Nominated { .. });
                if promised && there.place.as_ref().is_some_and(|place| place.node == node) {
                    touched.extend(self.state.pods.get(&pod).map(|pod| pod.gang));
                    self.promise_falls(pod, there);
                }
            }
        }
        self.state.change_node(node, shape);
        touched.into_iter().for_each(|gang| self.promises_fall_together(gang));
        Ok(())
    }

    pub(super) fn remove_node(&mut self, node: NodeId) -> Result<(), EventError> {
        let known = self.state.cluster.nodes().get(&node).ok_or(EventError::NoSuchNode { node })?;
        let mut touched: BTreeSet<GangId> = BTreeSet::new();
        for holder in known.pods.clone() {
            let pod = holder.owner();
            let there = self.state.whereabouts(pod);
            touched.extend(self.state.pods.get(&pod).map(|pod| pod.gang));
            if holder != pod {
                // It was leaving anyway; where it goes stays.
                self.state.set(pod, Whereabouts { former: None, ..there });
            } else if matches!(there.stage, Stage::Nominated { .. }) {
                self.promise_falls(pod, there);
            } else {
                self.forget_pod(pod);
            }
        }
        self.reservations.leave_node(node);
        self.state.volumes.set_limits(node, Default::default());
        self.state.remove_node(node);
        touched.into_iter().for_each(|gang| self.promises_fall_together(gang));
        Ok(())
    }

    /// A gang that lost pods or promises and would not be complete with what it has left gives back what else it was
    /// promised: it would hold room for a start that may never be. Its next chunk is tried again as a whole.
    pub(super) fn promises_fall_together(&mut self, gang: GangId) {
        let Some(known) = self.state.gangs.get(&gang).filter(|gang| gang.health() == Health::Damaged) else { return };
        let nominated =
            |pod: &PodId| self.state.pods.get(pod).is_some_and(|pod| matches!(pod.stage, Stage::Nominated { .. }));
        for pod in known.pods().filter(nominated).collect::<Vec<_>>() {
            let there = self.state.whereabouts(pod);
            self.promise_falls(pod, there);
        }
    }

    pub(super) fn promise_falls(&mut self, pod: PodId, there: Whereabouts) {
        let back = there.former.map_or(Whereabouts::PENDING, |place| Whereabouts::at(Stage::Evicted, place));
        self.state.set(pod, back);
        self.pod_changed(pod);
    }
}
