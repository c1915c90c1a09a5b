//! Where a pod fits best. A policy is a plain function in a file of its own: the integer loss of putting a pod on a node
//! in some state. It orders the candidates and never decides whether a pod may run there: that is `filter`'s.

mod berth;
mod best_fit;
mod candidates;
mod capacity;
mod dot_product;
mod emptied;
mod fgd;
mod gpu_clustering;
mod gpu_packing;
mod gpus;
mod options;
mod pack;
mod random;
mod refusal;
#[cfg(test)]
mod tests;
mod ties;
mod tournament;
mod typical;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{Cluster, GpuIndexes, GpuRequest, NodeState, PodShape, Share, ShareSize, Shared};
use crate::decision::{Choice, Slot, Unplaceable};
use crate::engine::Config;
use crate::filter;
use crate::topology::Topologies;
use crate::units::{NodeId, PodId};
use berth::{Berth, Prices};
use candidates::{Assessment, Candidates};
use capacity::Capacity;
use emptied::Emptied;
use gpus::GpuSet;
pub(crate) use options::Place;
use refusal::Refusal;
pub use ties::TieBreak;
use typical::TypicalPods;

/// How the nodes a pod fits on are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
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
    /// What is in use already first, of GPUs, then of nodes: the placement of the `kai` policy set.
    Pack,
}

impl Policy {
    /// Every policy for experiments that compare them, the default first. Not [`Policy::Pack`]: it is nobody's proposal,
    /// but what some rules ask for.
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
            Policy::Pack => "pack",
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
    /// For a share: the GPUs it would take.
    gpus: GpuSet,
}

/// Chooses places by a policy. Owns the policy's expectations and, for each pod shape in use, the order of the node
/// classes.
#[derive(Debug)]
pub(crate) struct Placer {
    config: Config,
    typical: TypicalPods,
    rule: Rule,
    /// By pod shape. Boxed, since they are taken out and put back all the time.
    shapes: BTreeMap<u32, Box<Known>>,
    /// Counts uses of `shapes`, to tell which was used last.
    uses: u64,
}

/// What is known of one pod shape.
#[derive(Debug, Default)]
struct Known {
    candidates: Candidates<Prices>,
    refusal: Refusal,
    capacity: Capacity,
    emptied: Emptied,
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

/// How much is remembered, in pod shapes times class slots of about 300 bytes: little more than a gigabyte at the very
/// most. What was used longest ago is forgotten first, and looked up anew when it is wanted again.
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
    pub(crate) fn observe(&mut self, cluster: &Cluster, pod: &PodShape) {
        if self.config.demand != Demand::Learnt || !matches!(self.rule, Rule::Fgd(_) | Rule::Berth(_)) {
            return;
        }
        let device_mib = match pod.gpu {
            GpuRequest::Share(Share { size: ShareSize::Memory(_), .. }) => cluster.gpu_memory_least_mib(),
            _ => 0,
        };
        if self.typical.observe(pod, device_mib) {
            self.rule = Rule::of(self.config.policy, &self.typical);
            self.shapes.clear();
        }
    }

    /// The place where the policy loses least among the nodes in scope (ascending ids; `None` = all nodes), where the pod
    /// can start at once before where it has to wait; none where it fits nowhere.
    pub(crate) fn choose(
        &mut self,
        cluster: &Cluster,
        pod: PodId,
        shape: &Shared<PodShape>,
        scope: Option<&[NodeId]>,
    ) -> Option<(Slot, Choice)> {
        let prices = self.prices(cluster, shape);
        let mut known = self.recall(cluster, shape);
        let judge = ShapeJudge { ties: self.config.ties, rule: &self.rule, prices: &prices, pod: shape };
        let chosen = known.choose(cluster, pod, scope, &judge, self.config.seed);
        self.shapes.insert(shape.id(), known);
        let chosen = chosen?;
        let gpus = gpus_for(cluster.state(chosen.node)?, shape, chosen.gpus, chosen.waits)?;
        let Chosen { node, waits, loss, next_loss, .. } = chosen;
        Some((Slot { pod, node, gpus }, Choice { policy: self.config.policy, waits, loss, next_loss }))
    }

    /// Every distinct way to place a pod of this shape among the nodes in scope, best first: of nodes in equal state the
    /// first, there every distinct choice of GPUs. The first is what [`Placer::choose`] takes, unless it leaves that to
    /// chance.
    pub(crate) fn options(
        &mut self,
        cluster: &Cluster,
        shape: &Shared<PodShape>,
        scope: Option<&[NodeId]>,
    ) -> Vec<Place> {
        let prices = self.prices(cluster, shape);
        let mut known = self.recall(cluster, shape);
        let judge = ShapeJudge { ties: self.config.ties, rule: &self.rule, prices: &prices, pod: shape };
        let mut found = Vec::new();
        for key in known.candidates.keys_in(cluster, scope, &judge) {
            let Some((state, opinion)) = cluster.state(key.first).zip(known.candidates.assessment(&key)) else {
                continue;
            };
            let preferred = gpus_for(state, shape, opinion.loss.gpus, opinion.waits);
            options::add(&mut found, &key, state, shape, preferred.as_ref());
        }
        self.shapes.insert(shape.id(), known);
        found.sort_unstable_by_key(|(order, _)| *order);
        found.into_iter().map(|(_, place)| place).collect()
    }

