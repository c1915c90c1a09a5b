//! What the scheduler counts and measures, for Prometheus. Owns the registry. One method for each fact, so that who knows a fact
//! says it once and knows no metric; nothing here is ever read back.

mod define;
mod labels;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use berth_engine::decision::EvictCause;
use berth_engine::{Decision, GangId};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, Error, Registry, TextEncoder};

use crate::objects::Kind;
use define::Defined;
pub use labels::{ApiCall, Attempt, Entered, ExtensionPoint, Outcome, Queue};
pub use requests::{Counted, CountedRequests};

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// From so many attempts on they are not told apart in labels; kube-scheduler's number.
const ATTEMPTS_TOLD_APART: u32 = 15;

/// All metrics of the process. Cheap to share: in an [`Arc`].
pub struct Metrics {
    registry: Registry,
    defined: Defined,
    names: Names,
}

/// Values of labels that are the same for the life of the process.
#[derive(Debug, Clone)]
pub struct Names {
    /// The scheduler name that pods ask for.
    pub profile: String,
    /// The Lease.
    pub lease: String,
    /// Host and port of the API server.
    pub host: String,
}

/// How many pods wait for what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pending {
    /// As [`Queue::Active`].
    pub active: u64,
    /// As [`Queue::Backoff`].
    pub backoff: u64,
    /// As [`Queue::Unschedulable`].
    pub unschedulable: u64,
    /// As [`Queue::Gated`].
    pub gated: u64,
    /// As [`Queue::Incomplete`].
    pub incomplete: u64,
}

/// A write under way; tell its end with [`Call::ended`], else it counts as abandoned.
pub struct Call {
    metrics: Arc<Metrics>,
    call: ApiCall,
    outcome: Outcome,
}

impl Metrics {
    /// All at zero, save those that are not zero by nature.
    ///
    /// # Errors
    /// Where two metrics have one name, which is a mistake of ours.
    pub fn new(names: Names) -> Result<Metrics, Error> {
        let registry = Registry::new();
        let defined = Defined::in_registry(&registry)?;
        // Memory, CPU time, start and open files are read where they can be: from /proc.
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let metrics = Metrics { registry, defined, names };
        metrics.show_zeros();
        Ok(metrics)
    }

    /// A rate over a counter that appears with its first event misses that event: those with few labels are there from the start.
    fn show_zeros(&self) {
        let Metrics { defined, names, .. } = self;
        for attempt in [Attempt::Scheduled, Attempt::Unschedulable, Attempt::Error] {
            defined.schedule_attempts.with_label_values(&[attempt.label(), &names.profile]);
        }
        for attempt in Attempt::ALL {
            defined.group_attempts.with_label_values(&[attempt.label(), &names.profile]);
        }
        for kind in labels::DECISIONS {
            defined.decisions.with_label_values(&[kind]);
        }
        for cause in labels::CAUSES {
            defined.evictions.with_label_values(&[labels::cause(cause)]);
        }
        self.pending(Pending::default());
        self.knows(0, 0, 0);
        self.leads(false);
        defined.build_info.with_label_values(&[crate::flags::VERSION, crate::flags::REVISION]).set(1);
    }

