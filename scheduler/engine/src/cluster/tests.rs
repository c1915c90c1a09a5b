//! What is free now and what is free later, as pods leave, are promised places, come and go.

use proptest::prelude::*;

use super::*;
use crate::units::MilliGpu;
use crate::{check, filter};

/// A cluster whose changes can be taken back.
struct World {
    cluster: Cluster,
    /// Pods that were changed, and what they held before.
    done: Vec<(PodId, Option<Placement>)>,
}

impl World {
    /// Of these nodes; with the pods' shapes, ready to be placed.
    fn new(nodes: &[NodeShape], pods: &[PodShape]) -> (World, Vec<Shared<PodShape>>) {
        let mut cluster = Cluster::default();
        for (id, shape) in (0..).zip(nodes) {
            cluster.add_node(NodeId(id), NodeSpec { name: format!("n{id}"), shape: shape.clone() });
        }
        let mut shapes = Interner::new();
        let possible = pods.iter().filter(|shape| shape.is_possible()).cloned();
        let shapes = possible.map(|shape| shapes.intern(shape)).collect();
        (World { cluster, done: Vec::new() }, shapes)
    }

    fn set(&mut self, pod: PodId, placement: Option<Placement>) {
        self.done.push((pod, self.cluster.release(pod)));
        if let Some(placement) = placement {
            self.cluster.place(pod, placement);
        }
    }

    fn undo(&mut self) {
        if let Some((pod, before)) = self.done.pop() {
            self.cluster.release(pod);
            if let Some(before) = before {
                self.cluster.place(pod, before);
            }
        }
    }

    fn place(&mut self, pod: u64, placement: Placement) {
        self.set(PodId(pod), Some(placement));
    }

    fn release(&mut self, pod: u64) {
        self.set(PodId(pod), None);
    }

    /// Changes from when to when a pod holds its place.
    fn rehold(&mut self, pod: PodId, hold: Hold) {
        let Some(placement) = self.cluster.placed().get(&pod).cloned() else { return };
        self.set(pod, Some(Placement { hold, ..placement }));
    }

