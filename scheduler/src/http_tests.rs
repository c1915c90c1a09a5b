//! Pages over loopback, and clients that misbehave.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::metrics::Names;

/// A site whose clock is set by hand.
struct Fixture {
    clock: Arc<AtomicU64>,
    site: Site,
    configuration: watch::Sender<SchedulerConfiguration>,
}

fn fixture() -> Fixture {
    let clock = Arc::new(AtomicU64::new(1_000));
    let (configuration, receiver) = watch::channel(SchedulerConfiguration::default());
    let names = Names { profile: "berth".into(), lease: "lease".into(), host: "host".into() };
    let now = Arc::clone(&clock);
    let site = Site {
        health: Arc::new(Health::new(1_000, &["pods", "nodes"])),
        metrics: Arc::new(Metrics::new(names).expect("names do not clash")),
        configuration: receiver,
        now_ms: Arc::new(move || now.load(Ordering::Relaxed)),
    };
    Fixture { clock, site, configuration }
}

fn on(health: &str, metrics: &str) -> Server {
    Server { health_bind_address: health.to_owned(), metrics_bind_address: metrics.to_owned(), debug: false }
}

async fn started(site: &Site) -> Serving {
    start(&on("127.0.0.1:0", "127.0.0.1:0"), site).await.expect("a free port")
}

async fn said(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("somebody listens");
    stream.write_all(request.as_bytes()).await.expect("can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer, and then the end");
    answer
}

/// Status and body.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = said(address, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
}

#[tokio::test]
async fn liveness_is_the_event_loop() {
    let Fixture { clock, site, .. } = fixture();
    let serving = started(&site).await;
    for path in ["/livez", "/healthz"] {
        assert_eq!(get(serving.health, path).await, (200, "ok".to_owned()));
    }
    let verbose = "[+]ping ok\n[+]event-loop ok\nlivez check passed\n";
    assert_eq!(get(serving.health, "/livez?verbose").await, (200, verbose.to_owned()));
    clock.store(1_000 + SILENCE_MS_MAX, Ordering::Relaxed);
    assert_eq!(get(serving.health, "/livez").await.0, 200, "the bound itself is in time");
    clock.store(1_000 + SILENCE_MS_MAX + 1, Ordering::Relaxed);
    let failed = "[-]event-loop failed: no sign of life for 60 s\nlivez check failed\n";
    assert_eq!(get(serving.health, "/livez").await, (503, failed.to_owned()));
    assert_eq!(get(serving.health, "/livez?verbose=1").await, (503, format!("[+]ping ok\n{failed}")));
    assert_eq!(get(serving.health, "/readyz").await.0, 503);
    site.health.beat(61_001);
    site.health.beat(5_000);
    assert_eq!(get(serving.health, "/livez").await.0, 200, "a late word of an earlier beat changes nothing");
}

#[tokio::test]
async fn readiness_is_filled_caches_until_the_end() {
    let Fixture { site, .. } = fixture();
    let serving = started(&site).await;
    site.health.cache("nodes", true);
    let (status, body) = get(serving.health, "/readyz").await;
    assert_eq!((status, body.as_str()), (503, "[-]cache-pods failed: not filled yet\nreadyz check failed\n"));
    site.health.cache("pods", true);
    assert_eq!(get(serving.health, "/readyz").await, (200, "ok".to_owned()));
    site.health.stops();
    assert_eq!(get(serving.health, "/readyz").await.0, 503);
    assert_eq!(get(serving.health, "/livez").await.0, 200, "ending is no reason for a restart");
}

#[tokio::test]
async fn metrics_and_configuration_are_as_they_are_now() {
    let Fixture { site, configuration, .. } = fixture();
    let serving = started(&site).await;
    site.metrics.gangs_waiting(7);
    let answer = said(serving.metrics, "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\nberth_gangs_waiting 7\n"), "{answer}");
    configuration.send_modify(|configuration| configuration.logging.verbosity = 5);
    let (status, body) = get(serving.metrics, "/configz").await;
    let shown: SchedulerConfiguration = serde_json::from_str(&body).expect("is a configuration");
    assert_eq!((status, &shown), (200, &*configuration.borrow()));
}

#[tokio::test]
async fn two_addresses_have_their_own_pages_and_one_has_all() {
    let Fixture { site, .. } = fixture();
    let one = started(&site).await;
    assert_eq!(one.health, one.metrics);
    let two = start(&on("127.0.0.1:0", ":0"), &site).await.expect("free ports");
    assert_ne!(two.health.port(), two.metrics.port());
    for (address, path, status) in [
        (one.health, "/livez", 200),
        (one.health, "/metrics", 200),
        (two.health, "/livez", 200),
        (two.health, "/metrics", 404),
        (two.metrics, "/metrics", 200),
        (two.metrics, "/configz", 200),
        (two.metrics, "/readyz", 404),
        (one.health, "/debug", 404),
    ] {
        assert_eq!(get(address, path).await.0, status, "{path} on {address}");
    }
    assert_eq!(get(two.health, "/").await.1, "no such page; there are /livez, /readyz, /healthz\n");
}

#[tokio::test]
async fn only_reading_is_understood() {
    let Fixture { site, .. } = fixture();
    let serving = started(&site).await;
    let post = said(serving.health, "POST /livez HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"), "{post}");
    let head = said(serving.health, "HEAD /livez HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let nonsense = said(serving.health, "what?\r\n\r\n").await;
    assert!(nonsense.starts_with("HTTP/1.1 400 "), "{nonsense}");
    let long = format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(HEAD_BYTES));
    let answer = said(serving.health, &long).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// Time stands still but for timers: as soon as nothing else happens, the next one is due.
#[tokio::test(start_paused = true)]
async fn who_does_not_finish_asking_is_dropped_and_others_are_served() {
    let Fixture { site, .. } = fixture();
    let serving = started(&site).await;
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(serving.health).await.expect("somebody listens");
        stream.write_all(b"GET /livez HTT").await.expect("can be sent");
        slow.push(stream);
    }
    let begun = tokio::time::Instant::now();
    assert_eq!(get(serving.health, "/livez").await.0, 200);
    assert!(begun.elapsed() <= CONNECTION_TIME, "after {:?}", begun.elapsed());
    for mut stream in slow {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("the server closes");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_nobody_for_long() {
    let Fixture { site, .. } = fixture();
    let serving = started(&site).await;
    let address = serving.health;
    let mut slow = TcpStream::connect(address).await.expect("somebody listens");
    slow.write_all(b"GET ").await.expect("can be sent");
    assert_eq!(get(address, "/livez").await.0, 200);
    let begun = tokio::time::Instant::now();
    serving.stop().await;
    assert!(begun.elapsed() <= DRAIN_TIME + Duration::from_millis(10), "after {:?}", begun.elapsed());
    TcpStream::connect(address).await.expect_err("nobody listens");
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_named() {
    let Fixture { site, .. } = fixture();
    let serving = started(&site).await;
    let taken = serving.health.to_string();
    let error = start(&on("127.0.0.1:0", &taken), &site).await.err().expect("it is taken");
    assert!(error.to_string().contains(&format!("cannot listen on {taken} (`server.metricsBindAddress`")), "{error}");
    let error = start(&on("here", "127.0.0.1:0"), &site).await.err().expect("is no address");
    assert!(error.to_string().starts_with("`server.healthBindAddress` is `here`"), "{error}");
}
