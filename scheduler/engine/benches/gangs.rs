//! Time of whole cycles with gangs, queues and victims, on one core. Every figure is that of `decide` alone, or of the events
//! and the `decide` that follows where it says `+ events`. The workloads are those of anchors/speed.md, section 4.

#![allow(missing_docs, reason = "criterion writes items of its own")]
#![allow(clippy::disallowed_types, reason = "a benchmark measures time; the engine itself may not")]

mod fleet;

use std::time::{Duration, Instant};

use berth_engine::*;
use criterion::{Criterion, criterion_group, criterion_main};
use fleet::{Fleet, GPUS, Job, node_shape, whole};

/// Measures one thing on a world that is made only if somebody wants that figure, and made once.
fn measure(criterion: &mut Criterion, name: &str, world: impl Fn() -> Fleet, once: impl Fn(&mut Fleet) -> Duration) {
    let mut fleet = None;
    criterion.bench_function(name, |bencher| {
        let fleet = fleet.get_or_insert_with(&world);
        bencher.iter_custom(|iterations| (0..iterations).map(|_| once(fleet)).sum());
    });
}

/// The same where every round needs a world of its own.
fn measure_anew(
    criterion: &mut Criterion,
    name: &str,
    world: impl Fn() -> Fleet,
    once: impl Fn(&mut Fleet) -> Duration,
) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| once(&mut world())).sum());
    });
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}

fn count(decisions: &[Decision], what: &str) -> usize {
    Fleet::count(decisions).get(what).copied().unwrap_or(0)
}

/// All these jobs at once; every pod must be placed. They are gone afterwards.
fn backlog(fleet: &mut Fleet, jobs: &[Job]) -> Duration {
    let gangs: Vec<GangId> = jobs.iter().map(|job| fleet.submit(job)).collect();
    let pods: usize = gangs.iter().map(|gang| fleet.engine.state().gangs()[gang].pods().count()).sum();
    let (time, decisions) = timed(|| fleet.decide());
    assert_eq!(count(&decisions, "bound"), pods, "{:?}", Fleet::count(&decisions));
    gangs.into_iter().for_each(|gang| fleet.cancel(gang));
    time
}

/// One gang that comes, is placed whole and goes; its coming counts.
fn one_gang(fleet: &mut Fleet, job: &Job) -> Duration {
    let (time, (gang, decisions)) = timed(|| (fleet.submit(job), fleet.decide()));
    let pods = fleet.engine.state().gangs()[&gang].pods().count();
    assert_eq!(count(&decisions, "bound"), pods, "{:?}", Fleet::count(&decisions));
    fleet.cancel(gang);
    time
}

fn w1_backlog_of_single_gpus(criterion: &mut Criterion) {
    for (nodes, queues) in [(1_000, 30), (5_000, 30), (15_000, 30), (5_000, 1_000)] {
        let pods = usize::try_from(nodes).expect("fits") * usize::from(GPUS);
        let jobs: Vec<Job> = (0..pods).map(|number| Job::of(number, 1, whole(1))).collect();
        let name = format!("W1 backlog of {pods} 1-GPU pods/{nodes} nodes, {queues} queues");
        measure(criterion, &name, || Fleet::new(nodes, queues), |fleet| backlog(fleet, &jobs));
    }
}

fn w2_gangs(criterion: &mut Criterion) {
    for (nodes, queues, fill) in [(1_000, 30, 0), (5_000, 30, 0), (15_000, 30, 0), (5_000, 1_000, 0), (5_000, 30, 50)] {
        for pods in [1, 3, 32, 512] {
            let name = format!("W2 gang of {pods} x 8 GPUs + events/{nodes} nodes, {queues} queues, {fill}% full");
            let world = || {
                let mut fleet = Fleet::new(nodes, queues);
                // Half of the nodes are full, in pieces: as many whole ones are free as the gang needs.
                fleet.occupy(0..nodes * fill / 100, 1, 0..24);
                fleet
            };
            measure(criterion, &name, world, |fleet| one_gang(fleet, &Job::of(0, pods, whole(8))));
        }
    }
    for pods in [1, 3, 32] {
        let name = format!("W2 gang of {pods} x 1 GPU + events/5000 nodes, 30 queues, 90% full and scattered");
        measure(criterion, &name, || scattered(5_000), |fleet| one_gang(fleet, &Job::of(0, pods, whole(1))));
    }
}