    /// How many pods of this shape fit at once on the nodes in scope, when those that leave have gone; at most `at_most`.
    pub(crate) fn capacity(
        &mut self,
        cluster: &Cluster,
        shape: &Shared<PodShape>,
        scope: Option<&[NodeId]>,
        at_most: u64,
    ) -> u64 {
        let mut known = self.recall(cluster, shape);
        let room = match scope {
            None => known.capacity.everywhere(cluster.classes(), shape),
            Some(scope) => known.capacity.among(cluster, scope, shape, at_most),
        };
        self.shapes.insert(shape.id(), known);
        room.min(at_most)
    }

    /// How many pods of this shape would fit if nothing ran: on one node at most, and on all together.
    pub(crate) fn emptied(
        &mut self,
        cluster: &Cluster,
        topologies: &Topologies,
        shape: &Shared<PodShape>,
    ) -> (u64, u64) {
        let mut known = self.recall(cluster, shape);
        let room = known.emptied.nodes(cluster, topologies, shape);
        self.shapes.insert(shape.id(), known);
        room
    }

    /// How many would fit then in the roomiest domain of a topology's depth.
    pub(crate) fn emptied_domain(
        &mut self,
        cluster: &Cluster,
        topologies: &Topologies,
        shape: &Shared<PodShape>,
        domain: (&str, usize),
    ) -> u64 {
        let mut known = self.recall(cluster, shape);
        let room = known.emptied.domain(cluster, topologies, shape, domain);
        self.shapes.insert(shape.id(), known);
        room
    }

    /// How places are ordered.
    pub(crate) fn policy(&self) -> Policy {
        self.config.policy
    }

    /// Why a pod for which [`Placer::choose`] just found no place has none.
    pub(crate) fn why_not(&mut self, cluster: &Cluster, shape: &Shared<PodShape>) -> Arc<Unplaceable> {
        let mut known = self.recall(cluster, shape);
        let why = known.refusal.of(cluster.classes(), shape);
        self.shapes.insert(shape.id(), known);
        why
    }

    /// What the pod has to pay beyond its loss, as the cluster is now.
    fn prices(&mut self, cluster: &Cluster, pod: &PodShape) -> Prices {
        let Rule::Berth(berth) = &mut self.rule else { return Prices::new() };
        berth.catch_up(cluster);
        berth.prices(cluster, pod)
    }

    /// Takes out what is known of a shape, for the caller to put back; makes room for it first.
    fn recall(&mut self, cluster: &Cluster, shape: &Shared<PodShape>) -> Box<Known> {
        self.uses += 1;
        let mut known = self.shapes.remove(&shape.id()).unwrap_or_default();
        while (self.shapes.len() + 1) * cluster.classes().slots().len() > REMEMBERED_MAX {
            let oldest = self.shapes.iter().min_by_key(|(_, known)| known.last_use);
            let Some(oldest) = oldest.map(|(id, _)| *id) else { break };
            self.shapes.remove(&oldest);
        }
        known.last_use = self.uses;
        known
    }
}

impl Known {
    fn choose(
        &mut self,
        cluster: &Cluster,
        pod: PodId,
        scope: Option<&[NodeId]>,
        judge: &ShapeJudge<'_>,
        seed: u64,
    ) -> Option<Chosen> {
        let candidates = &mut self.candidates;
        if scope.is_none() {
            candidates.catch_up(cluster.classes(), judge.prices, judge);
        }
        match (judge.rule, scope) {
            (Rule::Random, Some(scope)) => {
                let fits = |node: &NodeId| candidates.waits_on(cluster, *node, judge);
                random::choose(scope.iter().filter_map(fits), seed, pod, judge.pod)
            }
            (Rule::Random, None) => {
                let fitting = candidates.fitting(cluster.classes());
                let nodes =
                    fitting.flat_map(|(waits, class)| class.members.iter().map(move |n| (waits, *n, &class.state)));
                random::choose(nodes, seed, pod, judge.pod)
            }
            (_, Some(scope)) => {
                let keys = candidates.keys_in(cluster, Some(scope), judge);
                candidates.best_of(&keys)
            }
            (_, None) => candidates.best(),
        }
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
            Policy::Pack => Rule::Plain(pack::loss),
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
    fn assess(&self, node: &NodeState) -> Option<Assessment> {
        let pod = self.pod;
        if !filter::fits(node, pod) {
            return None;
        }
        let waits = filter::must_wait(node, pod);
        let judge = |node: &NodeState| {
            let loss = match self.rule {
                Rule::Random => Loss { loss: 0, gpus: GpuSet::default() },
                Rule::Plain(loss) => loss(node, pod),
                Rule::Fgd(targets) => targets.loss(node, pod),
                Rule::Berth(berth) => berth.loss(node, pod),
            };
            Assessment { waits, loss, tie: self.ties.rank(node, pod) }
        };
        Some(node.seen(waits, judge))
    }

    fn priced(&self, assessment: &Assessment, node: &NodeState) -> i64 {
        match self.rule {
            Rule::Berth(berth) => {
                let price = |node: &NodeState| berth.priced(self.prices, assessment.loss, node, self.pod);
                node.seen(assessment.waits, price)
            }
            _ => assessment.loss.loss,
        }
    }
}

/// A node that was chosen, by the candidates' order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chosen {
    node: NodeId,
    gpus: GpuSet,
    waits: bool,
    loss: i64,
    next_loss: Option<i64>,
}

/// The GPUs a pod gets on a node: the chosen ones for a share, the first whole free ones otherwise.
fn gpus_for(node: &NodeState, pod: &PodShape, share_gpus: GpuSet, waits: bool) -> Option<GpuIndexes> {
    match pod.gpu {
        GpuRequest::None => Some(GpuIndexes::new()),
        GpuRequest::Share(_) => Some(share_gpus.indexes()),
        GpuRequest::Whole(count) => node.whole_gpus(count, waits),
    }
}
