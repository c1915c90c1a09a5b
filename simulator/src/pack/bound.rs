//! How much GPU any policy could place: an upper bound over all placements of some of the arrived pods, whoever decides,
//! in whatever order, with whatever knowledge of the future, even if pods could be moved.
//! Owns what the bound keeps and what it relaxes. May not know any policy.
//!
//! It keeps: a pod needs a node of an allowed model that is large enough for it when empty; per node type (model, GPUs,
//! CPU, memory) CPU, memory and cards suffice in sum; a card is cut into shares by a pattern whose sizes add up to at
//! most one card; no pod is placed twice. It relaxes: fractions of pods and patterns, the borders between nodes of one
//! type, and time. Without the patterns it would be vacuous: pods of 0.81 GPU leave holes that little else fills.
//! It is the linear programme of our protocol notes on Weng et al., USENIX ATC 2023, solved through its dual.

mod pattern;
mod prices;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::trace::{NodeRow, PodRow};
use pattern::{CARD_MILLI, Pattern};

/// Room for rounding when a sum of at most some thousand prices becomes whole thousandths.
const ROUNDING: f64 = 1e-9;

/// What no placement can exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// GPU in use, thousandths.
    pub gpu_milli: u64,
}

/// Why there is no bound.
#[derive(Debug, Error)]
pub enum BoundError {
    /// The bound knows shares of one card and whole cards only.
    #[error(
        "pod `{pod}` asks for {num_gpu} GPUs of {gpu_milli} thousandths each; \
         ask for 1..=999 of one GPU, or for 1000 of each"
    )]
    OddShare {
        /// Name of the pod.
        pod: String,
        /// Its number of GPUs.
        num_gpu: u32,
        /// Thousandths of each.
        gpu_milli: u32,
    },
    /// The solver gave up on numerical grounds. Not to be retried: it would fail again.
    #[error("the linear programme of the bound could not be solved")]
    Solver(#[source] microlp::Error),
    /// The solver stopped without an answer, which it does under a time limit only, and none is set.
    #[error("the solver stopped before it had a bound")]
    Interrupted,
}

/// The most GPU that any placement of a subset of the `arrived` pods can have in use on `nodes`.
///
/// # Errors
/// When a pod asks for parts of several GPUs, which a checked trace never does, or the solver fails.
pub fn upper_bound(nodes: &[NodeRow], arrived: &[&PodRow]) -> Result<Bound, BoundError> {
    let model = Model::of(nodes, arrived)?;
    if model.pools.is_empty() {
        return Ok(Bound { gpu_milli: 0 });
    }
    // The whole cluster as one pool is quickly solved, and mostly wants the same patterns.
    let (_, patterns) = prices::cheapest(&model.merged(), &[])?;
    let (gpus, _) = prices::cheapest(&model, &patterns)?;
    // Any placement uses whole thousandths.
    Ok(Bound { gpu_milli: (gpus * f64::from(CARD_MILLI) * (1.0 + ROUNDING) + ROUNDING) as u64 })
}

/// Cluster and pods, boiled down to what the bound looks at. Pods without GPU are not in it: nothing makes them be
/// placed.
struct Model<'a> {
    pools: Vec<Pool>,
    classes: Vec<Class<'a>>,
}

/// All nodes of one type, with their capacity in sum.
struct Pool {
    cpu_milli: f64,
    memory_mib: f64,
    cards: f64,
    /// The classes that fit a node of the type, as indices.
    classes: Vec<usize>,
    /// The sizes of their shares, thousandths, ascending.
    sizes: Vec<u32>,
}

/// Arrived pods that are alike.
#[derive(Clone, Copy)]
struct Class<'a> {
    cpu_milli: u64,
    memory_mib: u64,
    ask: Ask,
    /// The models allowed; empty = any.
    models: &'a [String],
    pods: f64,
}

/// The GPU one pod asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ask {
    /// Thousandths of one card, below 1000.
    Share(u32),
    /// Whole cards.
    Cards(u32),
}