fn scattered(nodes: u32) -> Fleet {
    let mut fleet = Fleet::new(nodes, 30);
    fleet.fill(90);
    fleet
}

fn w3_topology(criterion: &mut Criterion) {
    let full_racks = Job::of(0, 32, whole(8));
    let jobs = [
        ("32 pods, required rack", full_racks.clone().within(Some("rack"), None)),
        ("512 pods, required block", Job::of(0, 512, whole(8)).within(Some("block"), None)),
        ("32 pods, preferred rack", full_racks.clone().within(None, Some("rack"))),
        ("64 pods, preferred rack they do not fit in", Job::of(0, 64, whole(8)).within(None, Some("rack"))),
        ("4 subgroups of 32 pods, a rack each", full_racks.within(Some("rack"), None).times(4)),
    ];
    for (what, job) in jobs {
        for nodes in [1_024, 5_120, 15_360] {
            let name = format!("W3 {what} + events/{nodes} nodes, empty");
            measure(criterion, &name, || Fleet::new(nodes, 30), |fleet| one_gang(fleet, &job));
        }
        let name = format!("W3 {what} + events/5120 nodes, 75% full");
        let world = || {
            let mut fleet = Fleet::new(5_120, 30);
            (0..160)
                .filter(|rack| rack / 16 % 2 == 0)
                .for_each(|rack| fleet.occupy(rack * 32..rack * 32 + 32, 1, 0..24));
            (0..160)
                .filter(|rack| rack / 16 % 4 == 1)
                .for_each(|rack| fleet.occupy(rack * 32..rack * 32 + 9, 8, 0..24));
            fleet
        };
        measure(criterion, &name, world, |fleet| one_gang(fleet, &job));
    }
}

fn w4_parts_of_gpus(criterion: &mut Criterion) {
    let share = |size, devices| PodShape {
        cpu_milli: 4_000,
        memory_bytes: 1 << 33,
        gpu: GpuRequest::Share(Share { size, devices }),
        ..PodShape::default()
    };
    let instances =
        |profile: &str| PodShape { cpu_milli: 4_000, mig: vec![(profile.to_owned(), 1)], ..PodShape::default() };
    let shapes = [
        share(ShareSize::Milli(MilliGpu(500)), 1),
        share(ShareSize::Milli(MilliGpu(250)), 2),
        share(ShareSize::Memory(20_000), 1),
        instances("1g.10gb"),
        instances("3g.40gb"),
    ];
    let jobs: Vec<Job> = (0..10_000).map(|number| Job::of(number, 1, shapes[number % shapes.len()].clone())).collect();
    let world = || Fleet::with(5_000, 30, |number| node_shape(number, true), Config::default());
    measure(criterion, "W4 backlog of 10000 shares, memories and MIG instances/5000 nodes", world, |fleet| {
        backlog(fleet, &jobs)
    });
    for (what, shape) in ["half a GPU", "two quarters", "20 GB", "1g.10gb", "3g.40gb"].into_iter().zip(shapes) {
        let name = format!("W4 gang of 32 x {what} + events/5000 nodes");
        measure(criterion, &name, world, |fleet| one_gang(fleet, &Job::of(0, 32, shape.clone())));
    }
}

