//! Would there be room, were some units gone? A necessary condition only, and cheap: it spares most of the trying.
//! Owns nothing that lasts. Knows neither queues nor whether anybody may be evicted.

use std::collections::BTreeMap;

use super::Claim;
use super::asking::Considered;
use super::attempt::units;
use crate::cluster::{NodeState, PodShape, Shared};
use crate::cycle::Context;
use crate::filter;
use crate::state::State;
use crate::units::NodeId;

/// Are there enough places for each shape of the claimant's chunk?
#[derive(Clone)]
pub(super) struct Room {
    /// By shape: what is wanted, and what there is.
    wanted: Vec<(Shared<PodShape>, u64, u64)>,
    /// By shape: how many at most fit on one node, were it empty.
    on_empty: Vec<u64>,
    /// Nodes as they would be.
    freed: BTreeMap<NodeId, NodeState>,
}

impl Room {
    pub(super) fn of(context: &mut Context<'_>, claim: &Claim) -> Self {
        let mut wanted: Vec<(Shared<PodShape>, u64, u64)> = Vec::new();
        for pod in claim.chunk.pods().filter_map(|pod| context.state.pods.get(&pod)) {
            match wanted.iter_mut().find(|(shape, ..)| *shape == pod.shape) {
                Some((_, count, _)) => *count += 1,
                None => wanted.push((pod.shape.clone(), 1, 0)),
            }
        }
        for (shape, _, there) in &mut wanted {
            *there = context.placer.capacity(&context.state.cluster, shape, None, u64::MAX);
        }
        let State { cluster, topologies, .. } = &*context.state;
        let on_empty = wanted.iter().map(|(shape, ..)| context.placer.emptied(cluster, topologies, shape).0).collect();
        Room { on_empty, wanted, freed: BTreeMap::new() }
    }

    /// Could emptying one node be enough?
    pub(super) fn one_node_may_do(&self) -> bool {
        self.emptying_may_do(1)
    }

    /// Could emptying so many nodes be enough?
    fn emptying_may_do(&self, nodes: usize) -> bool {
        let mut shapes = self.wanted.iter().zip(&self.on_empty);
        shapes.all(|((_, wanted, there), most)| there + most * nodes as u64 >= *wanted)
    }

    /// How many places there are, of the first shape.
    pub(super) fn places(&self) -> u64 {
        self.wanted.first().map_or(0, |(_, _, there)| *there)
    }

    /// Is one shape all that is wanted?
    pub(super) fn is_uniform(&self) -> bool {
        self.wanted.len() == 1
    }

    /// Thinks a unit back that was thought away last on its nodes, and has given no place.
    pub(super) fn keep(&mut self, unit: &Considered) {
        for node in &unit.nodes {
            self.freed.remove(node);
        }
    }

    /// Thinks a unit away.
    pub(super) fn free(&mut self, state: &State, unit: &Considered) {
        for pod in &unit.pods {
            let Some(place) = state.cluster.placed().get(pod) else { continue };
            let Some(now) = state.cluster.state(place.node) else { continue };
            let node = self.freed.entry(place.node).or_insert_with(|| now.clone());
            let before: Vec<u64> =
                self.wanted.iter().map(|(shape, ..)| u64::from(filter::how_many(node, shape))).collect();
            node.without(place);
            for ((shape, _, there), before) in self.wanted.iter_mut().zip(before) {
                *there = *there + u64::from(filter::how_many(node, shape)) - before;
            }
        }
    }

    /// Takes units out of a set that would do without them, those that lose most first.
    pub(super) fn drop_unneeded(&mut self, state: &State, considered: &[Considered], set: &mut Vec<usize>) {
        let mut costliest_first = set.clone();
        costliest_first.sort_by_key(|index| (std::cmp::Reverse(considered[*index].loss), *index));
        for index in costliest_first {
            let without: Vec<usize> = set.iter().copied().filter(|other| *other != index).collect();
            let is_last =
                without.iter().all(|other| considered[*other].gang != considered[index].gang || *other < index);
            if is_last && !without.is_empty() && self.could_do_with(state, &units(considered, &without)) {
                *set = without;
            }
        }
    }

    /// Could any pod of the chunk be where this unit was, of all that was thought away so far?
    pub(super) fn is_useful(&self, unit: &Considered) -> bool {
        let fits = |node: &NodeState| self.wanted.iter().any(|(shape, ..)| filter::fits(node, shape));
        unit.nodes.iter().any(|node| self.freed.get(node).is_none_or(fits))
    }

    pub(super) fn could_do(&self) -> bool {
        self.wanted.iter().all(|(_, wanted, there)| there >= wanted)
    }

    pub(super) fn could_do_with(&mut self, state: &State, units: &[&Considered]) -> bool {
        if !self.emptying_may_do(units.iter().map(|unit| unit.nodes.len()).sum()) {
            return false;
        }
        let before: Vec<u64> = self.wanted.iter().map(|(_, _, there)| *there).collect();
        units.iter().for_each(|unit| self.free(state, unit));
        let answer = self.could_do();
        self.freed.clear();
        for ((_, _, there), before) in self.wanted.iter_mut().zip(before) {
            *there = before;
        }
        answer
    }
}
