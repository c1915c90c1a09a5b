//! Who uses which volume where, now and later: what the rules about sharing look at. Kept in step by `State::set`; judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Disk, VolumeTerms};
use crate::cluster::Hold;
use crate::units::{NodeId, PodId};

/// Those that use something, each with from when to when; a pod that moves is in it twice, under its former id too.
type Users = BTreeMap<PodId, Hold>;

/// Everything in use, and what nodes can attach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct VolumeBook {
    /// Things of which there may be one user in the cluster.
    sole: BTreeMap<Arc<str>, Users>,
    /// Claims that have no volume yet, with those that use them and will go on doing so, and where.
    claims: BTreeMap<Arc<str>, BTreeMap<PodId, NodeId>>,
    nodes: BTreeMap<NodeId, OnNode>,
    /// How many volumes a node can attach, by driver; one that is not named has no limit.
    limits: BTreeMap<NodeId, BTreeMap<Arc<str>, u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct OnNode {
    /// Disks, with their users and whether these would share.
    disks: BTreeMap<Arc<str>, BTreeMap<PodId, (Hold, bool)>>,
    /// Volumes by driver.
    attached: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Users>>,
}

impl VolumeBook {
    /// Somebody has a place on a node.
    pub(crate) fn add(&mut self, id: PodId, terms: &VolumeTerms, node: NodeId, hold: Hold) {
        for thing in &terms.sole {
            self.sole.entry(Arc::clone(thing)).or_default().insert(id, hold);
        }
        if hold.is_later() {
            for one in &terms.unbound {
                self.claims.entry(Arc::clone(&one.claim)).or_default().insert(id, node);
            }
        }
        if terms.disks.is_empty() && terms.attached.is_empty() {
            return;
        }
        let there = self.nodes.entry(node).or_default();
        for disk in &terms.disks {
            there.disks.entry(Arc::clone(&disk.name)).or_default().insert(id, (hold, disk.shared));
        }
        for (driver, volumes) in &terms.attached {
            let driver = there.attached.entry(Arc::clone(driver)).or_default();
            for volume in volumes {
                driver.entry(Arc::clone(volume)).or_default().insert(id, hold);
            }
        }
    }

    /// Somebody has a place no longer.
    pub(crate) fn remove(&mut self, id: PodId, terms: &VolumeTerms, node: NodeId) {
        for thing in &terms.sole {
            forget(&mut self.sole, thing, |users| users.remove(&id).is_some() && users.is_empty());
        }
        for one in &terms.unbound {
            forget(&mut self.claims, &one.claim, |users| users.remove(&id).is_some() && users.is_empty());
        }
        let Some(there) = self.nodes.get_mut(&node) else { return };
        for disk in &terms.disks {
            forget(&mut there.disks, &disk.name, |users| users.remove(&id).is_some() && users.is_empty());
        }
        for (driver, volumes) in &terms.attached {
            forget(&mut there.attached, driver, |of_driver| {
                for volume in volumes {
                    forget(of_driver, volume, |users| users.remove(&id).is_some() && users.is_empty());
                }
                of_driver.is_empty()
            });
        }
        if *there == OnNode::default() {
            self.nodes.remove(&node);
        }
    }

    /// What a node can attach from now on.
    pub(crate) fn set_limits(&mut self, node: NodeId, limits: BTreeMap<Arc<str>, u32>) {
        match limits.is_empty() {
            true => self.limits.remove(&node),
            false => self.limits.insert(node, limits),
        };
    }

    /// How many volumes of a driver a node can attach, if there is a limit.
    pub(crate) fn limit(&self, node: NodeId, driver: &str) -> Option<u32> {
        self.limits.get(&node)?.get(driver).copied()
    }

    /// The same limits, and nobody anywhere.
    pub(crate) fn without_users(&self) -> Self {
        VolumeBook { limits: self.limits.clone(), ..VolumeBook::default() }
    }

    /// Has somebody else this thing, of which there may be one user?
    pub(super) fn is_taken(&self, thing: &str, id: PodId, counts: fn(Hold) -> bool) -> bool {
        self.sole.get(thing).is_some_and(|users| others(users, id, counts).next().is_some())
    }

    /// Is a disk in use on the node by somebody who does not share it?
    pub(super) fn conflicts(&self, node: NodeId, disk: &Disk, id: PodId, counts: fn(Hold) -> bool) -> bool {
        let users = self.nodes.get(&node).and_then(|there| there.disks.get(&disk.name));
        let in_the_way = |(other, (hold, shared)): (&PodId, &(Hold, bool))| {
            other.owner() != id && counts(*hold) && !(*shared && disk.shared)
        };
        users.is_some_and(|users| users.iter().any(in_the_way))
    }

    /// Would these volumes of a driver be too many for the node, beside those of others?
    pub(super) fn exceeds(
        &self,
        node: NodeId,
        driver: &str,
        wanted: &BTreeSet<Arc<str>>,
        id: PodId,
        counts: fn(Hold) -> bool,
    ) -> bool {
        let Some(limit) = self.limit(node, driver).map(|limit| limit as usize) else { return false };
        let attached = self.nodes.get(&node).and_then(|there| there.attached.get(driver));
        let Some(attached) = attached.filter(|attached| attached.len() + wanted.len() > limit) else {
            return wanted.len() > limit;
        };
        let used =
            |volume: &Arc<str>| attached.get(volume).is_some_and(|users| others(users, id, counts).next().is_some());
        let new = wanted.iter().filter(|volume| !used(volume)).count();
        // What it would attach itself is there already for others: one volume more is none.
        new > 0 && attached.keys().filter(|volume| used(volume)).count() + new > limit
    }

    /// The claims without a volume that are in use.
    pub(super) fn claims(&self) -> &BTreeMap<Arc<str>, BTreeMap<PodId, NodeId>> {
        &self.claims
    }
}

fn others(users: &Users, id: PodId, counts: fn(Hold) -> bool) -> impl Iterator<Item = PodId> {
    users.iter().filter(move |(other, hold)| other.owner() != id && counts(**hold)).map(|(other, _)| *other)
}

/// Changes an entry, and takes it out if that leaves nothing.
fn forget<T>(map: &mut BTreeMap<Arc<str>, T>, key: &Arc<str>, is_done: impl FnOnce(&mut T) -> bool) {
    if map.get_mut(key).is_some_and(is_done) {
        map.remove(key);
    }
}
