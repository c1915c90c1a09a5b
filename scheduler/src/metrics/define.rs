//! Every metric with name, help, labels and buckets. Owns the definitions; knows nothing of when one changes.
//!
//! Names, labels and buckets with the prefix `scheduler_` are kube-scheduler's, those with `rest_client_` and `leader_election_`
//! client-go's: dashboards and alerts made for them work unchanged. Of theirs, those are left out that we have no equal of
//! (plugins, hints, goroutines, Go's runtime).

use prometheus::core::Collector;
use prometheus::{
    Error, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};

/// Buckets of client-go's request durations, in seconds.
const REQUEST_SECONDS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

/// All metrics but those of the process itself.
pub(super) struct Defined {
    pub(super) schedule_attempts: IntCounterVec,
    pub(super) attempt_seconds: HistogramVec,
    pub(super) algorithm_seconds: Histogram,
    pub(super) sli_seconds: HistogramVec,
    pub(super) attempts: Histogram,
    pub(super) pending_pods: IntGaugeVec,
    pub(super) incoming_pods: IntCounterVec,
    pub(super) preemption_attempts: IntCounter,
    pub(super) preemption_victims: Histogram,
    pub(super) extension_point_seconds: HistogramVec,
    pub(super) unschedulable_pods: IntGaugeVec,
    pub(super) cache_size: IntGaugeVec,
    pub(super) group_attempts: IntCounterVec,
    pub(super) group_attempt_seconds: HistogramVec,
    pub(super) requests: IntCounterVec,
    pub(super) request_seconds: HistogramVec,
    pub(super) leader: IntGaugeVec,
    pub(super) build_info: IntGaugeVec,
    pub(super) cycle_seconds: Histogram,
    pub(super) decisions: IntCounterVec,
    pub(super) evictions: IntCounterVec,
    pub(super) gangs_waiting: IntGauge,
    pub(super) calls_in_flight: IntGauge,
    pub(super) calls: IntCounterVec,
    pub(super) watch_restarts: IntCounterVec,
    pub(super) problems: IntGauge,
    pub(super) journal_ended: IntGauge,
}

