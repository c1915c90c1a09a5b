//! Is the scheduler well, and can it do its work? Owns what was told of that, and the judgement; asks no clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// An event loop that has not been heard of for so long hangs, and only a restart helps. A cycle of the engine takes well
/// under a second on the largest clusters, so this is far from any pause that passes.
pub const SILENCE_MS_MAX: u64 = 60_000;

/// What is known of the scheduler's health; shared between who knows and who is asked.
pub struct Health {
    beat_ms: AtomicU64,
    caches: Mutex<BTreeMap<&'static str, bool>>,
    stopping: AtomicBool,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: String,
    /// What is wrong with it, if anything is.
    pub fault: Option<String>,
}

impl Health {
    /// At the start, `now_ms`: the loop counts as heard of, and none of the caches is filled yet. Times are milliseconds of a clock
    /// that never goes back; any, but always the same.
    pub fn new(now_ms: u64, caches: &[&'static str]) -> Health {
        let caches = caches.iter().map(|cache| (*cache, false)).collect();
        Health { beat_ms: AtomicU64::new(now_ms), caches: Mutex::new(caches), stopping: AtomicBool::new(false) }
    }

    /// The event loop is alive. Each turn says so, also those in which nothing happens and those that wait for caches: at least
    /// every few seconds.
    pub fn beat(&self, now_ms: u64) {
        self.beat_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// A cache has been filled once; or, with `false`, must be filled anew before it can be relied on.
    pub fn cache(&self, name: &'static str, filled: bool) {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner).insert(name, filled);
    }

    /// The process has been asked to end: it is not ready for more.
    pub fn stops(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Would a restart help?
    pub(super) fn live(&self, now_ms: u64) -> Vec<Check> {
        let silent_ms = now_ms.saturating_sub(self.beat_ms.load(Ordering::Relaxed));
        let fault = (silent_ms > SILENCE_MS_MAX).then(|| format!("no sign of life for {} s", silent_ms / 1000));
        vec![Check { name: "ping".to_owned(), fault: None }, Check { name: "event-loop".to_owned(), fault }]
    }

    /// Can it do its work now, or as soon as it leads?
    pub(super) fn ready(&self, now_ms: u64) -> Vec<Check> {
        let mut checks = self.live(now_ms);
        for (cache, filled) in self.caches.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let fault = (!filled).then(|| "not filled yet".to_owned());
            checks.push(Check { name: format!("cache-{cache}"), fault });
        }
        let fault = self.stopping.load(Ordering::Relaxed).then(|| "the process is ending".to_owned());
        checks.push(Check { name: "shutdown".to_owned(), fault });
        checks
    }
}
