//! Leader election: one replica schedules, the others stand by. Owns the calls on the Lease, and tells who may act; the rules
//! are in [`Election`].
//!
//! Whoever writes on behalf of the leader asks [`Leadership::may_act`] right before. A replica that has lost the Lease must end
//! at once: what it is about to do could meet what the new leader does.

mod election;

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use berth_config::scheduler::LeaderElection;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Config};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

pub use election::{Call, Election, End, Outcome, Record, Step};

/// What this replica is to the election now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leadership {
    /// Somebody else leads, or nobody.
    StandsBy,
    /// This replica leads, until then if the Lease is not renewed.
    Leads {
        /// Then it ends.
        until: Instant,
    },
    /// It is over: as [`run`] says.
    Ended(End),
}

impl Leadership {
    /// May a write be sent at `now`?
    pub fn may_act(self, now: Instant) -> bool {
        matches!(self, Leadership::Leads { until } if now < until)
    }
}

/// The Lease in the API server.
pub struct Lock {
    api: Api<Lease>,
    name: String,
    call_time: Duration,
    /// As last read or written: what others put there (labels, owners) stays.
    last: Option<Lease>,
}

impl Lock {
    /// `client` must not retry by itself (see [`without_retries`]): a late write of a renewal is no renewal.
    pub fn new(client: Client, namespace: &str, settings: &LeaderElection, request_time: Duration) -> Lock {
        Lock {
            api: Api::namespaced(client, namespace),
            name: settings.resource_name.clone(),
            call_time: call_time(settings, request_time),
            last: None,
        }
    }

    async fn perform(&mut self, call: Call) -> Outcome {
        match timeout(self.call_time, self.request(call)).await {
            Ok(Ok((version, None))) => Outcome::Written { version },
            Ok(Ok((version, Some(record)))) => Outcome::Found { version, record },
            Ok(Err(error)) => self.failed(&error),
            Err(_) => {
                warn!(lease = %self, after_ms = self.call_time.as_millis() as u64, "No answer about the lease");
                Outcome::Unclear
            }
        }
    }

    /// The version, and what stands there if it was read.
    async fn request(&mut self, call: Call) -> Result<(String, Option<Record>), kube::Error> {
        let (lease, reads) = match call {
            Call::Get => (self.api.get(&self.name).await?, true),
            Call::Create(record) => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                let lease = Lease { metadata, spec: Some(written(record, LeaseSpec::default())) };
                (self.api.create(&PostParams::default(), &lease).await?, false)
            }
            Call::Update { version, record } => {
                let mut lease = self.last.clone().unwrap_or_default();
                lease.metadata.name = Some(self.name.clone());
                lease.metadata.resource_version = Some(version);
                lease.spec = Some(written(record, lease.spec.take().unwrap_or_default()));
                (self.api.replace(&self.name, &PostParams::default(), &lease).await?, false)
            }
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let record = reads.then(|| read(lease.spec.as_ref()));
        self.last = Some(lease);
        Ok((version, record))
    }

    fn failed(&self, error: &kube::Error) -> Outcome {
        let outcome = match error {
            kube::Error::Api(status) if status.code == 404 => Outcome::NotFound,
            kube::Error::Api(status) if (400..500).contains(&status.code) => Outcome::Refused,
            _ => Outcome::Unclear,
        };
        match error {
            // Another replica was quicker, or there is no Lease yet.
            kube::Error::Api(status) if matches!(status.code, 404 | 409) => {
                debug!(lease = %self, err = error as &dyn std::error::Error, "The lease is not as expected");
            }
            _ => warn!(lease = %self, err = error as &dyn std::error::Error, "A call on the lease failed"),
        }
        outcome
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.api.namespace().unwrap_or_default(), self.name)
    }
}

/// So long a call on the Lease may take: two fit before the leader must stop.
fn call_time(settings: &LeaderElection, request_time: Duration) -> Duration {
    request_time.min(settings.renew_deadline.std() / 2)
}

/// A client's configuration for the Lease: no retries of the client's own, and no waiting beyond what the election waits.
pub fn without_retries(mut config: Config, settings: &LeaderElection, request_time: Duration) -> Config {
    let most = Some(call_time(settings, request_time));
    config.default_retry = false;
    // Else the pause between two renewals would count as time without an answer.
    config.reset_reader_on_write = true;
    (config.connect_timeout, config.read_timeout, config.write_timeout) = (most, most, most);
    config
}

/// This replica's name: the configured one, else `name` (of the pod, or the host) and a random suffix, so that a replica that
/// starts again is not taken for the one before.
pub fn identity(settings: &LeaderElection, name: &str) -> String {
    settings.identity.clone().unwrap_or_else(|| format!("{name}_{:016x}", random()))
}

