//! Whatever the order in which watches tell of the same objects, with whatever told twice, late or never to the end, the engine
//! comes to know the same.

mod common;

use berth_config::scheduler::GroupConvention;
use berth_scheduler::{Change, Kind, Object};
use common::{Pair, node, object, pod};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The life of one object: its versions in order, and whether it is gone in the end.
#[derive(Debug, Clone)]
struct Life {
    versions: Vec<Object>,
    gone: bool,
}

/// What a watch may say of an object next.
#[derive(Debug, Clone, Copy)]
struct Step {
    life: usize,
    /// Tell an older version once more instead of the next one.
    again: bool,
    /// Have the engine told afterwards.
    drain: bool,
}

fn pick(from: &[Value]) -> impl Strategy<Value = Value> + use<> {
    proptest::sample::select(from.to_vec())
}

/// What may be different between two versions of a pod, all of it in one.
fn trait_of_pod() -> impl Strategy<Value = Value> {
    let gpus = |count: &str| json!({ "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "1", "nvidia.com/gpu": count } } }] } });
    let annotated =
        |size: &str| json!({ "metadata": { "annotations": { "berth.dev/gang": "h", "berth.dev/gang-size": size } } });
    let near = |rule: &str| {
        let term = json!([{ "labelSelector": { "matchLabels": { "app": "x" } }, "topologyKey": "rack" }]);
        json!({ "spec": { "affinity": { rule: { "requiredDuringSchedulingIgnoredDuringExecution": term } } } })
    };
    let apart = |namespaces: Value| {
        let labels = json!({ "matchExpressions": [{ "key": "team", "operator": "DoesNotExist" }] });
        let term = json!([{ "labelSelector": labels, "namespaceSelector": namespaces, "topologyKey": "kubernetes.io/hostname" }]);
        json!({ "spec": { "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": term } } } })
    };
    pick(&[
        json!({}),
        apart(json!({})),
        apart(json!({ "matchLabels": { "berth.dev/queue": "b" } })),
        json!({ "spec": { "topologySpreadConstraints": [
            { "topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": "x" } } },
        ] } }),
        gpus("1"),
        gpus("2"),
        gpus("many"),
        annotated("1"),
        annotated("2"),
        near("podAffinity"),
        near("podAntiAffinity"),
        json!({ "metadata": { "labels": { "app": "x" } } }),
        json!({ "metadata": { "labels": { "berth.dev/queue": "a" } } }),
        json!({ "metadata": { "labels": { "berth.dev/queue": "b" } } }),
        json!({ "metadata": { "labels": { "scheduling.x-k8s.io/pod-group": "c" } } }),
        json!({ "metadata": { "annotations": { "pod-group-name": "k" }, "labels": { "kai.scheduler/subgroup-name": "one" } } }),
        json!({ "metadata": { "annotations": { "gpu-fraction": "0.5" } } }),
        json!({ "metadata": { "annotations": { "berth.dev/required-topology": "rack" } } }),
        json!({ "spec": { "schedulingGroup": { "podGroupName": "g" } } }),
        json!({ "spec": { "schedulerName": "default-scheduler" } }),
        json!({ "spec": { "nodeSelector": { "kubernetes.io/hostname": "n1" } } }),
        json!({ "spec": { "nodeSelector": { "rack": "r1" } } }),
        json!({ "spec": { "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
            { "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["n2"] }] },
            { "matchExpressions": [{ "key": "noise", "operator": "Exists" }] },
        ] } } } } }),
        json!({ "spec": { "priority": 7, "preemptionPolicy": "Never" } }),
        json!({ "spec": { "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "c0" } }] } }),
        json!({ "spec": { "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "c1" } },
            { "name": "d", "gcePersistentDisk": { "pdName": "d" } }] } }),
    ])
}

/// A pod's way through its phases; what has been bound stays where it is.
fn life_of_pod(name: &'static str, first: u64) -> impl Strategy<Value = Life> {
    let traits = proptest::collection::vec((trait_of_pod(), trait_of_pod()), 5);
    (traits, 1..=5_usize, 0..3_u32, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        move |(traits, length, node, gated, ends_well, gone)| {
            let bound = json!({ "spec": { "nodeName": format!("n{node}") } });
            let started = json!({ "status": { "phase": "Running", "startTime": "2026-11-21T17:30:00Z" } });
            let going = json!({ "metadata": { "deletionTimestamp": "2026-11-21T17:40:00Z" } });
            let gates = if gated { json!({ "spec": { "schedulingGates": [{ "name": "a/b" }] } }) } else { json!({}) };
            let end = if ends_well { json!({ "status": { "phase": "Succeeded" } }) } else { going };
            let phases = [vec![&gates], vec![], vec![&bound], vec![&bound, &started], vec![&bound, &started, &end]];
            let versions = phases.into_iter().zip(traits).take(length).enumerate().map(|(at, (phase, (one, two)))| {
                let mut json = one;
                common::merge(&mut json, two);
                phase.into_iter().for_each(|more| common::merge(&mut json, more.clone()));
                pod(name, first + at as u64, json)
            });
            Life { versions: versions.collect(), gone }
        },
    )
}

