//! The run: virtual time, the driver between its watches and calls, and everything that can go wrong on the way. It does with
//! the driver what `live.rs` does, and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use berth_config::SchedulerConfiguration;
use berth_config::units::{Duration, Lasting};
use berth_engine::Timestamp;
use berth_scheduler::driver::Fact;
use berth_scheduler::{Change, Driver, Key, Kind};

use crate::api::Api;
use crate::calls::Flight;
use crate::dice::Dice;
use crate::mix::{Mix, TIMEOUT};
use crate::people::{GROUPS, Job};
use crate::safety::Safety;
use crate::watches::Watch;

/// When every run starts.
pub(crate) const START: u64 = 1_795_284_000_000;

pub(crate) const KINDS: [Kind; 4] = [Kind::Queue, GROUPS, Kind::Node, Kind::Pod];

/// As configured by default: changes that come together are decided on together.
const SETTLE: u64 = 20;
const SETTLE_MAX: u64 = 200;

/// So many things that happened are told of a run that failed.
const HISTORY: usize = 50;

/// What happens at its time.
#[derive(Debug)]
pub(crate) enum What {
    /// A watch brings the next message; not if it has been cut since.
    Deliver(Kind, u64),
    /// A list of everything of a kind comes, and its watch starts.
    Listed(Kind, u64),
    /// A call reaches the API server.
    Arrives(u64),
    /// Its answer reaches the driver.
    Answered(u64),
    /// A new driver starts, or leads.
    Restart,
    Lead(u64),
    /// A replica that waits hears no more of pods.
    Silence(u64),
    /// What kubelets and controllers do.
    Runs(Key, String),
    Ends(Key, String),
    Vanishes(Key, String),
    Collect(String),
    NodeBack(String),
    QueueBack(&'static str),
    Reconcile(usize),
    Ungate(usize),
    /// Something is done.
    Act,
    /// What must hold over time is looked at.
    Look,
    /// From now on nothing goes wrong.
    Calm,
}

pub(crate) struct Sim {
    pub(crate) seed: u64,
    pub(crate) now: u64,
    pub(crate) steps: u64,
    pub(crate) dice: Dice,
    pub(crate) mix: Mix,
    pub(crate) api: Api,
    pub(crate) plan: BTreeMap<(u64, u64), What>,
    pub(crate) planned: u64,
    pub(crate) configuration: SchedulerConfiguration,
    pub(crate) driver: Option<Driver>,
    pub(crate) epoch: u64,
    pub(crate) leads: bool,
    pub(crate) watches: BTreeMap<Kind, Watch>,
    pub(crate) batch: Option<(u64, u64)>,
    pub(crate) last_turn: u64,
    pub(crate) turns: u64,
    pub(crate) known: BTreeMap<Kind, usize>,
    pub(crate) flights: BTreeMap<u64, Flight>,
    pub(crate) history: VecDeque<String>,
    pub(crate) hooked: usize,
    pub(crate) jobs: Vec<Job>,
    pub(crate) made: u64,
    pub(crate) seen: BTreeSet<(String, &'static str)>,
    pub(crate) gangs_touched: BTreeMap<String, u64>,
    /// Jobs of which a pod has ended well: what is left of them is no broken gang.
    pub(crate) ended_well: BTreeSet<String>,
    pub(crate) outage_until: u64,
    pub(crate) budget_until: u64,
    pub(crate) refused: BTreeMap<Key, u64>,
    pub(crate) safety: Safety,
    pub(crate) is_calm: bool,
    pub(crate) last_call: u64,
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last: Vec<&str> = self.history.iter().map(String::as_str).collect();
            eprintln!("The last that happened:\n{}", last.join("\n"));
            let at = self.now - START;
            let (seed, steps) = (self.seed, self.steps);
            eprintln!("Seed {seed} failed after {at} ms, at step {steps} of the driver. To replay it alone:");
            eprintln!("BERTH_SIM_SEED={seed} cargo test -p berth-scheduler --test simulated");
        }
    }
}

