//! Our custom resources: the definitions that are committed are those the types make, objects come through unharmed, and what
//! the engine gets of a queue is what its owner wrote.

#![cfg(feature = "crd")]

use std::path::Path;

use berth_config::crd::{self, DecayedUsage, GpuNode, Health, Queue, QueueStatus, queue_spec, usage_ms};
use berth_config::names;
use berth_engine::{QueueId, Quota};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

const HEAD: &str = "# Made from the types in config/src/crd by `make generated`.\n";

#[test]
fn the_definitions_are_as_committed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
    let mut expected: Vec<&str> = Vec::new();
    for (file, definition) in crd::definitions() {
        let text = format!("{HEAD}{}", serde_saphyr::to_string(&definition).expect("YAML"));
        if std::env::var_os("BERTH_UPDATE").is_some() {
            std::fs::write(folder.join(file), &text).expect("a writable folder");
        }
        let committed = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        assert!(committed == text, "{file} is not what the code makes; `make generated` writes it anew:\n{text}");
        expected.push(file);
    }
    let found = std::fs::read_dir(&folder).expect("deploy/crds").map(|entry| entry.expect("an entry").file_name());
    let mut found: Vec<String> = found.map(|name| name.to_string_lossy().into_owned()).collect();
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected, "nothing else lies in deploy/crds");
}

fn schema(definition: &CustomResourceDefinition) -> Value {
    let definition = serde_json::to_value(definition).expect("JSON");
    definition.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned().expect("a schema")
}

/// Every list and every text has a bound: the API server works out what a rule may cost from these.
fn bounded(schema: &Value, path: &str) {
    let described = schema["description"].as_str().is_some_and(|words| !words.is_empty());
    assert!(schema["anyOf"].is_null() && schema["oneOf"].is_null(), "{path} depends on its value");
    assert!(described || path.ends_with("[]"), "{path} has no words");
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        bounded(inner, &format!("{path}.{name}"));
    }
    let has = |key: &str| !schema[key].is_null();
    match schema["type"].as_str() {
        Some("array") => {
            assert!(has("maxItems"), "{path} has no most items");
            bounded(&schema["items"], &format!("{path}[]"));
        }
        Some("string") => assert!(has("maxLength") || has("enum") || has("format"), "{path} may be of any length"),
        Some("integer") => {
            let unbounded = path.ends_with("Generation") || path.ends_with("pods") || path.ends_with("gangs");
            assert!(has("minimum") && has("maximum") || unbounded || path.ends_with("MiB"), "{path} has no range");
        }
        _ => {}
    }
    assert!(schema["x-kubernetes-preserve-unknown-fields"].is_null(), "{path} takes anything");
}

#[test]
fn the_definitions_follow_the_conventions() {
    for (file, definition) in crd::definitions() {
        let spec = &definition.spec;
        assert_eq!((spec.group.as_str(), spec.scope.as_str()), (names::GROUP, "Cluster"), "{file}");
        let version = &spec.versions[0];
        assert_eq!((spec.versions.len(), version.name.as_str()), (1, "v1alpha1"));
        assert!(version.subresources.as_ref().is_some_and(|sub| sub.status.is_some()), "{file} has a status");
        let columns = version.additional_printer_columns.as_deref().unwrap_or_default();
        assert!((3..=6).contains(&columns.len()) && columns.last().is_some_and(|last| last.name == "Age"), "{file}");
        let schema = schema(&definition);
        for part in ["spec", "status"] {
            bounded(&schema["properties"][part], part);
        }
    }
}

#[test]
fn every_printed_column_is_a_field() {
    for (file, definition) in crd::definitions() {
        let schema = schema(&definition);
        let columns = definition.spec.versions[0].additional_printer_columns.clone().unwrap_or_default();
        for column in columns.iter().filter(|column| !column.json_path.starts_with(".metadata")) {
            let mut at = &schema;
            for name in column.json_path.split('.').skip(1) {
                let (name, index) = name.split_once('[').map_or((name, false), |(name, _)| (name, true));
                at = &at["properties"][name];
                at = if index { &at["items"] } else { at };
            }
            assert!(!at.is_null(), "{file}: {}", column.json_path);
        }
    }
}

fn queue(spec: Value) -> Queue {
    let object =
        json!({ "apiVersion": "berth.dev/v1alpha1", "kind": "Queue", "metadata": { "name": "lab" }, "spec": spec });
    serde_json::from_value(object).expect("a Queue")
}

fn ids(name: &str) -> Option<QueueId> {
    (name == "research").then_some(QueueId(7))
}

#[test]
fn the_engine_gets_what_the_owner_wrote() {
    let queue = queue(json!({
        "parent": "research", "priority": 5,
        "resources": {
            "gpu": { "deserved": 8, "limit": "12.5", "overQuotaWeight": 3 },
            "memory": { "limit": "1G" },
        },
        "gpuModels": [{ "model": "NVIDIA-H100-80GB-HBM3", "deserved": "500m" }],
        "minRuntime": { "reclaim": "1h30m", "preempt": "90s" },
    }));
    let spec = queue_spec(&queue, ids).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((spec.name.as_str(), spec.parent, spec.priority), ("lab", Some(QueueId(7)), 5));
    assert_eq!(spec.gpu, Quota { deserved: Some(8000), limit: Some(12_500), over_quota_weight: 3 });
    assert_eq!(spec.cpu, Quota::UNLIMITED, "what is not named has no bound");
    assert_eq!(
        spec.memory,
        Quota { deserved: Some(0), limit: Some(953), over_quota_weight: 1 },
        "whole MiB, rounded down"
    );
    let model = Quota { deserved: Some(500), limit: None, over_quota_weight: 1 };
    assert_eq!(spec.gpu_models, [("NVIDIA-H100-80GB-HBM3".to_owned(), model)].into());
    assert_eq!((spec.reclaim_min_runtime_ms, spec.preempt_min_runtime_ms), (5_400_000, 90_000));
    let empty = self::queue(json!({}));
    assert_eq!(queue_spec(&empty, ids), Ok(berth_engine::QueueSpec::unlimited("lab")));
}

