//! The scheduler's process: one task owns the driver; watches, writes and time meet here. Moves bytes and keeps time, decides
//! nothing.

pub(crate) mod watch;
mod write;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use berth_config::SchedulerConfiguration;
use berth_config::scheduler::GroupConvention;
use berth_engine::Timestamp;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, trace, warn};

use crate::driver::{Call, CallId, Driver, Fact, Outcome};
use crate::http::Health;
use crate::journal::Journal;
use crate::lease::Leadership;
use crate::metrics::{self, ApiCall, Attempt, CountedRequests, Metrics, Pending};
use crate::objects::Kind;
use crate::store::Change;
use watch::Seen;
use write::Writer;

/// So many changes may wait for the owner; watches wait beyond that.
const CHANGES_MAX: usize = 10_000;

/// The counts that metrics show are taken so often: a walk over all pods.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// Why the process ends.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Stopped,
    /// Another one leads, or nobody knows.
    LeaseLost,
}

/// What the process hands in.
pub struct Parts {
    /// Makes all requests but those of the election.
    pub client: Client,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Is told that this is alive, on the clock of `now_ms`.
    pub health: Arc<Health>,
    /// Milliseconds on a clock that never goes back.
    pub now_ms: Box<dyn Fn() -> u64>,
    /// Who may write, and until when.
    pub leadership: tokio::sync::watch::Receiver<Leadership>,
    /// The configuration, if it is another one than when this was last asked.
    pub reload: Box<dyn FnMut() -> Option<SchedulerConfiguration>>,
    /// Ends when the process is to end.
    pub stop: Pin<Box<dyn Future<Output = ()>>>,
}

/// How to reach the cluster: the kubeconfig named, else the cluster's own way. Nothing is tried again by the client itself, since
/// a write that had no answer may have had its effect.
///
/// # Errors
/// Where no cluster can be found.
pub async fn connection(configuration: &SchedulerConfiguration) -> anyhow::Result<Config> {
    let connection = &configuration.client_connection;
    let mut config = match &connection.kubeconfig {
        None => Config::infer().await?,
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
    };
    config.default_retry = false;
    config.connect_timeout = Some(connection.connect_timeout.std());
    Ok(config)
}

/// A client whose requests are counted.
///
/// # Errors
/// Where its certificates cannot be used.
pub fn client(connection: Config, metrics: &Arc<Metrics>) -> anyhow::Result<Client> {
    let counted = CountedRequests::new(metrics.clone());
    Ok(ClientBuilder::try_from(connection)?.with_layer(&counted).build())
}

/// Everything that moves.
struct Live {
    driver: Driver,
    writer: Writer,
    clock: Clock,
    watches: Vec<(Kind, JoinHandle<()>)>,
    calls: JoinSet<(CallId, Call, Outcome)>,
    changes: mpsc::Sender<Seen>,
    batch: Batch,
    parts: Parts,
    counted: Instant,
}

/// Time that never goes back, in ms since 1970.
struct Clock {
    started: Instant,
    at: u64,
}

impl Clock {
    fn new() -> Self {
        let at = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        Clock { started: Instant::now(), at }
    }

    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.at).plus(passed)
    }

    fn instant(&self, time: Timestamp) -> Instant {
        self.started + Duration::from_millis(time.since(Timestamp(self.at)))
    }
}

/// Changes that have come since the last cycle: those that come together are decided on together.
#[derive(Debug)]
struct Batch {
    settle: Duration,
    max_delay: Duration,
    max_changes: usize,
    changes: usize,
    first: Instant,
    last: Instant,
}

impl Batch {
    fn new(configuration: &SchedulerConfiguration) -> Self {
        let (now, none) = (Instant::now(), Duration::ZERO);
        let mut batch = Batch { settle: none, max_delay: none, max_changes: 0, changes: 0, first: now, last: now };
        batch.configure(configuration);
        batch
    }

    fn configure(&mut self, configuration: &SchedulerConfiguration) {
        let cycle = &configuration.cycle;
        (self.settle, self.max_delay) = (cycle.settle.std(), cycle.max_delay.std());
        self.max_changes = cycle.max_events as usize;
    }

    fn add(&mut self, changes: usize) {
        self.last = Instant::now();
        if self.changes == 0 {
            self.first = self.last;
        }
        self.changes += changes;
    }

    /// When the next cycle starts, if anything has come.
    fn due(&self) -> Option<Instant> {
        match self.changes {
            0 => None,
            changes if changes >= self.max_changes => Some(self.last),
            _ => Some((self.last + self.settle).min(self.first + self.max_delay)),
        }
    }
}

