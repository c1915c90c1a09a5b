//! What has to be written before a pod can be bound to its node, so that its claims get their volumes there. Owns the steps and
//! when they are done; writes nothing.

use std::collections::BTreeMap;

use berth_engine::NodeShape;

use super::catalog::is_for;
use super::watched::{Pin, Pins};
use super::{Catalog, SELECTED_NODE, claim_key, claims, is_settled, node_rules};
use crate::objects::{Body, Claim, Key, Kind, Pod, Volume};
use crate::store::Store;

/// How far the volumes of a pod are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Every claim has its volume: the pod can be bound.
    Ready,
    /// These have to be written.
    Todo(Vec<VolumeStep>),
    /// Everything is written, and others have yet to act on it: ask again when a claim or volume of the pod has changed.
    Waits,
    /// It will not come to a binding: give the place up, and have the pod placed anew.
    Fails(String),
}

/// One object to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeStep {
    /// Set `spec.claimRef` of a volume to a claim.
    GiveVolume {
        /// The volume.
        volume: String,
        /// Its version as it was decided on; write nothing over another one. `None` where the server sent no number.
        version: Option<u64>,
        /// The claim.
        claim: Key,
        /// The claim's uid, which belongs to the reference.
        claim_uid: String,
        /// The annotation `pv.kubernetes.io/bound-by-controller: "yes"` belongs on the volume too: no person chose it.
        by_controller: bool,
    },
    /// Set the annotation `volume.kubernetes.io/selected-node` of a claim, so that a volume is made there.
    SelectNode {
        /// The claim.
        claim: Key,
        /// Its version as it was decided on.
        version: Option<u64>,
        /// The node's name.
        node: String,
    },
}

/// How far the volumes of a pod are that has its place on a node.
pub(crate) fn progress(pod: &Pod, node: &str, store: &Store, pins: &Pins) -> Progress {
    let hosts = BTreeMap::new();
    let known = Known { store, catalog: Catalog::of(store, pins, &hosts), pins, node };
    let (mut todo, mut waits) = (Vec::new(), false);
    for named in claims(pod) {
        match known.of_claim(&claim_key(&pod.metadata.namespace, &named.name)) {
            Progress::Ready => {}
            Progress::Todo(steps) => todo.extend(steps),
            Progress::Waits => waits = true,
            Progress::Fails(why) => return Progress::Fails(why),
        }
    }
    match (todo.is_empty(), waits) {
        (false, _) => Progress::Todo(todo),
        (true, true) => Progress::Waits,
        (true, false) => Progress::Ready,
    }
}

struct Known<'a> {
    store: &'a Store,
    catalog: Catalog<'a>,
    pins: &'a Pins,
    node: &'a str,
}

impl Known<'_> {
    fn of_claim(&self, key: &Key) -> Progress {
        let Some(claim) = self.catalog.claim(key) else {
            return Progress::Fails(format!("persistentvolumeclaim {:?} not found", key.name));
        };
        if is_settled(claim) {
            return match self.catalog.volume(&claim.spec.volume_name) {
                Some(volume) => self.reach(volume),
                None => Progress::Waits,
            };
        }
        match self.pins.get(key) {
            Some(Pin::Volume(name)) => self.give(key, claim, name),
            Some(Pin::New { node, seen }) if node == self.node => self.select(key, claim, *seen),
            Some(Pin::New { node, .. }) => {
                Progress::Fails(format!("a volume of claim {:?} is made for node {node:?}", key.name))
            }
            None => Progress::Fails(format!("nothing is decided of claim {:?}", key.name)),
        }
    }

    /// The volume is there: can the node reach it?
    fn reach(&self, volume: &Volume) -> Progress {
        let at = Key::cluster(Kind::Node, self.node);
        let Some(Body::Node(node)) = self.store.get(&at).map(|object| &object.body) else {
            return Progress::Fails(format!("node {:?} not found", self.node));
        };
        let Some(rules) = node_rules(volume) else { return Progress::Ready };
        let hostname = node.metadata.labels.get(berth_config::names::HOSTNAME);
        let here =
            |asked: &str| hostname.filter(|name| *name == asked).map(|_| self.node.to_owned()).into_iter().collect();
        let shape = NodeShape { labels: node.metadata.labels.clone(), ..NodeShape::default() };
        if rules.all_terms(here).iter().any(|term| term.is_met(&shape, self.node)) {
            return Progress::Ready;
        }
        let name = &volume.metadata.name;
        Progress::Fails(format!("pv {name:?} node affinity doesn't match node {:?}", self.node))
    }

    fn give(&self, key: &Key, claim: &Claim, name: &str) -> Progress {
        let Some(volume) = self.catalog.volume(name) else {
            return Progress::Fails(format!("persistentvolume {name:?} not found"));
        };
        let uid = &claim.metadata.uid;
        match &volume.spec.claim_ref {
            Some(_) if !is_for(volume, key, uid) => {
                return Progress::Fails(format!("persistentvolume {name:?} belongs to another claim"));
            }
            Some(owner) if owner.uid == *uid => return Progress::Waits,
            Some(_) | None => {}
        }
        let version = self.store.get(&Key::cluster(Kind::Volume, name)).and_then(|object| object.version);
        Progress::Todo(vec![VolumeStep::GiveVolume {
            volume: name.to_owned(),
            version,
            claim: key.clone(),
            claim_uid: uid.clone(),
            by_controller: volume.spec.claim_ref.is_none(),
        }])
    }

    fn select(&self, key: &Key, claim: &Claim, seen: bool) -> Progress {
        match claim.metadata.annotations.get(SELECTED_NODE) {
            Some(node) if node == self.node => Progress::Waits,
            // Whoever makes volumes takes the annotation away where it cannot make one.
            None if seen => Progress::Fails(format!("provisioning failed for PVC {:?}", key.name)),
            None => {
                let (claim, node) = (key.clone(), self.node.to_owned());
                let version = self.store.get(key).and_then(|object| object.version);
                Progress::Todo(vec![VolumeStep::SelectNode { claim, version, node }])
            }
            Some(other) => Progress::Fails(format!("a volume of claim {:?} is made for node {other:?}", key.name)),
        }
    }
}
