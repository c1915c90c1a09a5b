//! What a pod's volumes ask of its node: where they can be, how many a node can attach, and with whom they can be shared.
//! Owns the rules of kube-scheduler's VolumeRestrictions, NodeVolumeLimits, VolumeBinding and VolumeZone. Knows names of things
//! only; claims, volumes and classes are the driver's, which says what they come to.
//!
//! A claim without a volume is given one of those it may have when its pod gets a place. Which one is not written down:
//! whoever has a place has a volume as long as all claims together can be served (see `matching`), so nobody is kept
//! out by a choice that could have been another one. [`chosen`] says what it comes to, once a cycle is over.

mod book;
mod matching;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub(crate) use book::VolumeBook;
use matching::Offers;
pub use matching::{Chosen, chosen};

use super::Constraint;
use super::labels::Test;
use super::node_affinity::{self, NodeTerm};
use crate::cluster::{Hold, NodeShape};
use crate::state::{Pod, State};
use crate::units::{NodeId, PodId};

/// What a pod's volumes ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields, default)
)]
pub struct VolumeTerms {
    /// Things that only one pod of the cluster may use at a time: claims with `ReadWriteOncePod`.
    pub sole: BTreeSet<Arc<str>>,
    /// Disks that pods of one node cannot share freely, each once.
    pub disks: Vec<Disk>,
    /// What has to be attached to its node, by driver; what several pods of a node use is attached once.
    pub attached: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Where its volumes can be: the node must meet one of the terms of each.
    pub places: Vec<VolumePlace>,
    /// Its claims that have no volume yet, each once.
    pub unbound: Vec<UnboundClaim>,
}

/// A disk mounted without a claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Disk {
    /// Which one.
    pub name: Arc<str>,
    /// May others of the node have it too, if they are as content with reading?
    pub shared: bool,
}

/// Where one volume can be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct VolumePlace {
    /// By which rule.
    pub rule: PlaceRule,
    /// One of these must be met; with none, no node does.
    pub terms: Vec<NodeTerm>,
}

/// Why a volume cannot be everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum PlaceRule {
    /// The volume says so itself.
    Affinity,
    /// There is no such volume.
    Missing,
    /// Its labels name a zone or region.
    Zone,
}

/// A claim that has no volume yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct UnboundClaim {
    /// Which one; pods that name the same claim get the same volume.
    pub claim: Arc<str>,
    /// How much it asks for, bytes; those that ask for less choose first.
    pub bytes: u64,
    /// The volumes it may have.
    pub volumes: Arc<FreeVolumes>,
    /// Where a new volume could be made for it, if at all; an empty list is everywhere. All of its pods must be on one node then.
    pub provision: Option<Vec<NodeTerm>>,
}

/// Volumes that nobody has yet, best first, with an index by node: local volumes are many, and each is on one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "Vec<FreeVolume>", into = "Vec<FreeVolume>")
)]
pub struct FreeVolumes {
    all: Vec<FreeVolume>,
    by_node: BTreeMap<String, Vec<usize>>,
    elsewhere: Vec<usize>,
}

/// A volume that nobody has yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct FreeVolume {
    /// Which one.
    pub name: Arc<str>,
    /// Where it can be; an empty list is everywhere.
    pub terms: Vec<NodeTerm>,
}

impl From<Vec<FreeVolume>> for FreeVolumes {
    fn from(all: Vec<FreeVolume>) -> Self {
        FreeVolumes::of(all)
    }
}

impl From<FreeVolumes> for Vec<FreeVolume> {
    fn from(volumes: FreeVolumes) -> Self {
        volumes.all
    }
}

impl FreeVolumes {
    /// These volumes, best first.
    pub fn of(all: Vec<FreeVolume>) -> Self {
        let mut volumes = FreeVolumes { all, ..FreeVolumes::default() };
        for (at, volume) in volumes.all.iter().enumerate() {
            match named(&volume.terms) {
                Some(nodes) => {
                    nodes.into_iter().for_each(|node| volumes.by_node.entry(node.to_owned()).or_default().push(at));
                }
                None => volumes.elsewhere.push(at),
            }
        }
        volumes
    }

    /// All of them.
    pub fn all(&self) -> &[FreeVolume] {
        &self.all
    }

    /// Those that can be on this node, best first.
    fn on<'v>(&'v self, name: &str, shape: &NodeShape) -> Vec<&'v Arc<str>> {
        let mut here: Vec<usize> =
            self.by_node.get(name).into_iter().flatten().chain(&self.elsewhere).copied().collect();
        here.sort_unstable();
        let volumes = here.into_iter().map(|at| &self.all[at]);
        volumes.filter(|volume| node_affinity::is_met(&volume.terms, shape, name)).map(|volume| &volume.name).collect()
    }
}

/// The only nodes that could meet these terms, if they name them.
fn named(terms: &[NodeTerm]) -> Option<BTreeSet<&str>> {
    let mut all = BTreeSet::new();
    for term in terms {
        let names = term.names.iter().find_map(|test| if let Test::In(names) = test { Some(names) } else { None })?;
        all.extend(names.iter().map(String::as_str));
    }
    (!terms.is_empty()).then_some(all)
}

impl VolumeTerms {
    /// Do its volumes ask for nothing?
    pub fn is_empty(&self) -> bool {
        let VolumeTerms { sole, disks, attached, places, unbound } = self;
        sole.is_empty() && disks.is_empty() && attached.is_empty() && places.is_empty() && unbound.is_empty()
    }
}