    /// In the text format of Prometheus.
    ///
    /// # Errors
    /// Where a metric cannot be written, which is a mistake of ours.
    pub fn render(&self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.gather(), &mut text)?;
        Ok(text)
    }

    fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// A cycle of the engine took so long and decided this. Counts decisions and preemptions.
    pub fn decided(&self, took: Duration, decisions: &[Decision]) {
        self.defined.cycle_seconds.observe(took.as_secs_f64());
        self.defined.algorithm_seconds.observe(took.as_secs_f64());
        let mut way_given = None;
        for decision in decisions {
            self.defined.decisions.with_label_values(&[labels::decision(decision)]).inc();
            if let Decision::Evict { plan, pods, claimant: Some(claimant), .. } = decision {
                way_given = self.gives_way(way_given, (plan.0, *claimant), pods.len());
            }
        }
        self.preempted(way_given);
    }

    /// Adds victims to those of the same plan and claimant before them; if it is another plan, that one is complete.
    fn gives_way(&self, before: Option<Victims>, of: (u64, GangId), count: usize) -> Option<Victims> {
        match before {
            Some((same, victims)) if same == of => Some((of, victims + count)),
            before => {
                self.preempted(before);
                Some((of, count))
            }
        }
    }

    fn preempted(&self, victims: Option<Victims>) {
        if let Some((_, count)) = victims {
            self.defined.preemption_attempts.inc();
            self.defined.preemption_victims.observe(count as f64);
        }
    }

    /// An attempt to schedule a pod ended, so long after the beginning of its cycle; binding is part of it.
    pub fn attempted(&self, attempt: Attempt, took: Duration) {
        let attempt = if attempt == Attempt::WaitingOnPreemption { Attempt::Unschedulable } else { attempt };
        let labels = [attempt.label(), &self.names.profile];
        self.defined.schedule_attempts.with_label_values(&labels).inc();
        self.defined.attempt_seconds.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// A pod is bound: so long after it first entered the queue (its time behind scheduling gates left out), in so many attempts.
    pub fn scheduled(&self, since_queued: Duration, attempts: u32) {
        let label = match attempts {
            ATTEMPTS_TOLD_APART.. => format!("{ATTEMPTS_TOLD_APART}+"),
            _ => attempts.to_string(),
        };
        self.defined.sli_seconds.with_label_values(&[&label]).observe(since_queued.as_secs_f64());
        self.defined.attempts.observe(f64::from(attempts));
    }

    /// An attempt to schedule a gang of several pods ended.
    pub fn gang_attempted(&self, attempt: Attempt, took: Duration) {
        let labels = [attempt.label(), &self.names.profile];
        self.defined.group_attempts.with_label_values(&labels).inc();
        self.defined.group_attempt_seconds.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// A step of a binding ended, well or not.
    pub fn took_step(&self, point: ExtensionPoint, well: bool, took: Duration) {
        let status = if well { "Success" } else { "Error" };
        let labels = [point.label(), status, &self.names.profile];
        self.defined.extension_point_seconds.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// So many pods wait now.
    pub fn pending(&self, pending: Pending) {
        let Pending { active, backoff, unschedulable, gated, incomplete } = pending;
        for (queue, pods) in [
            (Queue::Active, active),
            (Queue::Backoff, backoff),
            (Queue::Unschedulable, unschedulable),
            (Queue::Gated, gated),
            (Queue::Incomplete, incomplete),
        ] {
            self.defined.pending_pods.with_label_values(&[queue.label()]).set(gauge(pods));
        }
    }

    /// A pod began to wait there.
    pub fn queued(&self, queue: Queue, since: Entered) {
        self.defined.incoming_pods.with_label_values(&[queue.label(), since.label()]).inc();
    }

    /// So many pods are kept out by these plugins' rules now (names as kube-scheduler has them); by others none.
    pub fn kept_out(&self, pods_by_plugin: &[(&'static str, u64)]) {
        self.defined.unschedulable_pods.reset();
        for (plugin, pods) in pods_by_plugin {
            let labels = [*plugin, &self.names.profile];
            self.defined.unschedulable_pods.with_label_values(&labels).set(gauge(*pods));
        }
    }

    /// So many gangs wait now, lone pods included.
    pub fn gangs_waiting(&self, gangs: u64) {
        self.defined.gangs_waiting.set(gauge(gangs));
    }

    /// The scheduler knows so many nodes and pods; `assumed` of these are bound by us, but not yet seen so.
    pub fn knows(&self, nodes: u64, pods: u64, assumed: u64) {
        for (what, count) in [("nodes", nodes), ("pods", pods), ("assumed_pods", assumed)] {
            self.defined.cache_size.with_label_values(&[what]).set(gauge(count));
        }
    }

    /// So many fields of objects cannot be used as they are now.
    pub fn problems(&self, problems: u64) {
        self.defined.problems.set(gauge(problems));
    }

    /// The journal has come to its end before the process has.
    pub fn journal_ended(&self) {
        self.defined.journal_ended.set(1);
    }

    /// A pod was evicted: the API server said yes.
    pub fn evicted(&self, cause: EvictCause) {
        self.defined.evictions.with_label_values(&[labels::cause(cause)]).inc();
    }

    /// A watch broke and begins anew.
    pub fn watch_restarted(&self, kind: Kind) {
        self.defined.watch_restarts.with_label_values(&[&kind.to_string()]).inc();
    }

    /// This replica leads now, or no longer.
    pub fn leads(&self, leads: bool) {
        self.defined.leader.with_label_values(&[&self.names.lease]).set(i64::from(leads));
    }

    /// A write to the API server begins.
    pub fn call(self: &Arc<Self>, call: ApiCall) -> Call {
        self.defined.calls_in_flight.inc();
        Call { metrics: Arc::clone(self), call, outcome: Outcome::Abandoned }
    }

    /// A request to the API server was answered with this status code, or not at all.
    fn requested(&self, method: &str, code: Option<u16>, took: Duration) {
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        self.defined.requests.with_label_values(&[code.as_str(), method, &self.names.host]).inc();
        self.defined.request_seconds.with_label_values(&[method, &self.names.host]).observe(took.as_secs_f64());
    }
}

/// Of one plan for one claimant.
type Victims = ((u64, GangId), usize);

impl Call {
    /// It ended so.
    pub fn ended(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.metrics.defined.calls_in_flight.dec();
        self.metrics.defined.calls.with_label_values(&[self.call.label(), self.outcome.label()]).inc();
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