/// An object with some of these contents, one after the other.
fn life_of(
    kind: Kind,
    namespace: &'static str,
    name: &'static str,
    contents: Vec<Value>,
) -> impl Strategy<Value = Life> {
    (proptest::collection::vec(pick(&contents), 1..4), any::<bool>()).prop_map(move |(contents, gone)| {
        let versions = contents.into_iter().enumerate();
        let versions = versions.map(|(at, json)| match kind {
            Kind::Node => node(name, 1 + at as u64, 16, json),
            kind => object(kind, namespace, name, 1 + at as u64, json),
        });
        Life { versions: versions.collect(), gone }
    })
}

/// Claims, volumes, a class and what a node can attach.
fn lives_of_volumes() -> impl Strategy<Value = Vec<Life>> {
    let claim = |class: &str, volume: &str| {
        json!({ "metadata": { "annotations": if volume.is_empty() { json!({}) } else { json!({ "pv.kubernetes.io/bind-completed": "yes" }) } },
            "spec": { "storageClassName": class, "volumeName": volume, "accessModes": ["ReadWriteOncePod"],
                "resources": { "requests": { "storage": "1Gi" } } } })
    };
    let claims =
        move || vec![claim("late", ""), claim("late", ""), claim("late", "v0"), claim("soon", ""), claim("soon", "v1")];
    let volume = |more: Value| {
        let mut json = json!({ "spec": { "storageClassName": "late", "capacity": { "storage": "2Gi" }, "accessModes": ["ReadWriteOncePod"],
            "csi": { "driver": "d", "volumeHandle": "h" } }, "status": { "phase": "Available" } });
        common::merge(&mut json, more);
        json
    };
    let on = |key: &str, value: &str| {
        let terms = json!([{ "matchExpressions": [{ "key": key, "operator": "In", "values": [value] }] }]);
        json!({ "spec": { "nodeAffinity": { "required": { "nodeSelectorTerms": terms } } } })
    };
    let volumes = move || {
        let owned = json!({ "spec": { "claimRef": { "namespace": "lab", "name": "c0" } } });
        let zone = json!({ "metadata": { "labels": { "topology.kubernetes.io/zone": "z" } } });
        [json!({}), owned, zone, on("kubernetes.io/hostname", "n0"), on("rack", "r1"), on("noise", "x")]
            .map(volume)
            .into()
    };
    let class = |mode: &str, maker: &str| json!({ "volumeBindingMode": mode, "provisioner": maker });
    let near = json!([{ "matchLabelExpressions": [{ "key": "rack", "values": ["r1"] }] }]);
    let classes = vec![
        class("Immediate", "d"),
        class("WaitForFirstConsumer", "d"),
        class("WaitForFirstConsumer", "kubernetes.io/no-provisioner"),
        json!({ "volumeBindingMode": "WaitForFirstConsumer", "provisioner": "d", "allowedTopologies": near }),
    ];
    let limit = |count: Value| json!({ "spec": { "drivers": [{ "name": "d", "allocatable": { "count": count } }] } });
    let all = (
        life_of(Kind::Claim, "lab", "c0", claims()),
        life_of(Kind::Claim, "lab", "c1", claims()),
        life_of(Kind::Volume, "", "v0", volumes()),
        life_of(Kind::Volume, "", "v1", volumes()),
        life_of(Kind::StorageClass, "", "late", classes),
        life_of(Kind::CsiNode, "", "n0", vec![json!({}), limit(json!(1)), limit(json!(2)), limit(Value::Null)]),
    );
    all.prop_map(|(c0, c1, v0, v1, class, node)| vec![c0, c1, v0, v1, class, node])
}

