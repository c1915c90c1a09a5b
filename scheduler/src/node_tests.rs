use serde_json::{Value, json};

use super::*;
use crate::objects::{Body, Kind, read as object};

fn read_with(labels: Value, rest: Value, agent: Option<Value>) -> Result<(NodeShape, Vec<Fault>), Fault> {
    let status = json!({ "allocatable": rest["allocatable"], "conditions": rest["conditions"] });
    let json = json!({ "metadata": { "name": "n", "labels": labels }, "spec": rest["spec"], "status": status });
    let Body::Node(node) = object(Kind::Node, json).body else { panic!("a node") };
    let agent = agent.map(|gpus| {
        let json = json!({ "apiVersion": "berth.dev/v1alpha1", "kind": "GpuNode", "metadata": { "name": "n" }, "spec": {},
            "status": { "gpuCount": 2, "healthyCount": 1, "gpus": gpus } });
        match object(Kind::GpuNode, json).body {
            Body::GpuNode(agent) => agent,
            other => panic!("{other:?}"),
        }
    });
    read(&node, agent.as_deref(), &BTreeSet::from(["zone".to_owned()]))
}

fn offers(labels: Value, allocatable: Value) -> NodeShape {
    read_with(labels, json!({ "allocatable": allocatable }), None).expect("a node").0
}

#[test]
fn gpus_are_counted_as_the_device_plugin_offers_them() {
    let plain = offers(
        json!({ "nvidia.com/gpu.product": "T4", "nvidia.com/gpu.memory": "15360" }),
        json!({ "nvidia.com/gpu": "4" }),
    );
    assert_eq!((plain.gpus, plain.gpu_model.as_str(), plain.gpu_memory_mib, plain.mig), (4, "T4", 15_360, None));
    let none = offers(json!({ "nvidia.com/gpu.product": "T4" }), json!({ "nvidia.com/gpu": "0" }));
    assert_eq!((none.gpus, none.gpu_model.as_str()), (0, ""), "a label alone is no GPU");
    let mixed = offers(
        json!({ "nvidia.com/mig.strategy": "mixed" }),
        json!({ "nvidia.com/mig-1g.10gb.me": "1", "nvidia.com/mig-odd": "1" }),
    );
    assert_eq!(mixed.mig, Some(MigShape { single: false, instances: vec![("1g.10gb.me".to_owned(), 1)] }));
    let labels = json!({ "nvidia.com/mig.strategy": "single", "nvidia.com/gpu.product": "NVIDIA-A100-MIG-1g.5gb" });
    let single = offers(labels, json!({ "nvidia.com/gpu": "7" }));
    assert_eq!(
        (single.gpus, single.mig),
        (7, Some(MigShape { single: true, instances: vec![("1g.5gb".to_owned(), 7)] }))
    );
    let many = read_with(json!({}), json!({ "allocatable": { "nvidia.com/gpu": "17" } }), None).expect_err("too many");
    assert_eq!(many.field, "status.allocatable[nvidia.com/gpu]");
}

#[test]
fn what_the_agent_says_fills_gaps_and_takes_broken_gpus_out() {
    let gpu = |uuid: &str, health: &str, mib: u32| json!({ "uuid": uuid, "index": 0, "product": "L4", "memoryMiB": mib, "health": health });
    let rest = json!({ "allocatable": { "nvidia.com/gpu": "2" } });
    let agent = json!([gpu("a", "Healthy", 23_034), gpu("b", "Unhealthy", 24_000)]);
    let (shape, faults) = read_with(json!({}), rest.clone(), Some(agent)).expect("a node");
    assert_eq!((shape.gpus, shape.gpu_model.as_str(), shape.gpu_memory_mib), (1, "L4", 23_034));
    assert!(faults[0].what.starts_with("1 of 2 GPUs are broken"), "{faults:?}");
    let fewer = json!([gpu("b", "Unhealthy", 24_000)]);
    assert_eq!(read_with(json!({}), rest, Some(fewer)).expect("a node").0.gpus, 2, "the plugin left it out already");
}

#[test]
fn a_node_that_is_not_known_to_be_well_is_tainted_as_kubernetes_would() {
    let conditions = |status: &str| json!([{ "type": "Ready", "status": status }]);
    let well = || conditions("True");
    let (ill, lost) = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable");
    let tainted = json!({ "taints": [{ "key": ill, "effect": "NoSchedule" }] });
    let cases = [
        ("well", json!({ "conditions": well() }), false, vec![]),
        ("not well", json!({ "conditions": conditions("False") }), false, vec![ill]),
        ("tainted already", json!({ "conditions": conditions("False"), "spec": tainted }), false, vec![ill]),
        ("not heard of", json!({ "conditions": conditions("Unknown") }), false, vec![lost]),
        ("new", json!({}), false, vec![ill]),
        ("cordoned", json!({ "conditions": well(), "spec": { "unschedulable": true } }), true, vec![]),
    ];
    for (case, rest, closed, taints) in cases {
        let shape = read_with(json!({}), rest, None).expect("a node").0;
        let found: Vec<&str> = shape.taints.iter().map(|taint| taint.key.as_str()).collect();
        assert_eq!((shape.unschedulable, found), (closed, taints), "{case}");
        assert!(shape.taints.iter().all(|taint| taint.effect == TaintEffect::NoSchedule && taint.value.is_empty()));
    }
}

#[test]
fn only_labels_that_are_asked_for_count() {
    let labels = json!({ "zone": "a", "kubernetes.io/hostname": "n", "nvidia.com/gfd.timestamp": "1" });
    let shape = offers(labels, json!({}));
    assert_eq!(shape.labels.into_iter().collect::<Vec<_>>(), [("zone".to_owned(), "a".to_owned())]);
}

#[test]
fn a_node_with_more_on_it_than_it_offers_is_full() {
    let mut shape = NodeShape { cpu_milli: 1000, memory_bytes: 10, pods: 1, gpus: 1, ..NodeShape::default() };
    let pod = PodShape { cpu_milli: 800, memory_bytes: 5, gpu: GpuRequest::Whole(1), ..PodShape::default() };
    let faults = raise(&mut shape, [&pod, &pod].into_iter());
    assert_eq!((shape.cpu_milli, shape.memory_bytes, shape.pods, shape.gpus), (1600, 10, 2, 2));
    assert_eq!(faults.len(), 3);
    let mig = PodShape { mig: vec![("1g.10gb".to_owned(), 2)], ..PodShape::default() };
    raise(&mut shape, [&mig].into_iter());
    assert_eq!(shape.mig_instances(), [("1g.10gb".to_owned(), 2)]);
}
