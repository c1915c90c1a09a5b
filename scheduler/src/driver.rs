//! The live driver without its I/O: what watches say, what became of calls, and the time go in; calls come out. Whoever moves
//! the bytes (the scheduler's process, or a test with faults) does nothing else.
//!
//! One [`Driver::step`] is one turn: the engine is told what has happened, decides, and what it decided becomes calls.
//! Between two turns nothing is decided. Ownership of the state of each piece of work: `bind` has the bindings, `evict` the
//! evictions and promises, `verdict` what objects say about why they wait, `calls` the order of all of it.

mod bind;
mod call;
mod calls;
mod evict;
mod status;
mod verdict;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use berth_config::SchedulerConfiguration;
use berth_config::rules::{PolicySet, engine_config};
use berth_engine::decision::EvictCause;
use berth_engine::gang::Stage;
use berth_engine::{Decision, Engine, Event, GangId, PodId, Rules, Timestamp};

pub use call::{ApiEvent, Call, CallId, Condition, Outcome, PodStatus};

use crate::journal::Recorder;
use crate::objects::{Body, Key, Kind};
use crate::store::Change;
use crate::world::{Doing, GangKey, World};
use bind::Binding;
use calls::Calls;
use evict::Eviction;
use status::Written;
use verdict::Verdicts;

/// The engine is asked at least so often, since it waits for times of its own: those of gangs that start or have failed to, and
/// of reservations.
const TICK_MS: u64 = 1_000;

/// What came to nothing because the API server did not answer is tried again after so long.
const READ_AGAIN_MS: u64 = 500;

/// The live driver's logic.
#[derive(Debug)]
pub struct Driver {
    world: World,
    engine: Engine,
    calls: Calls,
    /// Pods to be bound, until a watch has shown it.
    bindings: BTreeMap<Key, Binding>,
    /// Pods that were told to go, until they are gone.
    evictions: BTreeMap<Key, Eviction>,
    /// Pods that are promised a place, and until when.
    promises: BTreeMap<PodId, Timestamp>,
    /// Promises given up since the last turn.
    lapsed: Vec<PodId>,
    verdicts: Verdicts,
    written: Written,
    /// Writes about volumes that are under way, by pod.
    steps: BTreeMap<Key, usize>,
    volumes_changed: bool,
    /// Work that waits for its time.
    due: BTreeSet<(Timestamp, Due)>,
    /// Pods of which something new is known.
    touched: BTreeSet<Key>,
    /// Kinds of which no list has come yet.
    unlisted: BTreeSet<Kind>,
    leads: bool,
    stops: bool,
    last_cycle: Timestamp,
    /// The time of the last turn or answer.
    now: Timestamp,
    facts: Vec<Fact>,
    recorder: Option<Recorder>,
    settings: Settings,
    policy_set: PolicySet,
    /// Those the engine is to have from the next turn on.
    rules: Rules,
}

/// What of the configuration matters here, in ms.
#[derive(Debug, Clone, Copy)]
struct Settings {
    request_timeout: u64,
    bind_timeout: u64,
    bind_attempts: u32,
    backoff_first: u64,
    backoff_max: u64,
    promise: u64,
}

/// Something to look after at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Bind(Key),
    Evict(Key),
    Promise(PodId),
    Verdict(Key),
}

/// What happened, for metrics and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A pod has been bound.
    Bound {
        /// The pod.
        pod: Key,
        /// The node.
        node: String,
        /// Attempts the binding took.
        attempts: u32,
        /// From the pod's creation, or when it was last put back, until now (ms).
        waited_ms: u64,
    },
    /// A binding has been given up; the pod waits again.
    BindFailed {
        /// The pod.
        pod: Key,
        /// What the API server said.
        why: String,
    },
    /// A pod has to go, and the API server has agreed.
    Evicted {
        /// The pod.
        pod: Key,
        /// By which right.
        cause: EvictCause,
    },
    /// A gang has no place for now.
    Waits {
        /// The first of its pods that waits.
        pod: Key,
        /// What was written.
        message: String,
    },
    /// The engine refused what it was told: a fault of the scheduler.
    Refused {
        /// What it was told, and why it refused.
        what: String,
    },
    /// The engine has decided.
    Decided {
        /// In this order.
        decisions: Vec<Decision>,
    },
}