impl Defined {
    /// All of them, in `registry`.
    pub(super) fn in_registry(registry: &Registry) -> Result<Defined, Error> {
        let define = Define { registry };
        let attempt = || exponential_buckets(0.001, 2.0, 15);
        Ok(Defined {
            schedule_attempts: define.counters(
                "scheduler_schedule_attempts_total",
                "Attempts to schedule a pod, by result; `error` is a fault of the scheduler or of a call it made.",
                &["result", "profile"],
            )?,
            attempt_seconds: define.histograms(
                "scheduler_scheduling_attempt_duration_seconds",
                "How long attempts to schedule a pod took, from the cycle's start to the end of binding.",
                attempt()?,
                &["result", "profile"],
            )?,
            algorithm_seconds: define.histogram(
                "scheduler_scheduling_algorithm_duration_seconds",
                "How long it took to decide; once for each cycle, which decides on all pods that wait.",
                attempt()?,
            )?,
            sli_seconds: define.histograms(
                "scheduler_pod_scheduling_sli_duration_seconds",
                "From a pod's first time in the queue to its binding, by the number of attempts.",
                exponential_buckets(0.01, 2.0, 20)?,
                &["attempts"],
            )?,
            attempts: define.histogram(
                "scheduler_pod_scheduling_attempts",
                "Attempts until a pod was scheduled.",
                exponential_buckets(1.0, 2.0, 5)?,
            )?,
            pending_pods: define.gauges(
                "scheduler_pending_pods",
                "Pods that wait: `active` not yet decided on, `backoff` until a failed start is tried again, \
                 `unschedulable` for room or quota, `gated` for their scheduling gates, `incomplete` for the rest of their gang.",
                &["queue"],
            )?,
            incoming_pods: define.counters(
                "scheduler_queue_incoming_pods_total",
                "Pods that began to wait, by what for and since which event.",
                &["queue", "event"],
            )?,
            preemption_attempts: define.counter(
                "scheduler_preemption_attempts_total",
                "Plans in which pods give way to others.",
            )?,
            preemption_victims: define.histogram(
                "scheduler_preemption_victims",
                "Pods that give way in one plan.",
                exponential_buckets(1.0, 2.0, 7)?,
            )?,
            extension_point_seconds: define.histograms(
                "scheduler_framework_extension_point_duration_seconds",
                "How long the calls took that make a binding: `PreBind` volumes and claims, `Bind` the pod.",
                exponential_buckets(0.0001, 2.0, 12)?,
                &["extension_point", "status", "profile"],
            )?,
            unschedulable_pods: define.gauges(
                "scheduler_unschedulable_pods",
                "Pods that wait, by the kube-scheduler plugin whose rule keeps them out; one pod may count under several.",
                &["plugin", "profile"],
            )?,
            cache_size: define.gauges("scheduler_cache_size", "Objects the scheduler knows, by type.", &["type"])?,
            group_attempts: define.counters(
                "scheduler_podgroup_schedule_attempts_total",
                "Attempts to schedule a gang of several pods, by result.",
                &["result", "profile"],
            )?,
            group_attempt_seconds: define.histograms(
                "scheduler_podgroup_scheduling_attempt_duration_seconds",
                "How long attempts to schedule a gang of several pods took.",
                attempt()?,
                &["result", "profile"],
            )?,
            requests: define.counters(
                "rest_client_requests_total",
                "Requests to the API server, by status code, method and host; `<error>` where no answer came.",
                &["code", "method", "host"],
            )?,
            request_seconds: define.histograms(
                "rest_client_request_duration_seconds",
                "Time from a request to the API server to the head of its answer, by verb and host.",
                REQUEST_SECONDS.to_vec(),
                &["verb", "host"],
            )?,
            leader: define.gauges(
                "leader_election_master_status",
                "1 on the replica that leads, 0 on those that stand by, by lease.",
                &["name"],
            )?,
            build_info: define.gauges("berth_build_info", "Always 1; what is running.", &["version", "revision"])?,
            cycle_seconds: define.histogram(
                "berth_cycle_duration_seconds",
                "How long the engine took for a cycle.",
                exponential_buckets(0.0001, 2.0, 18)?,
            )?,
            decisions: define.counters("berth_decisions_total", "Decisions of the engine, by kind.", &["kind"])?,
            evictions: define.counters("berth_evictions_total", "Pods that were evicted, by cause.", &["cause"])?,
            gangs_waiting: define.gauge("berth_gangs_waiting", "Gangs with pods that wait, lone pods included.")?,
            calls_in_flight: define.gauge("berth_api_calls_in_flight", "Writes to the API server under way.")?,
            calls: define.counters(
                "berth_api_calls_total",
                "Writes to the API server that ended, by purpose and outcome.",
                &["call", "outcome"],
            )?,
            watch_restarts: define.counters(
                "berth_watch_restarts_total",
                "Watches that broke and began anew, by kind of object.",
                &["kind"],
            )?,
            problems: define.gauge("berth_problems", "Fields of objects that cannot be used as they are.")?,
            journal_ended: define.gauge(
                "berth_journal_ended",
                "1 where a journal is configured and cannot be written any longer: the log says why. Else 0.",
            )?,
        })
    }
}

/// Makes metrics and enters them in the registry.
struct Define<'a> {
    registry: &'a Registry,
}

impl Define<'_> {
    fn entered<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, Error> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.entered(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
        self.entered(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.entered(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
        self.entered(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: Vec<f64>) -> Result<Histogram, Error> {
        self.entered(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?)
    }

    fn histograms(&self, name: &str, help: &str, buckets: Vec<f64>, labels: &[&str]) -> Result<HistogramVec, Error> {
        self.entered(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)?)
    }
}