#[test]
fn everything_wrong_with_a_queue_is_told_with_object_and_field() {
    let queue = queue(json!({
        "parent": "nobody",
        "resources": {
            "gpu": { "deserved": "9", "limit": "8", "overQuotaWeight": -1 },
            "cpu": { "deserved": "1u" },
            "memory": { "deserved": "64GB", "limit": "-1" },
        },
        "gpuModels": [{ "model": "A" }, { "model": "A", "limit": "x" }],
        "minRuntime": { "reclaim": "10" },
    }));
    let problems = queue_spec(&queue, ids).expect_err("much is wrong").to_string();
    let expected = "\
Queue `lab`: spec.gpuModels[1].limit: found `x`, expected a Kubernetes quantity such as `2`, `500m`, `1.5` or `64Mi`
Queue `lab`: spec.gpuModels[1].model: found `A` twice; remove one
Queue `lab`: spec.minRuntime.reclaim: found `10`, expected a duration with units, such as `15s`, `1m30s` or `100ms`
Queue `lab`: spec.parent: found `nobody`: there is no such queue; create it, or name another one
Queue `lab`: spec.resources.cpu.deserved: found `1u`, expected whole thousandths, such as `500m`
Queue `lab`: spec.resources.gpu.deserved: found `9`, more than the limit `8`; lower it, or raise the limit
Queue `lab`: spec.resources.gpu.overQuotaWeight: found `-1`, expected 0 or more
Queue `lab`: spec.resources.memory.deserved: found `64GB`, expected a Kubernetes quantity such as `2`, `500m`, `1.5` or `64Mi`
Queue `lab`: spec.resources.memory.limit: found `-1`, expected 0 or more";
    assert_eq!(problems, expected);
    let itself = self::queue(json!({ "parent": "lab" }));
    let problems = queue_spec(&itself, |_| Some(QueueId(1))).expect_err("a circle").to_string();
    assert!(problems.contains("spec.parent: found `lab`: a queue cannot be its own parent"), "{problems}");
}

#[test]
fn usage_outlives_a_restart_exactly() {
    for amount in [0, 1, 999_999, 1_000_000, 123_456_789, u128::from(u64::MAX) * 1000] {
        let usage = DecayedUsage::new(amount, "2026-11-21T00:00:00Z".to_owned());
        assert_eq!(usage_ms(&usage), Ok(amount), "{usage:?}");
    }
    for text in ["", "-1", "1.0000001", "x", "1.5.5", ".", "999999999999999999999999999999999999999999"] {
        let usage = DecayedUsage { gpu_seconds: crd::Amount(text.to_owned()), at: String::new() };
        assert!(usage_ms(&usage).is_err_and(|said| said.contains("status.decayedUsage.gpuSeconds")), "{text}");
    }
}

#[test]
fn objects_are_the_same_after_a_round_trip() {
    let status = json!({
        "observedGeneration": 2,
        "conditions": [{
            "type": "Accepted", "status": "True", "observedGeneration": 2, "lastTransitionTime": "2026-11-21T00:00:00Z",
            "reason": "Sound", "message": "",
        }],
        "used": { "gpu": "1500m", "cpu": "8", "memory": "64Gi" },
        "pending": { "gangs": 1, "pods": 8 },
        "head": { "gang": "ns/train", "since": "2026-11-21T00:00:00Z", "reason": "NoRoom", "message": "8 GPUs missing" },
        "decayedUsage": { "gpuSeconds": "12.500000", "at": "2026-11-21T00:00:00Z" },
    });
    let read: QueueStatus = serde_json::from_value(status.clone()).expect("a status");
    assert_eq!(serde_json::to_value(&read).expect("JSON"), status);
    let node = json!({
        "apiVersion": "berth.dev/v1alpha1", "kind": "GpuNode", "metadata": { "name": "n1" }, "spec": {},
        "status": {
            "reportedAt": "2026-11-21T00:00:00Z", "conditions": [], "capability": "Node", "nvlinkDomain": "c.1",
            "gpuCount": 1, "healthyCount": 1,
            "gpus": [{
                "uuid": "GPU-1", "index": 0, "product": "NVIDIA-A100-SXM4-40GB", "memoryMiB": 40960, "health": "Healthy",
                "numaNode": 0, "pcieRoot": "pci0000:16", "nvlinkPeers": [{ "uuid": "GPU-2", "links": 12 }],
                "usedMilli": 0, "usedBy": [{ "namespace": "ns", "name": "pod" }], "foreignUse": false,
                "mig": {
                    "profiles": [{ "id": 19, "name": "1g.5gb", "size": 1, "starts": [0, 1, 2, 3, 4, 5, 6] }],
                    "instances": [{ "uuid": "MIG-1", "profile": "1g.5gb", "start": 3, "size": 1 }],
                },
            }],
        },
    });
    let read: GpuNode = serde_json::from_value(node.clone()).expect("a GpuNode");
    assert_eq!(read.status.as_ref().map(|status| status.gpus[0].health), Some(Health::Healthy));
    assert_eq!(serde_json::to_value(&read).expect("JSON"), node);
}
