//! Tiny random worlds, where everything that could be can be tried: the engine places what can be placed, evicts only what
//! it must, and says all it does. A failing seed is printed with the command that plays it again.

mod dice;
mod model;
mod play;
mod search;
mod show;
mod world;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// How many seeds `cargo test` plays.
const SEEDS: u64 = 2_000;

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not `{text}`")))
}

/// Plays one seed; a panic is a failure like others.
fn failure(seed: u64, loud: bool) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| play::play(seed, loud))) {
        Ok(played) => played.err(),
        Err(_) => Some("it panicked, see above".to_owned()),
    }
}

#[test]
fn the_engine_does_what_brute_force_says() {
    if let Some(seed) = number("BRUTE_FORCE_SEED") {
        println!("{}", show::show(&world::World::of(seed)));
        let what = failure(seed, true);
        assert!(what.is_none(), "seed {seed}: {}", what.unwrap_or_default());
        return;
    }
    let seeds = number("BRUTE_FORCE_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let play_some = || {
        let mut failures = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return failures;
            }
            failures.extend(failure(seed, false).map(|what| (seed, what)));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut failures: Vec<(u64, String)> = thread::scope(|scope| {
        let players: Vec<_> = (0..threads).map(|_| scope.spawn(play_some)).collect();
        players.into_iter().flat_map(|player| player.join().expect("panics are caught")).collect()
    });
    failures.sort();
    let shown = failures.iter().take(100).map(|(seed, what)| format!("seed {seed}: {what}"));
    assert!(
        failures.is_empty(),
        "{} of {seeds} seeds fail\n{}\nplay the first again with:\nBRUTE_FORCE_SEED={} cargo test -p berth-tests --test brute_force",
        failures.len(),
        shown.collect::<Vec<_>>().join("\n"),
        failures.first().map_or(0, |(seed, _)| *seed),
    );
}
