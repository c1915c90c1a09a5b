//! What goes wrong in a run, and how big its world is: drawn once per seed, most of it absent from most runs, so that runs
//! differ in kind and not only in order.

use crate::dice::Dice;

/// For so long a request may take (ms), as configured.
pub(crate) const TIMEOUT: u64 = 5_000;

/// Of a thousand calls, pods, or turns at acting; lengths in ms.
#[derive(Debug, Clone)]
pub(crate) struct Mix {
    /// Calls that are turned away: 429 with a time to wait.
    pub(crate) busy: u64,
    /// Calls that fail without an effect, at once or when their time is over.
    pub(crate) error: u64,
    /// Calls that have their effect, but no answer.
    pub(crate) unanswered: u64,
    /// Calls whose connection breaks at once, and that have their effect later all the same.
    pub(crate) torn: u64,
    /// Calls and watches are as slow as this.
    pub(crate) call_ms: u64,
    pub(crate) watch_ms: u64,
    /// Watch messages that come again.
    pub(crate) twice: u64,
    /// Pods that never start, and those that end badly.
    pub(crate) sick: u64,
    pub(crate) failing: u64,
    /// Pods take so long to start and to stop.
    pub(crate) start_ms: u64,
    pub(crate) grace_ms: u64,
    /// How often what is done is one of these, by weight.
    pub(crate) cut: u64,
    pub(crate) crash: u64,
    pub(crate) outage: u64,
    pub(crate) refusal: u64,
    pub(crate) budget: u64,
    pub(crate) rules: u64,
    pub(crate) nodes: u64,
    pub(crate) neighbour: u64,
    pub(crate) queues: u64,
    pub(crate) groups: u64,
    pub(crate) deletions: u64,
    pub(crate) jobs: u64,
    /// Time between two things that are done.
    pub(crate) pause_ms: u64,
    /// All of that stops after so long.
    pub(crate) calm_after_ms: u64,
}

impl Mix {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        let mut rate = |most: u64| if dice.permille(450) { dice.between(1, most + 1) } else { 0 };
        Mix {
            busy: rate(200),
            error: rate(200),
            unanswered: rate(200),
            torn: rate(150),
            call_ms: 3 + rate(3_000),
            watch_ms: 3 + rate(4_000),
            twice: rate(200),
            sick: rate(120),
            failing: rate(300),
            start_ms: 100 + rate(20_000),
            grace_ms: 100 + rate(40_000),
            cut: rate(8),
            crash: rate(4),
            outage: rate(3),
            refusal: rate(8),
            budget: rate(8),
            rules: rate(4),
            nodes: rate(15),
            neighbour: rate(8),
            queues: rate(8),
            groups: rate(8),
            deletions: rate(15),
            jobs: 6,
            pause_ms: 500 + rate(8_000),
            calm_after_ms: 200_000 + rate(600_000),
        }
    }
}
