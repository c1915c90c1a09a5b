//! The election on a real API server, with no more rights than the chart gives.

use std::sync::Arc;
use std::time::Duration;

use berth_config::scheduler::LeaderElection;
use berth_config::units;
use berth_controlplane::{Options, Shared};
use berth_scheduler::lease::{self, End, Leadership, Lock};
use berth_scheduler::metrics::{CountedRequests, Metrics, Names};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::ObjectMeta;
use kube::client::ClientBuilder;
use kube::{Api, Client};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

static PLANE: Shared = Shared::new(Options::BARE);

/// Quicker than the default, but slow enough for a machine that has other things to do.
fn settings() -> LeaderElection {
    LeaderElection {
        lease_duration: units::Duration::from_secs(5),
        renew_deadline: units::Duration::from_secs(4),
        retry_period: units::Duration::from_ms(400),
        ..LeaderElection::default()
    }
}

/// Leases: create any, read and replace ours.
fn role() -> ClusterRole {
    let rule = |verbs: &[&str], names: Option<&str>| PolicyRule {
        api_groups: Some(vec!["coordination.k8s.io".to_owned()]),
        resources: Some(vec!["leases".to_owned()]),
        resource_names: names.map(|name| vec![name.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    let rules = vec![rule(&["create"], None), rule(&["get", "update"], Some("berth-scheduler"))];
    let metadata = ObjectMeta { name: Some("berth-election".to_owned()), ..ObjectMeta::default() };
    ClusterRole { metadata, rules: Some(rules), ..ClusterRole::default() }
}

struct Replica {
    told: watch::Receiver<Leadership>,
    stop: oneshot::Sender<()>,
    end: JoinHandle<End>,
}

fn replica(client: Client, name: &str) -> Replica {
    let settings = settings();
    let (tell, told) = watch::channel(Leadership::StandsBy);
    let (stop, stopped) = oneshot::channel::<()>();
    let lock = Lock::new(client, "election", &settings, Duration::from_secs(15));
    let identity = lease::identity(&settings, name);
    let end = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        lease::run(lock, identity, &settings, tell, stopped).await
    });
    Replica { told, stop, end }
}

impl Replica {
    async fn leads(&mut self) {
        self.told.wait_for(|told| told.may_act(Instant::now())).await.expect("it takes part");
    }
}

#[tokio::test]
async fn leadership_passes_from_one_to_the_next_by_release_and_by_death() {
    let Some(plane) = PLANE.get().await else { return };
    plane.namespace("election").await.expect("a namespace");
    let config = plane.service_account("election", "berth", Some(&role())).await.expect("an account");
    let config = lease::without_retries(config, &settings(), Duration::from_secs(15));
    let names = Names { profile: "berth".into(), lease: "berth-scheduler".into(), host: "localhost".into() };
    let metrics = Arc::new(Metrics::new(names).expect("names do not clash"));
    let counted = CountedRequests::new(Arc::clone(&metrics));
    let client = ClientBuilder::try_from(config).expect("a client").with_layer(&counted).build();
    let leases: Api<Lease> = Api::namespaced(plane.client().expect("a client"), "election");
    let holder =
        async || leases.get("berth-scheduler").await.expect("a lease").spec.and_then(|spec| spec.holder_identity);

    let mut first = replica(client.clone(), "first");
    first.leads().await;
    assert!(holder().await.is_some_and(|holder| holder.starts_with("first_")));
    let mut second = replica(client.clone(), "second");
    let third = replica(client.clone(), "third");

    // It stays with whoever renews it: longer than the Lease lasts.
    let Leadership::Leads { until } = *first.told.borrow() else { panic!("it leads") };
    let renewed =
        |told: &Leadership| matches!(told, Leadership::Leads { until: now } if *now > until + Duration::from_secs(5));
    first.told.wait_for(renewed).await.expect("it takes part");
    assert!(!second.told.borrow().may_act(Instant::now()) && !third.told.borrow().may_act(Instant::now()));

    // Third's turn will come; so that it is known who is next, it pauses.
    third.stop.send(()).expect("it takes part");
    assert_eq!(third.end.await.expect("ends well"), End::Released);
    first.stop.send(()).expect("it takes part");
    assert_eq!(first.end.await.expect("ends well"), End::Released);
    let released = Instant::now();
    second.leads().await;
    assert!(released.elapsed() < Duration::from_secs(3), "a release is no death: {:?}", released.elapsed());

    let mut fourth = replica(client, "fourth");
    second.end.abort();
    let died = Instant::now();
    fourth.leads().await;
    assert!(died.elapsed() < Duration::from_secs(15), "after {:?}", died.elapsed());
    assert!(holder().await.is_some_and(|holder| holder.starts_with("fourth_")));
    let transitions =
        leases.get("berth-scheduler").await.expect("a lease").spec.and_then(|spec| spec.lease_transitions);
    assert_eq!(transitions, Some(2));

    let counted = String::from_utf8(metrics.render().expect("can be written")).expect("is UTF-8");
    for (code, method) in [(404, "GET"), (201, "POST"), (200, "PUT")] {
        let line = format!(r#"rest_client_requests_total{{code="{code}",host="localhost",method="{method}"}} "#);
        assert!(counted.contains(&line), "no `{line}` in\n{counted}");
    }
}
