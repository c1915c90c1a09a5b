//! What the tests share: objects by a few words, an engine that is told everything, and a picture of what it knows that does
//! not depend on numbers.

#![allow(dead_code)] // each test binary uses a part of it

use std::collections::BTreeMap;
use std::fmt::Write;

use berth_config::SchedulerConfiguration;
use berth_engine::{Config, Engine, Event, Timestamp};
use berth_scheduler::{Change, Kind, Object, World, objects};
use serde_json::{Value, json};

/// The time of every event.
pub(crate) const NOW: Timestamp = Timestamp(1_795_284_000_000);

/// A world and the engine that hears of it.
pub(crate) struct Pair {
    pub(crate) world: World,
    pub(crate) engine: Engine,
}

impl Default for Pair {
    fn default() -> Self {
        Pair { world: World::new(&SchedulerConfiguration::default()), engine: Engine::new(Config::default()) }
    }
}

impl Pair {
    /// Tells the engine what there is to tell. It must accept everything.
    pub(crate) fn tell(&mut self) -> Vec<Event> {
        let events = self.world.events();
        for event in &events {
            if let Err(error) = self.engine.apply(event.clone(), NOW) {
                panic!("{event:?}: {error}\nof {events:#?}");
            }
        }
        events
    }

    pub(crate) fn applied(&mut self, objects: impl IntoIterator<Item = Object>) -> Vec<Event> {
        objects.into_iter().for_each(|object| self.world.apply(Change::Applied(object)));
        self.tell()
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        self.world.problems().map(ToString::to_string).collect()
    }

    /// Everything the engine knows, by names.
    pub(crate) fn picture(&self) -> String {
        let (state, mut out) = (self.engine.state(), String::new());
        let nodes: BTreeMap<_, _> =
            state.cluster().nodes().iter().map(|(id, node)| (node.name.as_str(), *id)).collect();
        for (name, id) in &nodes {
            let Some(known) = state.cluster().state(*id) else { continue };
            let free = &known.free;
            let (gpus, mig) = (free.gpu_milli(), &free.mig);
            let _ = writeln!(
                out,
                "node {name} {:?} free {} {} {} {gpus} {mig:?}",
                *known.shape, free.cpu_milli, free.memory_bytes, free.pods
            );
            let _ = writeln!(out, "  attaches {:?} of d", state.volume_limit(*id, "d"));
        }
        let queue = |id| state.queues().get(id).map_or("-", |queue| queue.spec.name.as_str());
        let mut queues = Vec::new();
        for known in state.queues().all().values() {
            let spec = &known.spec;
            let amounts = |of: &berth_engine::queue::Amounts| {
                (0..state.queues().resources()).map(|at| of.get(at)).collect::<Vec<_>>()
            };
            let held = (amounts(&known.allocated), amounts(&known.fixed));
            queues.push(format!(
                "queue {} under {:?} {:?} holds {held:?}",
                spec.name,
                spec.parent.map(queue),
                spec.gpu
            ));
        }
        let mut gangs = Vec::new();
        for (id, gang) in state.gangs().iter().filter(|(_, gang)| !gang.spec.name.is_empty()) {
            let mut spec = gang.spec.clone();
            spec.queue = berth_engine::QueueId(0);
            let counts: Vec<_> =
                gang.members.iter().map(|one| (one.pending, one.active, one.settled, one.holding)).collect();
            gangs.push(format!("gang {spec:?} in {} {:?} {counts:?}", queue(gang.spec.queue), *gang.tree));
            assert!(self.world.gang(*id).is_some_and(|key| *key.path() == *spec.name), "the gang's name is kept");
        }
        let mut pods = Vec::new();
        for (id, pod) in state.pods() {
            let place = state.cluster().placed().get(id).and_then(|place| state.cluster().nodes().get(&place.node));
            let gang = state.gangs().get(&pod.gang).map(|gang| gang.spec.name.clone());
            let place = place.map(|node| &node.name);
            pods.push(format!(
                "pod {} {:?} {:?} {:?} at {place:?} of {gang:?}",
                pod.name, pod.stage, *pod.shape, pod.terms
            ));
            assert!(self.world.pod(*id).is_some_and(|(key, _)| *key.path() == *pod.name), "the pod's name is kept");
        }
        [&mut queues, &mut gangs, &mut pods].into_iter().for_each(|list| list.sort());
        let lines = queues.into_iter().chain(gangs).chain(pods);
        out + &lines.collect::<Vec<_>>().join("\n")
    }
}

/// An object; its uid is its kind and name.
pub(crate) fn object(kind: Kind, namespace: &str, name: &str, version: u64, rest: Value) -> Object {
    let mut json = json!({ "metadata": {} });
    merge(&mut json, rest);
    let meta = json!({ "metadata": { "name": name, "namespace": namespace, "resourceVersion": version.to_string() } });
    merge(&mut json, meta);
    if json["metadata"]["uid"].is_null() {
        json["metadata"]["uid"] = json!(format!("{kind:?}/{namespace}/{name}"));
    }
    if json["metadata"]["creationTimestamp"].is_null() {
        json["metadata"]["creationTimestamp"] = json!("2026-11-21T17:00:00Z");
    }
    objects::read(kind, json)
}

pub(crate) fn node(name: &str, version: u64, gpus: u64, rest: Value) -> Object {
    let mut json = json!({
        "metadata": { "labels": { "kubernetes.io/hostname": name } },
        "status": {
            "allocatable": { "cpu": "32", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": gpus.to_string() },
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    });
    merge(&mut json, rest);
    object(Kind::Node, "", name, version, json)
}

/// A pod of ours with a GPU, unless `rest` says other things.
pub(crate) fn pod(name: &str, version: u64, rest: Value) -> Object {
    let mut json = json!({
        "spec": {
            "schedulerName": "berth",
            "containers": [{ "name": "c", "resources": { "requests": { "cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1" } } }],
        },
        "status": { "phase": "Pending" },
    });
    merge(&mut json, rest);
    object(Kind::Pod, "lab", name, version, json)
}

/// Fields of `more` over those of `json`.
pub(crate) fn merge(json: &mut Value, more: Value) {
    match (json, more) {
        (Value::Object(fields), Value::Object(more)) => {
            for (key, value) in more {
                merge(fields.entry(key).or_insert(Value::Null), value);
            }
        }
        (json, more) => *json = more,
    }
}
