//! Volumes from objects to a binding: what the engine is told, what it decides, what has to be written, and what follows.

mod common;

use berth_engine::gang::Stage;
use berth_engine::{Decision, Event};
use berth_scheduler::{Change, Key, Kind, Object, Progress, VolumeStep};
use common::{NOW, Pair, node, object, pod};
use serde_json::{Value, json};

fn key(name: &str) -> Key {
    Key { kind: Kind::Pod, namespace: "lab".into(), name: name.into() }
}

fn claim(name: &str) -> Key {
    Key { kind: Kind::Claim, namespace: "lab".into(), name: name.into() }
}

/// A pod with these claims, in a gang of this size if it is not alone.
fn with_claims(name: &str, claims: &[&str], gang: Option<(&str, u32)>) -> Object {
    let volume = |claim: &&str| json!({ "name": claim, "persistentVolumeClaim": { "claimName": claim } });
    let mut json = json!({ "spec": { "volumes": claims.iter().map(volume).collect::<Vec<_>>() } });
    if let Some((gang, size)) = gang {
        json["metadata"]["annotations"] = json!({ "berth.dev/gang": gang, "berth.dev/gang-size": size.to_string() });
    }
    pod(name, 1, json)
}

fn class(name: &str, provisioner: &str) -> Object {
    object(
        Kind::StorageClass,
        "",
        name,
        1,
        json!({ "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer" }),
    )
}

fn unbound(name: &str, class: &str) -> Object {
    let resources = json!({ "requests": { "storage": "1Gi" } });
    let spec = json!({ "storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": resources });
    object(Kind::Claim, "lab", name, 1, json!({ "spec": spec }))
}

fn bound(name: &str, class: &str, volume: &str) -> Object {
    let spec = json!({ "storageClassName": class, "accessModes": ["ReadWriteOnce"], "volumeName": volume });
    let done = json!({ "annotations": { "pv.kubernetes.io/bind-completed": "yes" } });
    object(Kind::Claim, "lab", name, 3, json!({ "metadata": done, "spec": spec, "status": { "phase": "Bound" } }))
}

