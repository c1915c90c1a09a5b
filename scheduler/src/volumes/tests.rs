use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::catalog::Catalog;
use super::watched::{Pin, Pins};
use super::*;
use crate::objects::{self, Body};
use crate::store::{Change, Store};

/// Objects by kind, name and content; pods and claims are in the namespace `lab`, and a uid is the name with `u-` in front.
fn store(objects: &[(Kind, &str, Value)]) -> Store {
    let mut store = Store::default();
    for (kind, name, json) in objects {
        let mut json = json.clone();
        let (namespace, uid) = (json!("lab"), json!(format!("u-{name}")));
        for (field, value) in
            [("name", json!(name)), ("namespace", namespace), ("uid", uid), ("resourceVersion", json!("7"))]
        {
            json["metadata"][field] = value;
        }
        store.apply(Change::Applied(objects::read(*kind, json)));
    }
    store
}

fn pod(volumes: Value) -> Pod {
    let json = json!({ "metadata": { "name": "p", "namespace": "lab", "uid": "u-p" }, "spec": { "volumes": volumes } });
    match objects::read(Kind::Pod, json).body {
        Body::Pod(pod) => *pod,
        other => panic!("{other:?}"),
    }
}

fn by_claim(name: &str) -> Pod {
    pod(json!([{ "name": "v", "persistentVolumeClaim": { "claimName": name } }]))
}

fn reading(pod: &Pod, store: &Store, pins: &Pins) -> Reading {
    let hostnames = BTreeMap::from([("host-a".to_owned(), BTreeSet::from(["a".to_owned()]))]);
    read(pod, false, &mut Catalog::of(store, pins, &hostnames))
}

fn unbound(class: &str, size: &str) -> Value {
    let resources = json!({ "requests": { "storage": size } });
    json!({ "spec": { "storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": resources } })
}

fn bound(volume: &str) -> Value {
    json!({ "metadata": { "annotations": { "pv.kubernetes.io/bind-completed": "yes" } }, "spec": { "volumeName": volume },
        "status": { "phase": "Bound" } })
}

fn with(mut json: Value, path: &str, value: Value) -> Value {
    *json.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
    json
}

