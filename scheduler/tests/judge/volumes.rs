//! Volumes by seed: claims of all conditions in one namespace, static volumes, and what nodes can attach. No volume controller runs:
//! most claims are bound as they are made. Those that get their volume with their pod are there once for each scheduler
//! ([`owned`]), since the one that is heard first would take it from the other; the court plays the controller for them.

use serde_json::{Value, json};

use crate::cluster::{BATCH, NAMESPACES};
use crate::court::{BERTH, JUDGE};
use crate::dice::Dice;
use crate::pods::Around;

/// Where the claims are.
const NAMESPACE: &str = NAMESPACES[0].0;

/// Classes whose claims get a volume by hand: with their first pod, and before it.
pub(crate) const CLASSES: [(&str, &str); 2] = [("judge-late", "WaitForFirstConsumer"), ("judge-soon", "Immediate")];

/// Claims that have a volume, and those that have not. The last is made last of all.
const BOUND: [&str; 7] = ["sole", "zone", "label", "disk-a", "disk-b", "disk-c", "host"];
const UNBOUND: [&str; 4] = ["late", "soon", "nothing", "absent"];

const DRIVER: &str = "disk.example.com";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Stands in the name of a claim for the scheduler that hears the pod.
const WHOSE: &str = "@";

/// The class of such claims, one for each scheduler.
pub(crate) fn class_of(scheduler: &str) -> String {
    format!("judge-own-{scheduler}")
}

/// The pod as this scheduler hears it.
pub(crate) fn addressed(mut pod: Value, scheduler: &str) -> Value {
    for volume in pod["spec"]["volumes"].as_array_mut().into_iter().flatten() {
        let name = &mut volume["persistentVolumeClaim"]["claimName"];
        *name = json!(name.as_str().unwrap_or_default().replace(WHOSE, scheduler));
    }
    pod
}

/// Does it use such claims? Then it can be heard once.
pub(crate) fn owns(pod: &Value) -> bool {
    pod["spec"]["volumes"].to_string().contains(WHOSE)
}

fn name(kind: &str, around: &Around<'_>) -> String {
    format!("{kind}-{}", around.seed)
}

/// The claim that is made last, by which a probe sees that all are there.
pub(crate) fn last(around: &Around<'_>) -> String {
    name(BOUND[6], around)
}

/// Objects in the order in which they are to be made.
pub(crate) fn all(dice: &mut Dice, around: &Around<'_>) -> Vec<Value> {
    let mut all: Vec<Value> = around.nodes.iter().filter(|_| dice.chance(60)).copied().map(node_drivers).collect();
    for node in &mut all {
        node["spec"]["drivers"][0]["allocatable"]["count"] = json!(dice.pick(&[1, 1, 2]));
    }
    all.extend(BOUND.map(|kind| volume(dice, kind, around)));
    all.extend(owned(dice, around));
    all.extend(UNBOUND[..3].iter().chain(&BOUND).map(|kind| claim(kind, around)));
    all
}

fn node_drivers(node: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": { "name": node },
        "spec": { "drivers": [{ "name": DRIVER, "nodeID": node, "topologyKeys": [] }] },
    })
}

fn modes(kind: &str) -> Value {
    if kind == "sole" { json!(["ReadWriteOncePod"]) } else { json!(["ReadWriteOnce", "ReadWriteMany"]) }
}

fn volume(dice: &mut Dice, kind: &str, around: &Around<'_>) -> Value {
    let at = |key: &str, value: &str| {
        let rule = json!({ "key": key, "operator": "In", "values": [value] });
        json!({ "required": { "nodeSelectorTerms": [{ "matchExpressions": [rule] }] } })
    };
    let mut volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name(kind, around) },
        "spec": {
            "capacity": { "storage": "1Gi" }, "accessModes": modes(kind),
            "claimRef": { "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": NAMESPACE, "name": name(kind, around) },
        },
    });
    let zone = dice.pick(&["z0", "z1"]);
    match kind {
        "zone" => volume["spec"]["nodeAffinity"] = at(ZONE, zone),
        "host" => volume["spec"]["nodeAffinity"] = at("kubernetes.io/hostname", dice.pick(around.nodes)),
        "label" => volume["metadata"]["labels"] = json!({ ZONE: zone }),
        _ => {}
    }
    if kind.starts_with("disk") {
        volume["spec"]["csi"] = json!({ "driver": DRIVER, "volumeHandle": name(kind, around) });
    } else {
        volume["spec"]["nfs"] = json!({ "server": "nfs.example.com", "path": "/" });
    }
    volume
}

