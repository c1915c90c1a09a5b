//! How the scheduler decides, as users choose it: a policy set, and what differs from it. Owns the way from there to the
//! engine's own configuration; the rules themselves are the engine's.

use berth_engine::gang::StaleGrace;
use berth_engine::queue::UsageRule;
use berth_engine::rules::{self as engine, WaitingRule};
use berth_engine::{Config, Demand, Rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scheduler::SchedulerConfiguration;
use crate::units::{Duration, Factor, Lasting};

/// A complete choice of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PolicySet {
    /// Berth's own rules
    #[default]
    Default,
    /// The rules of KAI-Scheduler
    Kai,
}

/// On which of the nodes where it fits a pod is placed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Placement {
    /// Orders the nodes a pod fits on.
    pub policy: Option<Policy>,
    /// Decides between nodes the policy finds equally good.
    pub ties: Option<TieBreak>,
    /// Seed of the policy `random`; no other uses it.
    #[schemars(range(min = 0, max = 4_294_967_295_i64))]
    pub seed: u32,
}

/// How the nodes a pod fits on are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Keep the value of what remains for the pods expected next
    Berth,
    /// The least fragmentation (Weng et al., ATC 2023)
    Fgd,
    /// The node left fullest
    BestFit,
    /// The least alignment between what is free and what is asked
    DotProduct,
    /// GPUs in use first, then nodes in use, then empty ones
    GpuPacking,
    /// Nodes that run the same kind of GPU pod first
    GpuClustering,
    /// Any node, by the seed
    Random,
    /// What is in use first, of GPUs, then of nodes, as KAI-Scheduler places
    Pack,
}

/// What decides between equally good nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TieBreak {
    /// The node known for longest
    Rank,
    /// The least share of GPU and CPU left idle, then rank
    LeastIdle,
    /// The least GPU left, then rank
    LeastGpu,
}

/// Rules that differ from those of the policy set. What is unset is as in the set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RuleOverrides {
    /// Which gangs of equal priority are served first.
    #[schemars(extend("x-reload" = true))]
    pub first_served: Option<FirstServed>,
    /// Which victims of equal priority are taken first.
    #[schemars(extend("x-reload" = true))]
    pub victims: Option<VictimOrder>,
    /// Do victims for which there is still room keep their place, once the claimant has its own?
    #[schemars(extend("x-reload" = true))]
    pub reprieve: Option<bool>,
    /// May pods that nothing creates anew be moved? They would be gone for good.
    #[schemars(extend("x-reload" = true))]
    pub move_bare_pods: Option<bool>,
    /// May pods that only prefer a topology run outside of it?
    #[schemars(extend("x-reload" = true))]
    pub leave_preferred_topology: Option<bool>,
    /// What happens to those who wait while others pass them.
    pub waiting: WaitingOverrides,
    /// When a gang counts as below its minimum.
    #[schemars(extend("x-reload" = true))]
    pub stale_test: Option<StaleTest>,
    /// For how long a gang may be below its minimum, where it does not say so itself; then it is stopped.
    #[schemars(extend("x-minimum" = "0s", "x-maximum" = "720h", "x-reload" = true))]
    pub stale_grace: Option<Lasting>,
    /// For how long the pods of a gang may take to start together, where it does not say so itself; then those that have a
    /// place lose it and the gang waits again.
    #[schemars(extend("x-minimum" = "1s", "x-maximum" = "720h", "x-reload" = true))]
    pub start_timeout: Option<Lasting>,
    /// What an eviction costs beside lost work: the time to start again.
    #[schemars(extend("x-minimum" = "0s", "x-maximum" = "24h", "x-reload" = true))]
    pub restart_cost: Option<Duration>,
    /// Does what a queue used of late count against its share?
    pub usage: UsageOverrides,
    /// How much work one cycle may do, in places tried; what is cut off is told.
    #[schemars(range(min = 1_000, max = 1_000_000_000), extend("x-unit" = "places", "x-reload" = true))]
    pub steps_per_cycle: Option<u32>,
}

/// What happens to a gang that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WaitingOverrides {
    /// May others pass it? The other fields count with `reserve` only.
    #[schemars(extend("x-reload" = true))]
    pub mode: Option<WaitingMode>,
    /// Does it get a dated reservation at once, where it is known when others end?
    #[schemars(extend("x-reload" = true))]
    pub dated: Option<bool>,
    /// Nobody is passed for longer than this, counted from when it was first passed over.
    #[schemars(extend("x-minimum" = "0s", "x-maximum" = "720h", "x-reload" = true))]
    pub passed_over_max: Option<Duration>,
    /// Nor while more pods than this leave their places.
    #[schemars(range(min = 0, max = 1_000_000), extend("x-unit" = "pods", "x-reload" = true))]
    pub departures_max: Option<u32>,
}