/// Seeded anew by the system for each process.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Takes part in the election until it is over, and tells `leadership` each change. When `stop` ends, leadership ends at once and
/// the Lease is given up: by then nothing that needs it may be under way.
pub async fn run(
    mut lock: Lock,
    identity: String,
    settings: &LeaderElection,
    leadership: watch::Sender<Leadership>,
    stop: impl Future<Output = ()>,
) -> End {
    let begun = Instant::now();
    let mut replica = Replica { election: Election::new(identity, settings, random()), begun, leadership };
    let mut stop = pin!(stop);
    let mut stopping = false;
    info!(lease = %lock, "Attempting to acquire the leader lease");
    loop {
        let (now_ms, wall_us) = (replica.now_ms(), wall_us());
        let step = replica.election.step(now_ms, wall_us);
        replica.tell();
        let mut outcome = None;
        match step {
            Step::Ended(end) => return end,
            Step::Wait { until_ms } => tokio::select! {
                () = sleep_until(replica.at(until_ms)) => {}
                () = &mut stop, if !stopping => stopping = true,
            },
            Step::Call(call) => {
                let mut answer = pin!(lock.perform(call));
                // One pass more if we are to stop: what the call did decides what there is to give up.
                for _ in 0..2 {
                    let until = replica.election.leads_until_ms().unwrap_or(u64::MAX);
                    tokio::select! {
                        answer = &mut answer => {
                            outcome = Some(answer);
                            break;
                        }
                        () = sleep_until(replica.at(until)) => break,
                        () = &mut stop, if !stopping => {
                            stopping = true;
                            replica.release();
                            if replica.election.end().is_some() {
                                break;
                            }
                        }
                    }
                }
            }
        }
        if stopping {
            replica.release();
        }
        if let Some(outcome) = outcome {
            replica.answered(outcome);
        }
    }
}

/// The election and its clock.
struct Replica {
    election: Election,
    begun: Instant,
    leadership: watch::Sender<Leadership>,
}

impl Replica {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn at(&self, ms: u64) -> Instant {
        // What is further away is never.
        self.begun + Duration::from_millis(ms.min(NEVER_MS))
    }

    fn answered(&mut self, outcome: Outcome) {
        let before = self.election.holder().map(str::to_owned);
        self.election.answered(self.now_ms(), wall_us(), outcome);
        let holder = self.election.holder();
        if holder.is_some() && holder != before.as_deref() {
            info!(holder, "The lease has a new holder");
        }
        self.tell();
    }

    fn release(&mut self) {
        self.election.release(self.now_ms());
        self.tell();
    }

    fn tell(&self) {
        let now = match (self.election.end(), self.election.leads_until_ms()) {
            (Some(end), _) => Leadership::Ended(end),
            (None, Some(until_ms)) => Leadership::Leads { until: self.at(until_ms) },
            (None, None) => Leadership::StandsBy,
        };
        self.leadership.send_if_modified(|told| {
            let kind = std::mem::discriminant(told) != std::mem::discriminant(&now);
            if kind {
                info!(?now, "Leadership has changed");
            }
            let changed = *told != now;
            *told = now;
            changed
        });
    }
}

/// A year: timers do not reach further.
const NEVER_MS: u64 = 365 * 24 * 3_600_000;

/// Microseconds since 1970, to be written into the Lease.
fn wall_us() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX)
}

fn read(spec: Option<&LeaseSpec>) -> Record {
    let LeaseSpec { holder_identity, lease_duration_seconds, acquire_time, renew_time, lease_transitions, .. } =
        spec.cloned().unwrap_or_default();
    let us = |time: Option<MicroTime>| time.map_or(0, |time| time.0.as_microsecond());
    Record {
        holder: holder_identity.unwrap_or_default(),
        duration_s: lease_duration_seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or_default(),
        acquired_us: us(acquire_time),
        renewed_us: us(renew_time),
        transitions: lease_transitions.unwrap_or_default(),
    }
}

/// The rest of `spec` is somebody else's.
fn written(record: Record, spec: LeaseSpec) -> LeaseSpec {
    let time = |us| Timestamp::from_microsecond(us).ok().map(MicroTime);
    LeaseSpec {
        holder_identity: Some(record.holder),
        lease_duration_seconds: Some(i32::try_from(record.duration_s).unwrap_or(i32::MAX)),
        acquire_time: time(record.acquired_us),
        renew_time: time(record.renewed_us),
        lease_transitions: Some(record.transitions),
        ..spec
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