fn claim(kind: &str, around: &Around<'_>) -> Value {
    let mut claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": name(kind, around), "namespace": NAMESPACE },
        "spec": { "accessModes": modes(kind), "storageClassName": "", "resources": { "requests": { "storage": "1Gi" } } },
    });
    match kind {
        "late" => claim["spec"]["storageClassName"] = json!(CLASSES[0].0),
        "soon" => claim["spec"]["storageClassName"] = json!(CLASSES[1].0),
        _ => {
            claim["metadata"]["annotations"] = json!({ "pv.kubernetes.io/bind-completed": "yes" });
            claim["spec"]["volumeName"] = json!(name(kind, around)); // of `nothing` there is no volume
        }
    }
    claim
}

/// Two claims that wait for their pod, and the volumes they may have, for each scheduler.
fn owned(dice: &mut Dice, around: &Around<'_>) -> Vec<Value> {
    let mut all = Vec::new();
    for index in 0..1 + dice.below(3) {
        let size = dice.pick(&["1Gi", "4Gi"]);
        let (one, other) = (dice.pick(around.nodes), dice.pick(around.nodes));
        let (key, values) =
            dice.pick(&[("kubernetes.io/hostname", [one, other]), (ZONE, ["z0", "z1"]), (ZONE, ["z2", "z2"])]);
        let rule = json!({ "key": key, "operator": "In", "values": values });
        for scheduler in [BERTH, JUDGE] {
            let name = format!("own-{}-{index}-{scheduler}", around.seed);
            all.push(json!({
                "apiVersion": "v1", "kind": "PersistentVolume",
                "metadata": { "name": name, "labels": { BATCH: around.seed.to_string() } },
                "spec": {
                    "capacity": { "storage": size }, "accessModes": ["ReadWriteOnce"], "storageClassName": class_of(scheduler),
                    "local": { "path": "/disk" },
                    "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [rule] }] } },
                },
            }));
        }
    }
    let sizes = [dice.pick(&["1Gi", "3Gi"]), dice.pick(&["1Gi", "1Gi", "8Gi"])];
    for (index, size) in sizes.iter().enumerate() {
        for scheduler in [BERTH, JUDGE] {
            let name = name(&format!("own{index}-{scheduler}"), around);
            all.push(json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name, "namespace": NAMESPACE },
                "spec": {
                    "accessModes": ["ReadWriteOnce"], "storageClassName": class_of(scheduler),
                    "selector": { "matchLabels": { BATCH: around.seed.to_string() } },
                    "resources": { "requests": { "storage": size } },
                },
            }));
        }
    }
    all
}

/// A pod whose claims get their volumes with it.
pub(crate) fn own(dice: &mut Dice, pod: &mut Value, around: &Around<'_>) {
    let kinds: &[&str] = if dice.chance(60) { &["own0-@"] } else { &["own0-@", "own1-@"] };
    uses(pod, kinds, around);
    for (at, volume) in pod["spec"]["volumes"].as_array_mut().into_iter().flatten().enumerate() {
        volume["name"] = json!(format!("own{at}"));
    }
}

/// A pod that uses one or two claims.
pub(crate) fn used(dice: &mut Dice, pod: &mut Value, around: &Around<'_>) {
    let all = [&BOUND[..], &BOUND[..], &BOUND[3..6], &UNBOUND[..]].concat();
    let (first, second) = (dice.pick(&all), dice.pick(&all));
    let kinds = if dice.chance(70) || first == second { vec![first] } else { vec![first, second] };
    uses(pod, &kinds, around);
}

/// A pod that is there already uses one that is bound.
pub(crate) fn kept(dice: &mut Dice, pod: &mut Value, around: &Around<'_>) {
    uses(pod, &[dice.pick(&["sole", "disk-a", "disk-b", "disk-b", "disk-c"])], around);
}

fn uses(pod: &mut Value, kinds: &[&str], around: &Around<'_>) {
    pod["metadata"]["namespace"] = json!(NAMESPACE);
    let one = |kind: &&str| json!({ "name": kind, "persistentVolumeClaim": { "claimName": name(kind, around) } });
    pod["spec"]["volumes"] = kinds.iter().map(one).collect();
}
