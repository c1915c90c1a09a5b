//! The scheduler's process: flags, configuration, logs, signals. Owns the order in which parts start and end, and the exit code:
//! 0 asked to stop and did, 1 failed or lost the Lease, 2 wrong usage, 3 invalid configuration.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use berth_config::SchedulerConfiguration;
use berth_scheduler::flags::{self, Flags};
use berth_scheduler::http::{self, Health, Site};
use berth_scheduler::lease::{self, Leadership, Lock};
use berth_scheduler::live::{self, End, Parts};
use berth_scheduler::logs::{self, Verbosity};
use berth_scheduler::metrics::{Metrics, Names};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tracing::{error, info, warn};

/// Name of the ServiceAccount's namespace, where the pod says nothing.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// A replica that takes part in no election leads for so long at a time: for ever.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

fn main() -> ExitCode {
    let flags = Flags::parse();
    let configuration = match flags.configuration() {
        Ok(configuration) => configuration,
        Err(unusable) => {
            eprintln!("berth-scheduler: {:#}", anyhow::Error::new(unusable));
            return ExitCode::from(3);
        }
    };
    let logging = &configuration.logging;
    let verbosity = match logs::start(logging.format, logging.verbosity, std::io::stderr()) {
        Ok(verbosity) => verbosity,
        Err(error) => {
            eprintln!("berth-scheduler: logging cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (effective, _) = watch::channel(configuration.clone());
    let reload = Reload { flags, last: configuration.clone(), failed: String::new(), verbosity, effective };
    match run(configuration, reload) {
        Ok(End::Stopped) => ExitCode::SUCCESS,
        Ok(End::LeaseLost) => {
            error!("The lease is lost: another replica may lead by now");
            ExitCode::FAILURE
        }
        Err(failure) => {
            error!(err = format!("{failure:#}"), "Failed");
            ExitCode::FAILURE
        }
    }
}

/// One thread: what is to be thought is thought by the engine in one go, and everything else waits for the API server.
#[tokio::main(flavor = "current_thread")]
async fn run(mut configuration: SchedulerConfiguration, mut reload: Reload) -> anyhow::Result<End> {
    let host = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "berth".into());
    let identity = lease::identity(&configuration.leader_election, &host);
    configuration.leader_election.identity = Some(identity.clone());
    info!(version = flags::VERSION, revision = flags::REVISION, identity, "Starting berth-scheduler");

    let connection = live::connection(&configuration).await.context("no cluster to schedule for")?;
    let names = Names {
        profile: configuration.scheduler_name.clone(),
        lease: configuration.leader_election.resource_name.clone(),
        host: connection.cluster_url.authority().map(ToString::to_string).unwrap_or_default(),
    };
    let metrics = Arc::new(Metrics::new(names)?);
    let started = Instant::now();
    let now_ms = move || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let health = Arc::new(Health::new(0, &["objects"]));
    let site = Site {
        health: health.clone(),
        metrics: metrics.clone(),
        configuration: reload.effective.subscribe(),
        now_ms: Arc::new(now_ms),
    };
    let serving = http::start(&configuration.server, &site).await?;

    let (told, leadership) = watch::channel(Leadership::StandsBy);
    let election = if configuration.leader_election.leader_elect {
        Some(Election::start(&configuration, connection.clone(), identity, told)?)
    } else {
        told.send_replace(Leadership::Leads { until: Instant::now() + FOR_EVER });
        None
    };
    let client = live::client(connection, &metrics)?;
    let parts = Parts {
        client,
        metrics,
        health,
        now_ms: Box::new(now_ms),
        leadership,
        reload: Box::new(move || reload.look()),
        stop: Box::pin(asked_to_stop()?),
    };
    let end = live::run(&configuration, parts).await;
    // Nothing is under way any longer: the next replica need not wait for the Lease to run out.
    if let Some(election) = election {
        election.end().await;
    }
    serving.stop().await;
    end
}

/// The configuration as it stands in the file now.
struct Reload {
    flags: Flags,
    last: SchedulerConfiguration,
    /// What was wrong with the file when it was last looked at.
    failed: String,
    verbosity: Verbosity,
    effective: watch::Sender<SchedulerConfiguration>,
}

impl Reload {
    /// The configuration, if it has changed. A file that cannot be used changes nothing, and is told of once.
    fn look(&mut self) -> Option<SchedulerConfiguration> {
        let new = match self.flags.configuration() {
            Ok(new) => new,
            Err(unusable) => {
                let failed = format!("{:#}", anyhow::Error::new(unusable));
                if failed != self.failed {
                    warn!(err = failed, "The configuration cannot be used as it is now; the last one holds");
                    self.failed = failed;
                }
                return None;
            }
        };
        self.failed.clear();
        if new == self.last {
            return None;
        }
        let later = berth_config::needs_restart(&self.last, &new);
        info!("The configuration has changed");
        if !later.is_empty() {
            warn!(fields = later.join(", "), "Some of its changes take effect with the next start only");
        }
        self.verbosity.set(new.logging.verbosity);
        self.last = new.clone();
        self.effective.send_replace(new.clone());
        Some(new)
    }
}

/// The election runs in a thread of its own: a long thought of the engine must not cost the Lease.
struct Election {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Election {
    fn start(
        configuration: &SchedulerConfiguration,
        connection: kube::Config,
        identity: String,
        told: watch::Sender<Leadership>,
    ) -> anyhow::Result<Election> {
        let settings = configuration.leader_election.clone();
        let request_time = configuration.client_connection.request_timeout.std();
        let namespace = match &settings.resource_namespace {
            Some(namespace) => namespace.clone(),
            None => own_namespace(),
        };
        let connection = lease::without_retries(connection, &settings, request_time);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let client = {
            let _inside = runtime.enter();
            kube::Client::try_from(connection)?
        };
        let elect = move || {
            let lock = Lock::new(client, &namespace, &settings, request_time);
            let stopped = async {
                // An error is the end of the process's own doing: the Lease is given up just the same.
                let _ = stopped.await;
            };
            runtime.block_on(lease::run(lock, identity, &settings, told, stopped));
            let _ = end.send(());
        };
        std::thread::Builder::new().name("election".into()).spawn(elect)?;
        Ok(Election { stop, ended })
    }

    async fn end(self) {
        let _ = self.stop.send(());
        let _ = self.ended.await;
    }
}

/// Where the Lease is kept, if the configuration does not say: beside the scheduler.
fn own_namespace() -> String {
    let told = std::env::var("POD_NAMESPACE").or_else(|_| std::fs::read_to_string(NAMESPACE_FILE));
    told.ok().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "default".into())
}

/// Ends with SIGTERM, as from a kubelet, or SIGINT, as from a terminal.
fn asked_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
