//! The indexes against a plain rebuild: a placer that has followed every change must choose as one that looks at the
//! cluster for the first time, and both as brute force over single nodes.

mod oracle;

use proptest::prelude::*;

use super::*;
use crate::cluster::{Hold, Interner, MigShape, NodeShape, NodeSpec, Placement};
use crate::units::MilliGpu;
use oracle::Way;

fn pod_shape(kind: u8) -> PodShape {
    let share = |size, devices| GpuRequest::Share(Share { size, devices });
    let gpu = match kind % 12 {
        1 => GpuRequest::share(MilliGpu(300)),
        2 => GpuRequest::share(MilliGpu(550)),
        3 => GpuRequest::Whole(1),
        4 => GpuRequest::Whole(2),
        5 => GpuRequest::Whole(4),
        6 => share(ShareSize::Milli(MilliGpu(334)), 2),
        7 => share(ShareSize::Memory(4), 1),
        8 => share(ShareSize::Memory(3), 3),
        _ => GpuRequest::None,
    };
    let mig = match kind % 12 {
        9 => vec![("1g.5gb".to_owned(), 2)],
        10 => vec![("1g.5gb".to_owned(), 1), ("3g.20gb".to_owned(), 1)],
        _ => Vec::new(),
    };
    let gpu_models = if kind >= 24 { vec!["A".to_owned()] } else { Vec::new() };
    PodShape {
        cpu_milli: 1000 * u64::from(kind % 5),
        memory_bytes: u64::from(kind % 3),
        gpu,
        mig,
        gpu_models,
        ..PodShape::default()
    }
}

