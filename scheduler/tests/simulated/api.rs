//! A model of the API server: objects as JSON with uids and one growing version, everything that ever happened to them by
//! kind, and the writes Berth makes with the answers a real server gives. Knows no time but what it is told, and no fault.

use std::collections::BTreeMap;

use berth_scheduler::driver::{Call, Outcome};
use berth_scheduler::objects::{self, Body};
use berth_scheduler::{Change, Key, Kind, Object};
use serde_json::{Value, json};

/// The namespace of everything that has one.
pub(crate) const LAB: &str = "lab";

#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) uid: String,
    pub(crate) json: Value,
}

/// One thing that happened to an object, as a watch tells it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) object: Object,
    pub(crate) gone: bool,
    /// When it happened (ms).
    pub(crate) at: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Api {
    /// The time (ms), as of the last that happened.
    pub(crate) now: u64,
    version: u64,
    objects: BTreeMap<Key, Stored>,
    logs: BTreeMap<Kind, Vec<Entry>>,
}

/// What a call did to the objects, beside its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    Bound,
    /// Asked to stop; it is on a node.
    Stops,
    /// Evicted before it was anywhere: gone at once.
    Vanished,
    Status,
}

impl Entry {
    /// A pod without a node?
    pub(crate) fn is_unbound(&self) -> bool {
        matches!(&self.object.body, Body::Pod(pod) if pod.spec.node_name.is_empty())
    }

    pub(crate) fn change(&self) -> Change {
        match self.gone {
            false => Change::Applied(self.object.clone()),
            true => Change::Deleted { key: self.key.clone(), uid: self.object.uid.clone() },
        }
    }
}

pub(crate) fn pod_key(name: &str) -> Key {
    Key { kind: Kind::Pod, namespace: LAB.into(), name: name.into() }
}

impl Api {
    pub(crate) fn get(&self, key: &Key) -> Option<&Stored> {
        self.objects.get(key)
    }