/// A pod with volumes, ready to be held against nodes.
pub(crate) struct Judge<'s> {
    state: &'s State,
    id: PodId,
    terms: &'s VolumeTerms,
    /// Is something of which there may be one in use by others?
    taken: bool,
    offers: Option<Offers<'s>>,
}

impl<'s> Judge<'s> {
    /// `None` for a pod whose volumes ask for nothing.
    pub(crate) fn of(state: &'s State, id: PodId, pod: &'s Pod) -> Option<Self> {
        let terms = pod.terms.as_deref()?.volumes.as_deref()?;
        let taken = terms.sole.iter().any(|thing| state.volumes.is_taken(thing, id, Hold::is_later));
        let offers = (!terms.unbound.is_empty()).then(|| Offers::of(state, id, &terms.unbound));
        Some(Judge { state, id, terms, taken, offers })
    }

    /// May it be on this node, once those that leave have gone?
    pub(crate) fn allows(&self, node: NodeId) -> bool {
        self.rejections(node).is_empty()
    }

    /// What keeps it off the node: all that the first rule that rejects it has to say.
    pub(crate) fn rejections(&self, node: NodeId) -> Vec<Constraint> {
        let Some((known, of)) = self.state.cluster.nodes().get(&node).zip(self.state.cluster.state(node)) else {
            return vec![Constraint::Volume(VolumeRule::Affinity)];
        };
        let (name, shape) = (known.name.as_str(), &*of.shape);
        let unmet = |is_zone: bool| {
            let mut places = self.terms.places.iter().filter(|place| (place.rule == PlaceRule::Zone) == is_zone);
            places.find(|place| !place.is_met(shape, name))
        };
        let one = |rule| vec![Constraint::Volume(rule)];
        if self.disk_conflict(node, Hold::is_later) {
            return one(VolumeRule::Disk);
        }
        if self.taken {
            return one(VolumeRule::Sole);
        }
        if self.too_many(node, Hold::is_later) {
            return one(VolumeRule::Count);
        }
        let mut binding: Vec<Constraint> = unmet(false).map(|place| place.rule.constraint()).into_iter().collect();
        if self.offers.as_ref().is_some_and(|offers| !offers.suffice(self.state, node)) {
            binding.push(Constraint::Volume(VolumeRule::NoneFree));
        }
        if binding.is_empty() && unmet(true).is_some() {
            return one(VolumeRule::Zone);
        }
        binding
    }

    fn disk_conflict(&self, node: NodeId, counts: fn(Hold) -> bool) -> bool {
        self.terms.disks.iter().any(|disk| self.state.volumes.conflicts(node, disk, self.id, counts))
    }

    fn too_many(&self, node: NodeId, counts: fn(Hold) -> bool) -> bool {
        let mut drivers = self.terms.attached.iter();
        drivers.any(|(driver, wanted)| self.state.volumes.exceeds(node, driver, wanted, self.id, counts))
    }
}

impl VolumePlace {
    fn is_met(&self, node: &NodeShape, name: &str) -> bool {
        self.terms.iter().any(|term| term.is_met(node, name))
    }
}

impl PlaceRule {
    fn constraint(self) -> Constraint {
        Constraint::Volume(match self {
            PlaceRule::Affinity => VolumeRule::Affinity,
            PlaceRule::Missing => VolumeRule::Missing,
            PlaceRule::Zone => VolumeRule::Zone,
        })
    }
}

/// The rules about volumes, in the order they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum VolumeRule {
    /// A disk is in use on the node by another pod.
    Disk,
    /// A claim is in use by another pod, and only one may use it.
    Sole,
    /// The node attaches no more volumes of a driver.
    Count,
    /// A volume cannot be there.
    Affinity,
    /// A claim has no volume, and there is none for it.
    NoneFree,
    /// A claim's volume is not there at all.
    Missing,
    /// A volume is in another zone or region.
    Zone,
}

impl fmt::Display for VolumeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VolumeRule::Disk => "where others use its disk",
            VolumeRule::Sole => "while another pod uses a claim of which there may be one user",
            VolumeRule::Count => "with no room for more volumes",
            VolumeRule::Affinity => "where a volume cannot be",
            VolumeRule::NoneFree => "without a volume for a claim",
            VolumeRule::Missing => "since a claim's volume is not there",
            VolumeRule::Zone => "in another zone than a volume",
        })
    }
}

/// Must the pod wait on this node until others have left it, for its volumes alone?
pub(crate) fn must_wait(state: &State, id: PodId, node: NodeId) -> bool {
    let terms = state.pods.get(&id).and_then(|pod| pod.terms.as_deref()?.volumes.as_deref());
    terms.is_some_and(|terms| {
        let judge = Judge { state, id, terms, taken: false, offers: None };
        terms.sole.iter().any(|thing| state.volumes.is_taken(thing, id, Hold::is_now))
            || judge.disk_conflict(node, Hold::is_now)
            || judge.too_many(node, Hold::is_now)
    })
}

/// Keeps the nodes on which the pod's volumes can be.
pub(crate) fn keep_reachable(state: &State, id: PodId, pod: &Pod, nodes: &mut Vec<NodeId>) {
    if let Some(judge) = Judge::of(state, id, pod) {
        nodes.retain(|node| judge.allows(*node));
    }
}

/// Can a pod's volumes be where it is?
pub(crate) fn are_reachable(state: &State, id: PodId) -> bool {
    let there = state.pods.get(&id).zip(state.cluster.placed().get(&id));
    there.is_none_or(|(pod, place)| Judge::of(state, id, pod).is_none_or(|judge| judge.allows(place.node)))
}
