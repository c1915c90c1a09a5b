//! Answers by brute force: every node by itself, every set of its GPUs, each account on its own. Slow, and obviously right.

use std::collections::BTreeSet;

use super::super::*;
use crate::cluster::{ClassId, Free, Hold, Placement};

/// A set of GPUs on one node that a pod could take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Way {
    pub(super) node: NodeId,
    pub(super) gpus: GpuIndexes,
    pub(super) waits: bool,
}

/// Every way there is on the nodes in scope.
pub(super) fn ways(cluster: &Cluster, pod: &PodShape, scope: Option<&[NodeId]>) -> Vec<Way> {
    let mut ways = Vec::new();
    for (node, state) in nodes_in(cluster, scope) {
        if filter::shape_rejection(&state.shape, pod).is_some() {
            continue;
        }
        for set in 0..1u32 << state.shape.gpus {
            let gpus: GpuIndexes = (0..state.shape.gpus as u8).filter(|gpu| set >> gpu & 1 == 1).collect();
            if gpus.len() == pod.gpu.count() && takes(state, state.later(), pod, &gpus) {
                let waits = !takes(state, &state.free, pod, &gpus);
                ways.push(Way { node, gpus, waits });
            }
        }
    }
    ways
}

fn nodes_in<'a>(cluster: &'a Cluster, scope: Option<&[NodeId]>) -> Vec<(NodeId, &'a NodeState)> {
    let inside = |node: &NodeId| scope.is_none_or(|scope| scope.contains(node));
    let nodes = cluster.nodes().keys().copied().filter(inside);
    nodes.filter_map(|node| Some((node, cluster.state(node)?))).collect()
}

/// Does one account allow the pod on just these GPUs?
fn takes(state: &NodeState, free: &Free, pod: &PodShape, gpus: &[u8]) -> bool {
    let mib = state.shape.gpu_memory_mib;
    let room = |gpu: &u8| {
        let gpu = usize::from(*gpu);
        match pod.gpu {
            GpuRequest::None => true,
            GpuRequest::Whole(_) => free.gpus[gpu].0 == 1000,
            GpuRequest::Share(Share { size: ShareSize::Memory(asked), .. }) => mib > 0 && asked <= free.gpu_mib[gpu],
            GpuRequest::Share(Share { size: ShareSize::Milli(asked), .. }) if mib > 0 => {
                (u32::from(asked.0) * mib / 1000).max(1) <= free.gpu_mib[gpu]
            }
            GpuRequest::Share(Share { size: ShareSize::Milli(asked), .. }) => asked <= free.gpus[gpu],
        }
    };
    let offered: &[(String, u32)] =
        state.shape.mig.as_ref().filter(|mig| !mig.single).map_or(&[], |mig| &mig.instances);
    let left = |profile: &str| offered.iter().zip(&free.mig).find(|((known, _), _)| known == profile);
    let enough = |(profile, asked): &(String, u32)| left(profile).is_some_and(|(_, left)| u32::from(*left) >= *asked);
    free.pods > 0
        && free.cpu_milli >= pod.cpu_milli
        && free.memory_bytes >= pod.memory_bytes
        && pod.mig.iter().all(enough)
        && gpus.iter().all(room)
}

/// What makes two ways the same to a search: the class of the node, and what is left of each GPU now and later.
pub(super) type Kind = (ClassId, Vec<(u16, Option<u32>, u16, Option<u32>)>, bool);

pub(super) fn kind(cluster: &Cluster, way: &Way) -> Kind {
    let class = cluster.nodes()[&way.node].class;
    let state = &cluster.classes().get(class).state;
    let left = |gpu: &u8| {
        let (gpu, later) = (usize::from(*gpu), state.later());
        let mib = |free: &Free| free.gpu_mib.get(gpu).copied();
        (state.free.gpus[gpu].0, mib(&state.free), later.gpus[gpu].0, mib(later))
    };
    let mut gpus: Vec<_> = way.gpus.iter().map(left).collect();
    gpus.sort();
    (class, gpus, way.waits)
}

/// The kinds of ways there are, and for each the first node in scope that has it.
pub(super) fn kinds(cluster: &Cluster, ways: &[Way]) -> BTreeSet<(Kind, NodeId)> {
    let mut kinds = BTreeSet::new();
    for way in ways {
        let kind = kind(cluster, way);
        let same_class = ways.iter().filter(|other| cluster.nodes()[&other.node].class == kind.0);
        let first = same_class.map(|other| other.node).min().unwrap_or(way.node);
        kinds.insert((kind, first));
    }
    kinds
}

/// How many pods fit, by promising places one after another until nothing is left. Shares of several GPUs take the
/// emptiest ones, which leaves most for the next.
pub(super) fn capacity(cluster: &Cluster, pod: &Shared<PodShape>, scope: Option<&[NodeId]>) -> u64 {
    let mut cluster = cluster.rebuild();
    let mut placed = 0;
    loop {
        let emptiness = |way: &Way| -> Vec<(u32, u16)> {
            let free = cluster.state(way.node).expect("it is there").later();
            let left =
                |gpu: &u8| (free.gpu_mib.get(usize::from(*gpu)).copied().unwrap_or(0), free.gpus[usize::from(*gpu)].0);
            let mut left: Vec<_> = way.gpus.iter().map(left).collect();
            left.sort();
            left.reverse();
            left
        };
        let ways = ways(&cluster, pod, scope);
        let Some(way) = ways.into_iter().max_by_key(|way| (emptiness(way), way.clone())) else { return placed };
        let placement = Placement { shape: pod.clone(), node: way.node, gpus: way.gpus, hold: Hold::Promised };
        cluster.place(PodId(1_000_000 + placed), placement);
        placed += 1;
    }
}

/// The best node in scope and whether the pod would wait there, by asking the policy about every single one.
pub(super) fn best(
    placer: &Placer,
    cluster: &Cluster,
    pod: &PodShape,
    scope: Option<&[NodeId]>,
) -> Option<(bool, i64, NodeId)> {
    let prices = match &placer.rule {
        Rule::Berth(berth) => berth.prices(cluster, pod),
        _ => Prices::new(),
    };
    let judge = ShapeJudge { ties: placer.config.ties, rule: &placer.rule, prices: &prices, pod };
    let judged = nodes_in(cluster, scope).into_iter().filter_map(|(node, state)| {
        let opinion = candidates::Judge::assess(&judge, state)?;
        Some((opinion.waits, candidates::Judge::priced(&judge, &opinion, state), opinion.tie, node))
    });
    judged.min().map(|(waits, loss, _, node)| (waits, loss, node))
}