/// May others pass a gang that does not fit?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaitingMode {
    /// Others pass it freely
    Skip,
    /// The first of a queue gets a reservation; others start in its place only if they end in time
    Reserve,
}

/// Does what a queue used of late count against its share?
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct UsageOverrides {
    /// Does it? The other fields count only then.
    #[schemars(extend("x-reload" = true))]
    pub enabled: Option<bool>,
    /// After so long half of it is forgotten.
    #[schemars(extend("x-minimum" = "1m", "x-maximum" = "8760h", "x-reload" = true))]
    pub half_life: Option<Duration>,
    /// How much it counts. With 1, a queue that used none of late counts twice, beside one that used all its weight entitles
    /// it to.
    #[schemars(extend("x-minimum" = "0", "x-maximum" = "100", "x-reload" = true))]
    pub factor: Option<Factor>,
}

/// Which gangs of equal priority are served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FirstServed {
    /// Those that have started and lost what they need, then those that have not started
    Damaged,
    /// Those below their minimum for whatever reason, then those exactly at it
    BelowMinimum,
}

/// Which victims of equal priority are taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VictimOrder {
    /// What is above a minimum, then the youngest
    Youngest,
    /// What is above a minimum, then what loses least work
    LeastLoss,
}

/// When a gang counts as below its minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StaleTest {
    /// When the tree as a whole is not satisfied
    WholeTree,
    /// When any subgroup with pods of its own has too few
    AnySubgroup,
}

/// The half-life and factor where usage counts and they are unset: a week, and once.
const USAGE: UsageRule = UsageRule { half_life_ms: 7 * 24 * 3_600_000, factor_milli: 1000 };

/// Two names for the same choices, theirs and ours, both ways; a new choice of the engine does not compile before it is here.
macro_rules! same {
    ($ours:ty, $theirs:ty, [$($name:ident),+]) => {
        impl From<$ours> for $theirs {
            fn from(ours: $ours) -> Self {
                match ours { $(<$ours>::$name => Self::$name),+ }
            }
        }

        impl From<$theirs> for $ours {
            fn from(theirs: $theirs) -> Self {
                match theirs { $(<$theirs>::$name => Self::$name),+ }
            }
        }
    };
}

same!(Policy, berth_engine::Policy, [Berth, Fgd, BestFit, DotProduct, GpuPacking, GpuClustering, Random, Pack]);
same!(TieBreak, berth_engine::TieBreak, [Rank, LeastIdle, LeastGpu]);
same!(FirstServed, engine::FirstServed, [Damaged, BelowMinimum]);
same!(VictimOrder, engine::VictimOrder, [Youngest, LeastLoss]);
same!(StaleTest, engine::StaleTest, [WholeTree, AnySubgroup]);

impl PolicySet {
    /// Every set, the default first.
    pub const ALL: [PolicySet; 2] = [PolicySet::Default, PolicySet::Kai];

    /// As it is written in files.
    pub fn name(self) -> &'static str {
        match self {
            PolicySet::Default => "default",
            PolicySet::Kai => "kai",
        }
    }

    /// What the engine does where nothing is overridden.
    fn config(self) -> Config {
        match self {
            PolicySet::Default => Config::default(),
            PolicySet::Kai => Config { policy: berth_engine::Policy::Pack, rules: Rules::kai(), ..Config::default() },
        }
    }

    /// The same as users write it, with nothing unset that has an effect.
    pub(crate) fn written(self) -> (Placement, RuleOverrides) {
        let Config { policy, ties, demand: _, seed: _, rules } = self.config();
        (Placement { policy: Some(policy.into()), ties: Some(ties.into()), seed: 0 }, RuleOverrides::of(&rules))
    }
}

/// How the engine decides under a configuration that was checked. What pods are expected is always learnt from those that
/// arrive: a list of them is for experiments.
pub fn engine_config(configuration: &SchedulerConfiguration) -> Config {
    let base = configuration.policy_set.config();
    let Placement { policy, ties, seed } = &configuration.placement;
    Config {
        policy: policy.map_or(base.policy, Into::into),
        ties: ties.map_or(base.ties, Into::into),
        demand: Demand::Learnt,
        seed: (*seed).into(),
        rules: configuration.rules.over(base.rules),
    }
}

