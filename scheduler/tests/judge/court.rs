//! Both schedulers on one cluster: pods are put before one, then before the other, and what each says is heard. Owns the objects
//! on the plane; draws nothing and judges nothing.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use berth_controlplane::ControlPlane;
use futures_util::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::berth::{message, node_of};
use crate::cluster::{BATCH, Cluster, NAMESPACES};
use crate::pods::{Around, HEAVY};
use crate::volumes::{self, CLASSES};

/// The scheduler that is judged.
pub(crate) const BERTH: &str = "berth";
/// The judge.
pub(crate) const JUDGE: &str = "default-scheduler";

/// A verdict takes milliseconds, but the machine may be busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests in flight while a batch is set up.
const IN_FLIGHT: usize = 16;

/// What a scheduler says of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is bound to this node.
    Bound(String),
    /// It stays where it is.
    Refused {
        /// The condition's reason, one word.
        reason: String,
        message: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Bound(node) => write!(out, "bound to {node}"),
            Verdict::Refused { reason, message } => write!(out, "{reason}: {message}"),
        }
    }
}

/// The API server does not accept the pod.
#[derive(Debug)]
pub(crate) struct Unacceptable;

/// The plane, as far as it is used here.
pub(crate) struct Court<'p> {
    plane: &'p ControlPlane,
    client: Client,
    seen: Pin<Box<dyn Stream<Item = watcher::Result<Event<Pod>>> + Send + 'p>>,
    heard: usize,
}

impl<'p> Court<'p> {
    /// Namespaces and classes of pods, which stay.
    pub(crate) async fn open(plane: &'p ControlPlane) -> Court<'p> {
        let client = plane.client().expect("a client");
        for (name, team) in NAMESPACES {
            let namespace = json!({ "metadata": { "name": name, "labels": { "team": team } } });
            create::<Namespace>(&Api::all_with(client.clone(), &ApiResource::erase::<Namespace>(&())), namespace)
                .await
                .expect("a namespace");
        }
        let fixed = json!({ "cpu": "250m", "memory": "128Mi" });
        let class = json!({ "metadata": { "name": HEAVY }, "handler": "heavy", "overhead": { "podFixed": fixed } });
        create::<RuntimeClass>(&Api::all_with(client.clone(), &ApiResource::erase::<RuntimeClass>(&())), class)
            .await
            .expect("a class");
        for (name, mode) in CLASSES {
            let meta = json!({ "name": name });
            let class =
                json!({ "metadata": meta, "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": mode });
            create::<StorageClass>(&Api::all_with(client.clone(), &ApiResource::erase::<StorageClass>(&())), class)
                .await
                .expect("a class of volumes");
        }
        for scheduler in [BERTH, JUDGE] {
            let class = json!({ "metadata": { "name": volumes::class_of(scheduler) },
                "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer" });
            create::<StorageClass>(&Api::all_with(client.clone(), &ApiResource::erase::<StorageClass>(&())), class)
                .await
                .expect("a class of volumes");
        }
        let pods: Api<Pod> = Api::all(client.clone());
        let seen = Box::pin(watcher::watcher(pods, watcher::Config::default()));
        Court { plane, client, seen, heard: 0 }
    }

    fn pods(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<Pod>(&()))
    }

    /// Sets up a cluster, and returns when both schedulers know all of it.
    pub(crate) async fn set_up(&mut self, cluster: &Cluster) {
        let nodes: Api<DynamicObject> = Api::all_with(self.client.clone(), &ApiResource::erase::<Node>(&()));
        let batch = cluster.seed.to_string();
        let node = async |node: &Value| {
            create::<Node>(&nodes, node.clone()).await.expect("a node");
            // Admission says of every new node that it is not ready. The label is how a probe sees that this is over.
            let patch = json!({
                "metadata": { "labels": { BATCH: batch } },
                "spec": { "taints": node["spec"]["taints"] },
            });
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("a patched node");
        };
        stream::iter(&cluster.nodes).map(node).buffer_unordered(IN_FLIGHT).collect::<()>().await;
        for object in &cluster.volumes {
            self.create_volume_object(object).await;
        }
        let pod = async |pod: &Value| {
            let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
            // What is not accepted is not there; it is the same in every run.
            let _ = create::<Pod>(&self.pods(namespace), pod.clone()).await;
        };
        stream::iter(&cluster.furniture).map(pod).buffer_unordered(IN_FLIGHT).collect::<()>().await;
        for scheduler in [BERTH, JUDGE] {
            self.until_known(cluster, scheduler).await;
        }
    }