/// Schedules until told otherwise.
///
/// # Errors
/// Where the API server cannot say which kinds it serves.
pub async fn run(configuration: &SchedulerConfiguration, parts: Parts) -> anyhow::Result<End> {
    let mut kinds = Vec::new();
    for kind in watch::KINDS {
        if watch::is_served(&parts.client, kind).await.with_context(|| format!("asking whether {kind} is served"))? {
            kinds.push(kind);
        } else {
            info!(kind = %kind, "The API server does not serve this kind; it is left out until the next start");
        }
    }
    let mut configuration = configuration.clone();
    let served = |group: &GroupConvention| *group == GroupConvention::Berth || kinds.contains(&Kind::PodGroup(*group));
    configuration.groups.accept.retain(served);
    let (changes, seen) = mpsc::channel(CHANGES_MAX);
    let now = Instant::now();
    let writer = Writer {
        client: parts.client.clone(),
        leadership: parts.leadership.clone(),
        timeout: configuration.client_connection.request_timeout.std(),
        scheduler: configuration.scheduler_name.clone(),
        identity: configuration.leader_election.identity.clone().unwrap_or_default(),
    };
    let clock = Clock::new();
    let mut driver = Driver::new(&configuration, kinds.iter().copied());
    let journal = Journal::start(&configuration, clock.now(), &parts.metrics).map(|(recorder, journal)| {
        driver.record(recorder);
        journal
    });
    let live = Live {
        driver,
        writer,
        clock,
        watches: Vec::new(),
        calls: JoinSet::new(),
        changes,
        batch: Batch::new(&configuration),
        parts,
        counted: now,
    };
    let end = live.run(&kinds, seen).await;
    if let Some(journal) = journal {
        journal.finish();
    }
    Ok(end)
}

impl Live {
    async fn run(mut self, kinds: &[Kind], mut seen: mpsc::Receiver<Seen>) -> End {
        kinds.iter().for_each(|kind| self.watch(*kind));
        let (mut leads, mut stops) = (false, false);
        let mut leadership = self.parts.leadership.clone();
        leadership.mark_changed();
        let mut beat = tokio::time::interval(Duration::from_secs(5));
        loop {
            self.parts.health.beat((self.parts.now_ms)());
            let wake = self.driver.wake().map(|at| self.clock.instant(at));
            let next = self.batch.due().into_iter().chain(wake).min();
            tokio::select! {
                biased;
                changed = leadership.changed() => {
                    let now = *leadership.borrow_and_update();
                    match now {
                        _ if changed.is_err() => return End::LeaseLost,
                        Leadership::Ended(_) => return End::LeaseLost,
                        Leadership::Leads { .. } if !leads => {
                            leads = true;
                            self.lead();
                        }
                        Leadership::Leads { .. } | Leadership::StandsBy => {}
                    }
                }
                () = &mut self.parts.stop, if !stops => {
                    info!(under_way = self.driver.calls_under_way(), "Stopping: calls under way are finished first");
                    stops = true;
                    self.parts.health.stops();
                    self.driver.stop();
                }
                Some(answer) = self.calls.join_next() => self.answered(answer),
                Some(first) = seen.recv() => {
                    self.note(first);
                    while let Ok(further) = seen.try_recv() {
                        self.note(further);
                    }
                }
                () = at(next) => self.step(),
                _ = beat.tick() => self.reload(),
            }
            if stops && self.driver.calls_under_way() == 0 {
                return End::Stopped;
            }
        }
    }

    /// The file is looked at now and then: a mounted ConfigMap changes by the swap of a link, which no watch of files tells well.
    fn reload(&mut self) {
        if let Some(configuration) = (self.parts.reload)() {
            self.batch.configure(&configuration);
            self.driver.reconfigure(&configuration);
            self.batch.add(1);
        }
    }

    fn watch(&mut self, kind: Kind) {
        let task = watch::start(self.parts.client.clone(), kind, self.changes.clone());
        self.watches.push((kind, task));
    }

    /// What the last leader wrote may not have come by the watch yet: pods are listed anew before anything is decided.
    fn lead(&mut self) {
        info!("Leads from now on: pods are listed anew first");
        self.parts.metrics.leads(true);
        for (_, task) in self.watches.extract_if(.., |(kind, _)| *kind == Kind::Pod) {
            task.abort();
        }
        self.driver.await_list(Kind::Pod);
        self.watch(Kind::Pod);
        self.driver.lead();
        self.batch.add(1);
    }

    fn note(&mut self, seen: Seen) {
        match seen {
            Seen::Change(change) => {
                let count = if let Change::Replaced { objects, kind } = &change {
                    debug!(kind = %kind, objects = objects.len(), "listed");
                    objects.len().max(1)
                } else {
                    1
                };
                self.driver.observe(change);
                self.batch.add(count);
            }
            Seen::Failed(kind, why) => {
                self.parts.metrics.watch_restarted(kind);
                warn!(kind = %kind, err = why, "A watch has failed and is tried again");
            }
        }
    }

