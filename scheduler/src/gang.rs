//! Which gang a pod is of, and what the engine knows of a gang. Owns the conventions of all systems; queues and the engine's
//! ids are told to it.

use std::collections::BTreeMap;

use berth_config::names;
use berth_config::scheduler::{GroupConvention, Topology};
use berth_config::units::Duration;
use berth_engine::gang::{GangSpec, Subgroup, TopologyWish};
use berth_engine::{QueueId, Timestamp};

use crate::gpu::field;
use crate::objects::{Group, GroupTopology, Key, Kind, Pod};
use crate::pod::{Phase, Reading};
use crate::problem::{Fault, found};
use crate::time::timestamp;

/// Which gang.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GangKey {
    /// Described by an object, or by annotations of its pods (then the convention is [`GroupConvention::Berth`]).
    Group {
        /// In the way of which system.
        convention: GroupConvention,
        /// Its namespace, which is that of its pods.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A pod by itself.
    Lone {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl GangKey {
    /// The object that describes it, if there has to be one.
    pub(crate) fn object(&self) -> Option<Key> {
        match self {
            GangKey::Group { convention, namespace, name } if *convention != GroupConvention::Berth => {
                Some(Key { kind: Kind::PodGroup(*convention), namespace: namespace.clone(), name: name.clone() })
            }
            _ => None,
        }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        match self {
            GangKey::Group { namespace, .. } | GangKey::Lone { namespace, .. } => namespace,
        }
    }

    /// `namespace/name`.
    pub fn path(&self) -> String {
        match self {
            GangKey::Group { namespace, name, .. } | GangKey::Lone { namespace, name } => format!("{namespace}/{name}"),
        }
    }
}

/// The gang a pod says it is of, by the first convention of `accept` that it follows, and its subgroup.
pub(crate) fn membership(pod: &Pod, accept: &[GroupConvention]) -> (GangKey, String) {
    let (labels, annotations) = (&pod.metadata.labels, &pod.metadata.annotations);
    let named = |convention: &GroupConvention| {
        let name = match convention {
            GroupConvention::Native => pod.spec.scheduling_group.as_ref().map(|group| &group.pod_group_name),
            GroupConvention::Berth => annotations.get(names::GANG),
            GroupConvention::Coscheduling => labels.get(names::COSCHEDULING_GROUP),
            GroupConvention::Volcano => names::VOLCANO_GROUP.iter().find_map(|key| annotations.get(*key)),
            GroupConvention::Kai => annotations.get(names::KAI_GROUP),
        };
        name.filter(|name| !name.is_empty()).map(|name| (*convention, name.clone()))
    };
    let namespace = pod.metadata.namespace.clone();
    match accept.iter().find_map(named) {
        None => (GangKey::Lone { namespace, name: pod.metadata.name.clone() }, String::new()),
        Some((convention, name)) => {
            let subgroup = labels.get(names::KAI_SUBGROUP).filter(|_| convention == GroupConvention::Kai);
            (GangKey::Group { convention, namespace, name }, subgroup.cloned().unwrap_or_default())
        }
    }
}

/// A gang's object and pods, all that is known when it is described.
pub(crate) struct Known<'a> {
    pub(crate) key: &'a GangKey,
    /// Its object, where the convention has one.
    pub(crate) group: Option<&'a Group>,
    /// By name; ended ones too.
    pub(crate) members: Vec<(&'a Pod, &'a Reading)>,
    pub(crate) topologies: &'a [Topology],
    /// Value of a priority class.
    pub(crate) classes: &'a dyn Fn(&str) -> Option<i64>,
}

impl Known<'_> {
    /// What the engine knows of the gang in that queue.
    ///
    /// # Errors
    /// What of it cannot be honoured.
    pub(crate) fn describe(&self, queue: QueueId, faults: &mut Vec<Fault>) -> Result<GangSpec, Fault> {
        let tree = self.tree()?;
        let preempts = |policy: &Option<String>| policy.as_deref() != Some("Never");
        let preempts = match self.group {
            Some(group) if group.spec.preemption_policy.is_some() => preempts(&group.spec.preemption_policy),
            _ => self.members.iter().all(|(pod, _)| preempts(&pod.spec.preemption_policy)),
        };
        let priority = self.priority(faults);
        let succeeded = self.members.iter().filter(|(_, reading)| reading.phase == Phase::Succeeded).count();
        let bound = || self.members.iter().filter(|(_, reading)| reading.phase.is_bound());
        Ok(GangSpec {
            name: self.key.path().into(),
            queue,
            priority,
            preemptible: self.is_preemptible(priority, faults),
            created: self.created(),
            started: bound().filter_map(|(pod, _)| timestamp(pod.status.start_time.as_deref()?)).min(),
            preemption_delay_ms: if preempts { 0 } else { u64::MAX },
            stale_since: None,
            stale_grace: None,
            succeeded: u32::try_from(succeeded).unwrap_or(u32::MAX),
            start_timeout_ms: None,
            expected_runtime_ms: self.runtime(faults),
            last_checkpoint: self.checkpoint(faults),
            // Pods with constraints that the engine does not know would not find their place again.
            recreated: self.members.iter().all(|(pod, reading)| is_recreated(pod) && reading.is_sound()),
            tree,
        })
    }

    /// The first text the group or one of its pods has in its annotations, with the annotation's name.
    fn said<'k>(&self, keys: &[&'k str]) -> Option<(&'k str, &str)> {
        let group = self.group.map(|group| &group.metadata.annotations);
        let all = group.into_iter().chain(self.members.iter().map(|(pod, _)| &pod.metadata.annotations));
        let mut found = all.flat_map(|annotations| keys.iter().map(move |key| (*key, annotations.get(*key))));
        found.find_map(|(key, text)| Some((key, text?.as_str())))
    }

    fn created(&self) -> Timestamp {
        let group = self.group.and_then(|group| timestamp(group.metadata.creation_timestamp.as_deref()?));
        let pods = || self.members.iter().filter_map(|(pod, _)| timestamp(pod.metadata.creation_timestamp.as_deref()?));
        group.or_else(|| pods().min()).unwrap_or_default()
    }

    fn priority(&self, faults: &mut Vec<Fault>) -> i64 {
        let said = self.group.and_then(|group| group.spec.priority);
        let class = self.group.map(|group| group.spec.priority_class_name.as_str()).filter(|class| !class.is_empty());
        let pods = || self.members.iter().filter_map(|(pod, _)| pod.spec.priority).max().unwrap_or(0).into();
        said.unwrap_or_else(|| match class.map(|class| (class, (self.classes)(class))) {
            Some((_, Some(value))) => value,
            Some((class, None)) => {
                let remedy = "create the PriorityClass; until then the pods' own priority counts";
                faults.push(Fault::ignored("spec.priorityClassName", found(class), remedy));
                pods()
            }
            None => pods(),
        })
    }

    /// KAI's rule for KAI's groups: what is said, else priorities below 100. Volcano's annotation. Anybody else is preemptible.
    fn is_preemptible(&self, priority: i64, faults: &mut Vec<Fault>) -> bool {
        const KAI_FIXED_FROM: i64 = 100;
        let group = self.group.map(|group| group.spec.preemptibility.as_str()).filter(|said| !said.is_empty());
        let label = || self.members.iter().find_map(|(pod, _)| pod.metadata.labels.get(names::KAI_PREEMPTIBILITY));
        let kai = matches!(self.key, GangKey::Group { convention: GroupConvention::Kai, .. });
        match group.or_else(|| label().map(String::as_str)) {
            Some("preemptible") => return true,
            Some("non-preemptible") => return false,
            Some(other) => {
                let remedy = "write `preemptible` or `non-preemptible`";
                faults.push(Fault::ignored(names::KAI_PREEMPTIBILITY, found(other), remedy));
            }
            None => {}
        }
        let volcano = self.said(&[names::VOLCANO_PREEMPTABLE]).is_some_and(|(_, text)| text == "false");
        !(volcano || kai && priority >= KAI_FIXED_FROM)
    }

    fn runtime(&self, faults: &mut Vec<Fault>) -> Option<u64> {
        if let Some((key, text)) = self.said(&[names::EXPECTED_RUNTIME]) {
            match text.parse::<Duration>() {
                Ok(runtime) => return Some(runtime.ms()),
                Err(expected) => faults.push(Fault::ignored(field(key), found(text), expected)),
            }
        }
        let mut labels = self.members.iter().filter_map(|(pod, _)| pod.metadata.labels.get(names::KUEUE_MAX_SECONDS));
        let seconds: u64 = labels.next()?.parse().ok()?;
        Some(seconds.saturating_mul(1000))
    }

    fn checkpoint(&self, faults: &mut Vec<Fault>) -> Option<Timestamp> {
        let (key, text) = self.said(&[names::LAST_CHECKPOINT])?;
        let at = timestamp(text);
        if at.is_none() {
            faults.push(Fault::ignored(field(key), found(text), "write a time such as `2026-11-21T18:00:00Z`"));
        }
        at
    }

    fn tree(&self) -> Result<Subgroup, Fault> {
        let topology = self.annotated_wish()?;
        let leaf = |min_member, topology| Subgroup { min_member, topology, ..Subgroup::default() };
        let GangKey::Group { convention, .. } = self.key else { return Ok(leaf(1, topology)) };
        let Some(group) = self.group else { return Ok(leaf(self.annotated_size()?, topology)) };
        match convention {
            GroupConvention::Native => {
                let (min_member, own) = self.native(group)?;
                Ok(leaf(min_member, own.or(topology)))
            }
            GroupConvention::Coscheduling | GroupConvention::Berth => Ok(leaf(min_member(group)?, topology)),
            GroupConvention::Volcano => {
                let unknown = [
                    ("spec.minTaskMember", !group.spec.min_task_member.is_empty()),
                    ("spec.networkTopology", group.spec.network_topology.is_some()),
                ];
                for (name, there) in unknown {
                    if there {
                        let remedy = "leave it out, or use `berth.dev/required-topology`";
                        return Err(Fault::refused(name, "cannot be kept", remedy));
                    }
                }
                Ok(leaf(min_member(group)?, topology))
            }
            GroupConvention::Kai => self.kai(group, topology),
        }
    }

    /// `berth.dev/gang-size`, on which all pods have to agree.
    fn annotated_size(&self) -> Result<u32, Fault> {
        let mut sizes = self.members.iter().map(|(pod, _)| pod.metadata.annotations.get(names::GANG_SIZE));
        let first = sizes.next().flatten();
        let name = field(names::GANG_SIZE);
        let remedy = "write the same number of pods, 1 or more, on every pod of the gang";
        if sizes.any(|other| other != first) {
            return Err(Fault::refused(name, "differs between pods of the gang", remedy));
        }
        let text = first.map_or("", String::as_str);
        text.parse().ok().filter(|size| *size > 0).ok_or_else(|| Fault::refused(name, found(text), remedy))
    }

    /// A native group: its minimum, and where it must be.
    fn native(&self, group: &Group) -> Result<(u32, Option<TopologyWish>), Fault> {
        let spec = &group.spec;
        let whole = spec.disruption_mode.as_ref().is_some_and(|mode| mode.all.is_some());
        let unknown = [
            ("spec.parentCompositePodGroupName", spec.parent_composite_pod_group_name.is_some()),
            ("spec.resourceClaims", !spec.resource_claims.is_empty()),
            ("spec.disruptionMode.all", whole),
        ];
        if let Some((name, _)) = unknown.into_iter().find(|(_, there)| *there) {
            return Err(Fault::refused(name, "cannot be kept yet", "leave it out"));
        }
        let policy = spec.scheduling_policy.clone().unwrap_or_default();
        let min_member = match (policy.basic, &policy.gang) {
            // Each pod for itself: after the first, the others come one by one.
            (Some(_), None) => 1,
            (None, Some(gang)) => at_least_one(gang.min_count, "spec.schedulingPolicy.gang.minCount")?,
            _ => {
                let what = "has both `basic` and `gang`, or neither";
                return Err(Fault::refused("spec.schedulingPolicy", what, "set one of the two"));
            }
        };
        let wish = match spec.scheduling_constraints.topology.as_slice() {
            [] => None,
            [one] => self.wish(None, Some(&one.key), None, "spec.schedulingConstraints.topology[0].key")?,
            _ => {
                let what = "has several entries";
                return Err(Fault::refused("spec.schedulingConstraints.topology", what, "keep one"));
            }
        };
        Ok((min_member, wish))
    }

    /// A group of KAI, which may be a tree.
    fn kai(&self, group: &Group, annotated: Option<TopologyWish>) -> Result<Subgroup, Fault> {
        let own = self.constraint(group.spec.topology_constraint.as_ref(), "spec.topologyConstraint")?;
        let topology = own.or(annotated);
        if group.spec.sub_groups.is_empty() {
            return Ok(Subgroup { min_member: min_member(group)?, topology, ..Subgroup::default() });
        }
        let mut below: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (at, subgroup) in group.spec.sub_groups.iter().enumerate() {
            below.entry(subgroup.parent.as_deref().filter(|parent| !parent.is_empty())).or_default().push(at);
        }
        let mut seen = 0;
        let subgroups = self.kai_below(group, &[], &below, &mut seen)?;
        if seen != group.spec.sub_groups.len() {
            let what = "has subgroups whose parent is not there, is not reached, or has the same name as another";
            return Err(Fault::refused("spec.subGroups", what, "name each once, under one that is there"));
        }
        let all = u32::try_from(subgroups.len()).unwrap_or(u32::MAX);
        let min_member = match group.spec.min_sub_group {
            Some(_) => at_least_one(group.spec.min_sub_group, "spec.minSubGroup")?,
            None => all,
        };
        Ok(Subgroup { name: String::new(), min_member, subgroups, topology })
    }

    fn kai_below(
        &self,
        group: &Group,
        above: &[&str],
        below: &BTreeMap<Option<&str>, Vec<usize>>,
        seen: &mut usize,
    ) -> Result<Vec<Subgroup>, Fault> {
        const DEEPEST: usize = 8; // twice what native groups may have, so that no object exhausts the stack
        if above.len() > DEEPEST {
            let what = format!("is more than {DEEPEST} levels deep");
            return Err(Fault::refused("spec.subGroups", what, "use fewer levels"));
        }
        let mut made = Vec::new();
        for at in below.get(&above.last().copied()).into_iter().flatten() {
            *seen += 1;
            if *seen > group.spec.sub_groups.len() {
                break; // a name that is there twice: told by the caller
            }
            let (one, path) = (&group.spec.sub_groups[*at], format!("spec.subGroups[{at}]"));
            let path_here: Vec<&str> = above.iter().copied().chain([one.name.as_str()]).collect();
            let subgroups = self.kai_below(group, &path_here, below, seen)?;
            let min_member = match (subgroups.is_empty(), one.min_sub_group) {
                (true, _) => at_least_one(one.min_member, &format!("{path}.minMember"))?,
                (false, None) => u32::try_from(subgroups.len()).unwrap_or(u32::MAX),
                (false, some) => at_least_one(some, &format!("{path}.minSubGroup"))?,
            };
            let topology = self.constraint(one.topology_constraint.as_ref(), &format!("{path}.topologyConstraint"))?;
            made.push(Subgroup { name: one.name.clone(), min_member, subgroups, topology });
        }
        Ok(made)
    }

    fn constraint(&self, wish: Option<&GroupTopology>, path: &str) -> Result<Option<TopologyWish>, Fault> {
        let Some(wish) = wish else { return Ok(None) };
        let some = |text: &'_ String| Some(text.clone()).filter(|text| !text.is_empty());
        let (topology, required) = (some(&wish.topology), some(&wish.required_topology_level));
        let preferred = some(&wish.preferred_topology_level);
        self.wish(topology.as_deref(), required.as_deref(), preferred.as_deref(), path)
    }

    /// What annotations of the group or its pods wish for.
    fn annotated_wish(&self) -> Result<Option<TopologyWish>, Fault> {
        if let Some((key, _)) = self.said(&names::UNKNOWN_TOPOLOGY) {
            let remedy = "leave it out, or use `berth.dev/required-topology`";
            return Err(Fault::refused(field(key), "cannot be kept yet", remedy));
        }
        let (required, preferred) = (self.said(&names::REQUIRED_LEVELS), self.said(&names::PREFERRED_LEVELS));
        let Some((key, _)) = required.or(preferred) else { return Ok(None) };
        let topology = self.said(&[names::KAI_TOPOLOGY]).map(|(_, text)| text);
        self.wish(topology, required.map(|(_, text)| text), preferred.map(|(_, text)| text), &field(key))
    }

    /// A wish for closeness: in the topology that is named, else in the first that has the levels, else in one of that level
    /// alone, since any node label may be asked for.
    fn wish(
        &self,
        topology: Option<&str>,
        required: Option<&str>,
        preferred: Option<&str>,
        path: &str,
    ) -> Result<Option<TopologyWish>, Fault> {
        let Some(any) = required.or(preferred) else { return Ok(None) };
        let has = |one: &&Topology| {
            let levels = [required, preferred].into_iter().flatten();
            levels.into_iter().all(|level| one.levels.iter().any(|known| known == level))
        };
        let of_name = self.topologies.iter().filter(|one| topology.is_none_or(|name| one.name == name)).find(has);
        let fitting = of_name.or_else(|| self.topologies.iter().find(has));
        let name = match fitting {
            Some(known) => known.name.clone(),
            None if [required, preferred].into_iter().flatten().all(|level| level == any) => level_alone(any),
            None => {
                let what = format!("no topology has both `{any}` and `{}`", preferred.unwrap_or_default());
                return Err(Fault::refused(path, what, "add one to `topologies` of the configuration"));
            }
        };
        let (required, preferred) = (required.map(str::to_owned), preferred.map(str::to_owned));
        Ok(Some(TopologyWish { topology: name, required, preferred }))
    }
}