    /// In order, since the last claim is looked for.
    async fn create_volume_object(&self, object: &Value) {
        let kind = match object["kind"].as_str() {
            Some("PersistentVolume") => ApiResource::erase::<PersistentVolume>(&()),
            Some("CSINode") => ApiResource::erase::<CSINode>(&()),
            _ => ApiResource::erase::<PersistentVolumeClaim>(&()),
        };
        let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind),
            None => Api::all_with(self.client.clone(), &kind),
        };
        let object: DynamicObject = serde_json::from_value(object.clone()).expect("an object");
        let created = api.create(&PostParams::default(), &object).await.expect("accepted");
        if kind.kind == "PersistentVolume" {
            let status = Patch::Merge(json!({ "status": { "phase": "Available" } }));
            let name = created.metadata.name.unwrap_or_default();
            api.patch_status(&name, &PatchParams::default(), &status).await.expect("a volume that is available");
        }
    }

    /// Waits until a scheduler sees the nodes as they are, and no others. Pods need no more: they come in order, so that the one
    /// that asks comes after all others.
    async fn until_known(&mut self, cluster: &Cluster, scheduler: &str) {
        let count = cluster.nodes.len();
        let (all, each) = (format!("0/{count} nodes are available: "), format!("{count} Insufficient cpu"));
        let batch = json!({ "key": BATCH, "operator": "In", "values": [cluster.seed.to_string()] });
        let terms = json!({ "nodeSelectorTerms": [{ "matchExpressions": [batch] }] });
        let requests = json!({ "requests": { "cpu": "1000" } });
        let claim = volumes::last(&Around { seed: cluster.seed, nodes: &[] });
        let probe = json!({
            "metadata": { "namespace": NAMESPACES[0].0 },
            "spec": {
                "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": terms } },
                "tolerations": [{ "operator": "Exists" }],
                "containers": [{ "name": "c", "image": "never-pulled", "resources": requests }],
                "volumes": [{ "name": "claim", "persistentVolumeClaim": { "claimName": claim } }],
            },
        });
        let deadline = Instant::now() + PATIENCE;
        loop {
            let verdict = self.hear(&probe, scheduler, None).await.expect("a sound pod");
            match &verdict {
                Verdict::Refused { message, .. } if message.starts_with(&all) && message.contains(&each) => return,
                _ if Instant::now() < deadline => {}
                other => panic!("{scheduler} does not see the {count} nodes of batch {}: {other}", cluster.seed),
            }
        }
    }

    /// Takes a cluster away. The schedulers may see that later: the next one is not used before they do.
    pub(crate) async fn clear(&mut self, cluster: &Cluster) {
        let at_once = DeleteParams::default().grace_period(0);
        for (namespace, _) in NAMESPACES {
            self.pods(namespace).delete_collection(&at_once, &ListParams::default()).await.expect("deleted pods");
        }
        let nodes: Api<Node> = Api::all(self.client.clone());
        let ours = ListParams::default().labels(&format!("{BATCH}={}", cluster.seed));
        nodes.delete_collection(&at_once, &ours).await.expect("deleted nodes");
    }

    /// Puts a pod before a scheduler and takes it away again. With a node, the scheduler is asked to take that one if it can: it is
    /// the one that the pod is nominated for.
    pub(crate) async fn hear(
        &mut self,
        pod: &Value,
        scheduler: &str,
        node: Option<&str>,
    ) -> Result<Verdict, Unacceptable> {
        self.heard += 1;
        let owns = volumes::owns(pod);
        let name = format!("judged-{}", self.heard);
        let pods = self.pods(pod["metadata"]["namespace"].as_str().unwrap_or_default());
        let mut pod = volumes::addressed(pod.clone(), scheduler);
        pod["metadata"]["name"] = json!(name);
        pod["spec"]["schedulerName"] = json!(scheduler);
        if node.is_some() {
            pod["spec"]["schedulingGates"] = json!([{ "name": "judge/nominated-first" }]);
        }
        create::<Pod>(&pods, pod).await?;
        if let Some(node) = node {
            let status = Patch::Merge(json!({ "status": { "nominatedNodeName": node } }));
            pods.patch_status(&name, &PatchParams::default(), &status).await.expect("a nomination");
            let open = Patch::Merge(json!({ "spec": { "schedulingGates": null } }));
            pods.patch(&name, &PatchParams::default(), &open).await.expect("no gates");
        }
        let client = self.client.clone();
        let verdict = tokio::select! {
            verdict = self.verdict(&name, scheduler) => verdict,
            () = give_volumes(client), if owns => panic!("the watch of volumes has ended"),
        };
        pods.delete(&name, &DeleteParams::default().grace_period(0)).await.expect("a deletion");
        Ok(verdict)
    }

    async fn verdict(&mut self, name: &str, scheduler: &str) -> Verdict {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Ok(event) = timeout_at(deadline, self.seen.next()).await else {
                self.plane.check().unwrap_or_else(|error| panic!("{error}"));
                panic!("{scheduler} says nothing of {name}");
            };
            let pod = match event {
                Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => pod,
                Some(Err(error)) => panic!("the watch has failed: {error}"),
                _ => continue,
            };
            if pod.metadata.name.as_deref() != Some(name) {
                continue;
            }
            if !node_of(&pod).is_empty() {
                return Verdict::Bound(node_of(&pod).to_owned());
            }
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
            let mut waits = conditions.filter(|one| one.type_ == "PodScheduled" && one.status == "False");
            let reason = waits.next().and_then(|one| one.reason.clone()).unwrap_or_default();
            if !reason.is_empty() && reason != "SchedulingGated" {
                return Verdict::Refused { reason, message: message(&pod).to_owned() };
            }
        }
    }
}

