//! Volumes in the world: what of them the engine is told, and what it decided of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_engine::filter::volumes::{Chosen, VolumeTerms, chosen};
use berth_engine::{Event, State};

use super::World;
use crate::objects::{Body, Key, Kind};
use crate::pod::Phase;
use crate::told::At;
use crate::volumes::{Pin, Progress, claim_key, claims, progress};

impl World {
    /// Reads again the volumes of whoever may be concerned by what has changed.
    pub(super) fn read_volumes(&mut self) {
        let World { volumes, store, views, told, hostnames, dirty, .. } = self;
        let holds = |key: &Key| {
            let seated = told.pods.get(key).is_some_and(|told| matches!(told.at, At::Seat { .. }));
            seated || views.get(key).is_some_and(|view| view.reading.phase.is_bound())
        };
        volumes.settle(store, holds);
        let pod = |key: &Key| {
            let bound = match views.get(key)?.reading.phase {
                Phase::Waits => false,
                Phase::Bound(_) => true,
                Phase::Gated | Phase::Succeeded | Phase::Failed => return None,
            };
            Some((store.get(key)?.body.as_pod()?, bound))
        };
        dirty.pods.extend(volumes.refresh(store, hostnames, pod));
    }

    /// What the volumes of a pod ask, or why it cannot be placed for now. Whoever has a place keeps it, and what it was for.
    pub(super) fn volumes_of(&self, key: &Key, uid: &str) -> Result<Option<Arc<VolumeTerms>>, String> {
        let Some(reading) = self.volumes.of(key) else { return Ok(None) };
        let Some(refusal) = &reading.refusal else { return Ok(reading.shared()) };
        let told = self.told.pods.get(key).filter(|told| told.uid == uid && matches!(told.at, At::Seat { .. }));
        told.map(|told| told.spec.terms.as_ref().and_then(|terms| terms.volumes.clone())).ok_or_else(|| refusal.clone())
    }

    /// Tells what pods that are known ask of their volumes now.
    pub(super) fn tell_volumes(&mut self, changed: Vec<(Key, Option<Arc<VolumeTerms>>)>, events: &mut Vec<Event>) {
        for (key, volumes) in changed {
            let Some(told) = self.told.pods.get_mut(&key) else { continue };
            let terms = told.spec.terms.get_or_insert_default();
            terms.volumes.clone_from(&volumes);
            if *terms == Default::default() {
                told.spec.terms = None;
            }
            events.push(Event::VolumesChanged { pod: told.id, volumes });
        }
    }

    /// Tells what nodes can attach, as far as that has changed.
    pub(super) fn tell_limits(&mut self, nodes: BTreeSet<String>, events: &mut Vec<Event>) {
        for name in nodes {
            let Some((node, _)) = self.told.nodes.get(&name) else {
                self.told.limits.remove(&name);
                continue;
            };
            let limits = self.limits_of(&name);
            if self.told.limits.get(&name) != Some(&limits)
                && (self.told.limits.contains_key(&name) || !limits.is_empty())
            {
                self.told.limits.insert(name, limits.clone());
                events.push(Event::VolumeLimits { node: *node, limits });
            }
        }
    }

    fn limits_of(&self, node: &str) -> BTreeMap<Arc<str>, u32> {
        let object = self.store.get(&Key::cluster(Kind::CsiNode, node));
        let Some(Body::CsiNode(node)) = object.map(|object| &object.body) else { return BTreeMap::new() };
        let limit = |count: i64| u32::try_from(count.max(0)).unwrap_or(u32::MAX);
        let drivers = node.spec.drivers.iter();
        drivers.filter_map(|one| Some((one.name.as_str().into(), limit(one.allocatable.count?)))).collect()
    }

    /// Takes note of which volumes the engine's decisions come to: call it when the decisions of a cycle have been noted, before
    /// anything else is told. What is written of them later is in [`World::volume_progress`].
    pub fn volumes_decided(&mut self, state: &State) {
        if self.volumes.undecided().next().is_none() {
            return;
        }
        let chosen = chosen(state);
        let seated = |key: &Key| self.told.pods.get(key).is_some_and(|told| matches!(told.at, At::Seat { .. }));
        let mut pins = Vec::new();
        for (pod, reading) in self.volumes.undecided().filter(|(pod, _)| seated(pod)) {
            for one in &reading.terms.unbound {
                let Some((_, name)) = one.claim.split_once('/') else { continue };
                let pin = match chosen.get(&one.claim) {
                    Some(Chosen::Volume(volume)) => Pin::Volume(volume.to_string()),
                    Some(Chosen::New(node)) => match self.node(*node) {
                        Some(node) => Pin::New { node: node.to_owned(), seen: false },
                        None => continue,
                    },
                    None => continue,
                };
                pins.push((claim_key(&pod.namespace, name), pin));
            }
        }
        for (claim, pin) in pins {
            if !self.volumes.pins().contains_key(&claim) {
                self.volumes.pin(&claim, pin);
            }
        }
    }

    /// How far the volumes of a pod are that the engine has put on a node: what to write before the binding, and when all is done.
    pub fn volume_progress(&self, pod: &Key, node: &str) -> Progress {
        match self.store.get(pod).and_then(|object| object.body.as_pod()) {
            Some(pod) if claims(pod).is_empty() => Progress::Ready,
            Some(pod) => progress(pod, node, &self.store, self.volumes.pins()),
            None => Progress::Fails("the pod is gone".to_owned()),
        }
    }

    /// Why a pod's volumes keep it from being placed, whatever the node: what kube-scheduler says in its stead of nodes. As of
    /// the last [`World::events`].
    pub fn volume_refusal(&self, pod: &Key) -> Option<&str> {
        self.volumes.of(pod)?.refusal.as_deref()
    }
}