    fn answered(&mut self, answer: Result<(CallId, Call, Outcome), tokio::task::JoinError>) {
        let (id, call, outcome) = match answer {
            Ok(answer) => answer,
            // A call's task neither panics nor is aborted while this runs.
            Err(failed) => return error!(err = %failed, "The task of a call has failed"),
        };
        let (name, object) = (call.name(), call.object());
        match &outcome {
            Outcome::Done(_) => trace!(call = name, object = %object, "Done"),
            Outcome::Refused { message }
            | Outcome::Unreachable { message }
            | Outcome::Unknown { message }
            | Outcome::Busy { message, .. } => {
                warn!(call = name, outcome = outcome.name(), object = %object, err = message, "A call has failed");
            }
            other => info!(call = name, outcome = other.name(), object = %object, "A call came too late"),
        }
        let needs_a_cycle = !matches!(outcome, Outcome::Done(_));
        self.driver.finished(id, outcome, self.clock.now());
        if needs_a_cycle {
            self.batch.add(1);
        }
        let started = self.driver.start_calls();
        self.start(started);
        self.report(Duration::ZERO);
    }

    fn step(&mut self) {
        self.batch.changes = 0;
        let begun = Instant::now();
        let started = self.driver.step(self.clock.now());
        let took = begun.elapsed();
        self.start(started);
        self.parts.health.cache("objects", self.driver.is_synced());
        self.report(took);
        if self.counted.elapsed() >= COUNT_EVERY {
            self.counted = begun;
            self.count();
        }
    }

    fn start(&mut self, calls: Vec<(CallId, Call)>) {
        for (id, call) in calls {
            let (writer, metrics) = (self.writer.clone(), self.parts.metrics.clone());
            self.calls.spawn(async move {
                let counted = api_call(&call).map(|kind| metrics.call(kind));
                let outcome = writer.send(&call).await;
                if let Some(counted) = counted {
                    counted.ended(ended(&outcome));
                }
                (id, call, outcome)
            });
        }
    }

    /// Tells logs and metrics what has happened; `took`: the turn it happened in.
    fn report(&mut self, took: Duration) {
        let metrics = &self.parts.metrics;
        for fact in self.driver.take_facts() {
            match fact {
                Fact::Bound { pod, node, attempts, waited_ms } => {
                    metrics.attempted(Attempt::Scheduled, took);
                    metrics.scheduled(Duration::from_millis(waited_ms), attempts);
                    let (namespace, name) = (&pod.namespace, &pod.name);
                    info!(pod.namespace = namespace, pod.name = name, node, attempts, waited_ms, "Bound");
                }
                Fact::BindFailed { pod, why } => {
                    metrics.attempted(Attempt::Error, took);
                    let (namespace, name) = (&pod.namespace, &pod.name);
                    warn!(pod.namespace = namespace, pod.name = name, err = why, "Binding given up for now");
                }
                Fact::Evicted { pod, cause } => {
                    metrics.evicted(cause);
                    info!(pod.namespace = &pod.namespace, pod.name = &pod.name, ?cause, "Evicted");
                }
                Fact::Waits { pod, message } => {
                    metrics.attempted(Attempt::Unschedulable, took);
                    debug!(pod.namespace = &pod.namespace, pod.name = &pod.name, message, "Waits");
                }
                Fact::Refused { what } => error!(err = what, "The engine refused an event; please report this"),
                Fact::Decided { decisions } => {
                    metrics.decided(took, &decisions);
                    if !decisions.is_empty() {
                        debug!(decisions = decisions.len(), took_us = took.as_micros() as u64, "Cycle");
                    }
                }
            }
        }
    }

    fn count(&self) {
        let (engine, metrics) = (self.driver.engine(), &self.parts.metrics);
        let counts = self.driver.world().counts();
        let waiting = Pending { unschedulable: counts.waiting, gated: counts.gated, ..Pending::default() };
        metrics.pending(waiting);
        metrics.gangs_waiting(engine.waiting() as u64);
        metrics.knows(engine.cluster().nodes().len() as u64, counts.pods, counts.assumed);
        metrics.problems(self.driver.world().problems().count() as u64);
    }
}

fn api_call(call: &Call) -> Option<ApiCall> {
    Some(match call {
        Call::Bind { .. } => ApiCall::Bind,
        Call::Evict { .. } => ApiCall::Evict,
        Call::Volume { .. } => ApiCall::Volume,
        Call::PodStatus { .. } => ApiCall::PodStatus,
        Call::GroupStatus { .. } => ApiCall::GroupStatus,
        Call::QueueStatus { .. } => ApiCall::QueueStatus,
        Call::PostEvent(_) => ApiCall::Event,
        Call::ReadPod { .. } => return None,
    })
}

fn ended(outcome: &Outcome) -> metrics::Outcome {
    match outcome {
        Outcome::Done(_) => metrics::Outcome::Done,
        Outcome::Missing => metrics::Outcome::Gone,
        Outcome::Conflict => metrics::Outcome::Conflict,
        Outcome::Busy { .. } => metrics::Outcome::Throttled,
        Outcome::Refused { .. } => metrics::Outcome::Refused,
        Outcome::Unreachable { .. } | Outcome::Unknown { .. } => metrics::Outcome::Failed,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
