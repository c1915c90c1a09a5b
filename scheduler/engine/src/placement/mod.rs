//! Where a pod fits best. A policy is a plain function in a file of its own: the integer loss of putting a pod on a node
//! in some state. It orders the candidates and never decides whether a pod may run there: that is `filter`'s.

mod berth;
mod best_fit;
mod candidates;
mod dot_product;
mod fgd;
mod gpu_clustering;
mod gpu_packing;
mod random;
mod refusal;
#[cfg(test)]
mod tests;
mod ties;
mod tournament;
mod typical;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{Cluster, GpuIndexes, GpuRequest, NodeState, PerGpu, PodShape, Shared};
use crate::decision::{Choice, Slot, Unplaceable};
use crate::engine::Config;
use crate::filter;
use crate::units::{MilliGpu, NodeId, PodId};
use berth::{Berth, Prices};
use candidates::Candidates;
use refusal::Refusal;
pub use ties::TieBreak;
use typical::TypicalPods;

/// How the nodes a pod fits on are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// Berth's own: keep the value of what remains for the pods expected next.
    Berth,
    /// Fragmentation gradient descent (Weng et al., ATC 2023).
    Fgd,
    /// The node left fullest.
    BestFit,
    /// The least alignment between what is free and what is asked.
    DotProduct,
    /// GPUs already in use first, then nodes in use, then empty ones.
    GpuPacking,
    /// Nodes that run the same kind of GPU pod first.
    GpuClustering,
    /// Any node, by the seed.
    Random,
}

impl Policy {
    /// Every policy, the default first.
    pub const ALL: [Policy; 7] = [
        Policy::Berth,
        Policy::Fgd,
        Policy::BestFit,
        Policy::DotProduct,
        Policy::GpuPacking,
        Policy::GpuClustering,
        Policy::Random,
    ];

    /// The name used on command lines and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Berth => "berth",
            Policy::Fgd => "fgd",
            Policy::BestFit => "best-fit",
            Policy::DotProduct => "dot-product",
            Policy::GpuPacking => "gpu-packing",
            Policy::GpuClustering => "gpu-clustering",
            Policy::Random => "random",
        }
    }
}

/// Where a policy takes its expectation of future pods from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// From the pods that have arrived so far, old ones counting less and less.
    Learnt,
    /// From this list; what arrives changes nothing.
    Given(Vec<PodShape>),
}

/// What a policy thinks of putting a pod on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loss {
    /// Less is better.
    loss: i64,
    /// For a share: the GPU it would take.
    gpu: u8,
}

/// Chooses places by a policy. Owns the policy's expectations and, for each pod shape in use, the order of the node
/// classes.
#[derive(Debug)]
pub(crate) struct Placer {
    config: Config,
    typical: TypicalPods,
    rule: Rule,
    /// By pod shape.
    shapes: BTreeMap<u32, Known>,
    /// Counts uses of `shapes`, to tell which was used last.
    uses: u64,
}

/// What is known of one pod shape.
#[derive(Debug, Default)]
struct Known {
    candidates: Candidates<Prices>,
    refusal: Refusal,
    last_use: u64,
}

/// A policy, ready to be asked.
#[derive(Debug)]
enum Rule {
    Random,
    /// A policy that looks at node and pod alone.
    Plain(fn(&NodeState, &PodShape) -> Loss),
    Fgd(fgd::Targets),
    Berth(Box<Berth>),
}

/// How much is remembered, in pod shapes times class slots of about 250 bytes: a gigabyte at the very most. What was used
/// longest ago is forgotten first, and looked up anew when it is wanted again.
const REMEMBERED_MAX: usize = if cfg!(test) { 64 } else { 4_000_000 };

impl Placer {
    pub(crate) fn new(config: Config) -> Self {
        let typical = match &config.demand {
            Demand::Learnt => TypicalPods::default(),
            Demand::Given(pods) => TypicalPods::of(pods),
        };
        let rule = Rule::of(config.policy, &typical);
        Placer { config, typical, rule, shapes: BTreeMap::new(), uses: 0 }
    }

    /// Takes note of a pod that arrived, as a sign of what arrives later.
    pub(crate) fn observe(&mut self, pod: &PodShape) {
        let learns = self.config.demand == Demand::Learnt && matches!(self.rule, Rule::Fgd(_) | Rule::Berth(_));
        if learns && self.typical.observe(pod) {
            self.rule = Rule::of(self.config.policy, &self.typical);
            self.shapes.clear();
        }
    }

    /// The place where the policy loses least, or none where the pod fits nowhere.
    pub(crate) fn choose(&mut self, cluster: &Cluster, pod: PodId, shape: &Shared<PodShape>) -> Option<(Slot, Choice)> {
        let prices = match &mut self.rule {
            Rule::Berth(berth) => {
                berth.catch_up(cluster);
                berth.prices(cluster, shape)
            }
            _ => Prices::new(),
        };
        let mut known = self.recall(cluster, shape);
        let judge = ShapeJudge { ties: self.config.ties, rule: &self.rule, prices: &prices, pod: shape };
        known.candidates.catch_up(cluster.classes(), &prices, &judge);
        let chosen = match self.rule {
            Rule::Random => random::choose(&known.candidates, cluster, self.config.seed, pod, shape),
            _ => known.candidates.best(),
        };
        self.shapes.insert(shape.id(), known);
        let chosen = chosen?;
        let gpus = gpus_for(cluster.state(chosen.node)?, shape, chosen.gpu)?;
        let because = Choice { policy: self.config.policy, loss: chosen.loss, next_loss: chosen.next_loss };
        Some((Slot { pod, node: chosen.node, gpus }, because))
    }

