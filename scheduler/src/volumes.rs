//! What the volumes of a pod mean for its place, as kube-scheduler's VolumeRestrictions, NodeVolumeLimits, VolumeBinding and
//! VolumeZone see it. Owns the meaning of claims, volumes and classes; which nodes that leaves is the engine's, what is to be
//! written before a binding is `steps`'s.
//!
//! Not looked at: how much storage is left (CSIStorageCapacity), so that a new volume may fail to be made; attachments that no
//! pod asks for any longer (VolumeAttachment); topology keys by which CSI drivers call the zones of disks that are named as
//! before CSI.

mod catalog;
mod steps;
mod watched;

use std::collections::BTreeSet;
use std::sync::Arc;

use berth_engine::filter::labels::{Requirement, Test};
use berth_engine::filter::node_affinity::NodeTerm;
use berth_engine::filter::volumes::{Disk, PlaceRule, UnboundClaim, VolumePlace, VolumeTerms};

pub(crate) use catalog::{Catalog, FreeList};
pub(crate) use steps::progress;
pub use steps::{Progress, VolumeStep};
pub(crate) use watched::{Pin, Volumes};

use crate::constraints::NodeRules;
use crate::objects::{Claim, InTree, Key, Kind, Pod, PodVolume, StorageClass, Volume};

/// Annotation of a claim whose volume is settled.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Annotation of a claim: the node for which a volume is to be made.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Annotation of claims and volumes: their class, as it was written once.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// The provisioner of classes whose volumes are made by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
const DELAYED: &str = "WaitForFirstConsumer";
const ONE_POD: &str = "ReadWriteOncePod";

/// Labels of volumes that name their zone or region; where nodes have none of these, volumes are everywhere. The second of each
/// pair is what the first is called by now.
const ZONES: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// Provisioners of before CSI, and the CSI drivers that do their work by now.
const MIGRATED: [(&str, &str); 5] = [
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
];

/// What the volumes of a pod come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What the engine has to know.
    pub(crate) terms: Arc<VolumeTerms>,
    /// Why the pod cannot be placed at all for now, in kube-scheduler's words.
    pub(crate) refusal: Option<String>,
    /// The volumes that were looked at by name.
    pub(crate) volumes: BTreeSet<String>,
    /// Keys of node labels it looks at.
    pub(crate) node_keys: BTreeSet<String>,
    /// Does it look at hostnames?
    pub(crate) hosts: bool,
}

impl Reading {
    /// Has it claims of which nobody knows which volume they get?
    pub(crate) fn is_undecided(&self) -> bool {
        !self.terms.unbound.is_empty()
    }

    /// For the engine: nothing where nothing is asked.
    pub(crate) fn shared(&self) -> Option<Arc<VolumeTerms>> {
        (!self.terms.is_empty()).then(|| Arc::clone(&self.terms))
    }

    fn terms(&mut self) -> &mut VolumeTerms {
        Arc::make_mut(&mut self.terms)
    }

    fn needs(&mut self, rule: PlaceRule, terms: Vec<NodeTerm>) {
        self.node_keys.extend(terms.iter().flat_map(|term| &term.labels).map(|asked| asked.key.clone()));
        self.terms().places.push(VolumePlace { rule, terms });
    }
}

/// A claim that a pod names.
pub(crate) struct Named {
    pub(crate) name: String,
    /// It was made for this pod alone.
    pub(crate) ephemeral: bool,
}

/// The claims a pod names, each once.
pub(crate) fn claims(pod: &Pod) -> Vec<Named> {
    let mut met = BTreeSet::new();
    let named = |volume: &PodVolume| match (&volume.persistent_volume_claim, volume.ephemeral) {
        (Some(claim), _) => Some(Named { name: claim.claim_name.clone(), ephemeral: false }),
        (None, Some(_)) => Some(Named { name: format!("{}-{}", pod.metadata.name, volume.name), ephemeral: true }),
        (None, None) => None,
    };
    pod.spec.volumes.iter().filter_map(named).filter(|one| met.insert(one.name.clone())).collect()
}