fn lives() -> impl Strategy<Value = Vec<Life>> {
    let nodes = || {
        vec![
            json!({ "metadata": { "labels": { "rack": "r1" } } }),
            json!({ "metadata": { "labels": { "rack": "r2", "noise": "x" } }, "spec": { "unschedulable": true } }),
            json!({ "status": { "allocatable": { "cpu": "1" } } }),
            json!({ "status": { "allocatable": { "cpu": "-1" } } }),
        ]
    };
    let queues = || {
        let parent = |name: &str| json!({ "spec": { "parent": name } });
        vec![json!({ "spec": {} }), parent("a"), parent("b"), parent("z"), json!({ "spec": { "priority": "high" } })]
    };
    let native = vec![
        json!({ "spec": { "schedulingPolicy": { "gang": { "minCount": 2 } } } }),
        json!({ "spec": { "schedulingPolicy": { "basic": {} }, "schedulingConstraints": { "topology": [{ "key": "kubernetes.io/hostname" }] } } }),
        json!({ "spec": { "schedulingPolicy": {} } }),
    ];
    let simple = vec![
        json!({ "spec": { "minMember": 2 } }),
        json!({ "spec": { "minMember": 1 }, "metadata": { "labels": { "berth.dev/queue": "b" } } }),
        json!({ "spec": { "minMember": "two" } }),
    ];
    let tree = |parent: &str| {
        json!({ "spec": { "queue": "a", "priorityClassName": "high",
        "subGroups": [{ "name": "one", "minMember": 1 }, { "name": "two", "minMember": 1, "parent": parent }] } })
    };
    let kai = vec![tree(""), tree("one"), tree("two"), json!({ "spec": { "minMember": 1 } })];
    let budget = |key: &str| json!({ "spec": { "selector": { "matchLabels": { key: "x" } } }, "status": { "disruptionsAllowed": 1 } });
    let things = (
        [
            life_of(Kind::Node, "", "n0", nodes()),
            life_of(Kind::Node, "", "n1", nodes()),
            life_of(Kind::Node, "", "n2", nodes()),
        ],
        [life_of(Kind::Queue, "", "a", queues()), life_of(Kind::Queue, "", "b", queues())],
        [
            life_of(Kind::PodGroup(GroupConvention::Native), "lab", "g", native),
            life_of(Kind::PodGroup(GroupConvention::Coscheduling), "lab", "c", simple),
            life_of(Kind::PodGroup(GroupConvention::Kai), "lab", "k", kai),
        ],
        life_of(Kind::Budget, "lab", "b", vec![budget("app"), budget("team"), json!({ "spec": { "selector": {} } })]),
        life_of(Kind::PriorityClass, "", "high", vec![json!({ "value": 50 }), json!({ "value": 200 })]),
        life_of(
            Kind::Namespace,
            "",
            "lab",
            vec![json!({}), json!({ "metadata": { "labels": { "berth.dev/queue": "b" } } })],
        ),
    );
    let pods =
        [life_of_pod("p0", 1), life_of_pod("p1", 1), life_of_pod("p2", 1), life_of_pod("p3", 1), life_of_pod("p4", 1)];
    (things, pods, lives_of_volumes()).prop_map(|((nodes, queues, groups, budget, class, namespace), pods, volumes)| {
        let all = nodes.into_iter().chain(queues).chain(groups).chain([budget, class, namespace]);
        all.chain(pods).chain(volumes).collect()
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..22_usize, proptest::bool::weighted(0.2), proptest::bool::weighted(0.3));
    proptest::collection::vec(step.prop_map(|(life, again, drain)| Step { life, again, drain }), 0..160)
}

/// What is there in the end, told at once.
fn at_once(lives: &[Life]) -> Pair {
    let mut pair = Pair::default();
    let last = lives.iter().filter(|life| !life.gone).filter_map(|life| life.versions.last().cloned());
    pair.applied(last);
    pair
}

/// The same by and by; what the steps leave out comes at the end.
fn by_and_by(lives: &[Life], steps: &[Step]) -> Pair {
    let mut pair = Pair::default();
    let mut told = vec![0; lives.len()];
    let rest = (0..lives.len()).flat_map(|life| vec![Step { life, again: false, drain: false }; 8]);
    for step in steps.iter().copied().chain(rest) {
        let Some(life) = lives.get(step.life) else { continue };
        let next = told[step.life];
        let change = match life.versions.get(if step.again { next / 2 } else { next }) {
            Some(version) => Change::Applied(version.clone()),
            None if life.gone => {
                let last = &life.versions[life.versions.len() - 1];
                Change::Deleted { key: last.key.clone(), uid: last.uid.clone() }
            }
            None => continue,
        };
        // An older version again, but never a newer one than told so far: that would be another order of the same life.
        if !step.again || next > 0 {
            pair.world.apply(change);
        }
        told[step.life] += usize::from(!step.again);
        if step.drain {
            pair.tell();
        }
    }
    pair.tell();
    pair
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1024), ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_messages_makes_no_difference(lives in lives(), steps in steps()) {
        let (expected, mut found) = (at_once(&lives), by_and_by(&lives, &steps));
        prop_assert_eq!(expected.picture(), found.picture());
        let mut problems = [expected.problems(), found.problems()];
        problems.iter_mut().for_each(|list| list.sort());
        prop_assert_eq!(&problems[0], &problems[1]);
        prop_assert_eq!(found.engine.state().digest(), found.engine.state().rebuild().digest());

        let lists = lives.iter().filter(|life| !life.gone).filter_map(|life| life.versions.last());
        let mut kinds: Vec<Kind> = lives.iter().map(|life| life.versions[0].key.kind).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let objects = lists.clone().filter(|object| object.key.kind == kind).cloned().collect();
            found.world.apply(Change::Replaced { kind, objects });
        }
        prop_assert_eq!(found.tell(), vec![], "a list of what is known already");
    }
}