    /// Why a pod for which [`Placer::choose`] just found no place has none.
    pub(crate) fn why_not(&mut self, cluster: &Cluster, shape: &Shared<PodShape>) -> Arc<Unplaceable> {
        let mut known = self.recall(cluster, shape);
        let why = known.refusal.of(cluster.classes(), shape);
        self.shapes.insert(shape.id(), known);
        why
    }

    /// Takes out what is known of a shape, for the caller to put back; makes room for it first.
    fn recall(&mut self, cluster: &Cluster, shape: &Shared<PodShape>) -> Known {
        self.uses += 1;
        let known = self.shapes.remove(&shape.id()).unwrap_or_default();
        while (self.shapes.len() + 1) * cluster.classes().slots().len() > REMEMBERED_MAX {
            let oldest = self.shapes.iter().min_by_key(|(_, known)| known.last_use);
            let Some(oldest) = oldest.map(|(id, _)| *id) else { break };
            self.shapes.remove(&oldest);
        }
        Known { last_use: self.uses, ..known }
    }
}

impl Rule {
    fn of(policy: Policy, typical: &TypicalPods) -> Self {
        match policy {
            Policy::Berth => Rule::Berth(Box::new(Berth::expecting(typical))),
            Policy::Fgd => Rule::Fgd(fgd::Targets::of(typical)),
            Policy::BestFit => Rule::Plain(best_fit::loss),
            Policy::DotProduct => Rule::Plain(dot_product::loss),
            Policy::GpuPacking => Rule::Plain(gpu_packing::loss),
            Policy::GpuClustering => Rule::Plain(gpu_clustering::loss),
            Policy::Random => Rule::Random,
        }
    }
}

/// Judges node classes for one pod shape.
struct ShapeJudge<'a> {
    ties: TieBreak,
    rule: &'a Rule,
    prices: &'a Prices,
    pod: &'a PodShape,
}

impl candidates::Judge for ShapeJudge<'_> {
    fn assess(&self, node: &NodeState) -> Option<(Loss, u32)> {
        let pod = self.pod;
        if !filter::fits(node, pod) {
            return None;
        }
        let loss = match self.rule {
            Rule::Random => Loss { loss: 0, gpu: 0 },
            Rule::Plain(loss) => loss(node, pod),
            Rule::Fgd(targets) => targets.loss(node, pod),
            Rule::Berth(berth) => berth.loss(node, pod),
        };
        Some((loss, self.ties.rank(node, pod)))
    }

    fn priced(&self, loss: Loss, node: &NodeState) -> i64 {
        match self.rule {
            Rule::Berth(berth) => berth.priced(self.prices, loss, node, self.pod),
            _ => loss.loss,
        }
    }
}

/// A node that was chosen, by the candidates' order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chosen {
    node: NodeId,
    gpu: u8,
    loss: i64,
    next_loss: Option<i64>,
}

/// The GPUs a pod gets on a node: the chosen one for a share, the first whole free ones otherwise.
fn gpus_for(node: &NodeState, pod: &PodShape, share_gpu: u8) -> Option<GpuIndexes> {
    match pod.gpu {
        GpuRequest::None => Some(GpuIndexes::new()),
        GpuRequest::Share(_) => Some(GpuIndexes::from_slice(&[share_gpu])),
        GpuRequest::Whole(count) => node.free.whole_gpus(count),
    }
}

/// The fullest GPU that still has room for a share, of lowest index: the usual choice of policies with no opinion.
fn fullest_gpu(node: &NodeState, pod: &PodShape) -> u8 {
    let GpuRequest::Share(share) = pod.gpu else { return 0 };
    let roomy = (0u8..).zip(&node.free.gpus).filter(|(_, left)| **left >= share);
    roomy.min_by_key(|(index, left)| (**left, *index)).map_or(0, |(index, _)| index)
}

/// The least loss over the ways a pod could take GPUs of a node, given the loss for what would be left of them: every
/// GPU with room for a share, or the first whole free ones.
fn least_loss(node: &NodeState, pod: &PodShape, loss_with: impl Fn(&[MilliGpu]) -> i64) -> Loss {
    let free = &node.free;
    let mut gpus = free.gpus.clone();
    let GpuRequest::Share(share) = pod.gpu else {
        for gpu in free.whole_gpus(pod.gpu.count()).unwrap_or_default() {
            gpus[usize::from(gpu)] = MilliGpu(0);
        }
        return Loss { loss: loss_with(&gpus), gpu: 0 };
    };
    let mut best = Loss { loss: i64::MAX, gpu: 0 };
    let mut tried: PerGpu<MilliGpu> = PerGpu::new();
    for (gpu, &left) in (0u8..).zip(&free.gpus) {
        if left < share || tried.contains(&left) {
            continue; // equal GPUs lose equally, and the lowest index wins
        }
        tried.push(left);
        gpus[usize::from(gpu)] = MilliGpu(left.0 - share.0);
        let loss = loss_with(&gpus);
        gpus[usize::from(gpu)] = left;
        if loss < best.loss {
            best = Loss { loss, gpu };
        }
    }
    best
}