impl<'a> Model<'a> {
    fn of(nodes: &[NodeRow], arrived: &[&'a PodRow]) -> Result<Self, BoundError> {
        let mut pods_of = BTreeMap::new();
        for pod in arrived.iter().filter(|pod| pod.num_gpu > 0) {
            let class = (pod.cpu_milli, pod.memory_mib, Ask::of(pod)?, pod.gpu_spec.as_slice());
            *pods_of.entry(class).or_insert(0.0) += 1.0;
        }
        let class = |((cpu_milli, memory_mib, ask, models), pods)| Class { cpu_milli, memory_mib, ask, models, pods };
        let classes: Vec<Class<'a>> = pods_of.into_iter().map(class).collect();
        let mut nodes_of = BTreeMap::new();
        for node in nodes {
            let alike = (&node.model, node.gpus, node.cpu_milli, node.memory_mib);
            nodes_of.entry(alike).or_insert((node, 0.0)).1 += 1.0;
        }
        let pools = nodes_of.into_values().map(|(node, count)| Pool::of(node, count, &classes));
        Ok(Self { pools: pools.filter(|pool| !pool.classes.is_empty()).collect(), classes })
    }

    /// The same pods on one pool of all the nodes.
    fn merged(&self) -> Self {
        let fitting: BTreeSet<usize> = self.pools.iter().flat_map(|pool| &pool.classes).copied().collect();
        let total = |of: fn(&Pool) -> f64| self.pools.iter().map(of).sum();
        let pool = Pool {
            cpu_milli: total(|pool| pool.cpu_milli),
            memory_mib: total(|pool| pool.memory_mib),
            cards: total(|pool| pool.cards),
            sizes: sizes(&fitting, &self.classes),
            classes: fitting.into_iter().collect(),
        };
        Self { pools: vec![pool], classes: self.classes.clone() }
    }
}

impl Pool {
    /// `count` nodes like `node`.
    fn of(node: &NodeRow, count: f64, classes: &[Class<'_>]) -> Self {
        let fitting: Vec<usize> = (0..classes.len()).filter(|&class| classes[class].fits(node)).collect();
        Self {
            cpu_milli: count * node.cpu_milli as f64,
            memory_mib: count * node.memory_mib as f64,
            cards: count * f64::from(node.gpus),
            sizes: sizes(&fitting, classes),
            classes: fitting,
        }
    }

    /// CPU of one pod as a part of the CPU there is for each card.
    fn cpu_part(&self, class: &Class<'_>) -> f64 {
        part(class.cpu_milli as f64 * self.cards, self.cpu_milli)
    }

    /// Memory of one pod as a part of the memory there is for each card.
    fn memory_part(&self, class: &Class<'_>) -> f64 {
        part(class.memory_mib as f64 * self.cards, self.memory_mib)
    }
}

impl Class<'_> {
    /// Whether one of the pods fits the node when it is empty.
    fn fits(&self, node: &NodeRow) -> bool {
        let allowed = self.models.is_empty() || self.models.contains(&node.model);
        let large_enough = self.cpu_milli <= node.cpu_milli && self.memory_mib <= node.memory_mib;
        allowed && large_enough && self.ask.cards() <= node.gpus
    }
}

impl Ask {
    fn of(pod: &PodRow) -> Result<Self, BoundError> {
        match (pod.num_gpu, pod.gpu_milli) {
            (1, share @ 1..CARD_MILLI) => Ok(Self::Share(share)),
            (cards, CARD_MILLI) => Ok(Self::Cards(cards)),
            (num_gpu, gpu_milli) => Err(BoundError::OddShare { pod: pod.name.clone(), num_gpu, gpu_milli }),
        }
    }

    /// Cards the pod has to do with.
    fn cards(self) -> u32 {
        match self {
            Self::Share(_) => 1,
            Self::Cards(cards) => cards,
        }
    }

    /// Cards in use, of which a share is a fraction.
    fn gpus(self) -> f64 {
        match self {
            Self::Share(milli) => f64::from(milli) / f64::from(CARD_MILLI),
            Self::Cards(cards) => f64::from(cards),
        }
    }
}

/// The sizes of the shares that the `fitting` classes ask for, ascending.
fn sizes<'i>(fitting: impl IntoIterator<Item = &'i usize>, classes: &[Class<'_>]) -> Vec<u32> {
    let share = |&class: &usize| match classes[class].ask {
        Ask::Share(milli) => Some(milli),
        Ask::Cards(_) => None,
    };
    let distinct: BTreeSet<u32> = fitting.into_iter().filter_map(share).collect();
    distinct.into_iter().collect()
}

/// amount / whole; where there is nothing of the whole, only pods that ask for nothing fit.
fn part(amount: f64, whole: f64) -> f64 {
    if whole > 0.0 { amount / whole } else { 0.0 }
}