/// A claim of a namespace.
pub(crate) fn claim_key(namespace: &str, name: &str) -> Key {
    Key { kind: Kind::Claim, namespace: namespace.to_owned(), name: name.to_owned() }
}

/// What the volumes of a pod come to: of one that waits, or of one that is `bound` to a node already, which is held to nothing
/// any more, but keeps others away.
pub(crate) fn read(pod: &Pod, bound: bool, catalog: &mut Catalog<'_>) -> Reading {
    let mut reading = Reading::default();
    reading.terms().disks = disks(pod);
    for volume in &pod.spec.volumes {
        if let Some((driver, id)) = attachable(&volume.source) {
            attach(reading.terms(), driver, id);
        }
    }
    if !bound {
        reading.refusal = refusal(pod, catalog).err();
    }
    for Named { name, ephemeral } in claims(pod) {
        let key = claim_key(&pod.metadata.namespace, &name);
        let Some(claim) = catalog.claim(&key) else { continue };
        if claim.spec.access_modes.iter().any(|mode| mode == ONE_POD) && !ephemeral {
            reading.terms().sole.insert(key.path().into());
        }
        if let Some((driver, id)) = driver(&key, claim, catalog) {
            attach(reading.terms(), &driver, &id);
        }
        if is_settled(claim) {
            settled(claim, ephemeral, catalog, &mut reading);
        } else if !bound && reading.refusal.is_none() {
            unsettled(&key, claim, catalog, &mut reading);
        }
    }
    reading
}

fn attach(terms: &mut VolumeTerms, driver: &str, id: &str) {
    terms.attached.entry(driver.into()).or_default().insert(id.into());
}

/// Has the claim its volume for good?
pub(crate) fn is_settled(claim: &Claim) -> bool {
    !claim.spec.volume_name.is_empty() && claim.metadata.annotations.contains_key(BIND_COMPLETED)
}

/// What kube-scheduler says before it looks at nodes, if it does not come to look at any.
fn refusal(pod: &Pod, catalog: &Catalog<'_>) -> Result<(), String> {
    let namespace = &pod.metadata.namespace;
    let named = claims(pod);
    for Named { name, .. } in named.iter().filter(|one| !one.ephemeral) {
        let there = catalog.claim(&claim_key(namespace, name));
        there.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
    }
    let mut unbound = false;
    for Named { name, ephemeral } in &named {
        let waiting =
            || format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}");
        let claim = catalog.claim(&claim_key(namespace, name)).ok_or_else(waiting)?;
        if claim.status.phase == "Lost" {
            let volume = &claim.spec.volume_name;
            return Err(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"));
        }
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        let owner = claim.metadata.owner_references.iter().find(|owner| owner.controller == Some(true));
        if *ephemeral && owner.is_none_or(|owner| owner.uid != pod.metadata.uid) {
            let of = &pod.metadata.name;
            return Err(format!("PVC {namespace}/{name} was not created for pod {namespace}/{of} (pod is not owner)"));
        }
        unbound |= !(is_settled(claim) || is_delayed(claim, catalog)? && claim.spec.volume_name.is_empty());
    }
    if unbound {
        return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
    }
    for Named { name, .. } in named.iter().filter(|one| !one.ephemeral) {
        let volume = catalog.claim(&claim_key(namespace, name)).map(|claim| claim.spec.volume_name.as_str());
        if let Some(volume) = volume.filter(|volume| !volume.is_empty() && catalog.volume(volume).is_none()) {
            return Err(format!("persistentvolume {volume:?} not found"));
        }
    }
    Ok(())
}

/// Does the claim get its volume only once a pod that uses it has a node?
fn is_delayed(claim: &Claim, catalog: &Catalog<'_>) -> Result<bool, String> {
    let name = class_of(claim);
    let Some(class) = catalog.class(name) else { return Ok(false) };
    let mode = class.volume_binding_mode.as_ref();
    mode.map(|mode| mode == DELAYED).ok_or_else(|| format!("VolumeBindingMode not set for StorageClass {name:?}"))
}