fn node_spec(size: u8, model: u8) -> NodeSpec {
    let gpus = usize::from(size % 5);
    let gpu_model = if gpus == 0 { "" } else { ["A", "B"][usize::from(model % 2)] };
    let instances = vec![("1g.5gb".to_owned(), 3), ("3g.20gb".to_owned(), 1)];
    let shape = NodeShape {
        cpu_milli: 4000 + 2000 * u64::from(size % 4),
        memory_bytes: 10,
        pods: 10,
        gpus,
        gpu_model: gpu_model.to_owned(),
        gpu_memory_mib: [0, 0, 7, 10][usize::from(model / 2 % 4)],
        mig: (model / 8 % 4 == 3).then_some(MigShape { single: model / 32 % 2 == 1, instances }),
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

/// Every policy, those left out of comparisons included.
fn policies() -> Vec<Policy> {
    [&Policy::ALL[..], &[Policy::Pack]].concat()
}

/// Some of the nodes, and one that is not there; or all.
fn scope(cluster: &Cluster, bits: u16) -> Option<Vec<NodeId>> {
    let inside = |node: &NodeId| bits >> (node.0 % 16) & 1 == 1;
    let some = || cluster.nodes().keys().copied().filter(inside).chain([NodeId(u32::MAX)]).collect();
    (!bits.is_multiple_of(4)).then(some)
}

/// Nodes come and go, pods go, or leave slowly.
fn change(cluster: &mut Cluster, number: u64, change: u8) {
    let pod = cluster.placed().keys().nth(usize::from(change / 8)).copied();
    match change % 8 {
        0 => cluster.add_node(NodeId(1000 + number as u32), node_spec(change / 8, change.wrapping_mul(37))),
        1 => {
            let node = cluster.nodes().keys().nth(usize::from(change / 8)).copied();
            node.map(|node| cluster.remove_node(node));
        }
        2 => {
            pod.map(|pod| cluster.release(pod));
        }
        3..6 => {
            let held = pod.filter(|pod| cluster.placed()[pod].hold == Hold::Held);
            if let Some((pod, placement)) = held.and_then(|pod| Some((pod, cluster.release(pod)?))) {
                cluster.place(pod, Placement { hold: Hold::Leaving, ..placement });
            }
        }
        _ => {}
    }
}

/// A placer that knows what `follower` expects, and nothing of the cluster.
fn newcomer(follower: &Placer, learnt_at_last: &TypicalPods) -> Placer {
    let mut newcomer = Placer::new(follower.config.clone());
    newcomer.rule = Rule::of(follower.config.policy, learnt_at_last);
    newcomer
}

/// What a placer chose must be a way there is, at once if any way is, and the policy's favourite.
fn check_choice(
    placer: &Placer,
    cluster: &Cluster,
    shape: &PodShape,
    scope: Option<&[NodeId]>,
    chosen: Option<&(Slot, Choice)>,
) -> Result<(), TestCaseError> {
    let ways = oracle::ways(cluster, shape, scope);
    let Some((slot, because)) = chosen else {
        prop_assert_eq!(ways, []);
        return Ok(());
    };
    prop_assert_eq!(because.waits, ways.iter().all(|way| way.waits));
    let way = Way { node: slot.node, gpus: slot.gpus.clone(), waits: because.waits };
    prop_assert!(ways.contains(&way), "{:?} is none of {:?}", way, ways);
    if placer.policy() != Policy::Random {
        let best = Some((because.waits, because.loss, slot.node));
        prop_assert_eq!(best, oracle::best(placer, cluster, shape, scope));
    }
    Ok(())
}

/// Options are every kind of way, each once, the one chosen first.
fn check_options(
    policy: Policy,
    cluster: &Cluster,
    shape: &PodShape,
    scope: Option<&[NodeId]>,
    (options, chosen): (Vec<Place>, Option<&(Slot, Choice)>),
) -> Result<(), TestCaseError> {
    let as_way = |place: Place| Way { node: place.node, gpus: place.gpus, waits: place.waits };
    let options: Vec<Way> = options.into_iter().map(as_way).collect();
    let kinds: Vec<_> = options.iter().map(|way| (oracle::kind(cluster, way), way.node)).collect();
    let expected = oracle::kinds(cluster, &oracle::ways(cluster, shape, scope));
    prop_assert_eq!(kinds.len(), expected.len(), "{:?} instead of {:?}", kinds, expected);
    prop_assert_eq!(kinds.into_iter().collect::<std::collections::BTreeSet<_>>(), expected);
    prop_assert!(options.is_sorted_by_key(|way| way.waits), "who need not wait goes first");
    if policy != Policy::Random {
        let first = chosen.map(|(slot, because)| (slot.node, slot.gpus.clone(), because.waits));
        prop_assert_eq!(options.first().map(|way| (way.node, way.gpus.clone(), way.waits)), first);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn indexes_agree_with_a_first_look_and_with_brute_force(
        nodes in prop::collection::vec((any::<u8>(), any::<u8>()), 1..8),
        steps in prop::collection::vec((0..36u8, any::<u8>(), any::<u16>()), 1..80),
        policy in prop::sample::select(policies()),
        ties in prop::sample::select(TieBreak::ALL.to_vec()),
        learnt in any::<bool>(),
    ) {
        let given = Demand::Given((0..36).map(pod_shape).collect());
        let demand = if learnt { Demand::Learnt } else { given };
        let mut cluster = cluster_of(&nodes);
        let mut follower = Placer::new(Config { policy, ties, demand, seed: 3, ..Config::default() });
        let mut learnt_at_last = follower.typical.clone();
        let mut shapes = Interner::new();
        for (number, (kind, what, bits)) in (0..).zip(&steps) {
            let shape = shapes.intern(pod_shape(*kind));
            let due_before = follower.typical.refreshes();
            follower.observe(&cluster, &shape);
            if follower.typical.refreshes() != due_before {
                learnt_at_last = follower.typical.clone();
            }
            let scope = scope(&cluster, *bits);
            let scope = scope.as_deref();
            let room = follower.capacity(&cluster, &shape, scope, u64::MAX);
            let chosen = follower.choose(&cluster, PodId(number), &shape, scope);
            let options = follower.options(&cluster, &shape, scope);
            let mut newcomer = newcomer(&follower, &learnt_at_last);
            prop_assert_eq!(&chosen, &newcomer.choose(&cluster, PodId(number), &shape, scope));
            prop_assert_eq!(&options, &newcomer.options(&cluster, &shape, scope));
            check_choice(&newcomer, &cluster, &shape, scope, chosen.as_ref())?;
            check_options(policy, &cluster, &shape, scope, (options, chosen.as_ref()))?;
            prop_assert_eq!(room, oracle::capacity(&cluster, &shape, scope));
            prop_assert_eq!(room.min(2), newcomer.capacity(&cluster, &shape, scope, 2));
            prop_assert_eq!(follower.why_not(&cluster, &shape), newcomer.why_not(&cluster, &shape));
            if let Some((slot, because)) = chosen {
                let hold = if because.waits { Hold::Promised } else { Hold::Held };
                cluster.place(slot.pod, Placement { shape, node: slot.node, gpus: slot.gpus, hold });
            }
            change(&mut cluster, number, *what);
            prop_assert_eq!(crate::check::booking(&cluster), Vec::<String>::new());
        }
    }
}

/// A node with this much CPU and these GPUs.
fn a_node(cpu_milli: u64, gpus: usize) -> NodeShape {
    NodeShape { cpu_milli, memory_bytes: 100, pods: 100, gpus, ..NodeShape::default() }
}

/// Where `pack` puts pods one after another: `node: GPUs`, `later` where they wait. Each pod that is asked to leave is
/// named by its place in the list, before the pod that follows.
fn packed(nodes: &[NodeShape], pods: &[(PodShape, &[u64])]) -> Vec<String> {
    let mut cluster = Cluster::default();
    for (id, shape) in (0..).zip(nodes) {
        cluster.add_node(NodeId(id), NodeSpec { name: String::new(), shape: shape.clone() });
    }
    let demand = Demand::Given(Vec::new());
    let mut placer =
        Placer::new(Config { policy: Policy::Pack, ties: TieBreak::Rank, demand, seed: 0, ..Config::default() });
    let mut shapes = Interner::new();
    let mut places = Vec::new();
    for (pod, (shape, leaving)) in (0..).zip(pods) {
        for leaves in leaving.iter().copied().map(PodId) {
            let placement = cluster.release(leaves).expect("it was placed");
            cluster.place(leaves, Placement { hold: Hold::Leaving, ..placement });
        }
        let shape = shapes.intern(shape.clone());
        let Some((slot, because)) = placer.choose(&cluster, PodId(pod), &shape, None) else {
            places.push("none".to_owned());
            continue;
        };
        let hold = if because.waits { Hold::Promised } else { Hold::Held };
        let when = if because.waits { " later" } else { "" };
        places.push(format!("{}: {:?}{when}", slot.node.0, slot.gpus.as_slice()));
        cluster.place(slot.pod, Placement { shape, node: slot.node, gpus: slot.gpus, hold });
    }
    places
}

/// What it shows, the nodes, the pods with those that are asked to leave before each, the places.
type Packing<'a> = (&'a str, Vec<NodeShape>, Vec<(PodShape, &'a [u64])>, &'a [&'a str]);

#[test]
fn pack_fills_what_is_in_use() {
    let asks = |cpu_milli, gpu| (PodShape { cpu_milli, gpu, ..PodShape::default() }, &[][..]);
    let share = |milli| asks(1, GpuRequest::share(MilliGpu(milli)));
    let whole = |count| asks(1, GpuRequest::Whole(count));
    let (large, small, bare) = (a_node(1000, 4), a_node(1000, 2), a_node(1000, 0));
    let leaving = |(shape, _): (PodShape, &'static [u64]), who: &'static [u64]| (shape, who);
    let two = |milli| asks(1, GpuRequest::Share(Share { size: ShareSize::Milli(MilliGpu(milli)), devices: 2 }));
    let cases: [Packing<'_>; 10] = [
        (
            "the node with fewer GPUs",
            vec![large.clone(), small.clone()],
            vec![whole(1), whole(2)],
            &["1: [0]", "0: [0, 1]"],
        ),
        (
            "a shared GPU before a fresh one, whatever the node",
            vec![large.clone(), small.clone()],
            vec![whole(2), share(500), whole(2), share(500)],
            &["1: [0, 1]", "0: [0]", "0: [1, 2]", "0: [0]"],
        ),
        (
            "the fullest shared GPU",
            vec![large.clone()],
            vec![share(300), share(800), share(200)],
            &["0: [0]", "0: [1]", "0: [1]"],
        ),
        (
            "two GPUs: those already shared",
            vec![large.clone()],
            vec![share(600), whole(1), share(600), two(300), two(600)],
            &["0: [0]", "0: [1]", "0: [2]", "0: [0, 2]", "none"],
        ),
        (
            "no GPU wanted: a node without, even if it is emptier",
            vec![small.clone(), bare.clone()],
            vec![whole(2), asks(1, GpuRequest::None)],
            &["0: [0, 1]", "1: []"],
        ),
        (
            "two shared GPUs before a fuller and a fresh one",
            vec![small.clone(), large.clone()],
            vec![two(300), share(900), two(100)],
            &["0: [0, 1]", "1: [0]", "0: [0, 1]"],
        ),
        (
            "no GPU wanted, but only nodes with: the fuller",
            vec![large.clone(), small.clone()],
            vec![whole(4), asks(1, GpuRequest::None)],
            &["0: [0, 1, 2, 3]", "0: []"],
        ),
        (
            "less CPU left",
            vec![a_node(1000, 0), a_node(2000, 0)],
            vec![asks(1500, GpuRequest::None), asks(500, GpuRequest::None), asks(1, GpuRequest::None)],
            &["1: []", "1: []", "0: []"],
        ),
        (
            "at once on an empty node before later on a full one",
            vec![small.clone(), large.clone()],
            vec![whole(2), leaving(whole(1), &[0]), whole(4), whole(2)],
            &["0: [0, 1]", "1: [0]", "none", "1: [1, 2]"],
        ),
        (
            "later, with what is leaving and what is idle",
            vec![a_node(1000, 3)],
            vec![whole(1), whole(1), leaving(whole(2), &[0]), whole(1)],
            &["0: [0]", "0: [1]", "0: [0, 2] later", "none"],
        ),
    ];
    for (case, nodes, pods, places) in cases {
        assert_eq!(packed(&nodes, &pods), places, "{case}");
    }
}

#[test]
fn reasons_count_what_is_leaving_as_free() {
    let mut cluster = Cluster::default();
    cluster.add_node(NodeId(0), NodeSpec { name: String::new(), shape: a_node(1000, 2) });
    let mut shapes = Interner::new();
    let mut whole = |count| shapes.intern(PodShape { gpu: GpuRequest::Whole(count), ..PodShape::default() });
    for (pod, hold) in [(0, Hold::Leaving), (1, Hold::Held)] {
        let gpus = GpuIndexes::from_slice(&[pod as u8]);
        cluster.place(PodId(pod), Placement { shape: whole(1), node: NodeId(0), gpus, hold });
    }
    let mut placer = Placer::new(Config::default());
    let why = placer.why_not(&cluster, &whole(2)).to_string();
    assert_eq!(why, "0/1 nodes fit: 1 short of whole free GPUs (nearest by 1)");
}

#[test]
fn memory_asked_for_is_expected_as_a_part_of_the_smallest_gpu() {
    let mut cluster = Cluster::default();
    for (id, gpu_memory_mib) in [(0, 0), (1, 80), (2, 40)] {
        let shape = NodeShape { gpu_memory_mib, ..a_node(1000, 1) };
        cluster.add_node(NodeId(id), NodeSpec { name: String::new(), shape });
    }
    let memory = |mib| GpuRequest::Share(Share { size: ShareSize::Memory(mib), devices: 1 });
    for (gpu, milli) in [(memory(10), 250), (memory(60), 1000), (GpuRequest::share(MilliGpu(500)), 500)] {
        let mut placer = Placer::new(Config::default());
        placer.observe(&cluster, &PodShape { gpu, ..PodShape::default() });
        assert_eq!(placer.typical.list()[0].class.per_gpu_milli, milli, "{gpu}");
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
    let mut placer =
        Placer::new(Config { policy: Policy::Berth, ties: TieBreak::Rank, demand, seed: 0, ..Config::default() });
    let mut shapes = Interner::new();
    let mut node_for = |models| {
        let shape = shapes.intern(pods(models, 1).remove(0));
        placer.choose(&cluster, PodId(1), &shape, None).map(|(slot, _)| slot.node)
    };
    assert_eq!(node_for(&["B"]), Some(NodeId(0)));
    assert_eq!(node_for(&[]), Some(NodeId(1)), "not the first node, which others need");
}
