//! Volumes by seed: claims of all conditions in one namespace, static volumes, and what nodes can attach. Nobody plays the
//! volume controller: claims are bound as they are made.

use serde_json::{Value, json};

use crate::cluster::NAMESPACES;
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

fn name(kind: &str, around: &Around<'_>) -> String {
    format!("{kind}-{}", around.seed)
}

/// The claim that is made last, by which a probe sees that all are there.
pub(crate) fn last(around: &Around<'_>) -> String {
    name(BOUND[6], around)
}

/// Objects in the order in which they are to be made.
pub(crate) fn all(dice: &mut Dice, around: &Around<'_>) -> Vec<Value> {
    let mut all: Vec<Value> =
        around.nodes.iter().filter(|_| dice.chance(60)).map(|node| *node).map(node_drivers).collect();
    for node in &mut all {
        node["spec"]["drivers"][0]["allocatable"]["count"] = json!(1 + dice.below(2));
    }
    all.extend(BOUND.map(|kind| volume(dice, kind, around)));
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

/// A pod that uses one or two claims.
pub(crate) fn used(dice: &mut Dice, pod: &mut Value, around: &Around<'_>) {
    let all = [&BOUND[..], &BOUND[..], &UNBOUND[..]].concat();
    let (first, second) = (dice.pick(&all), dice.pick(&all));
    let kinds = if dice.chance(70) || first == second { vec![first] } else { vec![first, second] };
    uses(pod, &kinds, around);
}

/// A pod that is there already uses one that is bound.
pub(crate) fn kept(dice: &mut Dice, pod: &mut Value, around: &Around<'_>) {
    uses(pod, &[dice.pick(&["sole", "disk-a", "disk-b", "disk-c"])], around);
}

fn uses(pod: &mut Value, kinds: &[&str], around: &Around<'_>) {
    pod["metadata"]["namespace"] = json!(NAMESPACE);
    let one = |kind: &&str| json!({ "name": kind, "persistentVolumeClaim": { "claimName": name(kind, around) } });
    pod["spec"]["volumes"] = kinds.iter().map(one).collect();
}