/// The name of the topology that is one level alone. No configured topology has a space in its name.
pub(crate) fn level_alone(level: &str) -> String {
    format!("label {level}")
}

/// The node labels that a tree of subgroups asks for: of each wish its topology, and every level named.
pub(crate) fn wishes(tree: &Subgroup) -> Vec<&TopologyWish> {
    let mut all: Vec<&TopologyWish> = tree.topology.iter().collect();
    all.extend(tree.subgroups.iter().flat_map(wishes));
    all
}

/// Does a tree have this subgroup, without others below it?
pub(crate) fn has_leaf(tree: &Subgroup, name: &str) -> bool {
    match tree.subgroups.as_slice() {
        [] => tree.name == name,
        below => below.iter().any(|one| has_leaf(one, name)),
    }
}

fn min_member(group: &Group) -> Result<u32, Fault> {
    at_least_one(group.spec.min_member.or(Some(1)), "spec.minMember")
}

fn at_least_one(count: Option<i64>, path: &str) -> Result<u32, Fault> {
    let known = count.and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0);
    known.ok_or_else(|| {
        let what = count.map_or("is not there".to_owned(), |count| found(&count.to_string()));
        Fault::refused(path, what, "write a number of 1 or more")
    })
}

/// Does a controller make the pod anew when it is gone?
fn is_recreated(pod: &Pod) -> bool {
    pod.metadata.owner_references.iter().any(|owner| owner.controller == Some(true))
}