/// A volume of class `late` that nobody has.
fn free(size: &str, more: &Value) -> Value {
    let mut json = json!({ "metadata": { "labels": {} }, "spec": { "storageClassName": "late", "capacity": { "storage": size },
        "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "nodeAffinity": null, "claimRef": null, "volumeMode": null },
        "status": { "phase": "Available" } });
    for (key, value) in more.as_object().into_iter().flatten() {
        let path = if key == "labels" { "metadata" } else { "spec" };
        json[path][key] = value.clone();
    }
    json
}

fn class(mode: &str, provisioner: &str) -> Value {
    json!({ "volumeBindingMode": mode, "provisioner": provisioner, "allowedTopologies": [] })
}

fn names(reading: &Reading) -> Vec<&str> {
    reading.terms.unbound.iter().flat_map(|one| one.volumes.all()).map(|volume| &*volume.name).collect()
}

#[test]
fn what_kube_scheduler_says_before_it_looks_at_nodes() {
    let owner = json!([{ "controller": true, "uid": "u-p" }]);
    let own = |uid: &str| json!({ "metadata": { "ownerReferences": with(owner.clone(), "/0/uid", json!(uid)) } });
    let mut leaving = bound("v");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-21T17:40:00Z");
    let mut lost = bound("v");
    lost["status"]["phase"] = json!("Lost");
    let mut chosen = unbound("late", "1Gi");
    chosen["spec"]["volumeName"] = json!("v");
    let store = store(&[
        (Kind::StorageClass, "late", class("WaitForFirstConsumer", "x")),
        (Kind::StorageClass, "soon", class("Immediate", "x")),
        (Kind::StorageClass, "odd", json!({ "provisioner": "x" })),
        (Kind::Volume, "v", free("1Gi", &json!({}))),
        (Kind::Claim, "fine", bound("v")),
        (Kind::Claim, "late", unbound("late", "1Gi")),
        (Kind::Claim, "leaving", leaving),
        (Kind::Claim, "lost", lost),
        (Kind::Claim, "soon", unbound("soon", "1Gi")),
        (Kind::Claim, "odd", unbound("odd", "1Gi")),
        (Kind::Claim, "classless", json!({})),
        (Kind::Claim, "chosen", chosen),
        (Kind::Claim, "nothing", bound("gone")),
        (Kind::Claim, "p-mine", own("u-p")),
        (Kind::Claim, "p-theirs", own("u-q")),
    ]);
    let unbound = "pod has unbound immediate PersistentVolumeClaims";
    for (name, refusal) in [
        ("fine", None),
        ("late", None),
        ("missing", Some(r#"persistentvolumeclaim "missing" not found"#)),
        ("leaving", Some(r#"persistentvolumeclaim "leaving" is being deleted"#)),
        ("lost", Some(r#"persistentvolumeclaim "lost" bound to non-existent persistentvolume "v""#)),
        ("soon", Some(unbound)),
        ("classless", Some(unbound)),
        ("chosen", Some(unbound)),
        ("odd", Some(r#"VolumeBindingMode not set for StorageClass "odd""#)),
        ("nothing", Some(r#"persistentvolume "gone" not found"#)),
    ] {
        assert_eq!(reading(&by_claim(name), &store, &Pins::new()).refusal.as_deref(), refusal, "{name}");
    }
    let waiting = r#"waiting for ephemeral volume controller to create the persistentvolumeclaim "p-none""#;
    for (name, refusal) in [
        ("none", waiting),
        ("mine", unbound),
        ("theirs", "PVC lab/p-theirs was not created for pod lab/p (pod is not owner)"),
    ] {
        let pod = pod(json!([{ "name": name, "ephemeral": { "volumeClaimTemplate": {} } }]));
        assert_eq!(reading(&pod, &store, &Pins::new()).refusal.as_deref(), Some(refusal), "{name}");
    }
    let bound = read(&by_claim("missing"), true, &mut Catalog::of(&store, &Pins::new(), &BTreeMap::new()));
    assert_eq!(bound, Reading::default(), "whoever is bound is asked nothing any more");
}

#[test]
fn a_bound_claim_ties_its_pod_to_where_the_volume_can_be() {
    let local = json!({ "required": { "nodeSelectorTerms": [
        { "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "In", "values": ["host-a"] },
            { "key": "disk", "operator": "Exists" }] }] } });
    let store = store(&[
        (Kind::Volume, "local", free("1Gi", &json!({ "nodeAffinity": local }))),
        (
            Kind::Volume,
            "zonal",
            free(
                "1Gi",
                &json!({ "labels": { "failure-domain.beta.kubernetes.io/zone": "a__ b", "topology.kubernetes.io/region": "x__" } }),
            ),
        ),
        (Kind::Volume, "nowhere", free("1Gi", &json!({ "nodeAffinity": { "required": { "nodeSelectorTerms": [] } } }))),
        (Kind::Claim, "local", bound("local")),
        (Kind::Claim, "zonal", bound("zonal")),
        (Kind::Claim, "nowhere", bound("nowhere")),
        (
            Kind::Claim,
            "p-own",
            with(
                bound("gone"),
                "/metadata",
                json!({ "annotations": { "pv.kubernetes.io/bind-completed": "" },
            "ownerReferences": [{ "controller": true, "uid": "u-p" }] }),
            ),
        ),
    ]);
    let none = Pins::new();
    let on = |terms: &[NodeTerm], name: &str, labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let shape = berth_engine::NodeShape { labels, ..Default::default() };
        terms.iter().any(|term| term.is_met(&shape, name))
    };
    let local = reading(&by_claim("local"), &store, &none);
    assert_eq!((local.hosts, local.node_keys.iter().map(String::as_str).collect::<Vec<_>>()), (true, vec!["disk"]));
    let terms = &local.terms.places[0].terms;
    assert!(on(terms, "a", &[("disk", "ssd")]) && !on(terms, "a", &[]) && !on(terms, "b", &[("disk", "ssd")]));
    let zonal = reading(&by_claim("zonal"), &store, &none);
    assert_eq!(zonal.terms.places.len(), 1, "a list of zones with an empty one is passed over");
    let terms = &zonal.terms.places[0].terms;
    for (labels, allowed) in [
        (&[][..], true),
        (&[("topology.kubernetes.io/zone", "b")], true),
        (&[("topology.kubernetes.io/zone", "c")], false),
        (&[("topology.kubernetes.io/region", "x")], false),
        (&[("failure-domain.beta.kubernetes.io/zone", "a"), ("topology.kubernetes.io/zone", "c")], true),
        (&[("failure-domain.beta.kubernetes.io/zone", "c"), ("topology.kubernetes.io/zone", "a")], false),
    ] {
        assert_eq!(on(terms, "n", labels), allowed, "{labels:?}");
    }
    let nowhere = reading(&by_claim("nowhere"), &store, &none);
    assert!(!on(&nowhere.terms.places[0].terms, "a", &[("disk", "ssd")]));
    let own = reading(&pod(json!([{ "name": "own", "ephemeral": {} }])), &store, &none);
    assert_eq!(own.refusal, None, "only volumes by claim are looked up before nodes are");
    assert_eq!(own.terms.places, [VolumePlace { rule: PlaceRule::Missing, terms: Vec::new() }]);
}

#[test]
fn a_claim_may_have_the_volumes_that_meet_all_it_asks_the_smallest_first() {
    let selector = json!({ "matchLabels": { "tier": "fast" }, "matchExpressions": [{ "key": "old", "operator": "DoesNotExist" }] });
    let fast = |more: Value| {
        let mut labels = json!({ "tier": "fast" });
        labels.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        json!({ "labels": labels })
    };
    let mut gone = free("3Gi", &fast(json!({})));
    gone["metadata"]["deletionTimestamp"] = json!("2026-11-21T17:40:00Z");
    let mut released = free("3Gi", &fast(json!({})));
    released["status"]["phase"] = json!("Released");
    let owned = |name: &str, uid: &str| json!({ "claimRef": { "namespace": "lab", "name": name, "uid": uid } });
    let mut picky = unbound("late", "2Gi");
    picky["spec"]["selector"] = selector;
    let mut attributes = free("3Gi", &fast(json!({})));
    attributes["spec"]["volumeAttributesClassName"] = json!("gold");
    let mut one_pod = free("3Gi", &fast(json!({})));
    one_pod["spec"]["accessModes"] = json!(["ReadOnlyMany"]);
    let mut elsewhere = free("3Gi", &fast(json!({})));
    elsewhere["spec"]["storageClassName"] = json!("other");
    let store = store(&[
        (Kind::StorageClass, "late", class("WaitForFirstConsumer", "kubernetes.io/no-provisioner")),
        (Kind::Volume, "large", free("4Gi", &fast(json!({})))),
        (Kind::Volume, "fits-b", free("2Gi", &fast(json!({})))),
        (Kind::Volume, "fits-a", free("2048Mi", &fast(json!({})))),
        (Kind::Volume, "small", free("1Gi", &fast(json!({})))),
        (Kind::Volume, "slow", free("3Gi", &json!({}))),
        (Kind::Volume, "old", free("3Gi", &fast(json!({ "old": "yes" })))),
        (Kind::Volume, "gone", gone),
        (Kind::Volume, "released", released),
        (Kind::Volume, "attributes", attributes),
        (Kind::Volume, "modes", one_pod),
        (Kind::Volume, "elsewhere", elsewhere),
        (Kind::Volume, "block", with(free("3Gi", &fast(json!({}))), "/spec/volumeMode", json!("Block"))),
        (Kind::Volume, "theirs", free("3Gi", &owned("q", ""))),
        (Kind::Volume, "reserved", free("9Gi", &owned("reserving", ""))),
        (Kind::Volume, "former", free("9Gi", &owned("again", "u-another"))),
        (Kind::Claim, "picky", picky),
        (Kind::Claim, "again", unbound("late", "4Gi")),
        (Kind::Claim, "reserving", unbound("late", "1Gi")),
    ]);
    let mut pins = Pins::new();
    assert_eq!(names(&reading(&by_claim("picky"), &store, &pins)), ["fits-a", "fits-b", "large"]);
    assert_eq!(
        names(&reading(&by_claim("again"), &store, &pins)),
        ["large"],
        "its name alone does not make it the owner"
    );
    assert_eq!(names(&reading(&by_claim("reserving"), &store, &pins)), ["reserved"]);
    pins.insert(claim_key("lab", "again"), Pin::Volume("large".to_owned()));
    assert_eq!(names(&reading(&by_claim("picky"), &store, &pins)), ["fits-a", "fits-b"]);
    pins.insert(claim_key("lab", "picky"), Pin::Volume("fits-b".to_owned()));
    assert_eq!(names(&reading(&by_claim("picky"), &store, &pins)), ["fits-b"]);
    let terms = reading(&by_claim("picky"), &store, &pins).terms;
    assert_eq!((terms.unbound[0].bytes, &terms.unbound[0].provision), (2 << 30, &None));
}

#[test]
fn a_new_volume_is_made_where_the_class_allows_and_for_the_node_that_was_selected() {
    let near =
        json!([{ "matchLabelExpressions": [{ "key": "zone", "values": ["a"] }] }, { "matchLabelExpressions": [] }]);
    let mut selected = unbound("near", "1Gi");
    selected["metadata"] = json!({ "annotations": { "volume.kubernetes.io/selected-node": "n1" } });
    let store = store(&[
        (Kind::StorageClass, "near", with(class("WaitForFirstConsumer", "d"), "/allowedTopologies", near)),
        (Kind::StorageClass, "far", class("WaitForFirstConsumer", "kubernetes.io/aws-ebs")),
        (Kind::Claim, "near", unbound("near", "1Gi")),
        (Kind::Claim, "far", unbound("far", "1Gi")),
        (Kind::Claim, "selected", selected),
    ]);
    let made = |name: &str, pins: &Pins| reading(&by_claim(name), &store, pins).terms.unbound[0].provision.clone();
    let zone = Requirement { key: "zone".into(), test: Test::In(["a".to_owned()].into()) };
    let term = |names: Vec<Test>| vec![NodeTerm { labels: vec![zone.clone()], names }, NodeTerm::default()];
    let only = |node: &str| vec![Test::In([node.to_owned()].into())];
    let mut pins = Pins::new();
    assert_eq!(made("near", &pins), Some(term(Vec::new())));
    assert_eq!(made("far", &pins), Some(Vec::new()));
    assert_eq!(made("selected", &pins), Some(term(only("n1"))));
    pins.insert(claim_key("lab", "far"), Pin::New { node: "n2".into(), seen: false });
    assert_eq!(made("far", &pins), Some(vec![NodeTerm { labels: Vec::new(), names: only("n2") }]));
    let attached = &reading(&by_claim("far"), &store, &pins).terms.attached;
    assert_eq!(attached["ebs.csi.aws.com"], ["claim lab/far".into()].into());
}

#[test]
fn disks_and_what_has_to_be_attached() {
    let store = store(&[
        (Kind::Volume, "csi", free("1Gi", &json!({ "csi": { "driver": "d", "volumeHandle": "h" } }))),
        (Kind::Volume, "ebs", free("1Gi", &json!({ "awsElasticBlockStore": { "volumeID": "vol-1" } }))),
        (Kind::Volume, "nfs", free("1Gi", &json!({ "nfs": {} }))),
        (
            Kind::Claim,
            "csi",
            with(bound("csi"), "/spec", json!({ "volumeName": "csi", "accessModes": ["ReadWriteOncePod"] })),
        ),
        (Kind::Claim, "ebs", bound("ebs")),
        (Kind::Claim, "nfs", bound("nfs")),
    ]);
    let claim = |name: &str| json!({ "name": name, "persistentVolumeClaim": { "claimName": name } });
    let pod = pod(json!([
        claim("csi"), claim("ebs"), claim("nfs"),
        { "name": "1", "awsElasticBlockStore": { "volumeID": "vol-2", "readOnly": true } },
        { "name": "2", "gcePersistentDisk": { "pdName": "disk", "readOnly": true } },
        { "name": "3", "gcePersistentDisk": { "pdName": "disk" } },
        { "name": "4", "rbd": { "monitors": ["m1", "m2"], "image": "i", "readOnly": true } },
        { "name": "5", "iscsi": { "iqn": "q", "readOnly": true } },
        { "name": "6", "emptyDir": {} }, { "name": "7", "csi": { "driver": "inline" } },
    ]));
    let terms = reading(&pod, &store, &Pins::new()).terms;
    let attached: Vec<String> = terms
        .attached
        .iter()
        .map(|(driver, ids)| format!("{driver} {}", ids.iter().map(|id| &**id).collect::<Vec<_>>().join(",")))
        .collect();
    assert_eq!(attached, ["d h", "ebs.csi.aws.com vol-1,vol-2", "pd.csi.storage.gke.io disk"]);
    let disks: Vec<(&str, bool)> = terms.disks.iter().map(|disk| (&*disk.name, disk.shared)).collect();
    let rbd = [("rbd m1 rbd i", true), ("rbd m2 rbd i", true)];
    assert_eq!(disks, [("aws vol-2", false), ("gce disk", false), rbd[0], rbd[1], ("iscsi q", true)]);
    assert_eq!(terms.sole, ["lab/csi".into()].into());
}

#[test]
fn what_is_left_to_do_for_a_claim() {
    let claim_ref = |name: &str, uid: &str| json!({ "claimRef": { "namespace": "lab", "name": name, "uid": uid } });
    let mut selected = unbound("late", "1Gi");
    selected["metadata"] = json!({ "annotations": { "volume.kubernetes.io/selected-node": "n" } });
    let here = |name: &str| {
        json!({ "nodeAffinity": { "required": { "nodeSelectorTerms": [
        { "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "In", "values": [name] }] }] } } })
    };
    let store = store(&[
        (Kind::Node, "n", json!({ "metadata": { "labels": { "kubernetes.io/hostname": "host" } } })),
        (Kind::Volume, "free", free("1Gi", &json!({}))),
        (Kind::Volume, "mine", free("1Gi", &claim_ref("claim", ""))),
        (Kind::Volume, "given", free("1Gi", &claim_ref("claim", "u-claim"))),
        (Kind::Volume, "taken", free("1Gi", &claim_ref("other", "u-other"))),
        (Kind::Volume, "here", free("1Gi", &here("host"))),
        (Kind::Volume, "there", free("1Gi", &here("other"))),
        (Kind::Claim, "claim", unbound("late", "1Gi")),
        (Kind::Claim, "selected", selected),
        (Kind::Claim, "bound-here", bound("here")),
        (Kind::Claim, "bound-there", bound("there")),
        (Kind::Claim, "bound-gone", bound("gone")),
    ]);
    let give = |volume: &str, by_controller| {
        let (claim, claim_uid) = (claim_key("lab", "claim"), "u-claim".to_owned());
        Progress::Todo(vec![VolumeStep::GiveVolume {
            volume: volume.into(),
            version: Some(7),
            claim,
            claim_uid,
            by_controller,
        }])
    };
    let select = VolumeStep::SelectNode { claim: claim_key("lab", "claim"), version: Some(7), node: "n".into() };
    let new = |node: &str, seen| Pin::New { node: node.into(), seen };
    let fails = |what: &str| Progress::Fails(what.to_owned());
    for (claim, pin, expected) in [
        ("claim", Some(Pin::Volume("free".into())), give("free", true)),
        ("claim", Some(Pin::Volume("mine".into())), give("mine", false)),
        ("claim", Some(Pin::Volume("given".into())), Progress::Waits),
        ("claim", Some(Pin::Volume("taken".into())), fails(r#"persistentvolume "taken" belongs to another claim"#)),
        ("claim", Some(Pin::Volume("gone".into())), fails(r#"persistentvolume "gone" not found"#)),
        ("claim", Some(new("n", false)), Progress::Todo(vec![select])),
        ("claim", Some(new("n", true)), fails(r#"provisioning failed for PVC "claim""#)),
        ("claim", Some(new("m", false)), fails(r#"a volume of claim "claim" is made for node "m""#)),
        ("claim", None, fails(r#"nothing is decided of claim "claim""#)),
        ("selected", Some(new("n", false)), Progress::Waits),
        ("bound-here", None, Progress::Ready),
        ("bound-there", None, fails(r#"pv "there" node affinity doesn't match node "n""#)),
        ("bound-gone", None, Progress::Waits),
        ("nothing", None, fails(r#"persistentvolumeclaim "nothing" not found"#)),
    ] {
        let pins: Pins = pin.clone().map(|pin| (claim_key("lab", claim), pin)).into_iter().collect();
        assert_eq!(progress(&by_claim(claim), "n", &store, &pins), expected, "{claim} {pin:?}");
    }
}
