//! The run: virtual time, the driver between its watches and calls, and everything that can go wrong on the way. It does with
//! the driver what `live.rs` does, and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use berth_config::SchedulerConfiguration;
use berth_config::units::{Duration, Lasting};
use berth_engine::Timestamp;
use berth_scheduler::driver::{Call, CallId, Fact, Outcome};
use berth_scheduler::{Change, Driver, Key, Kind};

use crate::api::{Api, Effect};
use crate::dice::Dice;
use crate::mix::{Mix, TIMEOUT};
use crate::people::{GROUPS, Job};
use crate::safety::Safety;

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

/// A watch of one kind: what of its log has been told.
#[derive(Debug, Default)]
struct Watch {
    generation: u64,
    /// Nothing is told before a list.
    listed: bool,
    /// The last list ended there.
    from: usize,
    told: usize,
    planned: usize,
    last_at: u64,
}

/// A call that has been started.
#[derive(Debug)]
pub(crate) struct Flight {
    epoch: u64,
    id: CallId,
    pub(crate) call: Call,
    /// How much of each log the driver knew when it was started.
    pub(crate) known: BTreeMap<Kind, usize>,
    started: u64,
    answer: Option<Outcome>,
}

pub(crate) struct Sim {
    seed: u64,
    pub(crate) now: u64,
    steps: u64,
    pub(crate) dice: Dice,
    pub(crate) mix: Mix,
    pub(crate) api: Api,
    plan: BTreeMap<(u64, u64), What>,
    planned: u64,
    pub(crate) configuration: SchedulerConfiguration,
    pub(crate) driver: Option<Driver>,
    epoch: u64,
    watches: BTreeMap<Kind, Watch>,
    batch: Option<(u64, u64)>,
    last_turn: u64,
    turns: u64,
    known: BTreeMap<Kind, usize>,
    flights: BTreeMap<u64, Flight>,
    history: VecDeque<String>,
    hooked: usize,
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

    fn look_at_facts(&mut self) {
        let facts = self.driver.as_mut().map(Driver::take_facts).unwrap_or_default();
        for fact in facts {
            match fact {
                Fact::Refused { what } => panic!("the engine refused what it was told: {what}"),
                Fact::Cycle { .. } | Fact::Waits { .. } => {}
                other => self.say(|| format!("{other:?}")),
            }
        }
    }

    fn start(&mut self, calls: Vec<(CallId, Call)>) {
        for (id, call) in calls {
            if !matches!(call, Call::PostEvent(_)) {
                self.say(|| format!("call {}: {call:?}", id.0));
            }
            self.last_call = self.now;
            self.safety.count(&call);
            let number = self.planned;
            let flight =
                Flight { epoch: self.epoch, id, call, known: self.known.clone(), started: self.now, answer: None };
            self.flights.insert(number, flight);
            self.plan_flight(number);
        }
    }

    /// When the call has its effect, and when and how it is answered.
    fn plan_flight(&mut self, number: u64) {
        let mut fate = self.dice.between(0, 1000);
        let Mix { busy, error, unanswered, torn, call_ms, .. } = self.mix.clone();
        let (soon, later) = (self.now + self.dice.between(1, call_ms), self.now + self.dice.between(1, TIMEOUT));
        let out = self.now < self.outage_until;
        if out && self.dice.permille(950) {
            fate = self.dice.between(0, busy + error + 2);
        }
        let mut fell = |chance: u64| {
            let here = fate < chance;
            fate = fate.saturating_sub(chance);
            here
        };
        let unknown = || Outcome::Unknown { message: "no answer".into() };
        let end = self.now + TIMEOUT;
        if fell(busy + u64::from(out)) {
            let after_ms = self.dice.between(0, 3) * 1_000;
            return self.answer(number, soon, Outcome::Busy { after_ms, message: "too many requests".into() });
        }
        if fell(error + u64::from(out)) {
            let at = if self.dice.permille(500) { soon } else { end };
            return self.answer(number, at, unknown());
        }
        if fell(unanswered) {
            self.at(later, What::Arrives(number));
            return self.answer(number, end, unknown());
        }
        if fell(torn) {
            self.at(soon.max(later), What::Arrives(number));
            return self.answer(number, soon.min(later), unknown());
        }
        self.at(soon, What::Arrives(number));
    }