impl Driver {
    /// A driver that knows of nothing yet. It decides nothing before each of `kinds` has been listed and it leads.
    pub fn new(configuration: &SchedulerConfiguration, kinds: impl IntoIterator<Item = Kind>) -> Self {
        let binding = &configuration.binding;
        let in_flight = configuration.client_connection.writes_in_flight;
        let engine = Engine::new(engine_config(configuration));
        Driver {
            world: World::new(configuration),
            policy_set: configuration.policy_set,
            rules: engine.rules().clone(),
            engine,
            calls: Calls::new(binding.workers as usize, in_flight as usize),
            bindings: BTreeMap::new(),
            evictions: BTreeMap::new(),
            promises: BTreeMap::new(),
            lapsed: Vec::new(),
            verdicts: Verdicts::default(),
            written: Written::default(),
            steps: BTreeMap::new(),
            volumes_changed: false,
            due: BTreeSet::new(),
            touched: BTreeSet::new(),
            unlisted: kinds.into_iter().collect(),
            leads: false,
            stops: false,
            last_cycle: Timestamp::default(),
            now: Timestamp::default(),
            facts: Vec::new(),
            recorder: None,
            settings: Settings::of(configuration),
        }
    }

    /// From now on this configuration holds, as far as it can without a restart.
    pub fn reconfigure(&mut self, configuration: &SchedulerConfiguration) {
        self.settings = Settings::of(configuration);
        self.world.reconfigure(configuration);
        // Another set of rules needs a restart; the differences from the one at the start do not.
        let configuration = SchedulerConfiguration { policy_set: self.policy_set, ..configuration.clone() };
        self.rules = engine_config(&configuration).rules;
    }

    /// From now on everything the engine is told and decides is written down. To be called before anything else, since a
    /// journal has to begin with an engine that knows nothing.
    pub fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// Takes note of what a watch says.
    pub fn observe(&mut self, change: Change) {
        match &change {
            Change::Applied(object) => {
                self.touch(&object.key);
                self.note_volume(object.key.kind);
            }
            Change::Deleted { key, .. } => {
                self.touch(key);
                self.note_volume(key.kind);
                self.group_not_written(key);
            }
            Change::Replaced { kind, .. } => {
                self.note_volume(*kind);
                self.unlisted.remove(kind);
                if *kind == Kind::Pod {
                    let known = self.bindings.keys().chain(self.evictions.keys());
                    self.touched.extend(known.chain(self.verdicts.pods()).cloned());
                }
            }
        }
        self.world.apply(change);
    }

    /// What is known of a kind may be old: nothing is decided before a list of it has come.
    pub fn await_list(&mut self, kind: Kind) {
        self.unlisted.insert(kind);
    }

    /// From now on this one decides. Lists that are newer than what the last leader wrote must have been asked for
    /// ([`Driver::await_list`]).
    pub fn lead(&mut self) {
        self.leads = true;
    }

    /// Nothing further is decided or started; calls under way go on.
    pub fn stop(&mut self) {
        self.stops = true;
        self.calls.drop_queued();
    }

    /// Has everything been listed?
    pub fn is_synced(&self) -> bool {
        self.unlisted.is_empty()
    }