/// Plays the controller for claims that wait for their pod: the volume that a scheduler has given to one becomes the claim's.
async fn give_volumes(client: Client) {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, NAMESPACES[0].0);
    let mut seen = std::pin::pin!(watcher::watcher(volumes, watcher::Config::default().labels(BATCH)));
    while let Some(event) = seen.next().await {
        let Ok(Event::Apply(volume) | Event::InitApply(volume)) = event else { continue };
        let claim = volume.spec.and_then(|spec| spec.claim_ref).and_then(|claim| claim.name);
        if let Some(claim) = claim {
            let bound = json!({
                "metadata": { "annotations": { "pv.kubernetes.io/bind-completed": "yes" } },
                "spec": { "volumeName": volume.metadata.name },
            });
            let patch = Patch::Merge(bound);
            // One of an earlier batch is bound already, and stays so.
            let _ = claims.patch(&claim, &PatchParams::default(), &patch).await;
            let status = Patch::Merge(json!({ "status": { "phase": "Bound" } }));
            let _ = claims.patch_status(&claim, &PatchParams::default(), &status).await;
        }
    }
}

async fn create<K: Resource<DynamicType = ()>>(api: &Api<DynamicObject>, mut json: Value) -> Result<(), Unacceptable> {
    json["apiVersion"] = json!(K::api_version(&()));
    json["kind"] = json!(K::kind(&()));
    let object: DynamicObject = serde_json::from_value(json).expect("an object");
    match api.create(&PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => Err(Unacceptable),
        Err(error) => panic!("the API server does not answer: {error}"),
    }
}
