use serde_json::{Value, json};

use super::*;
use crate::objects::{Body, Kind, read as object};

fn pod(spec: Value, status: Value) -> Pod {
    match object(Kind::Pod, json!({ "metadata": { "name": "p" }, "spec": spec, "status": status })).body {
        Body::Pod(pod) => *pod,
        other => panic!("{other:?}"),
    }
}

fn container(name: &str, cpu: &str, memory: &str) -> Value {
    json!({ "name": name, "resources": { "requests": { "cpu": cpu, "memory": memory } } })
}

fn sidecar(name: &str, cpu: &str, memory: &str) -> Value {
    let mut sidecar = container(name, cpu, memory);
    sidecar["restartPolicy"] = json!("Always");
    sidecar
}

fn asked(spec: Value, status: Value) -> (u64, u64) {
    let sum = of(&pod(spec, status)).expect("amounts");
    (sum.milli(CPU), sum.whole(MEMORY))
}

#[test]
fn containers_init_containers_sidecars_and_overhead() {
    let main = container("main", "1", "100");
    let cases = [
        ("nothing", json!({}), (0, 0)),
        ("the sum", json!({ "containers": [main, container("b", "500m", "1Ki")] }), (1500, 1124)),
        (
            "an init container that needs more of one resource",
            json!({ "containers": [main], "initContainers": [container("i", "3", "50")] }),
            (3000, 100),
        ),
        (
            "init containers run one after the other",
            json!({ "containers": [main], "initContainers": [container("i", "2", "0"), container("j", "2", "0")] }),
            (2000, 100),
        ),
        (
            "a sidecar goes on",
            json!({ "containers": [main], "initContainers": [sidecar("s", "1", "10")] }),
            (2000, 110),
        ),
        (
            "an init container runs beside the sidecars before it",
            json!({ "containers": [main], "initContainers":
                [sidecar("s", "1", "10"), container("i", "2", "0"), sidecar("t", "250m", "0")] }),
            (3000, 110),
        ),
        (
            "but not beside those after it",
            json!({ "containers": [main], "initContainers":
                [container("i", "2", "0"), sidecar("s", "1", "10"), sidecar("t", "1", "10")] }),
            (3000, 120),
        ),
        (
            "overhead comes on top",
            json!({ "containers": [main], "overhead": { "cpu": "100m", "memory": "20" } }),
            (1100, 120),
        ),
        (
            "CPU is rounded up once, not container by container",
            json!({ "containers": [container("a", "100u", "1"), container("b", "100u", "0.5")] }),
            (1, 2),
        ),
    ];
    for (case, spec, expected) in cases {
        assert_eq!(asked(spec, json!({})), expected, "{case}");
    }
}

#[test]
fn the_pod_as_a_whole_overrides_its_containers() {
    let containers = json!([container("a", "1", "100"), container("b", "1", "100")]);
    let cases = [
        ("both", json!({ "cpu": "3", "memory": "150" }), (3100, 150)),
        ("only CPU", json!({ "cpu": "500m" }), (600, 200)),
        ("of other resources it says nothing", json!({ "nvidia.com/gpu": "1" }), (2100, 200)),
    ];
    for (case, requests, expected) in cases {
        let spec =
            json!({ "containers": containers, "resources": { "requests": requests }, "overhead": { "cpu": "100m" } });
        assert_eq!(asked(spec, json!({})), expected, "{case}");
    }
}

#[test]
fn a_pod_that_is_being_resized_counts_with_the_larger_side() {
    let spec = json!({ "containers": [container("a", "2", "200")] });
    let status = |allocated: &str, actual: &str, reason: &str| {
        json!({
            "containerStatuses": [{ "name": "a", "allocatedResources": { "cpu": allocated, "memory": "100" },
                "resources": { "requests": { "cpu": actual, "memory": "100" } } }],
            "conditions": [{ "type": "PodResizePending", "status": "True", "reason": reason }],
        })
    };
    let cases = [
        ("it wants more", status("1", "1", "Deferred"), (2000, 200)),
        ("set aside already, not given yet", status("3", "1", "Deferred"), (3000, 200)),
        ("not taken back yet", status("1", "4", "Deferred"), (4000, 200)),
        ("what can never be does not count", status("1", "1", "Infeasible"), (1000, 100)),
        ("a status that says nothing", json!({ "containerStatuses": [{ "name": "a" }] }), (2000, 200)),
        (
            "status of the pod as a whole",
            json!({ "allocatedResources": { "cpu": "5" },
            "resources": { "requests": { "cpu": "1", "memory": "300" } } }),
            (5000, 300),
        ),
    ];
    for (case, status, expected) in cases {
        assert_eq!(asked(spec.clone(), status), expected, "{case}");
    }
    let whole = json!({ "containers": [container("a", "1", "1")], "resources": { "requests": { "cpu": "2" } },
        "overhead": { "cpu": "1" } });
    let shrinking = json!({ "resources": { "requests": { "cpu": "5" } }, "allocatedResources": { "cpu": "3" } });
    assert_eq!(asked(whole, shrinking), (5000, 1), "what it has as a whole, which has the overhead in it");
}

#[test]
fn amounts_that_are_none_are_named() {
    for (amount, says) in [("lots", "`lots`, which is no quantity"), ("-1", "less than nothing")] {
        let fault = of(&pod(json!({ "containers": [{}, container("b", amount, "1")] }), json!({}))).expect_err(amount);
        assert_eq!(fault.field, "spec.containers[1].resources.requests[cpu]");
        assert!(fault.what.contains(says), "{}", fault.what);
    }
    let huge = json!({ "containers": [container("a", "9e18", "1"), container("b", "9e18", "1")] });
    let most = u64::try_from(NANO_MAX / 1_000_000).unwrap_or(u64::MAX);
    assert_eq!(asked(huge, json!({})).0, most, "no sum overflows");
}
