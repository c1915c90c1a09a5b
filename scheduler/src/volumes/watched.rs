//! What is known of the volumes of every pod, kept in step with the objects. Owns which pods have to be read again when
//! something changes, and what was decided of claims until the objects say it themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Catalog, Reading, claim_key, claims, is_settled, read};
use crate::objects::{Key, Pod};
use crate::store::Store;

/// What was decided of a claim, and need not stand in the objects yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pin {
    /// It gets this volume.
    Volume(String),
    /// A new one is made for this node; `seen` once the claim says so.
    New { node: String, seen: bool },
}

impl Pin {
    /// The volume, if it is one that is there.
    pub(super) fn volume(&self) -> Option<&String> {
        match self {
            Pin::Volume(name) => Some(name),
            Pin::New { .. } => None,
        }
    }
}

/// Decisions by claim.
pub(crate) type Pins = BTreeMap<Key, Pin>;

/// The volumes of all pods.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    /// Pods by the claims they name.
    users: BTreeMap<Key, BTreeSet<Key>>,
    /// The claims that a pod names.
    named: BTreeMap<Key, Vec<Key>>,
    readings: BTreeMap<Key, Arc<Reading>>,
    /// Pods by the volumes that were looked at for them.
    by_volume: BTreeMap<String, BTreeSet<Key>>,
    /// Pods with claims that may get one of several volumes.
    undecided: BTreeSet<Key>,
    /// How many readings look at a node label.
    node_keys: BTreeMap<String, usize>,
    pins: Pins,
    /// Pods to be read again.
    again: BTreeSet<Key>,
}

impl Volumes {
    /// A pod is another one now, or gone.
    pub(crate) fn pod_changed(&mut self, key: &Key, pod: Option<&Pod>) {
        for claim in self.named.remove(key).unwrap_or_default() {
            if let Some(users) = self.users.get_mut(&claim) {
                users.remove(key);
                if users.is_empty() {
                    self.users.remove(&claim);
                }
            }
        }
        let named = pod.map(claims).unwrap_or_default().into_iter().map(|one| claim_key(&key.namespace, &one.name));
        let named: Vec<Key> = named.collect();
        for claim in &named {
            self.users.entry(claim.clone()).or_default().insert(key.clone());
        }
        if !named.is_empty() {
            self.named.insert(key.clone(), named);
        }
        self.again.insert(key.clone());
    }

    /// A claim has changed.
    pub(crate) fn claim_changed(&mut self, claim: &Key) {
        self.again.extend(self.users.get(claim).into_iter().flatten().cloned());
    }

    /// A volume has changed: whoever looked at it, or might get it.
    pub(crate) fn volume_changed(&mut self, name: &str) {
        self.again.extend(self.by_volume.get(name).into_iter().flatten().cloned());
        self.again.extend(self.undecided.iter().cloned());
    }

    /// A class has changed.
    pub(crate) fn class_changed(&mut self) {
        self.again.extend(self.users.values().flatten().cloned());
    }

    /// Nodes have other hostnames.
    pub(crate) fn hostnames_changed(&mut self) {
        let asking = self.readings.iter().filter(|(_, reading)| reading.hosts);
        self.again.extend(asking.map(|(key, _)| key.clone()));
    }

    /// Reads again what has to be; returns the pods of which something else is known now. `bound` says of a pod whether it is
    /// bound, and `None` of one that is of no interest.
    pub(crate) fn refresh<'p>(
        &mut self,
        store: &Store,
        hostnames: &BTreeMap<String, BTreeSet<String>>,
        pod: impl Fn(&Key) -> Option<(&'p Pod, bool)>,
    ) -> BTreeSet<Key> {
        let (again, pins) = (std::mem::take(&mut self.again), std::mem::take(&mut self.pins));
        let mut catalog = Catalog::of(store, &pins, hostnames);
        let mut changed = BTreeSet::new();
        for key in again {
            let new = pod(&key).filter(|(pod, _)| !pod.spec.volumes.is_empty());
            let new = new.map(|(pod, bound)| read(pod, bound, &mut catalog)).filter(|new| *new != Reading::default());
            if self.readings.get(&key).map(|known| &**known) != new.as_ref() {
                self.replace(&key, new);
                changed.insert(key);
            }
        }
        self.pins = pins;
        changed
    }

    fn replace(&mut self, key: &Key, new: Option<Reading>) {
        let new = new.map(Arc::new);
        let old = match new.clone() {
            Some(new) => self.readings.insert(key.clone(), new),
            None => self.readings.remove(key),
        };
        for (reading, there) in [(old, false), (new, true)] {
            let Some(reading) = reading else { continue };
            for name in &reading.volumes {
                let pods = self.by_volume.entry(name.clone()).or_default();
                if there {
                    pods.insert(key.clone())
                } else {
                    pods.remove(key)
                };
                if pods.is_empty() {
                    self.by_volume.remove(name);
                }
            }
            for name in &reading.node_keys {
                let count = self.node_keys.entry(name.clone()).or_default();
                *count = if there { *count + 1 } else { count.saturating_sub(1) };
                if *count == 0 {
                    self.node_keys.remove(name);
                }
            }
            if there && reading.is_undecided() {
                self.undecided.insert(key.clone())
            } else {
                self.undecided.remove(key)
            };
        }
    }

    /// What a pod's volumes come to, if they come to anything.
    pub(crate) fn of(&self, pod: &Key) -> Option<&Reading> {
        self.readings.get(pod).map(|reading| &**reading)
    }

    /// Keys of node labels that are looked at.
    pub(crate) fn node_keys(&self) -> impl Iterator<Item = &String> {
        self.node_keys.keys()
    }

    /// Pods with claims that may get one of several volumes.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = (&Key, &Reading)> {
        self.undecided.iter().filter_map(|key| Some((key, self.of(key)?)))
    }

    /// What was decided of claims.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// This is decided of a claim: nobody else gets the volume.
    pub(crate) fn pin(&mut self, claim: &Key, pin: Pin) {
        if self.pins.get(claim) != Some(&pin) {
            self.pins.insert(claim.clone(), pin);
            self.again_for(claim);
        }
    }

    /// Forgets decisions that stand in the objects by now, and those of claims that nobody uses any more who `holds` a place.
    pub(crate) fn settle(&mut self, store: &Store, holds: impl Fn(&Key) -> bool) {
        let none = Pins::new();
        let hosts = BTreeMap::new();
        let catalog = Catalog::of(store, &none, &hosts);
        let mut gone = Vec::new();
        for (key, pin) in &mut self.pins {
            let claim = catalog.claim(key).filter(|claim| !is_settled(claim));
            let used = self.users.get(key).is_some_and(|users| users.iter().any(&holds));
            let Some(claim) = claim.filter(|_| used) else {
                gone.push(key.clone());
                continue;
            };
            if let Pin::New { node, seen } = pin {
                *seen |= claim.metadata.annotations.get(super::SELECTED_NODE) == Some(node);
            }
        }
        for key in gone {
            self.pins.remove(&key);
            self.again_for(&key);
        }
    }

    fn again_for(&mut self, claim: &Key) {
        self.claim_changed(claim);
        self.again.extend(self.undecided.iter().cloned());
    }
}
