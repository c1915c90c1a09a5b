//! The indexes against a plain rebuild: a placer that has followed every change must choose as one that looks at the
//! cluster for the first time, and both as a plain scan over the nodes.

use proptest::prelude::*;

use super::*;
use crate::cluster::{Hold, Interner, NodeShape, NodeSpec, Placement};
use crate::units::MilliGpu;

fn pod_shape(kind: u8) -> PodShape {
    let gpu = match kind % 6 {
        0 => GpuRequest::None,
        1 => GpuRequest::share(MilliGpu(300)),
        2 => GpuRequest::share(MilliGpu(550)),
        3 => GpuRequest::Whole(1),
        4 => GpuRequest::Whole(2),
        _ => GpuRequest::Whole(4),
    };
    let gpu_models = if kind >= 12 { vec!["A".to_owned()] } else { Vec::new() };
    PodShape {
        cpu_milli: 1000 * u64::from(kind % 5),
        memory_bytes: u64::from(kind % 3),
        gpu,
        gpu_models,
        ..PodShape::default()
    }
}

fn node_spec(size: u8, model: u8) -> NodeSpec {
    let gpus = usize::from(size % 5);
    let gpu_model = if gpus == 0 { "" } else { ["A", "B"][usize::from(model % 2)] };
    let shape = NodeShape {
        cpu_milli: 4000 + 2000 * u64::from(size % 4),
        memory_bytes: 10,
        pods: 10,
        gpus,
        gpu_model: gpu_model.to_owned(),
        ..NodeShape::default()
    };
    NodeSpec { name: String::new(), shape }
}

fn cluster_of(nodes: &[(u8, u8)]) -> Cluster {
    let mut cluster = Cluster::default();
    for (id, (size, model)) in (0..).zip(nodes) {
        cluster.add_node(NodeId(id), node_spec(*size, *model));
    }
    cluster
}

/// The best node by looking at every single one.
fn by_scan(placer: &Placer, cluster: &Cluster, pod: &PodShape) -> Option<(i64, NodeId)> {
    let prices = match &placer.rule {
        Rule::Berth(berth) => berth.prices(cluster, pod),
        _ => Prices::new(),
    };
    let judge = ShapeJudge { ties: placer.config.ties, rule: &placer.rule, prices: &prices, pod };
    let judged = cluster.nodes().keys().filter_map(|node| {
        let state = cluster.state(*node)?;
        let assessment = candidates::Judge::assess(&judge, state)?;
        Some((assessment.waits, candidates::Judge::priced(&judge, &assessment, state), assessment.tie, *node))
    });
    judged.min().map(|(_, loss, _, node)| (loss, node))
}

/// A placer that knows what `follower` expects, and nothing of the cluster.
fn newcomer(follower: &Placer, learnt_at_last: &TypicalPods) -> Placer {
    let mut newcomer = Placer::new(follower.config.clone());
    newcomer.rule = Rule::of(follower.config.policy, learnt_at_last);
    newcomer
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn indexes_agree_with_a_first_look_and_with_a_scan(
        nodes in prop::collection::vec((any::<u8>(), any::<u8>()), 1..8),
        steps in prop::collection::vec((0..24u8, any::<u8>()), 1..80),
        policy in prop::sample::select(Policy::ALL.to_vec()),
        ties in prop::sample::select(TieBreak::ALL.to_vec()),
        learnt in any::<bool>(),
    ) {
        let given = Demand::Given((0..24).map(pod_shape).collect());
        let demand = if learnt { Demand::Learnt } else { given };
        let mut cluster = cluster_of(&nodes);
        let mut follower = Placer::new(Config { policy, ties, demand, seed: 3, ..Config::default() });
        let mut learnt_at_last = follower.typical.clone();
        let mut shapes = Interner::new();
        for (number, (kind, change)) in (0..).zip(&steps) {
            let shape = shapes.intern(pod_shape(*kind));
            let due_before = follower.typical.refreshes();
            follower.observe(&cluster, &shape);
            if follower.typical.refreshes() != due_before {
                learnt_at_last = follower.typical.clone();
            }
            let chosen = follower.choose(&cluster, PodId(number), &shape, None);
            let mut newcomer = newcomer(&follower, &learnt_at_last);
            prop_assert_eq!(&chosen, &newcomer.choose(&cluster, PodId(number), &shape, None));
            if policy != Policy::Random {
                let found = chosen.as_ref().map(|(slot, because)| (because.loss, slot.node));
                prop_assert_eq!(found, by_scan(&newcomer, &cluster, &shape));
            }
            prop_assert_eq!(follower.why_not(&cluster, &shape), newcomer.why_not(&cluster, &shape));
            if let Some((slot, _)) = chosen {
                cluster.place(slot.pod, Placement { shape, node: slot.node, gpus: slot.gpus, hold: Hold::Held });
            }
            match change % 8 {
                0 => cluster.add_node(NodeId(1000 + number as u32), node_spec(change / 8, change / 16)),
                1 => {
                    let node = cluster.nodes().keys().nth(usize::from(change / 8)).copied();
                    node.map(|node| cluster.remove_node(node));
                }
                2..5 => {
                    let pod = cluster.placed().keys().nth(usize::from(change / 8)).copied();
                    pod.map(|pod| cluster.release(pod));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn scarce_models_cost_those_who_could_go_elsewhere() {
    let pods = |models: &[&str], count| {
        let gpu_models = models.iter().map(|model| model.to_string()).collect();
        vec![PodShape { cpu_milli: 1000, gpu: GpuRequest::Whole(1), gpu_models, ..PodShape::default() }; count]
    };
    let mut cluster = Cluster::default();
    for (id, model) in [(0, 1), (1, 0), (2, 0), (3, 0)] {
        cluster.add_node(NodeId(id), node_spec(4, model));
    }
    // Half of all pods can only run on the one node of model B, which has the smallest id of all.
    let demand = Demand::Given([pods(&["B"], 10), pods(&[], 10)].concat());
    let config = Config { policy: Policy::Berth, ties: TieBreak::Rank, demand, seed: 0, ..Config::default() };
    let mut placer = Placer::new(config);
    let mut shapes = Interner::new();
    let mut node_for = |models| {
        let shape = shapes.intern(pods(models, 1).remove(0));
        placer.choose(&cluster, PodId(1), &shape, None).map(|(slot, _)| slot.node)
    };
    assert_eq!(node_for(&["B"]), Some(NodeId(0)));
    assert_eq!(node_for(&[]), Some(NodeId(1)), "not the first node, which others need");
}
