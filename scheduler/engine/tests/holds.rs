//! What is free now and what is free later, as pods leave, are promised places, come and go.

use berth_engine::cluster::{Cluster, GpuKinds, Hold, NodeState, Placement, Shared};
use berth_engine::trial::Trial;
use berth_engine::*;
use proptest::prelude::*;

/// A cluster of these nodes on which every pod shape has run once, so that there is something to place.
fn world(nodes: &[NodeShape], pods: &[PodShape]) -> (Cluster, Vec<Shared<PodShape>>) {
    let mut engine = Engine::new(Config::default());
    for (id, shape) in (0..).zip(nodes) {
        let spec = NodeSpec { name: format!("n{id}"), shape: shape.clone() };
        engine.apply(Event::NodeAdded { node: NodeId(id), spec }, Timestamp(0)).expect("nodes are distinct");
    }
    let mut shapes = Vec::new();
    for (id, shape) in (0..).zip(pods) {
        let (pod, spec) = (PodId(id), PodSpec { name: format!("p{id}"), shape: shape.clone(), priority: 0 });
        engine.apply(Event::PodAdded { pod, spec }, Timestamp(0)).expect("pods are distinct");
        engine.decide(Timestamp(0));
        shapes.extend(engine.cluster().placed().get(&pod).map(|placement| placement.shape.clone()));
        engine.apply(Event::PodGone { pod }, Timestamp(0)).expect("it is there");
    }
    (engine.cluster().rebuild(), shapes)
}

/// Some GPUs of a node for a pod that fits there: those of highest index, to differ from what the engine takes.
fn gpus_for(node: &NodeState, pod: &PodShape, at_once: bool) -> Vec<u8> {
    let free = if at_once { node.at_once().into_owned() } else { node.later().clone() };
    let roomy = (0..node.shape.gpus as u8).rev().filter(|gpu| free.room_on(*gpu, &node.shape, pod.gpu));
    let mut gpus: Vec<u8> = roomy.take(pod.gpu.count()).collect();
    gpus.sort_unstable();
    gpus
}

/// Puts a pod on the node: at once if that can be, else by promise, else not.
fn put(trial: &mut Trial<'_>, pod: PodId, shape: &Shared<PodShape>, node: NodeId) {
    let Some(state) = trial.cluster().state(node) else { return };
    if !filter::fits(state, shape) {
        return;
    }
    let waits = filter::must_wait(state, shape);
    let gpus = gpus_for(state, shape, !waits);
    assert_eq!(gpus.len(), shape.gpu.count(), "it fits, so there are GPUs");
    let hold = if waits { Hold::Promised } else { Hold::Held };
    trial.place(pod, Placement { shape: shape.clone(), node, gpus: gpus.into(), hold });
}

/// Changes from when to when a pod holds its place.
fn rehold(trial: &mut Trial<'_>, pod: PodId, hold: Hold) {
    let Some(placement) = trial.cluster().placed().get(&pod).cloned() else { return };
    trial.release(pod);
    trial.place(pod, Placement { hold, ..placement });
}

/// May a pod that was promised its place start now, on the very GPUs? May one that is leaving stay?
fn may_be_held(cluster: &Cluster, pod: PodId) -> bool {
    let placement = &cluster.placed()[&pod];
    let Some(node) = cluster.state(placement.node) else { return false };
    let free = if placement.hold == Hold::Promised { &node.free } else { node.later() };
    let lacks = filter::Resource::ALL.map(|resource| resource.missing(&node.shape, free, &placement.shape));
    lacks == [0; 7] && placement.gpus.iter().all(|gpu| free.room_on(*gpu, &node.shape, placement.shape.gpu))
}

fn act(trial: &mut Trial<'_>, shapes: &[Shared<PodShape>], number: u64, (what, pick, node): (u8, usize, u32)) {
    let placed: Vec<PodId> = trial.cluster().placed().keys().copied().collect();
    let Some(&pod) = placed.get(pick % placed.len().max(1)).filter(|_| what > 3) else {
        if let Some(shape) = shapes.get(pick % shapes.len().max(1)) {
            put(trial, PodId(number), shape, NodeId(node % trial.cluster().nodes().len() as u32));
        }
        return;
    };
    match trial.cluster().placed()[&pod].hold {
        Hold::Held if what < 8 => rehold(trial, pod, Hold::Leaving),
        Hold::Promised | Hold::Leaving if what < 7 && may_be_held(trial.cluster(), pod) => {
            rehold(trial, pod, Hold::Held)
        }
        _ => trial.release(pod),
    }
}