    fn node(&self) -> &NodeState {
        self.cluster.state(NodeId(0)).expect("it is there")
    }
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
fn put(world: &mut World, pod: PodId, shape: &Shared<PodShape>, node: NodeId) {
    let Some(state) = world.cluster.state(node) else { return };
    if !filter::fits(state, shape) {
        return;
    }
    let waits = filter::must_wait(state, shape);
    let gpus = gpus_for(state, shape, !waits);
    assert_eq!(gpus.len(), shape.gpu.count(), "it fits, so there are GPUs");
    let hold = if waits { Hold::Promised } else { Hold::Held };
    world.set(pod, Some(Placement { shape: shape.clone(), node, gpus: gpus.into(), hold }));
}

/// May a pod that was promised its place start now, on the very GPUs? May one that is leaving stay?
fn may_be_held(cluster: &Cluster, pod: PodId) -> bool {
    let placement = &cluster.placed()[&pod];
    let Some(node) = cluster.state(placement.node) else { return false };
    let free = if placement.hold == Hold::Promised { &node.free } else { node.later() };
    let lacks = filter::Resource::ALL.map(|resource| resource.missing(&node.shape, free, &placement.shape));
    lacks == [0; filter::Resource::ALL.len()]
        && placement.gpus.iter().all(|gpu| free.room_on(*gpu, &node.shape, placement.shape.gpu))
}

fn act(world: &mut World, shapes: &[Shared<PodShape>], number: u64, (what, pick, node): (u8, usize, u32)) {
    let placed: Vec<PodId> = world.cluster.placed().keys().copied().collect();
    let Some(&pod) = placed.get(pick % placed.len().max(1)).filter(|_| what > 3) else {
        if let Some(shape) = shapes.get(pick % shapes.len().max(1)) {
            put(world, PodId(number), shape, NodeId(node % world.cluster.nodes().len() as u32));
        }
        return;
    };
    match world.cluster.placed()[&pod].hold {
        Hold::Held if what < 8 => world.rehold(pod, Hold::Leaving),
        Hold::Promised | Hold::Leaving if what < 7 && may_be_held(&world.cluster, pod) => world.rehold(pod, Hold::Held),
        _ => world.set(pod, None),
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
        let (mut world, shapes) = World::new(&nodes, &pods);
        let mut before = Vec::new();
        for (number, action) in (1000..).zip(actions) {
            before.push((world.done.len(), world.cluster.digest()));
            act(&mut world, &shapes, number, action);
            prop_assert_eq!(check::booking(&world.cluster), Vec::<String>::new());
            prop_assert_eq!(world.cluster.digest(), world.cluster.rebuild().digest());
        }
        for (done, digest) in before.into_iter().rev() {
            while world.done.len() > done {
                world.undo();
            }
            prop_assert_eq!(world.cluster.digest(), digest);
        }
    }
}

fn placement(shape: &Shared<PodShape>, gpus: &[u8], hold: Hold) -> Placement {
    Placement { shape: shape.clone(), node: NodeId(0), gpus: gpus.into(), hold }
}

/// One node of two GPUs of 100 MiB, and shapes: a whole GPU, half a GPU, 60 MiB.
fn two_gpus() -> (World, Vec<Shared<PodShape>>) {
    let node =
        NodeShape { cpu_milli: 9, memory_bytes: 9, pods: 9, gpus: 2, gpu_memory_mib: 100, ..NodeShape::default() };
    let memory = GpuRequest::Share(Share { size: ShareSize::Memory(60), devices: 1 });
    let gpus = [GpuRequest::Whole(1), GpuRequest::share(MilliGpu(500)), memory];
    World::new(&[node], &gpus.map(|gpu| PodShape { gpu, ..PodShape::default() }))
}

#[test]
fn what_leaves_is_free_later_and_what_is_promised_is_not() {
    let (mut world, shapes) = two_gpus();
    let free = |world: &World| {
        let node = world.node();
        (node.free.gpu_mib.to_vec(), node.later().gpu_mib.to_vec(), node.later.is_none())
    };
    let runs = |world: &World, gpu| {
        let node = world.node();
        node.kinds.contain(GpuKinds::of(gpu))
    };
    world.place(1, placement(&shapes[0], &[0], Hold::Held));
    assert_eq!(free(&world), (vec![0, 100], vec![0, 100], true));
    world.rehold(PodId(1), Hold::Leaving);
    assert_eq!(free(&world), (vec![0, 100], vec![100, 100], false));
    assert!(!runs(&world, GpuRequest::Whole(1)), "who leaves is no company");
    world.place(2, placement(&shapes[2], &[0], Hold::Promised));
    assert_eq!(free(&world), (vec![0, 100], vec![40, 100], false), "promised from what is leaving");
    assert_eq!(world.cluster.gpu_used_milli(), 1000, "promises use nothing yet");
    assert!(runs(&world, shapes[2].gpu), "who is promised a place is");
    world.place(3, placement(&shapes[1], &[1], Hold::Held));
    assert_eq!(free(&world), (vec![0, 50], vec![40, 50], false));
    world.release(1);
    assert_eq!(free(&world), (vec![100, 50], vec![40, 50], false));
    world.rehold(PodId(2), Hold::Held);
    assert_eq!(free(&world), (vec![40, 50], vec![40, 50], true), "nobody leaves, so there is one account");
    assert_eq!(world.cluster.gpu_used_milli(), 600 + 500);
}

#[test]
fn a_gpu_leaves_as_a_whole_only_when_all_its_pods_do() {
    let (mut world, shapes) = two_gpus();
    for (pod, gpu) in [(1, 1), (2, 1), (3, 0)] {
        world.place(pod, placement(&shapes[1], &[gpu], Hold::Held));
    }
    let whole = |world: &World, count| {
        let node = world.node();
        node.whole_gpus(count, true).map(|gpus| gpus.to_vec())
    };
    world.rehold(PodId(1), Hold::Leaving);
    assert_eq!(whole(&world, 1), None, "half of GPU 1 stays in use");
    world.rehold(PodId(2), Hold::Leaving);
    assert_eq!(whole(&world, 1), Some(vec![1]));
    world.release(3);
    assert_eq!(whole(&world, 1), Some(vec![1]), "GPU 0 is idle, and stays so for who can start at once");
    assert_eq!(whole(&world, 2), Some(vec![0, 1]));
    assert_eq!(whole(&world, 3), None);
    let node = world.node();
    assert_eq!(node.whole_gpus(1, false).map(|gpus| gpus.to_vec()), Some(vec![0]));
}

#[test]
fn the_judge_sees_what_is_wrong_now_and_later() {
    let wrong = |placements: &[(usize, &[u8], Hold)]| {
        let (mut world, shapes) = two_gpus();
        for (pod, (shape, gpus, hold)) in (1..).zip(placements) {
            world.place(pod, placement(&shapes[*shape], gpus, *hold));
        }
        check::booking(&world.cluster)
    };
    assert_eq!(wrong(&[(0, &[0], Hold::Leaving), (0, &[0], Hold::Promised)]), [""; 0]);
    assert_eq!(wrong(&[(0, &[1, 0], Hold::Held)]).len(), 2, "one GPU asked for, two held, out of order");
    assert_eq!(wrong(&[(1, &[], Hold::Promised)]), ["pod #1 asked for 1 GPUs and holds 0"]);
}

#[test]
fn the_judge_does_not_believe_either_account() {
    let tampered = |with: fn(&mut NodeState)| {
        let (mut world, shapes) = two_gpus();
        world.place(1, placement(&shapes[0], &[0], Hold::Leaving));
        world.place(2, placement(&shapes[2], &[0], Hold::Promised));
        world.cluster.restate(NodeId(0), |state, _, _| with(state));
        check::booking(&world.cluster).join("; ")
    };
    type Tampering = fn(&mut NodeState);
    let cases: [(Tampering, &str); 5] = [
        (|_| (), ""),
        (|state| state.free.cpu_milli -= 1, "`n0`, now: 0 thousandths of a core used and 8 left of 9"),
        (|state| state.free.gpus[1].0 = 999, "`n0`, now: 999 thousandths of GPU 1 left, 1000 by its MiB"),
        (
            |state| state.later.iter_mut().for_each(|later| later.gpu_mib[0] = 41),
            "`n0`, later: 60 MiB of GPU 0 used and 41 left of 100; \
             `n0`, later: 400 thousandths of GPU 0 left, 410 by its MiB",
        ),
        (|state| state.later.iter_mut().for_each(|later| later.pods -= 1), "`n0`, later: 1 pods used and 7 left of 9"),
    ];
    for (with, expected) in cases {
        assert_eq!(tampered(with), expected);
    }
}

#[test]
fn a_pod_that_fits_at_once_needs_the_same_gpus_now_and_later() {
    let (mut world, shapes) = two_gpus();
    world.place(1, placement(&shapes[0], &[0], Hold::Leaving));
    world.place(2, placement(&shapes[0], &[1], Hold::Promised));
    let node = world.node();
    assert!(filter::fits(node, &shapes[0]));
    assert!(filter::must_wait(node, &shapes[0]), "GPU 1 is free now, GPU 0 is free later, none is both");
    assert_eq!(node.whole_gpus(1, false), None);
    assert_eq!(node.whole_gpus(1, true).map(|gpus| gpus.to_vec()), Some(vec![0]));
}
