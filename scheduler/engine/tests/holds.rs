//! What is free now and what is free later, as pods leave, are promised places, come and go.

use berth_engine::cluster::{GpuKinds, Hold, NodeState, Placement};
use berth_engine::gang::Stage;
use berth_engine::state::Whereabouts;
use berth_engine::trial::Trial;
use berth_engine::*;
use proptest::prelude::*;

/// A state of these nodes and pods, pod `n` being numbered `n`. All of them wait.
fn world(nodes: &[NodeShape], pods: &[PodShape]) -> State {
    let mut engine = Engine::new(Config::default());
    for (id, shape) in (0..).zip(nodes) {
        let spec = NodeSpec { name: format!("n{id}"), shape: shape.clone() };
        engine.apply(Event::NodeAdded { node: NodeId(id), spec }, Timestamp(0)).expect("nodes are distinct");
    }
    for (id, shape) in (0..).zip(pods) {
        let (pod, spec) = (PodId(id), PodSpec { shape: shape.clone(), ..PodSpec::default() });
        engine.apply(Event::PodAdded { pod, spec }, Timestamp(0)).expect("pods are distinct");
    }
    engine.state().rebuild()
}

/// A stage in which a pod holds its place so.
fn stage(hold: Hold) -> Stage {
    match hold {
        Hold::Held => Stage::Running,
        Hold::Leaving => Stage::Evicted,
        Hold::Promised => Stage::Nominated { counted: true },
    }
}

fn place(trial: &Trial<'_>, pod: PodId, node: NodeId, gpus: &[u8]) -> Placement {
    Placement { shape: trial.state().pods()[&pod].shape.clone(), node, gpus: gpus.into(), hold: Hold::Held }
}

/// Some GPUs of a node for a pod that fits there: those of highest index, to differ from what the engine takes.
fn gpus_for(node: &NodeState, pod: &PodShape, at_once: bool) -> Vec<u8> {
    let free = if at_once { node.at_once().into_owned() } else { node.later().clone() };
    let roomy = (0..node.shape.gpus as u8).rev().filter(|gpu| free.room_on(*gpu, &node.shape, pod.gpu));
    let mut gpus: Vec<u8> = roomy.take(pod.gpu.count()).collect();
    gpus.sort_unstable();
    gpus
}

/// Puts a pod on the node: at once if that can be, else by promise, else not. What it had before it leaves.
fn put(trial: &mut Trial<'_>, pod: PodId, node: NodeId) {
    let state = trial.state();
    let (Some(there), shape) = (state.cluster().state(node), &*state.pods()[&pod].shape) else { return };
    if !filter::fits(there, shape) {
        return;
    }
    let former = state.whereabouts(pod).place;
    let promised = former.is_some() || filter::must_wait(there, shape);
    let gpus = gpus_for(there, shape, !promised);
    assert_eq!(gpus.len(), shape.gpu.count(), "it fits, so there are GPUs");
    let former = former.map(|place| Placement { hold: Hold::Leaving, ..place });
    let hold = if promised { Hold::Promised } else { Hold::Held };
    let new = Whereabouts::at(stage(hold), place(trial, pod, node, &gpus));
    trial.set(pod, Whereabouts { former, ..new });
}

/// Changes from when to when a pod holds its place; what it was leaving is gone.
fn rehold(trial: &mut Trial<'_>, pod: PodId, hold: Hold) {
    let Some(place) = trial.state().whereabouts(pod).place else { return };
    trial.set(pod, Whereabouts::at(stage(hold), place));
}

/// May a pod that was promised its place start now, on the very GPUs? May one that is leaving stay?
fn may_be_held(trial: &mut Trial<'_>, pod: PodId) -> bool {
    let before = trial.mark();
    let there = trial.state().whereabouts(pod);
    let Some(placement) = there.place.clone() else { return false };
    trial.set(pod, Whereabouts { former: None, ..there });
    let Some(node) = trial.state().cluster().state(placement.node) else { return false };
    let free = if placement.hold == Hold::Promised { &node.free } else { node.later() };
    let lacks = filter::Resource::ALL.map(|resource| resource.missing(&node.shape, free, &placement.shape));
    let may = lacks == [0; filter::Resource::ALL.len()]
        && placement.gpus.iter().all(|gpu| free.room_on(*gpu, &node.shape, placement.shape.gpu));
    trial.undo_to(before);
    may
}

