//! Time per decision: `apply(PodAdded)` and `decide`, with one change to the cluster before each.

#![allow(missing_docs, reason = "criterion writes items of its own")]
#![allow(clippy::disallowed_types, reason = "a benchmark measures time; the engine itself may not")]

mod world;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use world::{Mix, World};

/// Time for this many placements of pods of the world's mix, each taken back again. Only decisions count, and of those only
/// the ones that found a place: in a full cluster many of the mix do not.
fn placements(world: &mut World, iterations: u64) -> Duration {
    const TRIES_PER_PLACEMENT: u64 = 1000;
    let (mut total, mut placed) = (Duration::ZERO, 0);
    for _ in 0..iterations * TRIES_PER_PLACEMENT {
        let shape = world.next_shape();
        let start = Instant::now();
        let pod = world.add(shape);
        let found = world.decide();
        if found {
            total += start.elapsed();
            placed += 1;
        }
        world.remove(pod);
        if placed == iterations {
            return total;
        }
    }
    panic!("not one pod in {TRIES_PER_PLACEMENT} fits; the benchmark needs another mix");
}

/// Time for this many refusals of a pod that fits nowhere. Something changes before each, or it would only be repeated.
fn refusals(world: &mut World, iterations: u64) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..iterations {
        world.place_and_remove();
        let shape = world.impossible();
        let start = Instant::now();
        let pod = world.add(shape);
        let found = world.decide();
        total += start.elapsed();
        assert!(!found, "an impossible pod was placed");
        world.remove(pod);
    }
    total
}

type Timed = fn(&mut World, u64) -> Duration;
const WHAT: [(&str, Timed); 2] = [("place", placements), ("refuse", refusals)];

fn by_size_and_fill(criterion: &mut Criterion) {
    for (mix, name) in [(Mix::OneGpu, "one-gpu"), (Mix::Mixed, "mixed")] {
        for fill in [0, 50, 90, 99] {
            for nodes in [1_000, 5_000, 15_000, 50_000] {
                let mut world = World::new(nodes, 1, fill, mix);
                let classes = world.engine.cluster().classes().len();
                let full = format!("{name}/{fill}% full, {classes} states");
                for (what, timed) in WHAT {
                    let mut group = criterion.benchmark_group(format!("{what}/{full}"));
                    group.bench_function(BenchmarkId::from_parameter(nodes), |bencher| {
                        bencher.iter_custom(|iterations| timed(&mut world, iterations));
                    });
                    group.finish();
                }
            }
        }
    }
}

/// The same 500 distinct node states on more and more nodes: what does a node cost that is like others?
fn by_size_with_equal_states(criterion: &mut Criterion) {
    for (what, timed) in WHAT {
        let mut group = criterion.benchmark_group(format!("{what}/500 states"));
        for nodes in [1_000, 5_000, 15_000, 50_000] {
            let mut world = World::new(nodes, 500, 0, Mix::OneGpu);
            group.bench_function(BenchmarkId::from_parameter(nodes), |bencher| {
                bencher.iter_custom(|iterations| timed(&mut world, iterations));
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
