//! What the driver asks about objects, beside what the engine is told of them.

use std::collections::{BTreeMap, BTreeSet};

use berth_engine::gang::Stage;
use berth_engine::{Event, GangId, NodeId, PodId, Timestamp};

use super::{Source, World};
use crate::node;
use crate::objects::{Body, Key, Kind, Object, Pod};
use crate::pod::Phase;
use crate::problem::Effect;
use crate::time::timestamp;
use crate::told::At;

/// What a pod is doing, as the watches say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing<'w> {
    /// It waits for a place, or may not have one yet.
    Waits,
    /// It is on this node, and perhaps asked to stop.
    On {
        /// The node.
        node: &'w str,
        /// Is it asked to stop?
        stops: bool,
    },
    /// It has ended, or goes without ever having been anywhere.
    Ended,
}

impl World {
    /// An object as the watches have it.
    pub fn object(&self, key: &Key) -> Option<&Object> {
        self.store.get(key)
    }

    /// A pod as the watches have it, with this uid.
    pub(crate) fn pod_with_uid(&self, key: &Key, uid: &str) -> Option<&Pod> {
        self.store.get(key).filter(|object| object.uid == uid).and_then(|object| match &object.body {
            Body::Pod(pod) => Some(&**pod),
            _ => None,
        })
    }

