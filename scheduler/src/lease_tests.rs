//! The loop against an API server that is played, in virtual time: what goes over the wire, and who is told what.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use hyper::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tower::service_fn;

use super::*;

/// One Lease, and what was asked of it.
#[derive(Default)]
struct Server {
    lease: Option<Value>,
    version: u64,
    /// Every request from now on: no answer at all, or this status.
    hangs: bool,
    fails_with: Option<u16>,
    requests: Vec<String>,
}

type Shared = Arc<Mutex<Server>>;

impl Server {
    fn answer(&mut self, method: &Method, body: &[u8]) -> (u16, Value) {
        self.requests.push(method.to_string());
        if let Some(code) = self.fails_with {
            return refused(code);
        }
        let sent: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        match (method.as_str(), &self.lease) {
            ("GET", None) => refused(404),
            ("GET", Some(lease)) => (200, lease.clone()),
            ("POST", None) => self.keep(sent, 201),
            ("PUT", Some(lease)) if sent["metadata"]["resourceVersion"] == lease["metadata"]["resourceVersion"] => {
                self.keep(sent, 200)
            }
            _ => refused(409),
        }
    }

    fn keep(&mut self, mut lease: Value, code: u16) -> (u16, Value) {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        (code, lease)
    }

    fn holder(&self) -> Value {
        self.lease.as_ref().map_or(Value::Null, |lease| lease["spec"]["holderIdentity"].clone())
    }
}

fn refused(code: u16) -> (u16, Value) {
    (code, json!({ "kind": "Status", "status": "Failure", "code": code, "message": "no", "reason": "" }))
}

fn client(server: &Shared) -> Client {
    let server = Arc::clone(server);
    let service = service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let (head, body) = request.into_parts();
            let leases = "/apis/coordination.k8s.io/v1/namespaces/berth/leases";
            assert!(matches!(head.uri.path().strip_prefix(leases), Some("" | "/berth-scheduler")), "{}", head.uri);
            let body = body.collect_bytes().await.expect("a body");
            if server.lock().expect("sound").hangs {
                std::future::pending::<()>().await;
            }
            let (code, answer) = server.lock().expect("sound").answer(&head.method, &body);
            let answer = Body::from(serde_json::to_vec(&answer).expect("is JSON"));
            Ok::<_, Infallible>(Response::builder().status(code).body(answer).expect("a response"))
        }
    });
    Client::new(service, "default")
}

/// A replica that runs.
struct Runs {
    told: watch::Receiver<Leadership>,
    stop: oneshot::Sender<()>,
    end: JoinHandle<End>,
}

impl Runs {
    fn on(server: &Shared, name: &str) -> Runs {
        let settings = LeaderElection::default();
        let (tell, told) = watch::channel(Leadership::StandsBy);
        let (stop, stopped) = oneshot::channel::<()>();
        let lock = Lock::new(client(server), "berth", &settings, Duration::from_secs(15));
        let name = name.to_owned();
        let end = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            run(lock, name, &settings, tell, stopped).await
        });
        Runs { told, stop, end }
    }

    async fn until(&mut self, what: impl FnMut(&Leadership) -> bool) {
        self.told.wait_for(what).await.expect("it runs");
    }
}