fn a_node() -> impl Strategy<Value = NodeShape> {
    (0..4usize, 0..5u8, 2..6u32).prop_map(|(gpus, kind, pods)| {
        let instances = vec![("1g.5gb".to_owned(), 3), ("3g.20gb".to_owned(), 1)];
        NodeShape {
            cpu_milli: 4000,
            memory_bytes: 8,
            pods,
            gpus,
            gpu_memory_mib: [0, 0, 10, 24_000, 0][usize::from(kind)],
            mig: (kind == 4).then_some(MigShape { single: gpus == 2, instances }),
            ..NodeShape::default()
        }
    })
}

fn a_pod() -> impl Strategy<Value = PodShape> {
    let share = |size, devices| GpuRequest::Share(Share { size, devices });
    let gpu = prop_oneof![
        Just(GpuRequest::None),
        (1..1000u16, 1..3u8).prop_map(move |(milli, devices)| share(ShareSize::Milli(MilliGpu(milli)), devices)),
        (1..10u32, 1..3u8).prop_map(move |(mib, devices)| share(ShareSize::Memory(mib), devices)),
        (1..=3usize).prop_map(GpuRequest::Whole),
    ];
    (gpu, 0..3u64, 0..4u64, 0..3u32).prop_map(|(gpu, cpu, memory_bytes, instances)| {
        let mig = (gpu == GpuRequest::None && instances > 0).then(|| ("1g.5gb".to_owned(), instances));
        PodShape { cpu_milli: cpu * 900, memory_bytes, gpu, mig: mig.into_iter().collect(), ..PodShape::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 600, ..ProptestConfig::default() })]

    /// Whatever leaves, is promised, comes and goes: both accounts add up, and undoing restores every state.
    #[test]
    fn both_accounts_add_up_and_undo(
        nodes in prop::collection::vec(a_node(), 1..4),
        pods in prop::collection::vec(a_pod(), 1..8),
        actions in prop::collection::vec((0..10u8, any::<usize>(), any::<u32>()), 1..60),
    ) {
        let (mut cluster, shapes) = world(&nodes, &pods);
        let mut trial = Trial::on(&mut cluster);
        let mut before = vec![(trial.mark(), trial.cluster().digest())];
        for (number, action) in (1000..).zip(actions) {
            act(&mut trial, &shapes, number, action);
            prop_assert_eq!(check::violations(trial.cluster()), Vec::<String>::new());
            let digest = trial.cluster().digest();
            prop_assert_eq!(digest, trial.cluster().rebuild().digest());
            before.push((trial.mark(), digest));
        }
        while let Some((mark, digest)) = before.pop() {
            trial.undo_to(mark);
            prop_assert_eq!(trial.cluster().digest(), digest);
        }
    }
}

fn placement(shape: &Shared<PodShape>, gpus: &[u8], hold: Hold) -> Placement {
    Placement { shape: shape.clone(), node: NodeId(0), gpus: gpus.into(), hold }
}

/// One node of two GPUs of 100 MiB, and shapes: a whole GPU, half a GPU, 60 MiB.
fn two_gpus() -> (Cluster, Vec<Shared<PodShape>>) {
    let node =
        NodeShape { cpu_milli: 9, memory_bytes: 9, pods: 9, gpus: 2, gpu_memory_mib: 100, ..NodeShape::default() };
    let memory = GpuRequest::Share(Share { size: ShareSize::Memory(60), devices: 1 });
    let gpus = [GpuRequest::Whole(1), GpuRequest::share(MilliGpu(500)), memory];
    world(&[node], &gpus.map(|gpu| PodShape { gpu, ..PodShape::default() }))
}

