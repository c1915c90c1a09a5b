//! Time per decision: `apply(PodAdded)` and `decide`, with one change to the cluster before each.

#![allow(missing_docs, reason = "criterion writes items of its own")]
#![allow(clippy::disallowed_types, reason = "a benchmark measures time; the engine itself may not")]

mod world;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use world::{Mix, World};

/// Times only the decision; what sets it up and takes it back is not counted.
fn timed(world: &mut World, iterations: u64, refuse: bool) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..iterations {
        let shape = if refuse { world.impossible() } else { world.small() };
        let start = Instant::now();
        let pod = world.add(shape);
        let placed = world.decide();
        total += start.elapsed();
        assert!(placed != refuse || !placed, "an impossible pod was placed");
        world.remove(pod);
        if refuse {
            // Something must have changed since the last refusal, or it would only be repeated.
            let shape = world.small();
            let pod = world.add(shape);
            world.decide();
            world.remove(pod);
        }
    }
    total
}

fn by_size_and_fill(criterion: &mut Criterion) {
    for (mix, name) in [(Mix::OneGpu, "one-gpu"), (Mix::Mixed, "mixed")] {
        for fill in [0, 50, 90, 99] {
            for nodes in [1_000, 5_000, 15_000, 50_000] {
                let mut world = World::new(nodes, 1, fill, mix);
                let classes = world.engine.cluster().classes().len();
                let full = format!("{name}/{fill}% full, {classes} states");
                for (what, refuse) in [("place", false), ("refuse", true)] {
                    let mut group = criterion.benchmark_group(format!("{what}/{full}"));
                    group.bench_function(BenchmarkId::from_parameter(nodes), |bencher| {
                        bencher.iter_custom(|iterations| timed(&mut world, iterations, refuse));
                    });
                    group.finish();
                }
            }
        }
    }
}

/// The same 500 distinct node states on more and more nodes: what does a node cost that is like others?
fn by_size_with_equal_states(criterion: &mut Criterion) {
    for (what, refuse) in [("place", false), ("refuse", true)] {
        let mut group = criterion.benchmark_group(format!("{what}/500 states"));
        for nodes in [1_000, 5_000, 15_000, 50_000] {
            let mut world = World::new(nodes, 500, 0, Mix::OneGpu);
            group.bench_function(BenchmarkId::from_parameter(nodes), |bencher| {
                bencher.iter_custom(|iterations| timed(&mut world, iterations, refuse));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(20)
        .without_plots();
    targets = by_size_with_equal_states, by_size_and_fill
}
criterion_main!(benches);
