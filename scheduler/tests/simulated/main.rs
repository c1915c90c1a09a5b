//! The driver in a simulated world: a model of the API server, with kubelets, controllers and users, in virtual time, and with
//! everything going wrong that can. One number replays a run.
//!
//! `BERTH_SIM_SEEDS=1000` runs more of them, `BERTH_SIM_SEED=7` that one alone; with `BERTH_SIM_ALL=1` it tells everything
//! that happens.

mod api;
mod calls;
mod dice;
mod kubelet;
mod mix;
mod people;
mod quiet;
mod safety;
mod sim;
mod watches;

use sim::Sim;

/// As many as take about 20 seconds.
const SEEDS: u64 = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[test]
fn whatever_goes_wrong_nothing_is_over_committed_and_all_comes_to_rest() {
    let seeds = match number("BERTH_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BERTH_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let (mut bound, mut evicted, mut restarts, mut most) = (0, 0, 0, 0);
    let alone = seeds.end - seeds.start == 1;
    for seed in seeds {
        let tally = Sim::new(seed).run();
        bound += tally.bound;
        evicted += tally.evicted;
        restarts += tally.restarts;
        most = most.max(tally.most_writes);
    }
    println!(
        "{bound} pods bound, {evicted} evicted, {restarts} restarts; at most {most} writes of a kind about one pod"
    );
    assert!(alone || bound > 0 && evicted > 0 && restarts > 0, "a world in which nothing happens proves nothing");
}