/// Who comes makes room, until all its pods are promised a place; who finds enough leaving already waits for the next cycle.
fn makes_room(fleet: &mut Fleet, jobs: &[Job]) -> Duration {
    let gangs: Vec<GangId> = jobs.iter().map(|job| fleet.submit(job)).collect();
    let pods: usize = gangs.iter().map(|gang| fleet.engine.state().gangs()[gang].pods().count()).sum();
    let (mut time, mut promised) = (Duration::ZERO, 0);
    while promised < pods {
        let (more, decisions) = timed(|| fleet.decide());
        let nominated = count(&decisions, "nominated");
        assert!(nominated > 0, "{promised} of {pods} have a place: {:?}", Fleet::count(&decisions));
        (time, promised) = (time + more, promised + nominated);
    }
    time
}

/// 1,000 nodes, full of gangs of 20 whole nodes or of single GPUs, all in one queue.
fn full_of(gangs: bool) -> Fleet {
    let mut fleet = Fleet::new(1_000, 30);
    if gangs {
        for first in (0..1_000).step_by(20) {
            fleet.start(&Job::of(0, 20, whole(8)), (first..first + 20).map(|node| (node, 0)));
        }
    } else {
        fleet.occupy(0..1_000, 1, 0..1);
    }
    fleet
}

fn w5_preemption(criterion: &mut Criterion) {
    let urgent = |pods| Job { priority: 9, ..Job::of(0, pods, whole(8)) };
    for (victims, gangs) in [("50 gangs of 20 nodes", true), ("8000 single GPUs", false)] {
        for (what, jobs) in [("1 x 100 pods", vec![urgent(100)]), ("10 x 10 pods", vec![urgent(10); 10])] {
            let name = format!("W5 {what} preempt {victims}/1000 nodes");
            measure_anew(criterion, &name, || full_of(gangs), |fleet| makes_room(fleet, &jobs));
        }
    }
}

/// 1,000 nodes, full of 4,000 jobs of 2 GPUs in the queues of one root. Half of the cluster, or all of it, belongs to the other.
fn borrowed(everything: bool) -> Fleet {
    let mut fleet = Fleet::new(1_000, 30);
    fleet.occupy(0..1_000, 2, 0..12);
    if everything {
        fleet.give_all_to_the_second_root();
    }
    fleet
}

fn w6_reclaim(criterion: &mut Criterion) {
    let spread = |count: usize, pods, shape: PodShape| -> Vec<Job> {
        (0..count).map(|number| Job::of(12 + number % 12, pods, shape.clone())).collect()
    };
    for (what, everything, jobs) in [
        ("1 GPU", false, spread(1, 1, whole(1))),
        ("1 job of 500 x 8 GPUs", false, spread(1, 500, whole(8))),
        ("50 gangs of 10 x 8 GPUs", false, spread(50, 10, whole(8))),
        ("2000 jobs of 2 GPUs", false, spread(2_000, 1, whole(2))),
        ("the whole cluster by 4000 jobs of 2 GPUs", true, spread(4_000, 1, whole(2))),
    ] {
        let name = format!("W6 reclaim {what}/1000 nodes, 4000 running");
        measure_anew(criterion, &name, || borrowed(everything), |fleet| makes_room(fleet, &jobs));
    }
}

/// 5,000 nodes, full, 100 of them of a model of their own and one of those a GPU short. 10,000 jobs wait, in all queues but
/// the last, which has a right to its part and nothing running.
fn crowded() -> Fleet {
    let shape = |number| match node_shape(number, false) {
        shape if number < 4_900 => shape,
        shape => NodeShape { gpu_model: "B200".to_owned(), gpus: if number == 4_999 { 7 } else { 8 }, ..shape },
    };
    let mut fleet = Fleet::with(5_000, 30, shape, Config::default());
    fleet.fill(100);
    let others = fleet.leaves.len() - 1;
    for number in 0..10_000 {
        fleet.submit(&Job::of(number % others, 1, whole(1 << (number % 4))));
    }
    fleet.settle();
    fleet
}

