//! Claims, volumes and classes as they are looked up, with what was decided of them and does not stand in the objects yet. Owns
//! which volumes a claim may have. Made anew for each round of comparisons, so that lists are worked out once for all that ask
//! for the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_config::Quantity;
use berth_engine::filter::labels::Test;
use berth_engine::filter::volumes::{FreeVolume, FreeVolumes};

use super::watched::{Pin, Pins};
use super::{OLD_CLASS, SELECTED_NODE, class_of, node_rules};
use crate::constraints::set_test;
use crate::objects::{Amounts, Body, Claim, Key, Kind, LabelSelector, StorageClass, Volume};
use crate::store::Store;

/// All there is to look up.
pub(crate) struct Catalog<'a> {
    store: &'a Store,
    pins: &'a Pins,
    hostnames: &'a BTreeMap<String, BTreeSet<String>>,
    /// Worked out when first asked for.
    volumes: Option<Listed<'a>>,
    lists: BTreeMap<String, FreeList>,
}

/// Volumes that a claim may have, best first, and what they look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct FreeList {
    pub(crate) volumes: Arc<FreeVolumes>,
    pub(crate) node_keys: Arc<BTreeSet<String>>,
    pub(crate) hosts: bool,
}

/// Volumes as claims look for them.
#[derive(Debug, Default)]
struct Listed<'a> {
    /// Those that nobody has, by class.
    free: BTreeMap<&'a str, Vec<&'a Volume>>,
    /// Those set aside for a claim, by its namespace and name.
    set_aside: BTreeMap<(&'a str, &'a str), Vec<&'a Volume>>,
}

impl<'a> Catalog<'a> {
    pub(crate) fn of(store: &'a Store, pins: &'a Pins, hostnames: &'a BTreeMap<String, BTreeSet<String>>) -> Self {
        Catalog { store, pins, hostnames, volumes: None, lists: BTreeMap::new() }
    }

    pub(crate) fn claim(&self, key: &Key) -> Option<&'a Claim> {
        match &self.store.get(key)?.body {
            Body::Claim(claim) => Some(claim),
            _ => None,
        }
    }

    pub(crate) fn volume(&self, name: &str) -> Option<&'a Volume> {
        match &self.store.get(&Key::cluster(Kind::Volume, name))?.body {
            Body::Volume(volume) => Some(volume),
            _ => None,
        }
    }

    pub(crate) fn class(&self, name: &str) -> Option<&'a StorageClass> {
        match &self.store.get(&Key::cluster(Kind::StorageClass, name))?.body {
            Body::StorageClass(class) => Some(class),
            _ => None,
        }
    }

    /// The nodes with a hostname.
    pub(crate) fn named(&self, hostname: &str) -> BTreeSet<String> {
        self.hostnames.get(hostname).cloned().unwrap_or_default()
    }

    /// The node for which a volume is being made for the claim, or will be.
    pub(crate) fn selected_node(&self, key: &Key, claim: &Claim) -> Option<String> {
        match self.pins.get(key) {
            Some(Pin::New { node, .. }) => Some(node.clone()),
            _ => claim.metadata.annotations.get(SELECTED_NODE).cloned(),
        }
    }

    /// Has it been decided which of the volumes the claim gets?
    pub(crate) fn is_given(&self, key: &Key, claim: &Claim) -> bool {
        matches!(self.pins.get(key), Some(Pin::Volume(_))) && !claim.metadata.annotations.contains_key(SELECTED_NODE)
    }

    /// The volumes that a claim may have, the smallest first; the one alone that was given to it, if one was.
    pub(crate) fn free(&mut self, key: &Key, claim: &Claim) -> FreeList {
        if let Some(Pin::Volume(name)) = self.pins.get(key) {
            return self.list(self.volume(name).into_iter().collect());
        }
        let wanted =
            (class_of(claim), &claim.spec.resources.requests, &claim.spec.selector, mode(&claim.spec.volume_mode));
        let more = (&claim.spec.access_modes, &claim.spec.volume_attributes_class_name);
        let set_aside = self.listed().set_aside.get(&(key.namespace.as_str(), key.name.as_str()));
        let is_fit = |one: &&&Volume| is_for(one, key, &claim.metadata.uid) && could_serve(one, claim);
        let set_aside = set_aside.into_iter().flatten().filter(|one| volume_class(one) == class_of(claim)).find(is_fit);
        if let Some(volume) = set_aside.copied() {
            return self.list(vec![volume]);
        }
        let wish = format!("{wanted:?} {more:?}");
        if let Some(known) = self.lists.get(&wish) {
            return known.clone();
        }
        let taken: BTreeSet<&String> = self.pins.values().filter_map(Pin::volume).collect();
        let mut fitting = self.listed().free.get(class_of(claim)).cloned().unwrap_or_default();
        fitting.retain(|one| {
            !taken.contains(&one.metadata.name)
                && could_serve(one, claim)
                && claim.spec.selector.as_ref().is_none_or(|selector| selects(selector, &one.metadata.labels))
                && claim.spec.access_modes.iter().all(|mode| one.spec.access_modes.contains(mode))
        });
        fitting.sort_by_cached_key(|one| (nano(&one.spec.capacity), one.metadata.name.clone()));
        let list = self.list(fitting);
        self.lists.insert(wish, list.clone());
        list
    }

    fn list(&self, volumes: Vec<&Volume>) -> FreeList {
        let (mut node_keys, mut hosts) = (BTreeSet::new(), false);
        let one = |volume: &Volume| {
            let rules = node_rules(volume);
            node_keys.extend(rules.iter().flat_map(|rules| rules.keys()).cloned());
            hosts |= rules.as_ref().is_some_and(|rules| rules.looks_at_hosts());
            let terms = rules.map(|rules| rules.all_terms(|hostname| self.named(hostname)));
            FreeVolume { name: volume.metadata.name.as_str().into(), terms: terms.unwrap_or_default() }
        };
        let volumes = Arc::new(FreeVolumes::of(volumes.into_iter().map(one).collect()));
        FreeList { volumes, node_keys: Arc::new(node_keys), hosts }
    }

    fn listed(&mut self) -> &Listed<'a> {
        let store = self.store;
        self.volumes.get_or_insert_with(|| {
            let mut listed = Listed::default();
            for (_, object) in store.of_kind(Kind::Volume) {
                let Body::Volume(volume) = &object.body else { continue };
                match &volume.spec.claim_ref {
                    Some(owner) => {
                        let list = listed.set_aside.entry((&owner.namespace, &owner.name)).or_default();
                        list.push(&**volume);
                    }
                    None if volume.status.phase == "Available" => {
                        listed.free.entry(volume_class(volume)).or_default().push(&**volume);
                    }
                    None => {}
                }
            }
            listed
        })
    }
}