/// Short times, so that a run sees all of them.
pub(crate) fn configuration() -> SchedulerConfiguration {
    let mut configuration = SchedulerConfiguration::default();
    configuration.rules.start_timeout = Some(Lasting::For(Duration::from_secs(60)));
    configuration.rules.stale_grace = Some(Lasting::For(Duration::from_secs(30)));
    configuration.nominations.expiry = Duration::from_secs(120);
    configuration.client_connection.request_timeout = Duration::from_ms(TIMEOUT);
    configuration.binding.timeout = Duration::from_secs(30);
    configuration
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mix = Mix::of(&mut dice);
        let mut configuration = configuration();
        configuration.binding.workers = dice.pick(&[1, 4, 16]).unwrap_or(4);
        let mut sim = Sim {
            seed,
            now: START,
            steps: 0,
            dice,
            api: Api::default(),
            plan: BTreeMap::new(),
            planned: 0,
            configuration,
            driver: None,
            epoch: 0,
            leads: false,
            watches: KINDS.iter().map(|kind| (*kind, Watch::default())).collect(),
            batch: None,
            last_turn: 0,
            turns: 0,
            known: BTreeMap::new(),
            flights: BTreeMap::new(),
            history: VecDeque::new(),
            hooked: 0,
            jobs: Vec::new(),
            made: 0,
            seen: BTreeSet::new(),
            gangs_touched: BTreeMap::new(),
            ended_well: BTreeSet::new(),
            outage_until: 0,
            budget_until: 0,
            refused: BTreeMap::new(),
            safety: Safety::default(),
            is_calm: false,
            last_call: START,
            mix,
        };
        sim.say(|| format!("{:?}", sim_mix(seed)));
        sim.settle_in();
        let calm = START + sim.mix.calm_after_ms;
        sim.at(START, What::Restart);
        sim.at(START, What::Act);
        sim.at(START, What::Look);
        sim.at(calm, What::Calm);
        sim
    }

    /// Adds to what is told of a run that fails.
    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let text = format!("{:>9}  {}", self.now - START, what());
        if std::env::var_os("BERTH_SIM_ALL").is_some() {
            eprintln!("{text}");
        }
        self.history.push_back(text);
    }

    /// The time as objects have it, in whole seconds.
    pub(crate) fn stamp(&self) -> String {
        let seconds = i64::try_from(self.now / 1_000).unwrap_or(0);
        jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
    }

    pub(crate) fn at(&mut self, time: u64, what: What) {
        self.planned += 1;
        self.plan.insert((time.max(self.now), self.planned), what);
    }

    /// Pods with a call under way, the youngest call last.
    pub(crate) fn calls_under_way(&self) -> Vec<Key> {
        self.flights.values().map(|flight| flight.call.object().clone()).filter(|key| key.kind == Kind::Pod).collect()
    }

    /// Runs until nothing more happens; then the end is looked at.
    pub(crate) fn run(mut self) -> Tally {
        loop {
            let next = self.plan.first_key_value().map(|((time, _), _)| *time);
            let turn = self.turn_due();
            match (next, turn) {
                (Some(next), Some(turn)) if turn < next => self.turn(turn),
                (None, Some(turn)) => self.turn(turn),
                (Some(_), _) => self.happen(),
                (None, None) => panic!("nothing will ever happen again"),
            }
            self.spread();
            if self.is_calm && self.is_quiet() {
                break;
            }
        }
        self.judge_the_end();
        self.safety.tally.clone()
    }

    fn turn_due(&self) -> Option<u64> {
        let driver = self.driver.as_ref()?;
        let batch = self.batch.map(|(first, last)| (last + SETTLE).min(first + SETTLE_MAX));
        batch.into_iter().chain(driver.wake().map(|at| at.0)).min()
    }

    fn turn(&mut self, at: u64) {
        self.now = self.now.max(at);
        self.batch = None;
        self.steps += 1;
        self.known = self.watches.iter().map(|(kind, watch)| (*kind, watch.told)).collect();
        let Some(driver) = &mut self.driver else { return };
        let calls = driver.step(Timestamp(self.now));
        self.start(calls);
        self.look_at_facts();
        self.turns = if self.last_turn == self.now { self.turns + 1 } else { 0 };
        self.last_turn = self.now;
        assert!(self.turns < 100, "the driver wants another turn at once, again and again");
    }

    pub(crate) fn look_at_facts(&mut self) {
        let facts = self.driver.as_mut().map(Driver::take_facts).unwrap_or_default();
        for fact in facts {
            match fact {
                Fact::Refused { what } => panic!("the engine refused what it was told: {what}"),
                Fact::Decided { .. } | Fact::Waits { .. } => {}
                other => self.say(|| format!("{other:?}")),
            }
        }
    }

    fn happen(&mut self) {
        let Some(((time, _), what)) = self.plan.pop_first() else { return };
        self.now = self.now.max(time);
        self.api.now = self.now;
        match what {
            What::Deliver(kind, generation) => self.deliver(kind, generation),
            What::Listed(kind, generation) => self.listed(kind, generation),
            What::Arrives(number) => self.arrives(number),
            What::Answered(number) => self.answered(number),
            What::Restart => self.restart(),
            What::Lead(epoch) => self.lead(epoch),
            What::Silence(epoch) if epoch == self.epoch && !self.leads => self.silence(),
            What::Silence(_) => {}
            What::Runs(key, uid) => self.runs(&key, &uid),
            What::Ends(key, uid) => self.ends(&key, &uid),
            What::Vanishes(key, uid) => {
                if self.api.get(&key).is_some_and(|pod| pod.uid == uid) {
                    self.api.delete(&key);
                }
            }
            What::Collect(node) => self.collect(&node),
            What::NodeBack(node) => self.node_back(&node),
            What::QueueBack(queue) => self.queue_back(queue),
            What::Reconcile(job) => self.reconcile(job),
            What::Ungate(job) => self.ungate(job),
            What::Act if self.is_calm => {}
            What::Act => {
                self.act();
                let next = self.now + self.dice.between(1, 2 * self.mix.pause_ms);
                self.at(next, What::Act);
            }
            What::Look => {
                self.look_over_time();
                self.at(self.now + 2_000, What::Look);
            }
            What::Calm => self.calm(),
        }
    }

    pub(crate) fn news(&mut self) {
        let first = self.batch.map_or(self.now, |(first, _)| first);
        self.batch = Some((first, self.now));
    }

    pub(crate) fn observe(&mut self, change: Change) {
        if let Some(driver) = &mut self.driver {
            driver.observe(change);
            self.news();
        }
    }

    fn calm(&mut self) {
        self.say(|| "from now on all is well".into());
        self.is_calm = true;
        let Mix { call_ms, watch_ms, start_ms, grace_ms, .. } = self.mix.clone();
        let none = Mix::of(&mut Dice::new(0));
        self.mix = Mix {
            busy: 0,
            error: 0,
            unanswered: 0,
            torn: 0,
            twice: 0,
            sick: 0,
            failing: 0,
            call_ms,
            watch_ms,
            start_ms,
            grace_ms,
            ..none
        };
        (self.outage_until, self.budget_until) = (0, 0);
        self.refused.clear();
        self.all_start();
    }

    pub(crate) fn nothing_planned(&self) -> bool {
        self.flights.is_empty() && self.plan.values().all(|what| matches!(what, What::Look | What::Act))
    }
}

fn sim_mix(seed: u64) -> Mix {
    Mix::of(&mut Dice::new(seed))
}

/// What happened in a run, to know that it was one.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) bound: u64,
    pub(crate) evicted: u64,
    pub(crate) restarts: u64,
    /// The most writes of one kind about one pod.
    pub(crate) most_writes: u64,
}
