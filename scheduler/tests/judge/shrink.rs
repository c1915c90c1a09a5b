//! Smaller pods: whatever can be left out of one without changing what is wrong with it, is.

use serde_json::Value;

/// Everything that is the pod less one thing.
pub(crate) fn smaller(pod: &Value) -> Vec<Value> {
    let mut paths = Vec::new();
    for part in ["/spec", "/metadata/labels"] {
        if let Some(value) = pod.pointer(part) {
            below(value, part, &mut paths);
        }
    }
    // Large things first.
    paths.sort_by_key(|path| path.matches('/').count());
    paths.iter().filter(|path| path.as_str() != "/spec/containers").filter_map(|path| without(pod, path)).collect()
}

fn below(value: &Value, path: &str, paths: &mut Vec<String>) {
    let parts: Vec<(String, &Value)> = match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(all) => all.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => return,
    };
    for (key, value) in parts {
        let path = format!("{path}/{key}");
        below(value, &path, paths);
        paths.push(path);
    }
}

fn without(pod: &Value, path: &str) -> Option<Value> {
    let (parent, key) = path.rsplit_once('/')?;
    let mut pod = pod.clone();
    match pod.pointer_mut(parent)? {
        Value::Object(fields) => {
            fields.remove(&key.replace("~1", "/").replace("~0", "~"))?;
        }
        Value::Array(all) => {
            all.remove(key.parse().ok()?);
        }
        _ => return None,
    }
    Some(pod)
}

#[test]
fn one_thing_less_each_time_and_large_things_first() {
    let pod = serde_json::json!({
        "metadata": { "name": "p", "labels": { "a/b": "c" } },
        "spec": { "containers": [{ "name": "c" }], "tolerations": [{ "key": "k", "operator": "Exists" }] },
    });
    let all = smaller(&pod);
    assert!(
        all[0]["metadata"]["labels"].as_object().is_some_and(serde_json::Map::is_empty)
            || all[0]["spec"]["tolerations"].is_null()
    );
    assert!(
        all.iter()
            .any(|pod| pod["spec"]["tolerations"][0]["key"].is_null() && !pod["spec"]["tolerations"][0].is_null())
    );
    assert!(all.iter().all(|pod| pod["metadata"]["name"] == "p" && !pod["spec"]["containers"].is_null()));
}
