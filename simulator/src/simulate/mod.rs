//! Trace-driven simulation: pods arrive, wait, run and leave in virtual time.
//! Owns the clock and the books. Owns no rule of scheduling: the engine decides, as it does in production.

mod lacks;
mod many;
mod measure;
mod result;
mod stats;
mod summary;
pub mod table;
pub mod units;
mod world;

use std::sync::Arc;

use berth_engine::{Config, Decision, Engine, Event, EventError, NodeId, PodId, Timestamp, Unplaceable, check};

use crate::convert;
use crate::trace::Trace;
pub use many::{Case, run_all};
pub use measure::Timeline;
pub use result::{KindWait, Lacked, METRICS, Metric, NeverStarted, PodKind, RunResult, WaitStats};
pub use stats::{mean_and_deviation, quantile};
pub use summary::{PolicySummary, Spread, summarise};
use world::World;

/// Why a simulation could not be run.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// There is nothing to simulate.
    #[error("the trace has no pods; a simulation needs at least one")]
    NoPods,
    /// A list of pods without arrival or run times.
    #[error(
        "{without} of {pods} pods have no arrival or run time (the first is `{pod}`), so they cannot be replayed; \
         `berth pack` answers how much of such a list fits"
    )]
    NoTimes {
        /// Pods without times.
        without: usize,
        /// All pods.
        pods: usize,
        /// The first one without.
        pod: String,
    },
    /// Times that do not fit the clock.
    #[error("the arrival and run times add up to more milliseconds than 64 bits hold; are they in seconds?")]
    TooLong,
    /// The engine refused a row.
    #[error("the trace cannot be replayed")]
    Refused(#[from] EventError),
    /// The independent check found a booking that cannot be: a bug in Berth, not in the input.
    #[error("the engine booked what cannot be, which is a bug in Berth: {0}")]
    Impossible(String),
}

/// How often debug and test builds check what is decided and booked during a run.
const CHECKS_PER_RUN: u64 = 8;

/// How often progress is reported, in events: often enough to move smoothly, rarely enough to cost nothing.
const PROGRESS_EVERY: u64 = 256;

/// Simulates one trace under one configuration, to the end of its last pod. Same input, same result, bit for bit.
/// `progress` is told how many events (arrivals and ends) are done.
///
/// # Errors
/// When the trace has no pods, lacks times or contradicts itself.
pub fn run(trace: &Trace, config: Config, progress: &dyn Fn(u64)) -> Result<RunResult, SimulateError> {
    let mut world = World::of(trace)?;
    let mut engine = Engine::new(config.clone());
    for (index, row) in (0u32..).zip(&trace.nodes) {
        engine.apply(Event::NodeAdded { node: NodeId(index), spec: convert::node(row) }, Timestamp(0))?;
    }
    let total = world.events_total();
    let (mut next_progress, mut next_check) = (0, 0);
    while let Some((now, events)) = world.next_instant() {
        for event in events {
            engine.apply(event, now)?;
        }
        let done = world.events_done();
        let check = cfg!(debug_assertions) && done >= next_check;
        let before = check.then(|| engine.state().rebuild());
        let decisions = engine.decide(now);
        if let Some(before) = before {
            sound(check::violations(&before, &decisions, &config.rules, now))?;
            next_check = done + total / CHECKS_PER_RUN;
        }
        if check || world.is_last_arrival(now) {
            sound(check::booking(engine.cluster()))?;
        }
        for decision in decisions {
            carry_out(&mut world, decision);
        }
        if done >= next_progress {
            progress(done);
            next_progress = done + PROGRESS_EVERY;
        }
    }
    sound(check::booking(engine.cluster()))?;
    progress(total);
    Ok(world.into_result(&config))
}

fn carry_out(world: &mut World<'_>, decision: Decision) {
    match decision {
        Decision::Bind { pods, .. } => pods.iter().for_each(|one| world.started(one.slot.pod)),
        Decision::Wait { pod, why, .. } => {
            if let Some(why) = why.unplaceable() {
                world.waits(pod, why);
            }
        }
        // Nothing in a trace is preemptible, so nobody is evicted or promised anything; a reservation only tells.
        Decision::Nominate { .. } | Decision::Evict { .. } | Decision::Reserve { .. } => {}
    }
}

/// What the independent check has to say, which shares no code with the search.
fn sound(wrong: Vec<String>) -> Result<(), SimulateError> {
    wrong.into_iter().next().map_or(Ok(()), |first| Err(SimulateError::Impossible(first)))
}