fn act(trial: &mut Trial<'_>, (what, pick, node): (u8, usize, u32)) {
    let pods: Vec<(PodId, Option<Hold>)> = {
        let state = trial.state();
        let hold = |pod: &PodId| state.cluster().placed().get(pod).map(|place| place.hold);
        state.pods().keys().map(|pod| (*pod, hold(pod))).collect()
    };
    let (waiting, placed): (Vec<_>, Vec<_>) = pods.into_iter().partition(|(_, hold)| hold.is_none());
    let node = NodeId(node % trial.state().cluster().nodes().len() as u32);
    let from = if what < 4 { waiting } else { placed };
    let Some(&(pod, hold)) = from.get(pick % from.len().max(1)) else { return };
    match hold {
        None => put(trial, pod, node),
        Some(Hold::Held) if what < 6 => put(trial, pod, node),
        Some(Hold::Held) if what < 9 => rehold(trial, pod, Hold::Leaving),
        Some(Hold::Promised | Hold::Leaving) if what < 8 && may_be_held(trial, pod) => rehold(trial, pod, Hold::Held),
        Some(_) => trial.set(pod, Whereabouts::PENDING),
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
            others: [("disk".into(), 2 * u64::from(kind))].into(),
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
        let others = (memory_bytes > 1).then(|| ("disk".into(), memory_bytes)).into_iter().collect();
        let mig = mig.into_iter().collect();
        PodShape { cpu_milli: cpu * 900, memory_bytes, gpu, mig, others, ..PodShape::default() }
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
        let mut state = world(&nodes, &pods.iter().cycle().take(24).cloned().collect::<Vec<_>>());
        let mut trial = Trial::on(&mut state);
        let mut before = vec![(trial.mark(), trial.state().digest())];
        for action in actions {
            act(&mut trial, action);
            prop_assert_eq!(check::booking(trial.state().cluster()), Vec::<String>::new());
            let digest = trial.state().digest();
            prop_assert_eq!(digest, trial.state().rebuild().digest());
            before.push((trial.mark(), digest));
        }
        while let Some((mark, digest)) = before.pop() {
            trial.undo_to(mark);
            prop_assert_eq!(trial.state().digest(), digest);
        }
    }
}

/// One node of two GPUs of 100 MiB, and pods: 0 to 2 want a whole GPU, 3 to 5 half a GPU, 6 to 8 60 MiB.
fn two_gpus() -> State {
    let node =
        NodeShape { cpu_milli: 9, memory_bytes: 9, pods: 9, gpus: 2, gpu_memory_mib: 100, ..NodeShape::default() };
    let memory = GpuRequest::Share(Share { size: ShareSize::Memory(60), devices: 1 });
    let gpus = [GpuRequest::Whole(1), GpuRequest::share(MilliGpu(500)), memory];
    let pods = gpus.iter().flat_map(|gpu| std::iter::repeat_n(PodShape { gpu: *gpu, ..PodShape::default() }, 3));
    world(&[node], &pods.collect::<Vec<_>>())
}

fn hold(trial: &mut Trial<'_>, pod: u64, gpus: &[u8], hold: Hold) {
    let place = place(trial, PodId(pod), NodeId(0), gpus);
    trial.set(PodId(pod), Whereabouts::at(stage(hold), place));
}

fn the_node<'a>(trial: &'a Trial<'_>) -> &'a NodeState {
    trial.state().cluster().state(NodeId(0)).expect("it is there")
}

#[test]
fn what_leaves_is_free_later_and_what_is_promised_is_not() {
    let mut state = two_gpus();
    let mut trial = Trial::on(&mut state);
    let free = |trial: &Trial<'_>| {
        let node = the_node(trial);
        (node.free.gpu_mib.to_vec(), node.later().gpu_mib.to_vec(), node.later.is_none())
    };
    let runs = |trial: &Trial<'_>, gpu| the_node(trial).kinds.contain(GpuKinds::of(gpu));
    let memory = trial.state().pods()[&PodId(6)].shape.gpu;
    hold(&mut trial, 0, &[0], Hold::Held);
    assert_eq!(free(&trial), (vec![0, 100], vec![0, 100], true));
    assert!(runs(&trial, GpuRequest::Whole(1)));
    rehold(&mut trial, PodId(0), Hold::Leaving);
    assert_eq!(free(&trial), (vec![0, 100], vec![100, 100], false));
    assert!(!runs(&trial, GpuRequest::Whole(1)), "who leaves is no company");
    hold(&mut trial, 6, &[0], Hold::Promised);
    assert_eq!(free(&trial), (vec![0, 100], vec![40, 100], false), "promised from what is leaving");
    assert_eq!(trial.state().cluster().gpu_used_milli(), 1000, "promises use nothing yet");
    assert!(runs(&trial, memory), "who is promised a place is");
    hold(&mut trial, 3, &[1], Hold::Held);
    assert_eq!(free(&trial), (vec![0, 50], vec![40, 50], false));
    trial.set(PodId(0), Whereabouts::PENDING);
    assert_eq!(free(&trial), (vec![100, 50], vec![40, 50], false));
    rehold(&mut trial, PodId(6), Hold::Held);
    assert_eq!(free(&trial), (vec![40, 50], vec![40, 50], true), "nobody leaves, so there is one account");
    assert_eq!(trial.state().cluster().gpu_used_milli(), 600 + 500);
}

