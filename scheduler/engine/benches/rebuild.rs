//! W11 of anchors/speed.md, section 4: a scheduler that starts again is told everything that is there, 50,000 nodes with
//! 400,000 running pods, and decides. Time of the events and of the first `decide`, and the memory they leave in use.

#![allow(missing_docs, reason = "a program of its own")]
#![allow(clippy::disallowed_types, reason = "a benchmark measures time and memory; the engine itself may not")]

mod fleet;

use std::time::{Duration, Instant};

use berth_engine::gang::{Stage, Subgroup};
use berth_engine::*;
use fleet::{node_shape, whole};

const NODES: u32 = 50_000;
const QUEUES: u32 = 250;
/// Every other pod is one of a gang of so many; the rest are alone.
const GANG: u64 = 32;

/// Everything there is, in the order in which a driver tells it.
fn events() -> impl Iterator<Item = Event> {
    let queues = (0..QUEUES).map(|number| {
        let spec = QueueSpec::unlimited(&format!("queue-{number}"));
        Event::QueueSet { queue: QueueId(number), spec }
    });
    let nodes = (0..NODES).map(|number| {
        let spec = NodeSpec { name: format!("node-{number:05}"), shape: node_shape(number, false) };
        Event::NodeAdded { node: NodeId(number), spec }
    });
    let pods = u64::from(NODES) * 8;
    let gangs = (0..pods / GANG / 2).map(|number| {
        let spec = GangSpec {
            name: format!("job-{number:06}").into(),
            preemptible: true,
            started: Some(Timestamp(number)),
            tree: Subgroup { min_member: GANG as u32, ..Subgroup::default() },
            ..GangSpec::lone(QueueId((number % u64::from(QUEUES)) as u32), 0, Timestamp(0))
        };
        Event::GangAdded { gang: GangId(number), spec }
    });
    let pods = (0..pods).map(|number| {
        let gpus = [(number % 8) as u8].into_iter().collect();
        let seat = Some(Seat { stage: Stage::Running, node: NodeId((number / 8) as u32), gpus });
        let member = || Member { gang: GangId(number / 2 / GANG), subgroup: String::new() };
        let gang = (number % 2 == 0).then(member);
        let spec = PodSpec { name: format!("pod-{number:07}"), shape: whole(1), gang, seat, ..PodSpec::default() };
        Event::PodAdded { pod: PodId(number + 1), spec }
    });
    queues.chain(nodes).chain(gangs).chain(pods)
}

/// Memory in use by this process, MiB; 0 where the system does not say.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
}

fn main() {
    let (before, now) = (memory_mib(), Timestamp(1_000_000_000));
    let mut engine = Engine::new(Config::default());
    let mut telling = Duration::ZERO;
    for event in events() {
        let start = Instant::now();
        engine.apply(event, now).expect("a consistent event");
        telling += start.elapsed();
    }
    let start = Instant::now();
    let decisions = engine.decide(now);
    let deciding = start.elapsed();
    assert!(decisions.is_empty(), "everything runs");
    let (nodes, pods) = (engine.cluster().nodes().len(), engine.state().pods().len());
    println!("W11 rebuild of {nodes} nodes and {pods} pods: {telling:.2?}, then the first cycle {deciding:.2?}");
    println!("W11 memory in use: {} MiB", memory_mib() - before);
}