/// The class of a claim; empty for none.
pub(crate) fn class_of(claim: &Claim) -> &str {
    let old = claim.metadata.annotations.get(OLD_CLASS);
    old.or(claim.spec.storage_class_name.as_ref()).map_or("", String::as_str)
}

/// A claim that has its volume: the pod goes where that can be.
fn settled(claim: &Claim, ephemeral: bool, catalog: &mut Catalog<'_>, reading: &mut Reading) {
    let name = &claim.spec.volume_name;
    reading.volumes.insert(name.clone());
    let Some(volume) = catalog.volume(name) else {
        return reading.needs(PlaceRule::Missing, Vec::new());
    };
    if let Some(rules) = node_rules(volume) {
        reading.hosts |= rules.looks_at_hosts();
        reading.needs(PlaceRule::Affinity, rules.all_terms(|hostname| catalog.named(hostname)));
    }
    for terms in zones(volume).into_iter().filter(|_| !ephemeral) {
        reading.needs(PlaceRule::Zone, terms);
    }
}

/// Where a volume can be, if not everywhere.
pub(crate) fn node_rules(volume: &Volume) -> Option<NodeRules> {
    let required = volume.spec.node_affinity.as_ref()?.required.as_ref()?;
    Some(NodeRules::of_selector(required))
}

/// What the zone and region labels of a volume ask of nodes, one list each.
fn zones(volume: &Volume) -> Vec<Vec<NodeTerm>> {
    let term = |labels: Vec<Requirement>| NodeTerm { labels, names: Vec::new() };
    let absent = |key: &str| Requirement { key: key.to_owned(), test: Test::DoesNotExist };
    let zoneless = term(ZONES.iter().map(|(key, _)| absent(key)).collect());
    let one = |(key, now): &(&str, &str)| {
        let parts = volume.metadata.labels.get(*key)?.split("__").map(str::trim);
        let values: BTreeSet<String> = parts.map(str::to_owned).collect();
        let is_in = |key: &str| Requirement { key: key.to_owned(), test: Test::In(values.clone()) };
        let mut terms = vec![zoneless.clone(), term(vec![is_in(key)])];
        if key != now {
            terms.push(term(vec![absent(key), is_in(now)]));
        }
        (!values.contains("")).then_some(terms)
    };
    ZONES.iter().filter_map(one).collect()
}

/// A claim that gets its volume when the pod has its node.
fn unsettled(key: &Key, claim: &Claim, catalog: &mut Catalog<'_>, reading: &mut Reading) {
    let selected = catalog.selected_node(key, claim);
    let free = if selected.is_some() { FreeList::default() } else { catalog.free(key, claim) };
    let fixed = catalog.is_given(key, claim);
    let provision =
        catalog.class(class_of(claim)).filter(|_| !fixed).and_then(|class| provision(class, selected.as_deref()));
    let asked = provision.iter().flatten().flat_map(|term| &term.labels).map(|asked| asked.key.clone());
    reading.node_keys.extend(asked);
    reading.node_keys.extend(free.node_keys.iter().cloned());
    reading.hosts |= free.hosts;
    reading.terms().unbound.push(UnboundClaim {
        claim: key.path().into(),
        bytes: catalog::bytes(&claim.spec.resources.requests),
        volumes: free.volumes,
        provision,
    });
}