    /// Kinds that have not been listed yet.
    pub fn unlisted(&self) -> impl Iterator<Item = Kind> + '_ {
        self.unlisted.iter().copied()
    }

    /// Calls that have been started and are not over.
    pub fn calls_under_way(&self) -> usize {
        self.calls.under_way()
    }

    /// Events that were never posted, since too many waited.
    pub fn dropped_events(&self) -> u64 {
        self.calls.dropped_events()
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The objects, to look at.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What has happened since the last call.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    /// When [`Driver::step`] is to be called if nothing happens before.
    pub fn wake(&self) -> Option<Timestamp> {
        let cycle = self.decides().then(|| self.last_cycle.plus(TICK_MS));
        let due = self.due.first().map(|(at, _)| *at);
        cycle.into_iter().chain(due).chain(self.calls.wake()).min()
    }

    fn decides(&self) -> bool {
        self.leads && !self.stops && self.is_synced()
    }

    /// A turn: tells the engine what has happened, lets it decide, and says which calls to start. Each of them must be answered
    /// by [`Driver::finished`].
    pub fn step(&mut self, now: Timestamp) -> Vec<(CallId, Call)> {
        self.now = now;
        self.look_after_due(now);
        self.absorb(now);
        if self.decides() {
            self.last_cycle = now;
            let decisions = self.engine.decide(now);
            if let Some(recorder) = &mut self.recorder {
                recorder.decided(&decisions, now);
            }
            decisions.iter().for_each(|decision| self.world.decided(decision));
            self.world.volumes_decided(self.engine.state());
            decisions.iter().for_each(|decision| self.carry_out(decision, now));
            self.look_at_promises(now);
            self.facts.push(Fact::Decided { decisions });
            self.tell_problems();
            self.tell_queues(now);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.end_line();
        }
        self.start_calls()
    }

    /// Further calls that may start now, without a turn.
    pub fn start_calls(&mut self) -> Vec<(CallId, Call)> {
        if self.stops {
            return Vec::new();
        }
        let (world, bindings, evictions) = (&self.world, &mut self.bindings, &self.evictions);
        let (verdicts, due, now) = (&mut self.verdicts, &mut self.due, self.now);
        self.calls.start(now, |id, call| match call {
            Call::Bind { pod, uid, node } => {
                let wanted = bind::is_wanted(world, bindings, id, pod, uid, node);
                // Who is left to be looked after has no call that brings it about.
                if !wanted && bindings.contains_key(pod) {
                    due.insert((now, Due::Bind(pod.clone())));
                }
                wanted
            }
            Call::Evict { pod, .. } => evictions.contains_key(pod),
            // Whoever has got a place meanwhile does not say that it has none.
            Call::PodStatus { pod, uid, .. } => {
                let waits = world.doing(pod, uid) == Some(Doing::Waits) && world.booked(pod).is_none();
                if !waits {
                    verdicts.forget(pod, uid);
                }
                waits
            }
            _ => true,
        })
    }

    /// What watches have said becomes known to the engine.
    fn absorb(&mut self, now: Timestamp) {
        if self.rules != *self.engine.rules() {
            let rules = Box::new(self.rules.clone());
            self.tell(Event::RulesSet { rules }, now);
        }
        for event in self.world.events() {
            let restored = self.usage_of(&event);
            self.tell(event, now);
            if let Some(event) = restored {
                self.tell(event, now);
            }
        }
        self.look_at_volumes(now);
        for pod in std::mem::take(&mut self.touched) {
            self.look_at_binding(&pod, now);
            self.look_at_eviction(&pod, now);
            self.look_at_verdict(&pod);
        }
    }

    /// What a queue that is told for the first time had used of late when the last leader wrote it down.
    fn usage_of(&self, event: &Event) -> Option<Event> {
        let Event::QueueSet { queue, spec } = event else { return None };
        let object = self.world.object(&Key::cluster(Kind::Queue, &spec.name))?;
        let Body::Queue(body) = &object.body else { return None };
        let (amount_ms, at) = status::usage_kept(body).filter(|_| self.engine.queues().get(*queue).is_none())?;
        Some(Event::UsageRestored { queue: *queue, amount_ms, at })
    }

    fn touch(&mut self, key: &Key) {
        if key.kind == Kind::Pod {
            self.touched.insert(key.clone());
        }
    }

    fn tell(&mut self, event: Event, now: Timestamp) {
        let pods = self.engine.state().pods();
        let is_moot = match &event {
            // Promises also fall together, and with their nodes, before anybody says so.
            Event::NominationExpired { pod } => {
                !pods.get(pod).is_some_and(|pod| matches!(pod.stage, Stage::Nominated { .. }))
            }
            // So do those of pods that are gone, and then nothing is left of these.
            Event::PodGone { pod } => !pods.contains_key(pod),
            _ => false,
        };
        if is_moot {
            return;
        }
        if let Event::GangRemoved { gang } = &event {
            self.bury(*gang, now);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.told(&event, now);
        }
        if let Err(error) = self.engine.apply(event.clone(), now) {
            self.world.refused(&event, &error);
            self.facts.push(Fact::Refused { what: format!("{event:?}: {error}") });
        }
    }

    /// Pods that are gone but whose promise was kept for successors go before their gang: which of several such a successor
    /// follows is the engine's choice, so it alone knows who is left.
    fn bury(&mut self, gang: GangId, now: Timestamp) {
        let members = self.engine.state().gangs().get(&gang).map(|gang| gang.pods().collect::<Vec<_>>());
        for pod in
            members.unwrap_or_default().into_iter().filter(|pod| self.world.pod(*pod).is_none()).collect::<Vec<_>>()
        {
            self.tell(Event::PodGone { pod }, now);
        }
    }

    fn carry_out(&mut self, decision: &Decision, now: Timestamp) {
        match decision {
            Decision::Bind { pods, .. } => pods.iter().for_each(|one| self.bind(&one.slot, now)),
            Decision::Nominate { gang, pods, .. } => self.promise(*gang, pods),
            Decision::Evict { pods, claimant, cause, .. } => self.evict(pods, *claimant, *cause, now),
            Decision::Reserve { .. } => {} // what the gang says of it comes with `Wait`
            Decision::Wait { gang, pod, why } => self.waits(*gang, *pod, why),
        }
    }

    fn look_after_due(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.due.first()
            && *at <= now
            && let Some((_, due)) = self.due.pop_first()
        {
            match due {
                Due::Bind(pod) => self.binding_is_due(&pod, now),
                Due::Evict(pod) => self.eviction_is_due(&pod, now),
                Due::Promise(pod) => self.promise_is_due(pod, now),
                Due::Verdict(pod) => self.verdict_is_due(&pod),
            }
        }
    }

    /// A call is over. What follows from it is started by the next [`Driver::step`] or [`Driver::start_calls`].
    pub fn finished(&mut self, id: CallId, outcome: Outcome, now: Timestamp) {
        self.now = now;
        if matches!(outcome, Outcome::Unreachable { .. }) {
            return self.not_sent(id, now);
        }
        match self.calls.finish(id) {
            None => {}
            Some(Call::Bind { pod, node, .. }) => self.bind_answered(&pod, id, &node, outcome, now),
            Some(Call::Evict { pod, .. }) => self.evict_answered(&pod, id, outcome, now),
            Some(Call::Volume { pod, .. }) => self.volume_answered(&pod, &outcome, now),
            Some(Call::ReadPod { pod, uid }) => self.pod_read(&pod, uid, outcome, now),
            Some(Call::PodStatus { pod, uid, .. }) => self.verdict_written(&pod, &uid, id, &outcome, now),
            // What people read is not worth a second try: the next one says more.
            Some(Call::PostEvent(_)) => {}
            Some(Call::GroupStatus { group, .. }) if !matches!(outcome, Outcome::Done(_)) => {
                self.group_not_written(&group)
            }
            Some(Call::QueueStatus { queue, .. }) if !matches!(outcome, Outcome::Done(_)) => {
                self.queue_not_written(&queue)
            }
            Some(Call::GroupStatus { .. } | Call::QueueStatus { .. }) => {}
        }
    }

    /// There is no API server to talk to: nothing has happened, and the call is tried again when there is one.
    fn not_sent(&mut self, id: CallId, now: Timestamp) {
        let call = self.calls.put_back(id, now);
        if let Some(Call::Bind { pod, .. }) = call
            && let Some(binding) = self.bindings.get_mut(pod)
        {
            binding.was_not_sent(id);
        }
        if self.stops {
            self.calls.drop_queued();
        }
    }

    /// What a read shows counts as if a watch had said it.
    fn pod_read(&mut self, pod: &Key, uid: String, outcome: Outcome, now: Timestamp) {
        match outcome {
            Outcome::Done(Some(object)) => self.observe(Change::Applied(*object)),
            Outcome::Missing => self.observe(Change::Deleted { key: pod.clone(), uid }),
            _ => return self.binding_read_failed(pod, now.plus(READ_AGAIN_MS)),
        }
        self.binding_read(pod);
    }

    /// A gang as people call it: by the pod where it is one alone.
    fn gang_name(&self, gang: GangId) -> String {
        match self.world.gang(gang) {
            Some(key @ GangKey::Lone { .. }) => format!("pod {}", key.path()),
            Some(key) => format!("pod group {}", key.path()),
            None => gang.to_string(),
        }
    }
}

impl Settings {
    fn of(configuration: &SchedulerConfiguration) -> Self {
        let binding = &configuration.binding;
        Settings {
            request_timeout: configuration.client_connection.request_timeout.ms(),
            bind_timeout: binding.timeout.ms(),
            bind_attempts: binding.attempts,
            backoff_first: binding.initial_backoff.ms(),
            backoff_max: binding.max_backoff.ms(),
            promise: configuration.nominations.expiry.ms(),
        }
    }

    /// Until the next attempt, after so many.
    fn pause(&self, attempts: u32) -> u64 {
        let doublings = attempts.saturating_sub(1).min(20);
        self.backoff_first.saturating_mul(1 << doublings).min(self.backoff_max)
    }
}
