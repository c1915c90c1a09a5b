//! Fair shares kept in step against those of a state built from nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::queue::{QueueSpec, Quota};
use crate::units::{GPU, MilliGpu};
use crate::*;

#[derive(Debug, Clone)]
enum Step {
    /// A queue, its parent's position among those above it, and its quota.
    SetQueue(u32, u32, u8),
    AddNode(u8),
    RemoveNode(usize),
    /// A pod of a kind, in a leaf, perhaps one that nobody may evict.
    AddPod(u8, u32, bool),
    EndPod(usize),
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..6u32, 0..2u32, any::<u8>()).prop_map(|(queue, parent, quota)| Step::SetQueue(queue, parent, quota)),
        1 => any::<u8>().prop_map(Step::AddNode),
        1 => any::<usize>().prop_map(Step::RemoveNode),
        4 => (any::<u8>(), 2..6u32, any::<bool>()).prop_map(|(kind, leaf, fixed)| Step::AddPod(kind, leaf, fixed)),
        2 => any::<usize>().prop_map(Step::EndPod),
    ]
}

fn quota(bits: u8) -> Quota {
    let amount = |bits: u8| Some(i64::from(bits % 4) * 2000).filter(|_| !bits.is_multiple_of(4));
    Quota { deserved: amount(bits), limit: amount(bits >> 2), over_quota_weight: i64::from(bits >> 4) % 3 }
}

/// Queues 0 and 1 are roots, all others leaves under one of these.
fn queue(number: u32, parent: u32, bits: u8) -> Event {
    let gpu_models =
        if bits.is_multiple_of(3) { BTreeMap::from([("A".to_owned(), quota(bits >> 1))]) } else { BTreeMap::new() };
    let parent = (number > 1).then_some(QueueId(parent));
    let spec = QueueSpec { parent, gpu: quota(bits), gpu_models, ..QueueSpec::unlimited(&format!("q{number}")) };
    Event::QueueSet { queue: QueueId(number), spec }
}

fn node(number: u32, bits: u8) -> Event {
    let shape = NodeShape {
        cpu_milli: 9_000,
        memory_bytes: 9 << 20,
        pods: 9,
        gpus: usize::from(bits % 4),
        gpu_model: ["A", "B"][usize::from(bits >> 2) % 2].to_owned(),
        gpu_memory_mib: [0, 1_000, 2_000][usize::from(bits >> 3) % 3],
        ..NodeShape::default()
    };
    Event::NodeAdded { node: NodeId(number), spec: NodeSpec { name: format!("n{number}"), shape } }
}

fn shape(kind: u8) -> PodShape {
    let gpu = match kind % 4 {
        0 => GpuRequest::None,
        1 => GpuRequest::Whole(1),
        2 => GpuRequest::share(MilliGpu(GPU.0 / 2)),
        _ => GpuRequest::Share(Share { size: ShareSize::Memory(700), devices: 1 }),
    };
    let gpu_models = if kind.is_multiple_of(3) { vec!["A".to_owned()] } else { Vec::new() };
    PodShape { cpu_milli: 1000, memory_bytes: 1 << 20, gpu, gpu_models, ..PodShape::default() }
}

fn pod(number: u64, kind: u8, leaf: u32, fixed: bool) -> [Event; 2] {
    let gang = GangId(number);
    let lone = GangSpec::lone(QueueId(leaf), 0, Timestamp(number));
    let spec =
        PodSpec { shape: shape(kind), gang: Some(Member { gang, subgroup: String::new() }), ..PodSpec::default() };
    [
        Event::GangAdded { gang, spec: GangSpec { preemptible: !fixed, ..lone } },
        Event::PodAdded { pod: PodId(number), spec },
    ]
}

fn events(engine: &Engine, number: u32, step: &Step) -> Vec<Event> {
    let state = engine.state();
    match step {
        Step::SetQueue(id, parent, bits) => vec![queue(*id, *parent, *bits)],
        Step::AddNode(bits) => vec![node(number, *bits)],
        Step::RemoveNode(pick) => {
            let node = state.cluster().nodes().keys().nth(pick % state.cluster().nodes().len().max(1));
            node.map(|node| Event::NodeRemoved { node: *node }).into_iter().collect()
        }
        Step::AddPod(kind, leaf, fixed) => pod(number.into(), *kind, *leaf, *fixed).into(),
        Step::EndPod(pick) => {
            let pod = state.pods().keys().nth(pick % state.pods().len().max(1));
            pod.map(|pod| Event::PodGone { pod: *pod }).into_iter().collect()
        }
    }
}

fn shares(state: &State) -> Vec<(QueueId, Vec<i64>)> {
    let resources = 0..state.queues().resources();
    let of = |queue: &Queue| resources.clone().map(|resource| queue.fair_share.get(resource)).collect();
    state.queues().all().iter().map(|(id, queue)| (*id, of(queue))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn shares_in_step_are_those_of_a_state_built_from_nothing(
        bits in prop::collection::vec(any::<u8>(), 6), steps in prop::collection::vec(a_step(), 1..50),
    ) {
        let mut engine = Engine::new(Config { policy: Policy::BestFit, ..Config::default() });
        for (number, bits) in (0..).zip(bits) {
            engine.apply(queue(number, u32::from(bits % 2), bits), Timestamp(0)).expect("parents come first");
        }
        for (number, step) in (1..).zip(&steps) {
            for event in events(&engine, number, step) {
                engine.apply(event, Timestamp(number.into())).expect("the step is consistent");
            }
            engine.run(&[], Timestamp(number.into()));
            let mut fresh = engine.state().rebuild();
            prop_assert_eq!(engine.state().digest(), fresh.digest());
            divide(&mut fresh);
            prop_assert_eq!(shares(engine.state()), shares(&fresh), "after {:?}", step);
            engine.decide(Timestamp(number.into()));
        }
    }
}