    /// What the pod with this name and uid is doing; `None` where there is no such pod.
    pub(crate) fn doing(&self, key: &Key, uid: &str) -> Option<Doing<'_>> {
        let pod = self.pod_with_uid(key, uid)?;
        let view = self.views.get(key)?;
        Some(match view.reading.phase {
            Phase::Bound(stage) => Doing::On { node: &view.node, stops: stage == Stage::Evicted },
            Phase::Succeeded | Phase::Failed => Doing::Ended,
            Phase::Gated if pod.metadata.deletion_timestamp.is_some() => Doing::Ended,
            Phase::Gated | Phase::Waits => Doing::Waits,
        })
    }

    /// Where the engine has booked a pod that is not known to be there yet: the uid and the node. `None` for one that has been
    /// told to go again.
    pub(crate) fn booked(&self, key: &Key) -> Option<(&str, &str)> {
        let told = self.told.pods.get(key).filter(|told| !told.evicted)?;
        match &told.at {
            At::Seat { stage: Stage::Placed, node, .. } => Some((&told.uid, node)),
            _ => None,
        }
    }

    /// Pods of a gang that have no place, by name.
    pub(crate) fn waiting_of(&self, gang: GangId) -> Vec<(Key, String)> {
        let Some(gang) = self.gang(gang) else { return Vec::new() };
        let members = self.members.get(gang).into_iter().flatten();
        let waits = |key: &&Key| self.told.pods.get(*key).is_some_and(|told| told.at == At::Waits);
        members.filter(waits).filter_map(|key| Some((key.clone(), self.told.pods.get(key)?.uid.clone()))).collect()
    }

    /// The promise of a place that a pod has, as the engine was last heard to say.
    pub(crate) fn nominated(&self, key: &Key) -> Option<&str> {
        self.told.pods.get(key)?.nominated.as_deref()
    }

    /// Does the engine hold a place for this very pod that no watch has shown it to have?
    pub(super) fn is_booked(&self, key: &Key) -> bool {
        let told = self.told.pods.get(key).filter(|told| told.at != At::Waits);
        told.zip(self.store.get(key)).is_some_and(|(told, object)| told.uid == object.uid)
    }

    /// When a pod was created.
    pub(crate) fn created(&self, key: &Key) -> Option<Timestamp> {
        match &self.store.get(key)?.body {
            Body::Pod(pod) => timestamp(pod.metadata.creation_timestamp.as_deref()?),
            _ => None,
        }
    }

    /// Pods that wait and of which something else is wrong than when this was last asked, each with its uid and everything that
    /// keeps it from being placed; nothing if it is not kept any longer.
    pub(crate) fn take_refusals(&mut self) -> Vec<(Key, String, Option<String>)> {
        let mut pods = BTreeSet::new();
        for source in std::mem::take(&mut self.reported) {
            match source {
                Source::Pod(key) | Source::Object(key) | Source::Engine(key) if key.kind == Kind::Pod => {
                    pods.insert(key);
                }
                Source::Gang(gang) => pods.extend(self.members.get(&gang).into_iter().flatten().cloned()),
                _ => {}
            }
        }
        let ours = |key: &Key| {
            let view = self.views.get(key)?;
            let uid = self.store.get(key).map(|object| object.uid.clone())?;
            let (gang, _) = view.gang.as_ref().filter(|_| view.reading.phase == Phase::Waits)?;
            // In kube-scheduler's words, which say it all.
            if view.reading.constraints.nodes.contradict() {
                return Some((uid, Some("pod affinity terms conflict".to_owned())));
            }
            if let Some(refusal) = self.volume_refusal(key) {
                return Some((uid, Some(refusal.to_owned())));
            }
            let of = |source| self.problems.get(&source).into_iter().flatten();
            let all = of(Source::Pod(key.clone())).chain(of(Source::Gang(gang.clone())));
            let all = all.chain(of(Source::Engine(key.clone())));
            let refused: Vec<String> = all
                .filter(|problem| problem.effect == Effect::Refused)
                .map(|problem| format!("{}: {}; {}", problem.field, problem.what, problem.remedy))
                .collect();
            Some((uid, (!refused.is_empty()).then(|| refused.join(", "))))
        };
        pods.into_iter().filter_map(|key| ours(&key).map(|(uid, why)| (key, uid, why))).collect()
    }

    /// A pod that was told to go runs on, or never was anywhere: the engine is told that it is gone, and with the next
    /// [`World::events`] of the pod as it is.
    pub(crate) fn withdraw(&mut self, key: &Key) -> Vec<Event> {
        let mut events = self.unpromise(key);
        self.pod_gone(key, &BTreeSet::new(), &mut events);
        self.dirty.pods.insert(key.clone());
        events
    }

    /// It is promised no place any longer, whether or not that has been heard of: the engine says who goes before it says where
    /// to.
    fn unpromise(&mut self, key: &Key) -> Vec<Event> {
        let Some(told) = self.told.pods.get_mut(key) else { return Vec::new() };
        told.nominated = None;
        vec![Event::NominationExpired { pod: told.id }]
    }

    /// A pod stops, but is not gone in time: nobody is promised its place any longer, nor it another one.
    pub(crate) fn stuck(&mut self, key: &Key) -> Vec<Event> {
        let mut events = self.unpromise(key);
        let Some(told) = self.told.pods.get(key).filter(|told| told.evicted) else { return events };
        let (id, at) = (told.id, told.at.clone());
        if let At::Seat { node, .. } = at {
            self.promises_fall(&node, &mut events);
            events.push(Event::PodStuck { pod: id });
        }
        events
    }

    /// Takes note of all the promises of places that there are: the engine drops some by itself, and gives those of pods that
    /// are gone to their successors. Returns the pods without a place whose promise is not kept any longer, and what to tell the
    /// engine of those that are gone and have none to pass on.
    pub(crate) fn promised(&mut self, all: &BTreeMap<PodId, NodeId>, before: &[PodId]) -> (Vec<Key>, Vec<Event>) {
        let (mut fallen, mut events) = (Vec::new(), Vec::new());
        for id in before.iter().filter(|id| !all.contains_key(id)) {
            let Some(key) = self.told.pod_keys.get(id) else { continue };
            if let Some(told) = self.told.pods.get_mut(key) {
                told.nominated = None;
                fallen.extend(Some(key.clone()).filter(|_| told.at == At::Waits));
            }
        }
        self.told.promised_on.clear();
        for (id, node) in all {
            let known = self.told.pod_keys.get(id).and_then(|key| self.told.pods.get_mut(key));
            if let Some((told, name)) = known.zip(self.told.node_names.get(node)) {
                told.nominated = Some(name.clone());
                self.told.promised_on.insert(name.clone());
            }
        }
        for gang in std::mem::take(&mut self.told.haunted) {
            let Some(told) = self.told.gangs.get_mut(&gang) else { continue };
            let given_up = told.ghosts.extract_if(.., |ghost| !all.contains_key(&ghost.id));
            events.extend(given_up.map(|ghost| Event::PodGone { pod: ghost.id }));
            if told.ghosts.is_empty() {
                self.dirty.gangs.insert(gang);
            } else {
                self.told.haunted.insert(gang);
            }
        }
        (fallen, events)
    }

    /// Would a node still take a pod that has been given a place there: is it open, does it offer what its pods
    /// hold, and does it still have the labels?
    pub(crate) fn takes(&self, node: &str, pod: &Key) -> bool {
        let (Some((_, told)), Some(view)) = (self.told.nodes.get(node), self.views.get(pod)) else { return false };
        let agent = self.store.get(&Key::cluster(Kind::GpuNode, node)).and_then(|object| match &object.body {
            Body::GpuNode(agent) => Some(agent.as_ref()),
            _ => None,
        });
        let Some(Body::Node(object)) = self.store.get(&Key::cluster(Kind::Node, node)).map(|object| &object.body)
        else {
            return false;
        };
        let Ok((offered, _)) = node::read(object, agent, &BTreeSet::new(), &self.asked.others) else { return false };
        let (held, asked) = (&told.shape, &view.reading.shape);
        let short = (asked.cpu_milli > 0 && held.cpu_milli > offered.cpu_milli)
            || (asked.memory_bytes > 0 && held.memory_bytes > offered.memory_bytes)
            || (asked.gpu.count() > 0 && held.gpus > offered.gpus)
            || (!asked.mig.is_empty() && held.mig != offered.mig)
            || asked.others.keys().any(|name| held.others.get(name) > offered.others.get(name))
            || held.pods > offered.pods;
        let closed = offered.unschedulable && asked.tolerations.is_empty();
        let has = |(key, value): (&String, &String)| held.labels.get(key) == Some(value);
        !short && !closed && asked.node_selector.iter().all(has)
    }
}
