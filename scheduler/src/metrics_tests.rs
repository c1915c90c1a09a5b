//! Names, labels and buckets, and what each fact changes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::task::{Context, Poll};

use berth_engine::PodId;
use berth_engine::decision::PlanId;
use hyper::{Request, Response};
use prometheus::proto::MetricType;
use tower::{Layer, Service};

use super::*;

fn metrics() -> Arc<Metrics> {
    let names = Names { profile: "berth".into(), lease: "berth-scheduler".into(), host: "10.0.0.1:443".into() };
    Arc::new(Metrics::new(names).expect("names do not clash"))
}

fn rendered(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render().expect("can be written")).expect("is UTF-8")
}

/// Is there a line that says just this?
fn says(metrics: &Metrics, line: &str) {
    let text = rendered(metrics);
    assert!(text.lines().any(|found| found == line), "no line `{line}` in\n{text}");
}

fn everything_once(metrics: &Arc<Metrics>) {
    let ms = Duration::from_millis;
    metrics.decided(ms(3), &[]);
    metrics.attempted(Attempt::Scheduled, ms(3));
    metrics.scheduled(ms(30), 1);
    metrics.gang_attempted(Attempt::Scheduled, ms(3));
    metrics.took_step(ExtensionPoint::Bind, true, ms(2));
    metrics.queued(Queue::Active, Entered::PodAdded);
    metrics.kept_out(&[("NodeResourcesFit", 2)]);
    metrics.call(ApiCall::Bind).ended(Outcome::Done);
    metrics.watch_restarted(Kind::Pod);
    metrics.requested("GET", Some(200), ms(4));
}

/// kube-scheduler's and client-go's, from the list of what dashboards and alerts need; then ours.
#[test]
fn names_labels_and_buckets_are_what_dashboards_expect() {
    const ATTEMPT: Option<(f64, f64, usize)> = Some((0.001, 2.0, 15));
    type Row = (&'static str, &'static [&'static str], MetricType, Option<(f64, f64, usize)>);
    let (counter, gauge, histogram) = (MetricType::COUNTER, MetricType::GAUGE, MetricType::HISTOGRAM);
    #[rustfmt::skip]
    let table: [Row; 27] = [
        ("scheduler_schedule_attempts_total", &["profile", "result"], counter, None),
        ("scheduler_scheduling_attempt_duration_seconds", &["profile", "result"], histogram, ATTEMPT),
        ("scheduler_scheduling_algorithm_duration_seconds", &[], histogram, ATTEMPT),
        ("scheduler_pod_scheduling_sli_duration_seconds", &["attempts"], histogram, Some((0.01, 2.0, 20))),
        ("scheduler_pod_scheduling_attempts", &[], histogram, Some((1.0, 2.0, 5))),
        ("scheduler_pending_pods", &["queue"], gauge, None),
        ("scheduler_queue_incoming_pods_total", &["event", "queue"], counter, None),
        ("scheduler_preemption_attempts_total", &[], counter, None),
        ("scheduler_preemption_victims", &[], histogram, Some((1.0, 2.0, 7))),
        ("scheduler_framework_extension_point_duration_seconds", &["extension_point", "profile", "status"], histogram,
         Some((0.0001, 2.0, 12))),
        ("scheduler_unschedulable_pods", &["plugin", "profile"], gauge, None),
        ("scheduler_cache_size", &["type"], gauge, None),
        ("scheduler_podgroup_schedule_attempts_total", &["profile", "result"], counter, None),
        ("scheduler_podgroup_scheduling_attempt_duration_seconds", &["profile", "result"], histogram, ATTEMPT),
        ("rest_client_requests_total", &["code", "host", "method"], counter, None),
        ("rest_client_request_duration_seconds", &["host", "verb"], histogram, None),
        ("leader_election_master_status", &["name"], gauge, None),
        ("berth_build_info", &["revision", "version"], gauge, None),
        ("berth_cycle_duration_seconds", &[], histogram, Some((0.0001, 2.0, 18))),
        ("berth_decisions_total", &["kind"], counter, None),
        ("berth_evictions_total", &["cause"], counter, None),
        ("berth_gangs_waiting", &[], gauge, None),
        ("berth_api_calls_in_flight", &[], gauge, None),
        ("berth_api_calls_total", &["call", "outcome"], counter, None),
        ("berth_watch_restarts_total", &["kind"], counter, None),
        ("berth_problems", &[], gauge, None),
        ("berth_journal_ended", &[], gauge, None),
    ];
    let metrics = metrics();
    everything_once(&metrics);
    let families: BTreeMap<String, MetricFamily> =
        metrics.gather().into_iter().map(|family| (family.name().to_owned(), family)).collect();
    for (name, labels, kind, buckets) in table {
        let family = families.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(family.get_field_type(), kind, "{name}");
        let one = &family.get_metric()[0];
        let found: Vec<&str> = one.get_label().iter().map(|label| label.name()).collect();
        assert_eq!(found, labels, "{name}");
        if let Some((start, factor, count)) = buckets {
            let found = one.get_histogram().get_bucket();
            assert_eq!(found.len(), count, "{name}");
            for (index, bucket) in found.iter().enumerate() {
                let expected = start * factor.powi(i32::try_from(index).expect("few"));
                assert!((bucket.upper_bound() - expected).abs() < expected * 1e-9, "{name}: bucket {index}");
            }
        }
    }
    let request = families["rest_client_request_duration_seconds"].get_metric()[0].get_histogram();
    let found: Vec<f64> = request.get_bucket().iter().map(|bucket| bucket.upper_bound()).collect();
    assert_eq!(found, [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0]);
    if cfg!(target_os = "linux") {
        for name in ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"] {
            assert!(families.contains_key(name), "{name} is missing");
        }
    }
    let known = |name: &str| table.iter().any(|(known, ..)| *known == name) || name.starts_with("process_");
    let unknown: Vec<&String> = families.keys().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "not in the table: {unknown:?}");
}