impl RuleOverrides {
    /// The rules of a set, with what differs.
    fn over(&self, base: Rules) -> Rules {
        // Every field of both is named: none can be forgotten.
        let RuleOverrides {
            first_served,
            victims,
            reprieve,
            move_bare_pods,
            leave_preferred_topology,
            waiting,
            stale_test,
            stale_grace,
            start_timeout,
            restart_cost,
            usage,
            steps_per_cycle,
        } = self;
        Rules {
            first: first_served.map_or(base.first, Into::into),
            victims: victims.map_or(base.victims, Into::into),
            reprieve: reprieve.unwrap_or(base.reprieve),
            move_bare_pods: move_bare_pods.unwrap_or(base.move_bare_pods),
            leave_preferred_topology: leave_preferred_topology.unwrap_or(base.leave_preferred_topology),
            waiting: waiting.over(base.waiting),
            stale_test: stale_test.map_or(base.stale_test, Into::into),
            stale_grace: stale_grace
                .map_or(base.stale_grace, |grace| grace.ms().map_or(StaleGrace::Forever, StaleGrace::For)),
            start_timeout_ms: start_timeout.map_or(base.start_timeout_ms, Lasting::ms),
            restart_cost_ms: restart_cost.map_or(base.restart_cost_ms, Duration::ms),
            usage: usage.over(base.usage),
            steps_per_cycle: steps_per_cycle.map_or(base.steps_per_cycle, Into::into),
        }
    }

    /// These rules as users write them.
    fn of(rules: &Rules) -> RuleOverrides {
        let lasting = |ms: Option<u64>| ms.map_or(Lasting::Forever, |ms| Lasting::For(Duration::from_ms(ms)));
        let Rules {
            first,
            victims,
            reprieve,
            move_bare_pods,
            leave_preferred_topology,
            waiting,
            stale_test,
            stale_grace,
            start_timeout_ms,
            restart_cost_ms,
            usage,
            steps_per_cycle,
        } = rules;
        let stale_grace_ms = match stale_grace {
            StaleGrace::For(ms) => Some(*ms),
            StaleGrace::Forever => None,
        };
        RuleOverrides {
            first_served: Some((*first).into()),
            victims: Some((*victims).into()),
            reprieve: Some(*reprieve),
            move_bare_pods: Some(*move_bare_pods),
            leave_preferred_topology: Some(*leave_preferred_topology),
            waiting: WaitingOverrides::of(*waiting),
            stale_test: Some((*stale_test).into()),
            stale_grace: Some(lasting(stale_grace_ms)),
            start_timeout: Some(lasting(*start_timeout_ms)),
            restart_cost: Some(Duration::from_ms(*restart_cost_ms)),
            usage: UsageOverrides::of(*usage),
            steps_per_cycle: u32::try_from(*steps_per_cycle).ok(),
        }
    }
}

impl WaitingOverrides {
    /// The mode in force with this set.
    pub(crate) fn mode(&self, set: PolicySet) -> WaitingMode {
        let own = WaitingOverrides::of(set.config().rules.waiting).mode;
        self.mode.or(own).unwrap_or(WaitingMode::Skip)
    }

    fn over(&self, base: WaitingRule) -> WaitingRule {
        let base = WaitingOverrides::of(base);
        let (mode, dated) = (self.mode.or(base.mode), self.dated.or(base.dated));
        let passed = self.passed_over_max.or(base.passed_over_max).map(Duration::ms);
        let departures = self.departures_max.or(base.departures_max).map(u64::from);
        match (mode, dated, passed, departures) {
            (Some(WaitingMode::Reserve), Some(dated), Some(passed_over_max_ms), Some(departures_max)) => {
                WaitingRule::Reserve { dated, passed_over_max_ms, departures_max }
            }
            _ => WaitingRule::Skip,
        }
    }

    /// Where others pass freely there are no bounds: those of our own set are what counts if that is overridden.
    fn of(rule: WaitingRule) -> WaitingOverrides {
        match (rule, Rules::default().waiting) {
            (WaitingRule::Reserve { dated, passed_over_max_ms, departures_max }, _) => WaitingOverrides {
                mode: Some(WaitingMode::Reserve),
                dated: Some(dated),
                passed_over_max: Some(Duration::from_ms(passed_over_max_ms)),
                departures_max: u32::try_from(departures_max).ok(),
            },
            (WaitingRule::Skip, own @ WaitingRule::Reserve { .. }) => {
                WaitingOverrides { mode: Some(WaitingMode::Skip), ..WaitingOverrides::of(own) }
            }
            (WaitingRule::Skip, WaitingRule::Skip) => {
                WaitingOverrides { mode: Some(WaitingMode::Skip), ..WaitingOverrides::default() }
            }
        }
    }
}

impl UsageOverrides {
    fn over(&self, base: Option<UsageRule>) -> Option<UsageRule> {
        let rule = base.unwrap_or(USAGE);
        self.enabled.unwrap_or(base.is_some()).then(|| UsageRule {
            half_life_ms: self.half_life.map_or(rule.half_life_ms, Duration::ms),
            factor_milli: self.factor.map_or(rule.factor_milli, |factor| factor.milli),
        })
    }

    fn of(rule: Option<UsageRule>) -> UsageOverrides {
        let UsageRule { half_life_ms, factor_milli } = rule.unwrap_or(USAGE);
        UsageOverrides {
            enabled: Some(rule.is_some()),
            half_life: Some(Duration::from_ms(half_life_ms)),
            factor: Some(Factor { milli: factor_milli }),
        }
    }
}