#[test]
fn what_leaves_is_free_later_and_what_is_promised_is_not() {
    let (mut cluster, shapes) = two_gpus();
    let mut trial = Trial::on(&mut cluster);
    let free = |trial: &Trial<'_>| {
        let node = trial.cluster().state(NodeId(0)).expect("it is there");
        (node.free.gpu_mib.to_vec(), node.later().gpu_mib.to_vec(), node.later.is_none())
    };
    let runs = |trial: &Trial<'_>, gpu| {
        let node = trial.cluster().state(NodeId(0)).expect("it is there");
        node.kinds.contain(GpuKinds::of(gpu))
    };
    trial.place(PodId(1), placement(&shapes[0], &[0], Hold::Held));
    assert_eq!(free(&trial), (vec![0, 100], vec![0, 100], true));
    rehold(&mut trial, PodId(1), Hold::Leaving);
    assert_eq!(free(&trial), (vec![0, 100], vec![100, 100], false));
    assert!(!runs(&trial, GpuRequest::Whole(1)), "who leaves is no company");
    trial.place(PodId(2), placement(&shapes[2], &[0], Hold::Promised));
    assert_eq!(free(&trial), (vec![0, 100], vec![40, 100], false), "promised from what is leaving");
    assert_eq!(trial.cluster().gpu_used_milli(), 1000, "promises use nothing yet");
    assert!(runs(&trial, shapes[2].gpu), "who is promised a place is");
    trial.place(PodId(3), placement(&shapes[1], &[1], Hold::Held));
    assert_eq!(free(&trial), (vec![0, 50], vec![40, 50], false));
    trial.release(PodId(1));
    assert_eq!(free(&trial), (vec![100, 50], vec![40, 50], false));
    rehold(&mut trial, PodId(2), Hold::Held);
    assert_eq!(free(&trial), (vec![40, 50], vec![40, 50], true), "nobody leaves, so there is one account");
    assert_eq!(trial.cluster().gpu_used_milli(), 600 + 500);
}

#[test]
fn a_gpu_leaves_as_a_whole_only_when_all_its_pods_do() {
    let (mut cluster, shapes) = two_gpus();
    let mut trial = Trial::on(&mut cluster);
    for (pod, gpu) in [(1, 1), (2, 1), (3, 0)] {
        trial.place(PodId(pod), placement(&shapes[1], &[gpu], Hold::Held));
    }
    let whole = |trial: &Trial<'_>, count| {
        let node = trial.cluster().state(NodeId(0)).expect("it is there");
        node.whole_gpus(count, true).map(|gpus| gpus.to_vec())
    };
    rehold(&mut trial, PodId(1), Hold::Leaving);
    assert_eq!(whole(&trial, 1), None, "half of GPU 1 stays in use");
    rehold(&mut trial, PodId(2), Hold::Leaving);
    assert_eq!(whole(&trial, 1), Some(vec![1]));
    trial.release(PodId(3));
    assert_eq!(whole(&trial, 1), Some(vec![1]), "GPU 0 is idle, and stays so for who can start at once");
    assert_eq!(whole(&trial, 2), Some(vec![0, 1]));
    assert_eq!(whole(&trial, 3), None);
    let node = trial.cluster().state(NodeId(0)).expect("it is there");
    assert_eq!(node.whole_gpus(1, false).map(|gpus| gpus.to_vec()), Some(vec![0]));
}

#[test]
fn the_judge_sees_what_is_wrong_now_and_later() {
    let wrong = |placements: &[(usize, &[u8], Hold)]| {
        let (mut cluster, shapes) = two_gpus();
        let mut trial = Trial::on(&mut cluster);
        for (pod, (shape, gpus, hold)) in (1..).zip(placements) {
            trial.place(PodId(pod), placement(&shapes[*shape], gpus, *hold));
        }
        check::violations(trial.cluster())
    };
    assert_eq!(wrong(&[(0, &[0], Hold::Leaving), (0, &[0], Hold::Promised)]), [""; 0]);
    assert_eq!(wrong(&[(0, &[1, 0], Hold::Held)]).len(), 2, "one GPU asked for, two held, out of order");
    assert_eq!(wrong(&[(1, &[], Hold::Promised)]), ["pod #1 asked for 1 GPUs and holds 0"]);
}

#[test]
fn a_pod_that_fits_at_once_needs_the_same_gpus_now_and_later() {
    let (mut cluster, shapes) = two_gpus();
    let mut trial = Trial::on(&mut cluster);
    trial.place(PodId(1), placement(&shapes[0], &[0], Hold::Leaving));
    trial.place(PodId(2), placement(&shapes[0], &[1], Hold::Promised));
    let node = trial.cluster().state(NodeId(0)).expect("it is there");
    assert!(filter::fits(node, &shapes[0]));
    assert!(filter::must_wait(node, &shapes[0]), "GPU 1 is free now, GPU 0 is free later, none is both");
    assert_eq!(node.whole_gpus(1, false), None);
    assert_eq!(node.whole_gpus(1, true).map(|gpus| gpus.to_vec()), Some(vec![0]));
}
