//! The indexes against a plain rebuild: a placer that has followed every change must choose as one that looks at the
//! cluster for the first time, and both as a plain scan over the nodes.

use proptest::prelude::*;

use super::*;
use crate::cluster::{Interner, NodeShape, NodeSpec, Placement};
use crate::units::MilliGpu;

fn pod_shape(kind: u8) -> PodShape {
    let gpu = match kind % 6 {
        0 => GpuRequest::None,
        1 => GpuRequest::Share(MilliGpu(300)),
        2 => GpuRequest::Share(MilliGpu(550)),
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

fn cluster_of(nodes: &[(u8, u8)]) -> Cluster {
    let mut cluster = Cluster::default();
    for (id, (size, model)) in (0..).zip(nodes) {
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
        cluster.add_node(NodeId(id), NodeSpec { name: format!("n{id}"), shape });
    }
    cluster
}

/// The best node by looking at every single one.
fn by_scan(placer: &Placer, cluster: &Cluster, pod: &PodShape) -> Option<(i64, NodeId)> {
    let prices = match &placer.state {
        PolicyState::Berth(berth) => berth.prices(cluster, pod),
        _ => Prices::new(),
    };
    let judge = ShapeJudge { config: &placer.config, state: &placer.state, prices, pod };
    let judged = cluster.nodes().keys().filter_map(|node| {
        let state = cluster.state(*node)?;
        let (loss, tie) = candidates::Judge::assess(&judge, state)?;
        Some(((candidates::Judge::priced(&judge, loss, state), tie, *node), ()))
    });
    judged.min().map(|((loss, _, node), ())| (loss, node))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn indexes_agree_with_a_first_look_and_with_a_scan(
        nodes in prop::collection::vec((any::<u8>(), any::<u8>()), 1..8),
        steps in prop::collection::vec((0..24u8, any::<u8>()), 1..80),
        policy in prop::sample::select(Policy::ALL.to_vec()),
        ties in prop::sample::select(TieBreak::ALL.to_vec()),
    ) {
        let demand = Demand::Given((0..24).map(pod_shape).collect());
        let config = Config { policy, ties, demand, seed: 3 };
        let mut cluster = cluster_of(&nodes);
        let mut follower = Placer::new(config.clone());
        let mut shapes = Interner::new();
        for (number, (kind, release)) in (0..).zip(&steps) {
            let shape = shapes.intern(pod_shape(*kind));
            let chosen = follower.choose(&cluster, PodId(number), &shape);
            let mut newcomer = Placer::new(config.clone());
            prop_assert_eq!(&chosen, &newcomer.choose(&cluster, PodId(number), &shape));
            if policy != Policy::Random {
                let found = chosen.as_ref().map(|(slot, because)| (because.loss, slot.node));
                prop_assert_eq!(found, by_scan(&newcomer, &cluster, &shape));
            }
            if let Some((slot, _)) = chosen {
                cluster.place(slot.pod, Placement { shape, node: slot.node, gpus: slot.gpus });
            }
            if release % 2 == 0 && let Some(&pod) = cluster.placed().keys().nth(usize::from(*release) / 2) {
                cluster.release(pod);
            }
        }
    }
}