/// Where volumes of a class can be made, if at all; on this node only, where one was selected.
fn provision(class: &StorageClass, selected: Option<&str>) -> Option<Vec<NodeTerm>> {
    if class.provisioner.is_empty() || class.provisioner == NO_PROVISIONER {
        return None;
    }
    let names: Vec<Test> = selected.map(|node| Test::In(BTreeSet::from([node.to_owned()]))).into_iter().collect();
    let mut terms = Vec::new();
    for term in &class.allowed_topologies {
        let asked = term.match_label_expressions.iter().map(|label| {
            let values = label.values.iter().cloned().collect();
            Requirement { key: label.key.clone(), test: Test::In(values) }
        });
        let labels: Vec<Requirement> = asked.collect();
        // A term that asks for nothing is met by no node, whichever was selected.
        let nobody = labels.is_empty();
        terms.push(if nobody { NodeTerm::default() } else { NodeTerm { labels, names: names.clone() } });
    }
    if terms.is_empty() && !names.is_empty() {
        terms.push(NodeTerm { labels: Vec::new(), names });
    }
    Some(terms)
}

/// Who attaches the volume of a claim, and what it is called there; before it has one, the claim's name will do.
fn driver(key: &Key, claim: &Claim, catalog: &Catalog<'_>) -> Option<(String, String)> {
    if let Some(volume) = catalog.volume(&claim.spec.volume_name) {
        let named = |(driver, id): (&str, &str)| (driver.to_owned(), id.to_owned());
        let csi = volume.spec.csi.as_ref().map(|csi| (csi.driver.as_str(), csi.volume_handle.as_str()));
        let known = csi.or_else(|| attachable(&volume.spec.source));
        return known.filter(|(driver, id)| !driver.is_empty() && !id.is_empty()).map(named);
    }
    let provisioner = &catalog.class(class_of(claim))?.provisioner;
    let migrated = MIGRATED.iter().find(|(old, _)| old == provisioner).map(|(_, driver)| *driver);
    let driver = migrated.unwrap_or(provisioner);
    (!driver.is_empty() && driver != NO_PROVISIONER).then(|| (driver.to_owned(), format!("claim {}", key.path())))
}

/// The CSI driver that attaches a disk which is named as before CSI, and the disk.
fn attachable(source: &InTree) -> Option<(&'static str, &str)> {
    let InTree { gce_persistent_disk, aws_elastic_block_store, azure_disk, cinder, portworx_volume, .. } = source;
    let ids = [
        aws_elastic_block_store.as_ref().map(|disk| &disk.volume_id),
        gce_persistent_disk.as_ref().map(|disk| &disk.pd_name),
        azure_disk.as_ref().map(|disk| &disk.disk_uri),
        cinder.as_ref().map(|disk| &disk.volume_id),
        portworx_volume.as_ref().map(|disk| &disk.volume_id),
    ];
    let found = ids.into_iter().zip(MIGRATED).find_map(|(id, (_, driver))| Some((driver, id?.as_str())));
    found.filter(|(_, id)| !id.is_empty())
}

/// Disks that a pod names itself and that pods of a node cannot share freely.
fn disks(pod: &Pod) -> Vec<Disk> {
    let mut disks: Vec<Disk> = Vec::new();
    let mut add = |name: String, shared: bool| match disks.iter_mut().find(|disk| *disk.name == *name) {
        Some(disk) => disk.shared &= shared,
        None => disks.push(Disk { name: name.into(), shared }),
    };
    for InTree { gce_persistent_disk, aws_elastic_block_store, iscsi, rbd, .. } in
        pod.spec.volumes.iter().map(|volume| &volume.source)
    {
        if let Some(disk) = gce_persistent_disk {
            add(format!("gce {}", disk.pd_name), disk.read_only);
        }
        if let Some(disk) = aws_elastic_block_store {
            add(format!("aws {}", disk.volume_id), false);
        }
        if let Some(disk) = iscsi {
            add(format!("iscsi {}", disk.iqn), disk.read_only);
        }
        if let Some(image) = rbd {
            let pool = image.pool.as_deref().unwrap_or("rbd");
            // Clusters are the same if they share a monitor.
            image.monitors.iter().for_each(|at| add(format!("rbd {at} {pool} {}", image.image), image.read_only));
        }
    }
    disks
}

#[cfg(test)]
mod tests;
