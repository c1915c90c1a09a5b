//! The engine as a driver sees it: tell it what happened, ask it what to do.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::cluster::{Cluster, GPUS_PER_NODE_MAX, Interner, PodShape, PodSpec};
use crate::cycle;
use crate::decision::Decision;
use crate::event::{Event, EventError};
use crate::placement::{Demand, Placer, Policy, TieBreak};
use crate::queue::{Queue, Turn};
use crate::units::{PodId, Timestamp};

/// How an engine decides; fixed for its life.
#[derive(Debug, Clone)]
pub struct Config {
    /// Orders the nodes a pod fits on.
    pub policy: Policy,
    /// Decides between nodes the policy finds equally good.
    pub ties: TieBreak,
    /// Where the policy takes its expectation of future pods from.
    pub demand: Demand,
    /// Seed of the `random` policy; no other policy uses it.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { policy: Policy::Berth, ties: TieBreak::Rank, demand: Demand::Learnt, seed: 0 }
    }
}

/// Cluster, queue and policy: everything a decision depends on.
#[derive(Debug)]
pub struct Engine {
    cluster: Cluster,
    queue: Queue,
    placer: Placer,
    shapes: Interner<PodShape>,
    turns: BTreeMap<PodId, Turn>,
}

impl Engine {
    /// An engine that knows of no node and no pod yet.
    pub fn new(config: Config) -> Self {
        Engine {
            cluster: Cluster::default(),
            queue: Queue::default(),
            placer: Placer::new(config),
            shapes: Interner::new(),
            turns: BTreeMap::new(),
        }
    }

    /// What there is, as the engine believes.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// How many pods wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes note of one event.
    ///
    /// # Errors
    /// When the event contradicts what is known; the engine is then as it was before.
    pub fn apply(&mut self, event: Event, now: Timestamp) -> Result<(), EventError> {
        match event {
            Event::NodeAdded { node, spec } => {
                if self.cluster.nodes().contains_key(&node) {
                    return Err(EventError::NodeTwice { node, name: spec.name });
                }
                if spec.shape.gpus > GPUS_PER_NODE_MAX {
                    let (gpus, limit) = (spec.shape.gpus, GPUS_PER_NODE_MAX);
                    return Err(EventError::TooManyGpus { name: spec.name, gpus, limit });
                }
                if !spec.shape.mig_is_possible() {
                    return Err(EventError::BadMigShape { name: spec.name });
                }
                self.cluster.add_node(node, spec);
                self.queue.unblock();
            }
            Event::NodeRemoved { node } => {
                if !self.cluster.nodes().contains_key(&node) {
                    return Err(EventError::NoSuchNode { node });
                }
                for pod in self.cluster.remove_node(node) {
                    self.turns.remove(&pod);
                }
            }
            Event::PodAdded { pod, spec } => self.add_pod(pod, spec, now)?,
            Event::PodGone { pod } => {
                self.turns.remove(&pod).ok_or(EventError::NoSuchPod { pod })?;
                if !self.queue.remove(pod) {
                    self.cluster.release(pod);
                    self.queue.unblock();
                }
            }
            Event::BindFailed { pod } => {
                let turn = *self.turns.get(&pod).ok_or(EventError::NoSuchPod { pod })?;
                let placement = self.cluster.release(pod).ok_or(EventError::NotPlaced { pod })?;
                self.queue.unblock();
                self.queue.push(turn, placement.shape);
            }
        }
        Ok(())
    }

    /// Decides everything that can be decided now, and books it. Call it when the batch of events is drained.
    pub fn decide(&mut self, _now: Timestamp) -> Vec<Decision> {
        cycle::decide(&mut self.cluster, &mut self.queue, &mut self.placer)
    }

    fn add_pod(&mut self, pod: PodId, spec: PodSpec, now: Timestamp) -> Result<(), EventError> {
        if self.turns.contains_key(&pod) {
            return Err(EventError::PodTwice { pod, name: spec.name });
        }
        let mut shape = spec.shape;
        if !shape.gpu.is_possible() {
            return Err(EventError::BadGpuRequest { name: spec.name, asked: shape.gpu });
        }
        if !shape.is_possible() {
            return Err(EventError::BadMigRequest { name: spec.name });
        }
        if !shape.wants_gpu() {
            shape.gpu_models.clear(); // says nothing about a pod that wants no GPU
        }
        let shape = self.shapes.intern(shape);
        self.placer.observe(&self.cluster, &shape);
        let turn = Turn { priority: Reverse(spec.priority), arrived: now, pod };
        self.turns.insert(pod, turn);
        self.queue.push(turn, shape);
        Ok(())
    }
}
