//! The choices that tell one way of scheduling from another. Every difference between Berth's own rules and those of
//! KAI-Scheduler is a value in here; no pass asks which set is in force.

use crate::gang::{Health, StaleGrace};
use crate::queue::UsageRule;
use crate::victims::Action;

/// A set of choices.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Rules {
    /// Which gangs of equal priority go first.
    pub first: FirstServed,
    /// Which victims of a queue go first, among those of one priority.
    pub victims: VictimOrder,
    /// Do victims for which there is still room keep their place, once the claimant has its own?
    pub reprieve: bool,
    /// May pods that nothing creates anew be moved? They would be gone for good.
    pub move_bare_pods: bool,
    /// May pods that only prefer a topology run outside of it?
    pub leave_preferred_topology: bool,
    /// What happens to those who wait while others pass them.
    pub waiting: WaitingRule,
    /// When a gang counts as below its minimum.
    pub stale_test: StaleTest,
    /// For how long a gang may be below its minimum, where it does not say so itself.
    pub stale_grace: StaleGrace,
    /// For how long the pods of a gang may take to start together, where it does not say so itself, ms; then those that have
    /// a place lose it and the gang waits again. `None` = for ever.
    pub start_timeout_ms: Option<u64>,
    /// What an eviction costs beside lost work: the time to start again, ms.
    pub restart_cost_ms: u64,
    /// Does usage of late count against a queue?
    pub usage: Option<UsageRule>,
    /// How much work one cycle may do, in places tried; what it cuts off is told.
    pub steps_per_cycle: u64,
}

/// Which gangs of equal priority are served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum FirstServed {
    /// Those that have started and lost what they need, then those that have not started, then the rest.
    Damaged,
    /// Those below their minimum for whatever reason, then those exactly at it, then the rest.
    BelowMinimum,
}

/// Which victims of equal priority go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum VictimOrder {
    /// What is above a minimum, then the youngest.
    Youngest,
    /// What is above a minimum, then what loses least work.
    LeastLoss,
}

/// When a gang that holds something counts as below its minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum StaleTest {
    /// When the tree as a whole is not satisfied by the pods that hold something.
    WholeTree,
    /// When any subgroup with pods of its own has too few, needed or not.
    AnySubgroup,
}

/// When the claimant of a plan is placed, once its victims are thought away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimantPlaced {
    /// In its turn among the victims, which are placed again as if they waited.
    InTurn,
    /// Before everybody else.
    First,
}

/// What happens to a gang that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)
)]
pub enum WaitingRule {
    /// Others pass it freely.
    Skip,
    /// The first of a queue gets a reservation; others start in its place only if they end in time.
    Reserve {
        /// Do gangs get a dated reservation at once, where it is known when others end? Else others pass freely until the
        /// bounds below are reached.
        dated: bool,
        /// Nobody is passed for longer than this, ms, counted from when it was first passed over.
        passed_over_max_ms: u64,
        /// Nor while more pods than this leave their places.
        departures_max: u64,
    },
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            first: FirstServed::Damaged,
            victims: VictimOrder::LeastLoss,
            reprieve: true,
            move_bare_pods: false,
            leave_preferred_topology: true,
            waiting: WaitingRule::Reserve { dated: true, passed_over_max_ms: 4 * 3_600_000, departures_max: 256 },
            stale_test: StaleTest::WholeTree,
            stale_grace: StaleGrace::For(60_000),
            start_timeout_ms: Some(300_000),
            restart_cost_ms: 60_000,
            usage: None,
            steps_per_cycle: 1_000_000,
        }
    }
}

impl Rules {
    /// The rules of KAI-Scheduler, as written in `scenarios/FORMAT.md` section 6.
    pub fn kai() -> Self {
        Rules {
            first: FirstServed::BelowMinimum,
            victims: VictimOrder::Youngest,
            reprieve: false,
            move_bare_pods: true,
            leave_preferred_topology: false,
            waiting: WaitingRule::Skip,
            stale_test: StaleTest::AnySubgroup,
            start_timeout_ms: None,
            ..Rules::default()
        }
    }

    /// When the claimant is placed, one way after the other until one works. Consolidation is a question of packing: more
    /// than one way is worth trying.
    pub(crate) fn replay(&self, action: Action) -> &'static [ClaimantPlaced] {
        match (self.reprieve, action) {
            (true, _) => &[ClaimantPlaced::First],
            (false, Action::Consolidate) => &[ClaimantPlaced::InTurn, ClaimantPlaced::First],
            (false, _) => &[ClaimantPlaced::InTurn],
        }
    }

    /// Where a gang of this health stands among those of equal priority: the least is served first, and taken from last.
    pub(crate) fn serve_health(&self, health: Health) -> u8 {
        match (self.first, health) {
            (_, Health::Damaged) => 0,
            (FirstServed::BelowMinimum, Health::Fresh) => 0,
            (FirstServed::Damaged, Health::Fresh) => 1,
            (_, Health::Exact) => 2,
            (_, Health::Surplus) => 3,
        }
    }
}