/// A volume of class `local` on the node with this hostname.
fn local(name: &str, host: &str, version: u64, more: Value) -> Object {
    let on = json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": [host] });
    let mut json = json!({ "spec": { "storageClassName": "local", "capacity": { "storage": "2Gi" }, "accessModes": ["ReadWriteOnce"],
        "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [on] }] } } }, "status": { "phase": "Available" } });
    common::merge(&mut json, more);
    object(Kind::Volume, "", name, version, json)
}

fn given_to(claim: &str) -> Value {
    json!({ "spec": { "claimRef": { "namespace": "lab", "name": claim, "uid": format!("Claim/lab/{claim}") } } })
}

/// A cycle, with everything noted; returns who was bound where.
fn decide(pair: &mut Pair) -> Vec<(String, String)> {
    let mut placed = Vec::new();
    for decision in pair.engine.decide(NOW) {
        pair.world.decided(&decision);
        if let Decision::Bind { pods, .. } = &decision {
            for one in pods {
                let pod = pair.world.pod(one.slot.pod).map(|(key, _)| key.name.clone());
                let node = pair.world.node(one.slot.node).map(str::to_owned);
                placed.extend(pod.zip(node));
            }
        }
    }
    pair.world.volumes_decided(pair.engine.state());
    placed
}

fn placed(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(pod, node)| ((*pod).to_owned(), (*node).to_owned())).collect()
}

/// The volume that a pod's claim is to be given next.
fn to_give(pair: &Pair, pod: &str, node: &str) -> Option<String> {
    match pair.world.volume_progress(&key(pod), node) {
        Progress::Todo(steps) => match steps.as_slice() {
            [VolumeStep::GiveVolume { volume, by_controller: true, .. }] => Some(volume.clone()),
            other => panic!("{other:?}"),
        },
        _ => None,
    }
}

fn stage(pair: &Pair, name: &str) -> Option<Stage> {
    pair.engine.state().pods().get(&pair.world.pod_id(&key(name))?).map(|pod| pod.stage)
}

fn is_only_about_volumes(events: &[Event]) -> bool {
    events.iter().all(|event| matches!(event, Event::VolumesChanged { .. }))
}

#[test]
fn a_local_volume_on_its_way_to_a_claim() {
    let mut pair = Pair::default();
    pair.applied([
        node("a", 1, 4, json!({ "metadata": { "labels": { "kubernetes.io/hostname": "host-a" } } })),
        node("b", 1, 4, json!({})),
        class("local", "kubernetes.io/no-provisioner"),
        unbound("data", "local"),
        local("va", "host-a", 1, json!({})),
        with_claims("one", &["data"], None),
    ]);
    assert_eq!(decide(&mut pair), placed(&[("one", "a")]));
    assert_eq!(to_give(&pair, "one", "a").as_deref(), Some("va"));
    assert!(is_only_about_volumes(&pair.tell()), "what was decided is told back, and moves nobody");
    let late = pair.applied([unbound("more", "local"), with_claims("two", &["more"], None)]);
    assert!(late.iter().any(|event| matches!(event, Event::PodAdded { .. })));
    assert_eq!(decide(&mut pair), [], "the volume is promised, though it does not say so yet");
    assert_eq!(stage(&pair, "two"), Some(Stage::Pending));

    pair.applied([local("va", "host-a", 2, given_to("data"))]);
    assert_eq!(pair.world.volume_progress(&key("one"), "a"), Progress::Waits);
    let events = pair.applied([bound("data", "local", "va")]);
    assert!(!events.is_empty() && is_only_about_volumes(&events), "{events:?}");
    assert_eq!(pair.world.volume_progress(&key("one"), "a"), Progress::Ready);
    assert_eq!(stage(&pair, "one"), Some(Stage::Placed));

    pair.applied([local("vb", "b", 1, json!({}))]);
    assert_eq!(decide(&mut pair), placed(&[("two", "b")]));
    assert_eq!(to_give(&pair, "two", "b").as_deref(), Some("vb"));
}

#[test]
fn each_pod_of_a_gang_has_its_own_volume_and_a_failed_binding_gives_it_back() {
    let mut pair = Pair::default();
    let mut objects = vec![class("local", "kubernetes.io/no-provisioner")];
    for at in ["a", "b"] {
        objects.push(node(at, 1, 4, json!({})));
        objects.push(local(&format!("v{at}"), at, 1, json!({})));
        objects.push(unbound(&format!("data-{at}"), "local"));
        objects.push(with_claims(&format!("p-{at}"), &[&format!("data-{at}")], Some(("g", 2))));
    }
    pair.applied(objects);
    assert_eq!(decide(&mut pair), placed(&[("p-a", "a"), ("p-b", "b")]));
    let given = [to_give(&pair, "p-a", "a"), to_give(&pair, "p-b", "b")];
    assert_eq!(given, [Some("va".to_owned()), Some("vb".to_owned())]);
    for name in ["p-a", "p-b"] {
        let event = pair.world.bind_failed(&key(name)).expect("it was booked");
        pair.engine.apply(event, NOW).expect("it is placed");
    }
    assert!(is_only_about_volumes(&pair.tell()));
    let fails = pair.world.volume_progress(&key("p-a"), "a");
    assert_eq!(fails, Progress::Fails("nothing is decided of claim \"data-a\"".into()));
    let later = berth_engine::Timestamp(NOW.0 + 3_600_000);
    assert!(pair.engine.decide(later).iter().any(|decision| matches!(decision, Decision::Bind { .. })));
}

#[test]
fn a_volume_is_made_for_the_node_of_its_pod() {
    let mut pair = Pair::default();
    pair.applied([
        node("a", 1, 4, json!({})),
        node("b", 1, 4, json!({})),
        class("made", "d"),
        unbound("data", "made"),
        with_claims("one", &["data"], None),
    ]);
    assert_eq!(decide(&mut pair), placed(&[("one", "a")]));
    let select = VolumeStep::SelectNode { claim: claim("data"), version: Some(1), node: "a".into() };
    assert_eq!(pair.world.volume_progress(&key("one"), "a"), Progress::Todo(vec![select]));
    pair.tell();
    // Who else uses the claim is held to the node until the volume is there.
    pair.applied([with_claims("two", &["data"], None), node("a", 2, 1, json!({}))]);
    assert_eq!(decide(&mut pair), []);
    let selected = json!({ "metadata": { "annotations": { "volume.kubernetes.io/selected-node": "a" } },
        "spec": { "storageClassName": "made", "accessModes": ["ReadWriteOnce"] } });
    pair.applied([object(Kind::Claim, "lab", "data", 2, selected)]);
    assert_eq!(pair.world.volume_progress(&key("one"), "a"), Progress::Waits);
    let everywhere =
        json!({ "spec": { "csi": { "driver": "d", "volumeHandle": "h" } }, "status": { "phase": "Bound" } });
    pair.applied([object(Kind::Volume, "", "new", 1, everywhere), bound("data", "made", "new")]);
    assert_eq!(pair.world.volume_progress(&key("one"), "a"), Progress::Ready);
    assert_eq!(decide(&mut pair), placed(&[("two", "b")]));
}

#[test]
fn whoever_cannot_make_the_volume_says_so_by_taking_the_annotation_away() {
    let mut pair = Pair::default();
    pair.applied([
        node("a", 1, 4, json!({})),
        class("made", "d"),
        unbound("data", "made"),
        with_claims("one", &["data"], None),
    ]);
    decide(&mut pair);
    pair.tell();
    let version = |version, annotations: Value| {
        let spec = json!({ "storageClassName": "made", "accessModes": ["ReadWriteOnce"] });
        object(Kind::Claim, "lab", "data", version, json!({ "metadata": { "annotations": annotations }, "spec": spec }))
    };
    pair.applied([version(2, json!({ "volume.kubernetes.io/selected-node": "a" }))]);
    pair.applied([version(3, json!({}))]);
    let failed = Progress::Fails("provisioning failed for PVC \"data\"".into());
    assert_eq!(pair.world.volume_progress(&key("one"), "a"), failed);
}

#[test]
fn a_pod_waits_for_its_claim_in_kube_schedulers_words_and_runs_on_without_it() {
    let mut pair = Pair::default();
    pair.applied([node("a", 1, 4, json!({})), with_claims("one", &["data"], None)]);
    let refusal = "persistentvolumeclaim \"data\" not found";
    assert_eq!(pair.world.volume_refusal(&key("one")), Some(refusal));
    assert!(pair.problems()[0].contains(&format!("spec.volumes: {refusal}")), "{:?}", pair.problems());
    assert_eq!(stage(&pair, "one"), None);
    pair.applied([local("va", "a", 1, given_to("data")), bound("data", "local", "va")]);
    assert_eq!((pair.world.volume_refusal(&key("one")), pair.problems().len()), (None, 0));
    assert_eq!(decide(&mut pair), placed(&[("one", "a")]));
    pair.world.apply(Change::Deleted { key: claim("data"), uid: String::new() });
    pair.tell();
    assert_eq!(stage(&pair, "one"), Some(Stage::Placed), "whoever has a place keeps it");
}

#[test]
fn nodes_attach_as_many_volumes_as_they_say() {
    let limit = |version, count| {
        let drivers = json!([{ "name": "d", "allocatable": { "count": count } }, { "name": "other" }]);
        object(Kind::CsiNode, "", "a", version, json!({ "spec": { "drivers": drivers } }))
    };
    let volume = |name: &str| {
        let csi = json!({ "spec": { "csi": { "driver": "d", "volumeHandle": name } }, "status": { "phase": "Bound" } });
        object(Kind::Volume, "", name, 1, csi)
    };
    let mut pair = Pair::default();
    pair.applied([limit(1, 1), volume("v1"), volume("v2"), bound("c1", "", "v1"), bound("c2", "", "v2")]);
    pair.applied([node("a", 1, 4, json!({})), with_claims("one", &["c1"], None), with_claims("two", &["c2"], None)]);
    assert_eq!(decide(&mut pair), placed(&[("one", "a")]));
    let changed = pair.applied([limit(2, 2)]);
    assert!(matches!(changed.as_slice(), [Event::VolumeLimits { .. }]), "{changed:?}");
    assert_eq!(decide(&mut pair), placed(&[("two", "a")]));
    pair.world.apply(Change::Deleted { key: Key::cluster(Kind::CsiNode, "a"), uid: String::new() });
    pair.tell();
    let (a, state) = (pair.world.node_id("a").expect("a node"), pair.engine.state());
    assert_eq!((state.volume_limit(a, "d"), state.volume_limit(a, "other")), (None, None));
}
