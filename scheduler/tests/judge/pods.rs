//! Pods by seed: a few constraints each, which may contradict the cluster and each other. What the API server would not accept
//! may be drawn as well: then it is drawn again.

use serde_json::{Map, Value, json};

use crate::cluster::NAMESPACES;
use crate::dice::Dice;
use crate::terms;
use crate::volumes;

/// A class of pods with an overhead, which the plane has to have.
pub(crate) const HEAVY: &str = "heavy";

/// What a pod may ask for by name.
pub(crate) struct Around<'a> {
    /// The batch, which is part of the names of claims.
    pub(crate) seed: u64,
    pub(crate) nodes: &'a [&'a str],
}

/// A pod that is to be judged. The first of every other batch has claims of its own: kube-scheduler takes a second to bind those.
pub(crate) fn judged(dice: &mut Dice, around: &Around<'_>, index: u64) -> Value {
    let mut pod = bare(dice, 3);
    let draws: [fn(&mut Dice, &mut Value, &Around<'_>); 16] = [
        extended,
        extended,
        init_containers,
        whole,
        node_selector,
        node_affinity,
        tolerations,
        host_ports,
        affinity,
        anti_affinity,
        anti_affinity,
        spread,
        spread,
        volumes::used,
        volumes::used,
        preferences,
    ];
    // Taints keep most pods off otherwise, and nothing else would be seen.
    if dice.chance(40) {
        pod["spec"]["tolerations"] = json!([{ "operator": "Exists" }]);
    }
    if index == 0 && around.seed.is_multiple_of(2) {
        volumes::own(dice, &mut pod, around);
        return pod;
    }
    for _ in 0..dice.below(5) {
        dice.pick(&draws)(dice, &mut pod, around);
    }
    pod
}

/// A pod that is there already: small, with what others have to mind.
pub(crate) fn furniture(dice: &mut Dice, around: &Around<'_>) -> Value {
    let mut pod = bare(dice, 1);
    pod["spec"]["schedulerName"] = json!("nobody");
    if dice.chance(25) {
        extended(dice, &mut pod, around);
    }
    if dice.chance(25) {
        host_ports(dice, &mut pod, around);
    }
    if dice.chance(30) {
        anti_affinity(dice, &mut pod, around);
    }
    if dice.chance(15) {
        volumes::kept(dice, &mut pod, around);
    }
    pod
}

/// Labels, a namespace, and one or two containers; `size` scales what they ask for.
fn bare(dice: &mut Dice, size: usize) -> Value {
    let mut containers = vec![container(dice, "c0", size)];
    if dice.chance(20) {
        containers.push(container(dice, "c1", size));
    }
    json!({
        "metadata": { "namespace": dice.pick(&NAMESPACES).0, "labels": labels(dice) },
        "spec": { "containers": containers },
    })
}

fn labels(dice: &mut Dice) -> Map<String, Value> {
    let mut labels = Map::new();
    for (key, values, percent) in
        [("app", &["web", "db", "cache"][..], 80), ("tier", &["gold", "silver"], 50), ("version", &["1", "2"], 30)]
    {
        if dice.chance(percent) {
            labels.insert(key.to_owned(), json!(dice.pick(values)));
        }
    }
    labels
}

fn container(dice: &mut Dice, name: &str, size: usize) -> Value {
    let mut requests = Map::new();
    for (resource, values, percent) in [
        ("cpu", &["100m", "250m", "1", "3"][..], 60),
        ("memory", &["64Mi", "256M", "1Gi", "3Gi"], 50),
        ("ephemeral-storage", &["1M", "512Mi", "2Gi", "2Gi"], 10),
    ] {
        if dice.chance(percent) {
            requests.insert(resource.to_owned(), json!(values[dice.below(1 + size)]));
        }
    }
    json!({ "name": name, "image": "never-pulled", "resources": { "requests": requests } })
}

/// Resources of which requests and limits have to be the same.
fn extended(dice: &mut Dice, pod: &mut Value, _: &Around<'_>) {
    let (name, values) = dice.pick(&[
        ("nvidia.com/gpu", &["1", "2", "4"][..]),
        ("nvidia.com/gpu", &["1", "2", "4"]),
        ("example.com/foo", &["1", "2"]),
        ("hugepages-2Mi", &["2Mi", "8Mi"]),
    ]);
    let amount = json!(dice.pick(values));
    let resources = &mut pod["spec"]["containers"][0]["resources"];
    resources["requests"][name] = amount.clone();
    resources["limits"][name] = amount;
    resources["requests"]["cpu"] = json!("50m"); // huge pages want another one beside them
}

fn init_containers(dice: &mut Dice, pod: &mut Value, _: &Around<'_>) {
    let all = (0..1 + dice.below(3)).map(|at| {
        let mut one = container(dice, &format!("i{at}"), 3);
        if dice.chance(40) {
            one["restartPolicy"] = json!("Always");
        }
        one
    });
    pod["spec"]["initContainers"] = all.collect();
}

/// What is asked for the pod as a whole: its overhead, or its resources at pod level.
fn whole(dice: &mut Dice, pod: &mut Value, _: &Around<'_>) {
    if dice.chance(50) {
        pod["spec"]["runtimeClassName"] = json!(HEAVY);
    } else {
        let requests = json!({ "cpu": dice.pick(&["1", "3", "6"]), "memory": dice.pick(&["1Gi", "4Gi"]) });
        pod["spec"]["resources"] = json!({ "requests": requests });
    }
}

fn node_selector(dice: &mut Dice, pod: &mut Value, around: &Around<'_>) {
    let (key, values) = dice.pick(&[
        ("topology.kubernetes.io/zone", &["z0", "z1"][..]),
        ("disk", &["ssd", "hdd", "tape"]),
        ("kubernetes.io/hostname", around.nodes),
    ]);
    pod["spec"]["nodeSelector"] = json!({ key: dice.pick(values) });
}

fn node_affinity(dice: &mut Dice, pod: &mut Value, around: &Around<'_>) {
    let terms: Value = (0..1 + dice.below(3)).map(|_| node_term(dice, around.nodes)).collect();
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!({ "nodeSelectorTerms": terms });
}

fn node_term(dice: &mut Dice, nodes: &[&str]) -> Value {
    let mut term = json!({});
    if dice.chance(85) {
        term["matchExpressions"] = (0..1 + dice.below(2)).map(|_| node_requirement(dice, nodes)).collect();
    }
    if dice.chance(20) {
        let rules = (0..dice.pick(&[1, 1, 1, 2])).map(|_| {
            let name = if dice.chance(10) { "nobody" } else { dice.pick(nodes) };
            let operator = dice.pick(&["In", "In", "NotIn"]);
            json!({ "key": "metadata.name", "operator": operator, "values": [name] })
        });
        term["matchFields"] = rules.collect();
    }
    term
}

fn node_requirement(dice: &mut Dice, nodes: &[&str]) -> Value {
    let (key, values) = dice.pick(&[
        ("topology.kubernetes.io/zone", &["z0", "z1", "z2"][..]),
        ("disk", &["ssd", "hdd"]),
        ("rack", &["r0", "r1", "r9"]),
        ("cores", &["4", "16"]),
        ("kubernetes.io/hostname", nodes),
    ]);
    match dice.pick(&["In", "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]) {
        operator @ ("Exists" | "DoesNotExist") => json!({ "key": key, "operator": operator }),
        operator @ ("Gt" | "Lt") => {
            json!({ "key": "cores", "operator": operator, "values": [dice.pick(&["0", "4", "8", "20"])] })
        }
        operator => {
            let count = 1 + dice.below(2);
            let values: Vec<&str> = (0..count).map(|_| dice.pick(values)).collect();
            json!({ "key": key, "operator": operator, "values": values })
        }
    }
}

fn tolerations(dice: &mut Dice, pod: &mut Value, _: &Around<'_>) {
    let all = (0..1 + dice.below(3)).map(|_| {
        let mut one =
            json!({ "key": dice.pick(&["dedicated", "dedicated", "flaky", "node.kubernetes.io/unschedulable"]) });
        if dice.chance(50) {
            one["operator"] = json!("Exists");
        } else {
            one["value"] = json!(dice.pick(&["a", "b", ""]));
        }
        if dice.chance(50) {
            one["effect"] = json!(dice.pick(&["NoSchedule", "NoExecute", "PreferNoSchedule"]));
        }
        one
    });
    pod["spec"]["tolerations"] = all.collect();
}

fn host_ports(dice: &mut Dice, pod: &mut Value, _: &Around<'_>) {
    if dice.chance(10) {
        pod["spec"]["hostNetwork"] = json!(true);
        pod["spec"]["containers"][0]["ports"] = json!([{ "containerPort": dice.pick(&[80, 8080]) }]);
        return;
    }
    let ports = (0..1 + dice.below(2)).map(|at| {
        let mut port = json!({ "containerPort": 1000 + at, "hostPort": dice.pick(&[53, 80, 80, 8080]) });
        if dice.chance(40) {
            port["protocol"] = json!(dice.pick(&["TCP", "UDP", "SCTP"]));
        }
        if dice.chance(50) {
            port["hostIP"] = json!(dice.pick(&["0.0.0.0", "127.0.0.1", "10.0.0.1"]));
        }
        port
    });
    pod["spec"]["containers"][0]["ports"] = ports.collect();
}

fn affinity(dice: &mut Dice, pod: &mut Value, _: &Around<'_>) {
    let terms: Value = (0..1 + dice.below(2)).map(|_| terms::near(dice)).collect();
    pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = terms;
}

fn anti_affinity(dice: &mut Dice, pod: &mut Value, _: &Around<'_>) {
    let terms: Value = (0..1 + dice.below(2)).map(|_| terms::near(dice)).collect();
    pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = terms;
}

fn spread(dice: &mut Dice, pod: &mut Value, _: &Around<'_>) {
    let first = terms::spread(dice, terms::KEYS[0]);
    let other = terms::KEYS[1 + dice.below(3)];
    let second = terms::spread(dice, other);
    pod["spec"]["topologySpreadConstraints"] = match dice.below(3) {
        0 => json!([first]),
        1 => json!([second]),
        _ => json!([first, second]),
    };
}

/// What must not make a difference to whether the pod fits.
fn preferences(dice: &mut Dice, pod: &mut Value, around: &Around<'_>) {
    let node = json!({ "weight": 10, "preference": { "matchExpressions": [node_requirement(dice, around.nodes)] } });
    let near = json!({ "weight": 20, "podAffinityTerm": terms::near(dice) });
    let apart = json!({ "weight": 30, "podAffinityTerm": terms::near(dice) });
    let affinity = &mut pod["spec"]["affinity"];
    for (kind, one) in [("nodeAffinity", node), ("podAffinity", near), ("podAntiAffinity", apart)] {
        affinity[kind]["preferredDuringSchedulingIgnoredDuringExecution"] = json!([one]);
    }
}
