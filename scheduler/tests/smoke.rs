use berth_controlplane::*;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

#[tokio::test]
async fn smoke() {
    let Some(plane) = own(Options { kwok: true, ..Options::BARE }).await else { return };
    plane.namespace("mine").await.expect("a namespace");
    plane.create_nodes(&Inventory::h100("mine", 2).nodes()).await.expect("nodes");
    let mut config = plane.config();
    config.default_retry = false;
    let client = kube::Client::try_from(config).expect("client");
    let (lead, lead_rx) = tokio::sync::oneshot::channel();
    let (_lost, lost_rx) = tokio::sync::oneshot::channel();
    let (stop, stop_rx) = tokio::sync::oneshot::channel();
    lead.send(()).expect("lead");
    let task = tokio::spawn(async move {
        let configuration = berth_config::SchedulerConfiguration::default();
        berth_scheduler::live::run(
            &configuration,
            client,
            berth_scheduler::live::Signals { lead: lead_rx, lost: lost_rx, stop: stop_rx },
        )
        .await
    });
    let mut pods: Vec<TestPod> = (0..3).map(|n| TestPod::new(format!("p{n}"), 8)).collect();
    for pod in &mut pods {
        pod.scheduler = Some("berth".into());
    }
    plane.create_pods("mine", &pods).await.expect("pods");
    let api: Api<Pod> = Api::namespaced(plane.client().expect("client"), "mine");
    let t = std::time::Instant::now();
    let r = plane
        .until_within(
            &api,
            "p0",
            "bound",
            |p: Option<&Pod>| p.is_some_and(|p| p.spec.as_ref().is_some_and(|s| s.node_name.is_some())),
            std::time::Duration::from_secs(10),
        )
        .await;
    eprintln!("{:?} {r:?}", t.elapsed());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for pod in api.list(&Default::default()).await.expect("list") {
        eprintln!(
            "{:?} {:?} {}",
            pod.metadata.name,
            pod.spec.unwrap().node_name,
            serde_json::to_string_pretty(&pod.status).unwrap()
        );
    }
    let events: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(plane.client().expect("client"), "mine");
    for e in events.list(&Default::default()).await.expect("list") {
        eprintln!("{:?} {:?} {:?}", e.reason, e.note, e.regarding.unwrap().name);
    }
    stop.send(()).expect("stop");
    eprintln!("{:?}", task.await);
}