/// The class of a volume; empty for none.
fn volume_class(volume: &Volume) -> &str {
    volume.metadata.annotations.get(OLD_CLASS).unwrap_or(&volume.spec.storage_class_name)
}

/// Was the volume set aside for the claim, by a person or by us?
pub(super) fn is_for(volume: &Volume, claim: &Key, uid: &str) -> bool {
    volume.spec.claim_ref.as_ref().is_some_and(|owner| {
        owner.namespace == claim.namespace && owner.name == claim.name && (owner.uid.is_empty() || owner.uid == uid)
    })
}

/// What a volume must have for a claim even if it was set aside for it.
fn could_serve(volume: &Volume, claim: &Claim) -> bool {
    nano(&volume.spec.capacity) >= nano(&claim.spec.resources.requests)
        && mode(&volume.spec.volume_mode) == mode(&claim.spec.volume_mode)
        && attributes(&volume.spec.volume_attributes_class_name) == attributes(&claim.spec.volume_attributes_class_name)
        && volume.metadata.deletion_timestamp.is_none()
}

fn mode(written: &Option<String>) -> &str {
    written.as_deref().unwrap_or("Filesystem")
}

fn attributes(written: &Option<String>) -> &str {
    written.as_deref().unwrap_or_default()
}

/// Storage in billionths of a byte; what cannot be read is none.
fn nano(amounts: &Amounts) -> i128 {
    amounts.get("storage").and_then(|amount| amount.0.parse::<Quantity>().ok()).map_or(0, Quantity::nano)
}

/// Storage in bytes, rounded up.
pub(super) fn bytes(amounts: &Amounts) -> u64 {
    u64::try_from((nano(amounts) + 999_999_999) / 1_000_000_000).unwrap_or(0)
}

/// Does the selector match these labels? One that cannot be read matches nothing.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let expression = |asked: &crate::objects::Requirement| {
        let value = labels.get(&asked.key);
        set_test(asked).is_ok_and(|test| match test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::Gt(_) | Test::Lt(_) => false,
        })
    };
    selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().all(expression)
}
