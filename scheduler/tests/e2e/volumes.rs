//! Claims get their volumes on the node a pod is given.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::PLANE;
use crate::berth::{Berth, Stage};

fn of<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("an object of its kind")
}

/// A volume by hand on one node, and a claim of a class that waits for its pod.
#[tokio::test]
async fn a_pod_goes_where_its_claim_can_have_a_volume() {
    let Some(plane) = PLANE.get().await else { return };
    let stage = Stage::new(plane, "local-disk", 3).await;
    let client = plane.client().expect("a client");
    let create = PostParams::default();
    let class = json!({ "metadata": { "name": "local-disk" }, "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer" });
    Api::all(client.clone()).create(&create, &of::<StorageClass>(class)).await.expect("a class");
    let volume = json!({ "metadata": { "name": "local-disk-1" }, "spec": {
        "capacity": { "storage": "10Gi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": "local-disk",
        "local": { "path": "/disk" },
        "nodeAffinity": { "required": { "nodeSelectorTerms": [ { "matchExpressions": [
            { "key": "kubernetes.io/hostname", "operator": "In", "values": ["local-disk-1"] } ] } ] } } } });
    Api::all(client.clone()).create(&create, &of::<PersistentVolume>(volume)).await.expect("a volume");
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client, stage.name);
    for name in ["data", "more-data"] {
        let claim = json!({ "metadata": { "name": name }, "spec": { "storageClassName": "local-disk",
            "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "5Gi" } } } });
        claims.create(&create, &of(claim)).await.expect("a claim");
    }
    let berth = Berth::start(plane, stage.name, json!({})).await;
    let with = |name: &str, claim: &str| {
        let mut pod = serde_json::to_value(stage.pod(name, 1).to_pod()).expect("JSON");
        pod["spec"]["volumes"] = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }]);
        of::<Pod>(pod)
    };
    stage.pods.create(&create, &with("first", "data")).await.expect("created");
    assert_eq!(stage.until_bound(["first".to_owned()]).await, ["local-disk-1"]);
    let claim = claims.get("data").await.expect("a claim");
    assert_eq!(claim.spec.and_then(|spec| spec.volume_name).as_deref(), Some("local-disk-1"));
    // The only volume is taken: another claim has none.
    stage.pods.create(&create, &with("second", "more-data")).await.expect("created");
    stage.until_says("second", "didn't find available persistent volumes to bind").await;
    berth.assert_sound();
}