    /// All of a kind, by name.
    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Stored)> {
        self.objects.iter().filter(move |(key, _)| key.kind == kind)
    }

    pub(crate) fn log(&self, kind: Kind) -> &[Entry] {
        self.logs.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// All objects of a kind as of so many entries of its log.
    pub(crate) fn list(&self, kind: Kind, entries: usize) -> Vec<Object> {
        let mut last: BTreeMap<&Key, &Entry> = BTreeMap::new();
        for entry in self.log(kind).iter().take(entries) {
            last.insert(&entry.key, entry);
        }
        last.into_values().filter(|entry| !entry.gone).map(|entry| entry.object.clone()).collect()
    }

    /// Does nothing if there is one of that name already.
    pub(crate) fn create(&mut self, key: &Key, mut json: Value, at: &str) {
        if self.objects.contains_key(key) {
            return;
        }
        let uid = format!("{}-{}", key.name, self.version + 1);
        let meta = &mut json["metadata"];
        meta["name"] = json!(key.name);
        meta["uid"] = json!(uid);
        meta["creationTimestamp"] = json!(at);
        if !key.namespace.is_empty() {
            meta["namespace"] = json!(key.namespace);
        }
        self.objects.insert(key.clone(), Stored { uid, json });
        self.note(key, false);
    }

    pub(crate) fn update(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        let Some(stored) = self.objects.get_mut(key) else { return };
        let before = stored.json.clone();
        change(&mut stored.json);
        if stored.json != before {
            self.note(key, false);
        }
    }

    pub(crate) fn delete(&mut self, key: &Key) {
        if self.objects.contains_key(key) {
            self.note(key, true);
            self.objects.remove(key);
        }
    }

    fn note(&mut self, key: &Key, gone: bool) {
        self.version += 1;
        let version = self.version;
        let Some(stored) = self.objects.get_mut(key) else { return };
        stored.json["metadata"]["resourceVersion"] = json!(version.to_string());
        let object = objects::read(key.kind, stored.json.clone());
        self.logs.entry(key.kind).or_default().push(Entry { key: key.clone(), object, gone, at: self.now });
    }

    /// Asks a pod to stop, as a delete does: one without a node is gone at once.
    pub(crate) fn stop(&mut self, key: &Key, at: &str) -> Effect {
        let Some(stored) = self.objects.get(key) else { return Effect::Nothing };
        if node_of(stored).is_empty() || has_ended(stored) {
            self.delete(key);
            return Effect::Vanished;
        }
        self.update(key, |json| {
            if json["metadata"]["deletionTimestamp"].is_null() {
                json["metadata"]["deletionTimestamp"] = json!(at);
            }
        });
        Effect::Stops
    }

    /// Carries out a call and answers it.
    pub(crate) fn carry_out(&mut self, call: &Call, at: &str) -> (Outcome, Effect) {
        let done = Outcome::Done(None);
        match call {
            // Nothing in this world reads them; volumes it has none.
            Call::PostEvent(_) | Call::QueueStatus { .. } | Call::Volume { .. } => (done, Effect::Nothing),
            Call::ReadPod { pod, .. } => match self.objects.get(pod) {
                Some(stored) => {
                    (Outcome::Done(Some(Box::new(objects::read(Kind::Pod, stored.json.clone())))), Effect::Nothing)
                }
                None => (Outcome::Missing, Effect::Nothing),
            },
            Call::Bind { pod, uid, node } => self.bind(pod, uid, node),
            Call::Evict { pod, uid } => match self.objects.get(pod) {
                None => (Outcome::Missing, Effect::Nothing),
                Some(stored) if stored.uid != *uid => (Outcome::Conflict, Effect::Nothing),
                Some(_) => (done, self.stop(pod, at)),
            },
            Call::PodStatus { pod, uid, status } => match self.objects.get(pod) {
                None => (Outcome::Missing, Effect::Nothing),
                Some(stored) if stored.uid != *uid => (Outcome::Conflict, Effect::Nothing),
                Some(_) => {
                    self.update(pod, |json| {
                        if let Some(condition) = &status.condition {
                            let status = if condition.holds { "True" } else { "False" };
                            json["status"]["conditions"] = json!([{ "type": "PodScheduled", "status": status,
                                "reason": condition.reason, "message": condition.message }]);
                        }
                        if let Some(nominated) = &status.nominated {
                            json["status"]["nominatedNodeName"] = json!(nominated);
                        }
                    });
                    (done, Effect::Status)
                }
            },
            Call::GroupStatus { group, uid, .. } => match self.objects.get(group) {
                None => (Outcome::Missing, Effect::Nothing),
                Some(stored) if stored.uid != *uid => (Outcome::Conflict, Effect::Nothing),
                Some(_) => (done, Effect::Nothing),
            },
        }
    }

    fn bind(&mut self, pod: &Key, uid: &str, node: &str) -> (Outcome, Effect) {
        let Some(stored) = self.objects.get(pod) else { return (Outcome::Missing, Effect::Nothing) };
        let gated = stored.json["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
        if stored.uid != uid || !node_of(stored).is_empty() || is_going(stored) || gated {
            return (Outcome::Conflict, Effect::Nothing);
        }
        self.update(pod, |json| {
            json["spec"]["nodeName"] = json!(node);
            json["status"]["conditions"] = json!([{ "type": "PodScheduled", "status": "True" }]);
        });
        (Outcome::Done(None), Effect::Bound)
    }
}

pub(crate) fn node_of(pod: &Stored) -> &str {
    pod.json["spec"]["nodeName"].as_str().unwrap_or_default()
}

pub(crate) fn phase_of(pod: &Stored) -> &str {
    pod.json["status"]["phase"].as_str().unwrap_or_default()
}

pub(crate) fn has_ended(pod: &Stored) -> bool {
    matches!(phase_of(pod), "Succeeded" | "Failed")
}

pub(crate) fn is_going(pod: &Stored) -> bool {
    !pod.json["metadata"]["deletionTimestamp"].is_null()
}

pub(crate) fn is_ours(pod: &Stored) -> bool {
    pod.json["spec"]["schedulerName"] == "berth"
}

/// A label; empty where there is none.
pub(crate) fn label<'j>(object: &'j Stored, name: &str) -> &'j str {
    object.json["metadata"]["labels"][name].as_str().unwrap_or_default()
}

/// GPUs, cores, GiB of memory and places for pods, of a pod or offered by a node.
pub(crate) type Amount = [u64; 4];

pub(crate) const RESOURCES: [&str; 4] = ["nvidia.com/gpu", "cpu", "memory", "pods"];

fn amount(from: &Value) -> Amount {
    RESOURCES.map(|name| {
        let text = from[name].as_str().unwrap_or("0");
        text.trim_end_matches("Gi").parse().unwrap_or(0)
    })
}

pub(crate) fn asks(pod: &Stored) -> Amount {
    let mut all = amount(&pod.json["spec"]["containers"][0]["resources"]["requests"]);
    all[3] = 1;
    all
}

pub(crate) fn offers(node: &Stored) -> Amount {
    amount(&node.json["status"]["allocatable"])
}