#[test]
fn a_pod_that_moves_holds_both_places_now_and_one_later() {
    let mut state = two_gpus();
    let mut trial = Trial::on(&mut state);
    hold(&mut trial, 0, &[0], Hold::Held);
    let before = (trial.mark(), trial.state().digest());
    put(&mut trial, PodId(0), NodeId(0));
    let there = trial.state().whereabouts(PodId(0));
    let gpus = |place: Option<Placement>| place.map(|place| (place.gpus.to_vec(), place.hold));
    assert_eq!(gpus(there.former), Some((vec![0], Hold::Leaving)));
    assert_eq!(gpus(there.place), Some((vec![1], Hold::Promised)));
    assert_eq!(the_node(&trial).free.gpu_mib.to_vec(), [0, 100]);
    assert_eq!(the_node(&trial).later().gpu_mib.to_vec(), [100, 0]);
    trial.undo_to(before.0);
    assert_eq!(trial.state().digest(), before.1);
}

#[test]
fn a_gpu_leaves_as_a_whole_only_when_all_its_pods_do() {
    let mut state = two_gpus();
    let mut trial = Trial::on(&mut state);
    for (pod, gpu) in [(3, 0), (4, 0), (5, 1)] {
        hold(&mut trial, pod, &[gpu], Hold::Held);
    }
    let whole = |trial: &Trial<'_>, count| the_node(trial).whole_gpus(count, true).map(|gpus| gpus.to_vec());
    rehold(&mut trial, PodId(3), Hold::Leaving);
    assert_eq!(whole(&trial, 1), None, "half of GPU 0 stays in use");
    rehold(&mut trial, PodId(4), Hold::Leaving);
    assert_eq!(whole(&trial, 1), Some(vec![0]));
    trial.set(PodId(5), Whereabouts::PENDING);
    assert_eq!(whole(&trial, 1), Some(vec![0]), "GPU 1 is idle, and stays so for who can start at once");
    assert_eq!(whole(&trial, 2), Some(vec![0, 1]));
    assert_eq!(the_node(&trial).whole_gpus(1, false).map(|gpus| gpus.to_vec()), Some(vec![1]));
}

#[test]
fn the_judge_sees_what_is_wrong_now_and_later() {
    let wrong = |placements: &[(u64, &[u8], Hold)]| {
        let mut state = two_gpus();
        let mut trial = Trial::on(&mut state);
        for (pod, gpus, held) in placements {
            hold(&mut trial, *pod, gpus, *held);
        }
        check::booking(trial.state().cluster())
    };
    assert_eq!(wrong(&[(0, &[0], Hold::Leaving), (1, &[0], Hold::Promised)]), [""; 0]);
    assert_eq!(wrong(&[(0, &[1, 0], Hold::Held)]).len(), 2, "one GPU asked for, two held, out of order");
    assert_eq!(wrong(&[(3, &[], Hold::Promised)]), ["pod #3 asked for 1 GPUs and holds 0"]);
}

#[test]
fn a_pod_that_fits_at_once_needs_the_same_gpus_now_and_later() {
    let mut state = two_gpus();
    let mut trial = Trial::on(&mut state);
    hold(&mut trial, 0, &[0], Hold::Leaving);
    hold(&mut trial, 1, &[1], Hold::Promised);
    let (node, pod) = (the_node(&trial), &trial.state().pods()[&PodId(2)].shape);
    assert!(filter::fits(node, pod));
    assert!(filter::must_wait(node, pod), "GPU 1 is free now, GPU 0 is free later, none is both");
    assert_eq!(node.whole_gpus(1, false), None);
    assert_eq!(node.whole_gpus(1, true).map(|gpus| gpus.to_vec()), Some(vec![0]));
}