fn w7_refusals(criterion: &mut Criterion) {
    let one_model = PodShape { gpu_models: vec!["B200".to_owned()], ..whole(8) };
    let one_label = PodShape { node_selector: [("hall".to_owned(), "x".to_owned())].into(), ..whole(8) };
    for (what, job) in [
        ("one GPU", Job::of(23, 100, one_model)),
        ("one node of a rack", Job::of(23, 33, whole(8)).within(Some("rack"), None)),
        ("one label", Job::of(23, 10, one_label)),
        ("rights: its queue has its part", Job::of(0, 10, whole(8))),
    ] {
        let name = format!("W7 no to a gang that misses {what}/5000 nodes, 10000 pending");
        measure(criterion, &name, crowded, |fleet| {
            let gang = fleet.submit(&job);
            let (time, decisions) = timed(|| fleet.decide());
            let refused = |decision: &Decision| matches!(decision, Decision::Wait { gang: told, .. } if *told == gang);
            assert!(decisions.iter().any(refused), "{:?}", Fleet::count(&decisions));
            assert_eq!(count(&decisions, "bound") + count(&decisions, "nominated"), 0, "it was to be impossible");
            fleet.cancel(gang);
            fleet.settle();
            time
        });
    }
}

/// Every node half full of jobs of 2 GPUs: whole nodes only come free when jobs move.
fn w8_consolidation(criterion: &mut Criterion) {
    let half_full = || {
        let mut fleet = Fleet::new(1_000, 30);
        for node in 0..1_000 {
            for first in [0, 4] {
                fleet.start(&Job::of(node as usize, 1, whole(2)), [(node, first)]);
            }
        }
        fleet
    };
    for gangs in [1, 41] {
        let jobs: Vec<Job> = (0..gangs).map(|number| Job::of(number, 10, whole(8))).collect();
        let name = format!("W8 consolidate for {gangs} gangs of 10 x 8 GPUs/1000 nodes, 2000 running");
        measure_anew(criterion, &name, half_full, |fleet| makes_room(fleet, &jobs));
    }
}

/// One second of a busy cluster in ten cycles: 50 nodes go and come back, 500 pods end and 500 come.
fn w9_churn(criterion: &mut Criterion) {
    for nodes in [5_000, 15_000] {
        let name = format!("W9 a second of 100 node and 1000 pod events + events/{nodes} nodes, 90% full");
        measure(criterion, &name, || scattered(nodes), |fleet| (0..10).map(|_| churn(fleet, 5, 50)).sum());
        let name = format!("W9 one cycle of it/{nodes} nodes, 90% full");
        measure(criterion, &name, || scattered(nodes), |fleet| churn(fleet, 5, 50));
    }
}

fn churn(fleet: &mut Fleet, nodes: u32, pods: usize) -> Duration {
    let gone: Vec<u32> =
        (0..nodes).map(|part| (fleet.random() as u32 % (fleet.nodes / nodes)) * nodes + part).collect();
    let running: Vec<GangId> = fleet.running();
    let ended: Vec<GangId> = (0..pods).map(|part| running[part * running.len() / pods]).collect();
    let jobs: Vec<Job> =
        (0..pods).map(|_| Job::of(fleet.random() as usize, 1, whole(1 << (fleet.random() % 3)))).collect();
    fleet.now.0 += 100;
    let (time, _) = timed(|| {
        for node in &gone {
            fleet.tell(Event::NodeRemoved { node: NodeId(*node) });
        }
        ended.iter().for_each(|gang| fleet.cancel(*gang));
        jobs.iter().for_each(|job| {
            fleet.submit(job);
        });
        let decisions = fleet.decide();
        for node in &gone {
            fleet.add_node(*node, node_shape(*node, false));
        }
        decisions
    });
    fleet.settle();
    time
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .sample_size(10)
        .without_plots();
    targets = w1_backlog_of_single_gpus, w2_gangs, w3_topology, w4_parts_of_gpus, w5_preemption, w6_reclaim, w7_refusals,
        w8_consolidation, w9_churn
}
criterion_main!(benches);
