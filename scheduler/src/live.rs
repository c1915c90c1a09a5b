//! The scheduler's process: one task owns the driver; watches, writes and time meet here. Moves bytes and keeps time, decides
//! nothing.

mod watch;
mod write;

use std::time::Duration;

use berth_config::SchedulerConfiguration;
use berth_engine::Timestamp;
use kube::{Client, Config};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use crate::driver::{Call, CallId, Driver, Fact, Outcome};
use crate::objects::Kind;
use crate::store::Change;
use watch::Seen;
use write::Writer;

/// So many changes may wait for the owner; watches wait beyond that.
const CHANGES_MAX: usize = 10_000;

/// Why the process ends.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Stopped,
    /// Another one leads, or nobody knows.
    LeaseLost,
}

/// What the process is told from outside.
#[derive(Debug)]
pub struct Signals {
    /// Leads from now on.
    pub lead: oneshot::Receiver<()>,
    /// Leads no longer: nothing further may be written.
    pub lost: oneshot::Receiver<()>,
    /// To end, in good order.
    pub stop: oneshot::Receiver<()>,
}

/// A client for the configuration: the cluster's own where there is no kubeconfig. It tries nothing again by itself, since a
/// write that had no answer may have had its effect.
///
/// # Errors
/// Where no cluster can be found, or its certificates cannot be used.
pub async fn client(configuration: &SchedulerConfiguration) -> anyhow::Result<Client> {
    let connection = &configuration.client_connection;
    let mut config = match &connection.kubeconfig {
        None => Config::infer().await?,
        Some(path) => {
            let file = kube::config::Kubeconfig::read_from(path)?;
            Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default()).await?
        }
    };
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_millis(connection.connect_timeout.ms()));
    Ok(Client::try_from(config)?)
}

/// Everything that moves.
struct Live {
    driver: Driver,
    client: Client,
    writer: Writer,
    clock: Clock,
    watches: Vec<(Kind, JoinHandle<()>)>,
    calls: JoinSet<(CallId, Call, Outcome)>,
    changes: mpsc::Sender<Seen>,
    batch: Batch,
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
pub async fn run(configuration: &SchedulerConfiguration, client: Client, signals: Signals) -> anyhow::Result<End> {
    let mut kinds = Vec::new();
    for kind in watch::KINDS {
        if watch::is_served(&client, kind).await? {
            kinds.push(kind);
        } else {
            info!(kind = %kind, "the API server does not serve this kind; it is left out until the next start");
        }
    }
    let mut configuration = configuration.clone();
    configuration.groups.accept.retain(|convention| {
        *convention == berth_config::scheduler::GroupConvention::Berth || kinds.contains(&Kind::PodGroup(*convention))
    });
    let (changes, seen) = mpsc::channel(CHANGES_MAX);
    let ms = Duration::from_millis;
    let cycle = &configuration.cycle;
    let now = Instant::now();
    let writer = Writer {
        client: client.clone(),
        timeout: ms(configuration.client_connection.request_timeout.ms()),
        scheduler: configuration.scheduler_name.clone(),
        identity: configuration.leader_election.identity.clone().unwrap_or_default(),
    };
    let live = Live {
        driver: Driver::new(&configuration, kinds.iter().copied()),
        client,
        writer,
        clock: Clock::new(),
        watches: Vec::new(),
        calls: JoinSet::new(),
        changes,
        batch: Batch {
            settle: ms(cycle.settle.ms()),
            max_delay: ms(cycle.max_delay.ms()),
            max_changes: cycle.max_events as usize,
            changes: 0,
            first: now,
            last: now,
        },
    };
    Ok(live.run(&kinds, seen, signals).await)
}

impl Live {
    async fn run(mut self, kinds: &[Kind], mut seen: mpsc::Receiver<Seen>, mut signals: Signals) -> End {
        kinds.iter().for_each(|kind| self.watch(*kind));
        let (mut leads, mut stops) = (false, false);
        loop {
            let wake = self.driver.wake().map(|at| self.clock.instant(at));
            let next = self.batch.due().into_iter().chain(wake).min();
            tokio::select! {
                biased;
                _ = &mut signals.lost => return End::LeaseLost,
                _ = &mut signals.stop, if !stops => {
                    info!(under_way = self.driver.calls_under_way(), "stopping: calls under way are finished first");
                    stops = true;
                    self.driver.stop();
                }
                _ = &mut signals.lead, if !leads => {
                    leads = true;
                    self.lead();
                }
                Some(answer) = self.calls.join_next() => self.answered(answer),
                Some(first) = seen.recv() => {
                    self.note(first);
                    while let Ok(further) = seen.try_recv() {
                        self.note(further);
                    }
                }
                () = at(next) => self.step(),
            }
            if stops && self.driver.calls_under_way() == 0 {
                return End::Stopped;
            }
        }
    }

    fn watch(&mut self, kind: Kind) {
        let task = watch::start(self.client.clone(), kind, self.changes.clone());
        self.watches.push((kind, task));
    }

    /// What the last leader wrote may not have come by the watch yet: pods are listed anew before anything is decided.
    fn lead(&mut self) {
        info!("leads from now on");
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
            Seen::Failed(kind, why) => warn!(kind = %kind, err = why, "a watch has failed and is tried again"),
        }
    }

    fn answered(&mut self, answer: Result<(CallId, Call, Outcome), tokio::task::JoinError>) {
        let (id, call, outcome) = match answer {
            Ok(answer) => answer,
            // A call's task neither panics nor is aborted while this runs.
            Err(failed) => return error!(err = %failed, "the task of a call has failed"),
        };
        match &outcome {
            Outcome::Done(_) => debug!(call = call.name(), object = %call.object(), "done"),
            Outcome::Refused { message } | Outcome::Unknown { message } | Outcome::Busy { message, .. } => {
                let (call, outcome) = (call.name(), outcome.name());
                warn!(call, outcome, object = %id_of(&id), err = message, "a call has failed");
            }
            other => info!(call = call.name(), outcome = other.name(), object = %call.object(), "a call has failed"),
        }
        let is_quiet = matches!(outcome, Outcome::Done(_));
        self.driver.finished(id, outcome, self.clock.now());
        if !is_quiet {
            self.batch.add(1);
        }
        let started = self.driver.start_calls();
        self.start(started);
        self.report();
    }

    fn step(&mut self) {
        self.batch.changes = 0;
        let now = self.clock.now();
        let started = self.driver.step(now);
        self.start(started);
        self.report();
    }

    fn start(&mut self, calls: Vec<(CallId, Call)>) {
        for (id, call) in calls {
            let writer = self.writer.clone();
            self.calls.spawn(async move {
                let outcome = writer.send(&call).await;
                (id, call, outcome)
            });
        }
    }

    fn report(&mut self) {
        for fact in self.driver.take_facts() {
            match fact {
                Fact::Bound { pod, node, attempts, waited_ms } => {
                    info!(pod = %pod.path(), node, attempts, waited_ms, "bound");
                }
                Fact::BindFailed { pod, why } => warn!(pod = %pod.path(), err = why, "binding given up for now"),
                Fact::Evicted { pod, cause } => info!(pod = %pod.path(), cause, "evicted"),
                Fact::Waits { object, message } => debug!(object = %object, message, "waits"),
                Fact::Refused { what } => error!(err = what, "the engine refused an event; please report this"),
                Fact::Cycle { decisions } => debug!(decisions, "cycle"),
            }
        }
    }
}

fn id_of(id: &CallId) -> u64 {
    id.0
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