    fn answer(&mut self, number: u64, at: u64, outcome: Outcome) {
        if let Some(flight) = self.flights.get_mut(&number) {
            flight.answer = Some(outcome);
            self.at(at, What::Answered(number));
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

    fn arrives(&mut self, number: u64) {
        let Some(flight) = self.flights.get(&number) else { return };
        let call = flight.call.clone();
        let stamp = self.stamp();
        let refused = || Outcome::Refused { message: "a webhook says no".into() };
        let budget = || Outcome::Busy { after_ms: 0, message: "the disruption budget does not allow it".into() };
        let (outcome, effect) = match &call {
            Call::Bind { pod, .. } if self.refused.get(pod).is_some_and(|until| *until > self.now) => {
                (refused(), Effect::Nothing)
            }
            Call::Evict { .. } if self.budget_until > self.now => (budget(), Effect::Nothing),
            call => self.api.carry_out(call, &stamp),
        };
        if !matches!(call, Call::PostEvent(_)) {
            self.say(|| format!("  arrives: {} {}: {}, {effect:?}", call.name(), call.object().path(), outcome.name()));
        }
        self.judge_effect(number, effect);
        let answered = self.flights.get(&number).is_none_or(|flight| flight.answer.is_some());
        if !answered {
            let (at, end) = (self.now + self.dice.between(1, self.mix.call_ms), self.started(number) + TIMEOUT);
            let outcome = if at <= end { outcome } else { Outcome::Unknown { message: "no answer in time".into() } };
            self.answer(number, at.min(end), outcome);
        } else if !self.plan.values().any(|what| matches!(what, What::Answered(other) if *other == number)) {
            self.flights.remove(&number);
        }
    }

    fn started(&self, number: u64) -> u64 {
        self.flight(number).map_or(0, |flight| flight.started)
    }

    pub(crate) fn flight(&self, number: u64) -> Option<&Flight> {
        self.flights.get(&number)
    }

    fn answered(&mut self, number: u64) {
        let pending = self.plan.values().any(|what| matches!(what, What::Arrives(other) if *other == number));
        let Some(flight) = self.flights.get_mut(&number) else { return };
        let (epoch, id, call, answer) = (flight.epoch, flight.id, flight.call.clone(), flight.answer.clone());
        if !pending {
            self.flights.remove(&number);
        }
        let (Some(driver), Some(outcome)) = (&mut self.driver, answer) else { return };
        if epoch != self.epoch {
            return;
        }
        let quiet = matches!(outcome, Outcome::Done(_));
        if !quiet {
            let name = outcome.name();
            self.history.push_back(format!("{:>9}  answer {}: {name} to {}", self.now - START, id.0, call.name()));
            self.safety.disturbed(&call, self.now);
        }
        driver.finished(id, outcome, Timestamp(self.now));
        let calls = driver.start_calls();
        if !quiet {
            self.news();
        }
        self.start(calls);
        self.look_at_facts();
    }

    fn news(&mut self) {
        let first = self.batch.map_or(self.now, |(first, _)| first);
        self.batch = Some((first, self.now));
    }

    fn observe(&mut self, change: Change) {
        if let Some(driver) = &mut self.driver {
            driver.observe(change);
            self.news();
        }
    }

    /// What has happened to objects is on its way to the driver, and to those who act on it.
    fn spread(&mut self) {
        self.hook();
        for kind in KINDS {
            let slow = self.dice.between(1, self.mix.watch_ms);
            let length = self.api.log(kind).len();
            let Some(watch) = self.watches.get_mut(&kind).filter(|watch| watch.listed) else { continue };
            let generation = watch.generation;
            let (count, at) = (length - watch.planned, watch.last_at.max(self.now + slow));
            watch.planned = length;
            if count > 0 {
                watch.last_at = at;
            }
            for _ in 0..count {
                self.at(at, What::Deliver(kind, generation));
            }
        }
    }

    /// Kubelets and controllers see everything at once.
    fn hook(&mut self) {
        while let Some(entry) = self.api.log(Kind::Pod).get(self.hooked) {
            let (key, uid, gone) = (entry.key.clone(), entry.object.uid.clone(), entry.gone);
            self.hooked += 1;
            self.pod_changed(&key, &uid, gone);
        }
    }

    fn deliver(&mut self, kind: Kind, generation: u64) {
        let again = self.dice.permille(self.mix.twice).then(|| self.dice.between(1, 5) as usize);
        let Some(watch) = self.watches.get_mut(&kind).filter(|watch| watch.generation == generation) else { return };
        let log = self.api.log(kind);
        let Some(next) = log.get(watch.told) else { return };
        let change = next.change();
        let old = again.filter(|back| watch.from + back <= watch.told).map(|back| log[watch.told - back].change());
        watch.told += 1;
        self.observe(change);
        old.into_iter().for_each(|old| self.observe(old));
    }

    pub(crate) fn cut_a_watch(&mut self) {
        let Some(kind) = self.dice.pick(&KINDS) else { return };
        self.say(|| format!("the watch of {kind} is cut"));
        let silence = self.dice.between(1, 30_000);
        self.list_anew(kind, silence);
    }

    fn list_anew(&mut self, kind: Kind, after: u64) {
        let Some(watch) = self.watches.get_mut(&kind) else { return };
        watch.generation += 1;
        watch.listed = false;
        let (at, generation) = (self.now + after, watch.generation);
        self.at(at, What::Listed(kind, generation));
    }

    /// A list is never older than what was told before; what came after it is told next.
    fn listed(&mut self, kind: Kind, generation: u64) {
        let length = self.api.log(kind).len();
        let back = self.dice.between(0, 6) as usize;
        let leads = self.driver.as_ref().is_some_and(|driver| driver.unlisted().any(|one| one == kind));
        let Some(watch) = self.watches.get_mut(&kind).filter(|watch| watch.generation == generation) else { return };
        // The list that a leader starts with is asked for when it leads already, and is as new as that.
        let at = if leads && kind == Kind::Pod { length } else { length.saturating_sub(back).max(watch.told) };
        (watch.listed, watch.from, watch.told, watch.planned, watch.last_at) = (true, at, at, at, self.now);
        let objects = self.api.list(kind, at);
        self.say(|| format!("{kind} is listed: {}", objects.len()));
        self.observe(Change::Replaced { kind, objects });
    }

    /// The driver is gone with all it knew; calls under way go on.
    pub(crate) fn crash(&mut self) {
        if self.driver.is_none() {
            return;
        }
        let pause = TIMEOUT + self.dice.between(1, 20_000);
        self.say(|| "the scheduler is gone".into());
        self.safety.restarted();
        (self.driver, self.batch) = (None, None);
        self.epoch += 1;
        for watch in self.watches.values_mut() {
            *watch = Watch { generation: watch.generation + 1, ..Watch::default() };
        }
        // A replica that has been watching all the time, or one that starts from nothing.
        if self.dice.permille(500) {
            self.begin();
            self.at(self.now + pause, What::Lead(self.epoch));
        } else {
            self.at(self.now + pause, What::Restart);
        }
    }

    fn begin(&mut self) {
        self.driver = Some(Driver::new(&self.configuration, KINDS));
        for kind in KINDS {
            let after = self.dice.between(1, 2_000);
            self.list_anew(kind, after);
        }
    }

    fn restart(&mut self) {
        self.begin();
        self.lead(self.epoch);
    }

    fn lead(&mut self, epoch: u64) {
        if epoch != self.epoch {
            return;
        }
        self.say(|| "a scheduler leads".into());
        if let Some(driver) = &mut self.driver {
            driver.await_list(Kind::Pod);
            driver.lead();
        }
        let after = self.dice.between(1, 3_000);
        self.list_anew(Kind::Pod, after);
        self.news();
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