fn leads(leadership: &Leadership) -> bool {
    leadership.may_act(Instant::now())
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_as_kubectl_and_client_go_know_it() {
    let server = Shared::default();
    let mut replica = Runs::on(&server, "a");
    replica.until(leads).await;
    let lease = server.lock().expect("sound").lease.clone().expect("was made");
    assert_eq!(lease["metadata"]["name"], "berth-scheduler");
    let spec = &lease["spec"];
    assert_eq!((&spec["holderIdentity"], &spec["leaseDurationSeconds"]), (&json!("a"), &json!(15)));
    assert_eq!(spec["leaseTransitions"], 0);
    for time in ["acquireTime", "renewTime"] {
        let time = spec[time].as_str().expect("a time");
        assert_eq!(time.len(), "2026-11-21T18:00:00.123456Z".len(), "{time}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_keeps_what_others_wrote() {
    let server = Shared::default();
    let mut replica = Runs::on(&server, "a");
    replica.until(leads).await;
    {
        let mut server = server.lock().expect("sound");
        let mut lease = server.lease.clone().expect("was made");
        lease["metadata"]["labels"] = json!({ "team": "gpu" });
        lease["spec"]["strategy"] = json!("OldestEmulationVersion");
        server.keep(lease, 200);
    }
    let Leadership::Leads { until: before } = *replica.told.borrow() else { panic!("it leads") };
    replica.until(|now| matches!(now, Leadership::Leads { until } if *until > before)).await;
    let server = server.lock().expect("sound");
    let lease = server.lease.as_ref().expect("is there");
    assert_eq!(lease["metadata"]["labels"]["team"], "gpu");
    assert_eq!(lease["spec"]["strategy"], "OldestEmulationVersion");
    assert_eq!(server.requests, ["GET", "POST", "PUT", "GET", "PUT"], "quickly first, then after a look");
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_who_ends_hands_over() {
    let server = Shared::default();
    let mut first = Runs::on(&server, "a");
    first.until(leads).await;
    let mut second = Runs::on(&server, "b");
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(leads(&first.told.borrow()) && !leads(&second.told.borrow()));
    first.stop.send(()).expect("it runs");
    assert_eq!(first.end.await.expect("ends well"), End::Released);
    assert!(!leads(&first.told.borrow()), "who is told last is told of the end");
    assert_eq!(server.lock().expect("sound").holder(), "");
    let released = Instant::now();
    second.until(leads).await;
    assert!(released.elapsed() <= Duration::from_millis(4_400), "after {:?}", released.elapsed());
    assert!(released - begun >= Duration::from_secs(120));
    let server = server.lock().expect("sound");
    assert_eq!(server.holder(), "b");
    assert_eq!(server.lease.as_ref().expect("is there")["spec"]["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_answers_ends_at_its_deadline() {
    for trouble in [None, Some(503), Some(403)] {
        let server = Shared::default();
        let mut replica = Runs::on(&server, "a");
        replica.until(leads).await;
        let since = Instant::now();
        {
            let mut server = server.lock().expect("sound");
            (server.hangs, server.fails_with) = (trouble.is_none(), trouble);
        }
        assert_eq!(replica.end.await.expect("ends well"), End::Lost, "{trouble:?}");
        let took = since.elapsed();
        assert!(took <= Duration::from_secs(10) && took >= Duration::from_millis(9_990), "{trouble:?}: {took:?}");
        assert_eq!(*replica.told.borrow(), Leadership::Ended(End::Lost));
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_gets_over_a_short_outage() {
    let server = Shared::default();
    let mut replica = Runs::on(&server, "a");
    replica.until(leads).await;
    server.lock().expect("sound").fails_with = Some(500);
    tokio::time::sleep(Duration::from_secs(7)).await;
    server.lock().expect("sound").fails_with = None;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(leads(&replica.told.borrow()));
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_is_to_end_does_so_without_an_answer() {
    let server = Shared::default();
    server.lock().expect("sound").hangs = true;
    let replica = Runs::on(&server, "a");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let asked = Instant::now();
    replica.stop.send(()).expect("it runs");
    assert_eq!(replica.end.await.expect("ends well"), End::Released);
    assert!(asked.elapsed() < Duration::from_millis(10), "after {:?}", asked.elapsed());
}

#[test]
fn each_replica_has_another_name() {
    let mut settings = LeaderElection::default();
    let (one, other) = (identity(&settings, "pod-0"), identity(&settings, "pod-0"));
    assert!(one.starts_with("pod-0_") && one != other, "{one} and {other}");
    settings.identity = Some("mine".to_owned());
    assert_eq!(identity(&settings, "pod-0"), "mine");
}

#[test]
fn calls_on_the_lease_have_their_own_patience() {
    let settings = LeaderElection::default();
    for (request_s, expected_s) in [(15, 5), (2, 2)] {
        let config = Config::new(hyper::Uri::from_static("https://10.0.0.1"));
        let config = without_retries(config, &settings, Duration::from_secs(request_s));
        let expected = Some(Duration::from_secs(expected_s));
        assert!(!config.default_retry && config.reset_reader_on_write);
        assert_eq!((config.connect_timeout, config.read_timeout, config.write_timeout), (expected, expected, expected));
    }
}