#[test]
fn what_alerts_take_rates_of_is_there_before_anything_happens() {
    let metrics = metrics();
    for line in [
        r#"scheduler_schedule_attempts_total{profile="berth",result="error"} 0"#,
        r#"scheduler_pending_pods{queue="unschedulable"} 0"#,
        r#"scheduler_preemption_attempts_total 0"#,
        r#"leader_election_master_status{name="berth-scheduler"} 0"#,
        r#"berth_evictions_total{cause="reclaim"} 0"#,
        r#"berth_decisions_total{kind="bind"} 0"#,
    ] {
        says(&metrics, line);
    }
    says(
        &metrics,
        &format!(r#"berth_build_info{{revision="{}",version="{}"}} 1"#, crate::flags::REVISION, crate::flags::VERSION),
    );
}

#[test]
fn a_pod_that_is_scheduled_counts_once_in_each() {
    let metrics = metrics();
    metrics.attempted(Attempt::WaitingOnPreemption, Duration::from_millis(1));
    metrics.attempted(Attempt::Scheduled, Duration::from_millis(5));
    metrics.scheduled(Duration::from_secs(3), 2);
    metrics.scheduled(Duration::from_secs(900), 40);
    for line in [
        r#"scheduler_schedule_attempts_total{profile="berth",result="scheduled"} 1"#,
        r#"scheduler_schedule_attempts_total{profile="berth",result="unschedulable"} 1"#,
        r#"scheduler_scheduling_attempt_duration_seconds_bucket{profile="berth",result="scheduled",le="0.004"} 0"#,
        r#"scheduler_scheduling_attempt_duration_seconds_bucket{profile="berth",result="scheduled",le="0.008"} 1"#,
        r#"scheduler_pod_scheduling_sli_duration_seconds_sum{attempts="2"} 3"#,
        r#"scheduler_pod_scheduling_sli_duration_seconds_count{attempts="15+"} 1"#,
        "scheduler_pod_scheduling_attempts_count 2",
    ] {
        says(&metrics, line);
    }
}

#[test]
fn victims_are_counted_by_plan_and_claimant() {
    let metrics = metrics();
    let evict = |plan, claimant: Option<u64>, pods: &[u64]| Decision::Evict {
        plan: PlanId(plan),
        pods: pods.iter().map(|pod| PodId(*pod)).collect(),
        claimant: claimant.map(GangId),
        cause: EvictCause::Preempt,
    };
    metrics.decided(
        Duration::from_millis(1),
        &[evict(1, Some(7), &[1, 2]), evict(1, Some(7), &[3]), evict(2, None, &[4]), evict(3, Some(8), &[5])],
    );
    for line in [
        "scheduler_preemption_attempts_total 2",
        "scheduler_preemption_victims_sum 4",
        r#"scheduler_preemption_victims_bucket{le="2"} 1"#,
        r#"berth_decisions_total{kind="evict"} 4"#,
        r#"berth_evictions_total{cause="preempt"} 0"#,
        "berth_cycle_duration_seconds_count 1",
    ] {
        says(&metrics, line);
    }
    metrics.evicted(EvictCause::Preempt);
    says(&metrics, r#"berth_evictions_total{cause="preempt"} 1"#);
}

#[test]
fn calls_are_under_way_until_they_end_or_are_forgotten() {
    let metrics = metrics();
    let (bind, other) = (metrics.call(ApiCall::Bind), metrics.call(ApiCall::Event));
    says(&metrics, "berth_api_calls_in_flight 2");
    bind.ended(Outcome::Conflict);
    drop(other);
    for line in [
        "berth_api_calls_in_flight 0",
        r#"berth_api_calls_total{call="bind",outcome="conflict"} 1"#,
        r#"berth_api_calls_total{call="event",outcome="abandoned"} 1"#,
    ] {
        says(&metrics, line);
    }
}

#[test]
fn gauges_say_what_is_now() {
    let metrics = metrics();
    metrics.pending(Pending { active: 1, backoff: 2, unschedulable: 3, gated: 4, incomplete: 5 });
    metrics.kept_out(&[("NodeAffinity", 1)]);
    metrics.kept_out(&[("NodeResourcesFit", 2)]);
    metrics.knows(10, 20, 3);
    metrics.leads(true);
    for line in [
        r#"scheduler_pending_pods{queue="gated"} 4"#,
        r#"scheduler_unschedulable_pods{plugin="NodeResourcesFit",profile="berth"} 2"#,
        r#"scheduler_cache_size{type="assumed_pods"} 3"#,
        r#"leader_election_master_status{name="berth-scheduler"} 1"#,
    ] {
        says(&metrics, line);
    }
    assert!(!rendered(&metrics).contains("NodeAffinity"), "nobody is kept out by it any more");
}

/// What is not there before something happens has happened once.
fn page() -> String {
    let metrics = metrics();
    everything_once(&metrics);
    let mut page = String::from(
        "# Metrics\n\nServed at `/metrics`. Made from the code by `make generated`.\n\n\
         `scheduler_*` are kube-scheduler's, `rest_client_*` and `leader_election_*` client-go's: what was made for those works\n\
         here. `process_*` are there on Linux. Labels have few values: none is a pod, a gang or a queue.\n\n\
         | metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    // Those of the process depend on the system.
    for family in metrics.gather().iter().filter(|family| !family.name().starts_with("process_")) {
        let labels = family.get_metric()[0].get_label().iter().map(|label| format!("`{}`", label.name()));
        let (name, labels, help) = (family.name(), labels.collect::<Vec<_>>().join(", "), family.help());
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            _ => "histogram",
        };
        page += &format!("| `{name}` | {kind} | {labels} | {help} |\n");
    }
    page
}

#[test]
fn the_documentation_is_what_the_code_says() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    if std::env::var_os("BERTH_UPDATE").is_some() {
        std::fs::write(&file, page()).expect("a writable file");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == page(),
        "docs/metrics.md is not what the code makes; `make generated` writes it anew:\n{}",
        page()
    );
}

/// Answers every request so; an error for `None`.
struct Server(Option<u16>);

impl Service<Request<()>> for Server {
    type Response = Response<()>;
    type Error = Option<Infallible>;
    type Future = std::future::Ready<Result<Response<()>, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let answer = |code| Response::builder().status(code).body(()).expect("a response");
        std::future::ready(self.0.map(answer).ok_or(None))
    }
}

#[tokio::test]
async fn every_request_of_a_client_counts() {
    let metrics = metrics();
    for (method, answer) in [("GET", Some(200)), ("POST", Some(409)), ("POST", None)] {
        let mut counted = CountedRequests::new(Arc::clone(&metrics)).layer(Server(answer));
        let request = Request::builder().method(method).body(()).expect("a request");
        assert_eq!(counted.call(request).await.map(|answer| answer.status().as_u16()).ok(), answer);
    }
    for line in [
        r#"rest_client_requests_total{code="200",host="10.0.0.1:443",method="GET"} 1"#,
        r#"rest_client_requests_total{code="409",host="10.0.0.1:443",method="POST"} 1"#,
        r#"rest_client_requests_total{code="<error>",host="10.0.0.1:443",method="POST"} 1"#,
        r#"rest_client_request_duration_seconds_count{host="10.0.0.1:443",verb="POST"} 2"#,
    ] {
        says(&metrics, line);
    }
}
