//! Many runs at once. Threads change nothing but the time it takes: results come in the order of the cases.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use berth_engine::Config;
use rayon::prelude::*;

use super::{RunResult, SimulateError, run};
use crate::trace::Trace;

/// One run to do.
#[derive(Debug, Clone)]
pub struct Case<'a> {
    /// What to replay.
    pub trace: &'a Trace,
    /// Under which configuration.
    pub config: Config,
}

impl Case<'_> {
    /// How many events the run has: the unit of its progress.
    pub fn events(&self) -> u64 {
        2 * self.trace.pods.len() as u64
    }
}

/// Runs every case, on the threads of the rayon pool it is called in. `progress` is told how many events are done,
/// over all cases; it is called from any thread.
///
/// # Errors
/// The first case, in order, that could not be run.
pub fn run_all(cases: &[Case<'_>], progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<RunResult>, SimulateError> {
    let done = AtomicU64::new(0);
    let run_one = |case: &Case<'_>| {
        let reported = Cell::new(0);
        run(case.trace, case.config.clone(), &|run_done| {
            let news = run_done - reported.replace(run_done);
            progress(done.fetch_add(news, Ordering::Relaxed) + news);
        })
    };
    let results: Vec<_> = cases.par_iter().map(run_one).collect();
    results.into_iter().collect()
}
