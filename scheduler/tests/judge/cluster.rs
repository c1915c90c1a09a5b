//! Small clusters by seed: nodes that differ in everything a filter looks at, and pods that are there already.

use serde_json::{Map, Value, json};

use crate::dice::Dice;
use crate::pods::{self, Around};
use crate::volumes;

/// Namespaces of pods, with the labels that selectors of namespaces look for.
pub(crate) const NAMESPACES: [(&str, &str); 3] = [("judge-a", "red"), ("judge-b", "red"), ("judge-c", "blue")];

/// Label of every node of a batch, whose value is the batch's seed.
pub(crate) const BATCH: &str = "batch";

/// Nodes and the pods on them.
pub(crate) struct Cluster {
    pub(crate) seed: u64,
    pub(crate) nodes: Vec<Value>,
    /// Pods that are bound from the start.
    pub(crate) furniture: Vec<Value>,
    /// Volumes, claims, and what nodes can attach.
    pub(crate) volumes: Vec<Value>,
}

impl Cluster {
    /// The cluster of a seed.
    pub(crate) fn new(seed: u64) -> Cluster {
        let mut dice = Dice::new(seed);
        // Where most nodes are out of reach, what keeps a pod off the others is told.
        let tainted = dice.pick(&[15, 30, 70]);
        let nodes: Vec<Value> = (0..4 + dice.below(9)).map(|index| node(&mut dice, seed, index, tainted)).collect();
        let names: Vec<&str> = nodes.iter().filter_map(|node| node["metadata"]["name"].as_str()).collect();
        let around = Around { seed, nodes: &names };
        let volumes = volumes::all(&mut dice, &around);
        let mut furniture = Vec::new();
        for index in 0..dice.below(3 * nodes.len()) {
            let mut pod = pods::furniture(&mut dice, &around);
            pod["metadata"]["name"] = json!(format!("there-{seed}-{index}"));
            pod["spec"]["nodeName"] = nodes[dice.below(nodes.len())]["metadata"]["name"].clone();
            furniture.push(pod);
        }
        Cluster { seed, nodes, furniture, volumes }
    }

    /// Names of its nodes.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.nodes.iter().filter_map(|node| node["metadata"]["name"].as_str()).collect()
    }
}

fn node(dice: &mut Dice, seed: u64, index: usize, tainted: usize) -> Value {
    let name = format!("n{seed}-{index}");
    let mut labels = Map::new();
    for (key, values, percent) in [
        ("topology.kubernetes.io/zone", &["z0", "z1", "z2"][..], 85),
        ("rack", &["r0", "r1", "r2", "r3"], 70),
        ("disk", &["ssd", "hdd"], 70),
        ("cores", &["4", "16", "64", "many"], 60),
    ] {
        if dice.chance(percent) {
            labels.insert(key.to_owned(), json!(dice.pick(values)));
        }
    }
    if dice.chance(98) {
        labels.insert("kubernetes.io/hostname".to_owned(), json!(name));
    }
    let mut spec = json!({});
    if dice.chance(tainted) {
        spec["taints"] = (0..1 + dice.below(2)).map(|at| taint(dice, at)).collect();
    }
    if dice.chance(10) {
        spec["unschedulable"] = json!(true);
    }
    let amounts = amounts(dice);
    let ready = json!([{ "type": "Ready", "status": "True" }]);
    json!({
        "metadata": { "name": name, "labels": labels },
        "spec": spec,
        "status": { "capacity": amounts, "allocatable": amounts, "conditions": ready },
    })
}

fn taint(dice: &mut Dice, at: usize) -> Value {
    let effect = dice.pick(&["NoSchedule", "NoSchedule", "NoExecute", "PreferNoSchedule"]);
    let mut taint = json!({ "key": (["dedicated", "flaky"][at]), "effect": effect });
    if dice.chance(70) {
        taint["value"] = json!(dice.pick(&["a", "b"]));
    }
    taint
}

fn amounts(dice: &mut Dice) -> Value {
    let mut amounts = json!({
        "cpu": dice.pick(&["1", "2", "4", "7500m"]),
        "memory": dice.pick(&["1Gi", "2Gi", "8Gi", "3000M"]),
        "pods": dice.pick(&["2", "8", "16", "110"]),
    });
    for (name, values, percent) in [
        ("ephemeral-storage", &["1Gi", "20Gi"][..], 80),
        ("nvidia.com/gpu", &["0", "1", "2", "8"], 60),
        ("example.com/foo", &["0", "1", "3"], 50),
        ("hugepages-2Mi", &["0", "4Mi", "64Mi"], 40),
    ] {
        if dice.chance(percent) {
            amounts[name] = json!(dice.pick(values));
        }
    }
    amounts
}
