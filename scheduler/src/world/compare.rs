//! Works out what the engine should know of everything marked, and compares it with what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use berth_config::names;
use berth_config::scheduler::UnknownQueue;
use berth_engine::filter::affinity::PodTerms;
use berth_engine::filter::labels::{PodSelector, Requirement};
use berth_engine::filter::volumes::VolumeTerms;
use berth_engine::gang::{GangSpec, Stage};
use berth_engine::state::Budget;
use berth_engine::{Event, NodeSpec, PodSpec, QueueId};

use super::{Asked, GangKey, Source, World};
use crate::constraints::{pod_keys, selected};
use crate::gang::{Known, has_leaf, level_alone, wishes};
use crate::node;
use crate::objects::{Body, Group, Key, Kind, Pod};
use crate::pod::Phase;
use crate::problem::{Fault, Problem, found};
use crate::queues::{Lookup, Plan};
use crate::told::{At, ToldPod};

/// The difference between what the engine knows and what it should know.
#[derive(Debug, Default)]
pub(super) struct Telling {
    pub(super) queues: bool,
    pub(super) topologies: BTreeMap<String, Vec<String>>,
    pub(super) budgets: BTreeMap<String, Budget>,
    pub(super) gangs_gone: BTreeSet<GangKey>,
    pub(super) gangs_new: BTreeMap<GangKey, GangSpec>,
    pub(super) gangs_changed: BTreeMap<GangKey, GangSpec>,
    pub(super) nodes_gone: BTreeSet<String>,
    pub(super) nodes_new: BTreeMap<String, NodeSpec>,
    pub(super) nodes_changed: BTreeMap<String, NodeSpec>,
    pub(super) pods_gone: Vec<Key>,
    pub(super) pods_new: Vec<(Key, Wanted)>,
    pub(super) confirmed: Vec<Key>,
    pub(super) volumes: Vec<(Key, Option<Arc<VolumeTerms>>)>,
}

/// A pod as the engine should know it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) uid: String,
    pub(super) spec: PodSpec,
    pub(super) gang: Option<(GangKey, String)>,
    /// Where watches say that it is.
    pub(super) bound: Option<(Stage, String)>,
    /// What was told of it before, for what the watches do not say.
    pub(super) before: Option<Box<ToldPod>>,
}

/// What has become of a pod that was told.
enum Verdict {
    Same,
    Confirmed,
    Again,
}

impl World {
    /// What has to be told.
    pub(super) fn compare(&mut self) -> Vec<Event> {
        let mut telling = Telling::default();
        self.compare_queues(&mut telling);
        let budgets = self.budgets();
        self.compare_gangs(&mut telling);
        self.read_volumes();
        self.compare_asked(&budgets, &mut telling);
        self.compare_nodes(&mut telling);
        self.compare_pods(&mut telling);
        telling.budgets = budgets;
        self.tell(telling)
    }

    fn compare_queues(&mut self, telling: &mut Telling) {
        if !std::mem::take(&mut self.dirty.queues) {
            return;
        }
        let objects = self.store.of_kind(Kind::Queue).filter_map(|(key, object)| match &object.body {
            Body::Queue(queue) => Some((key.name.as_str(), queue.as_ref())),
            _ => None,
        });
        let plan = Plan::of(&objects.collect(), &self.settings.queues.default_queue, |name| self.told.queue_id(name));
        self.problems.retain(|source, _| !matches!(source, Source::Queue(_)));
        for (name, faults) in &plan.faults {
            let key = Key::cluster(Kind::Queue, name);
            let problems = faults.iter().map(|fault| fault.clone().of(key.clone())).collect();
            self.report(Source::Queue(name.clone()), problems);
        }
        self.queues = plan;
        // Also those without a pod of their own left, whose places are kept for successors.
        self.dirty.gangs.extend(self.members.keys().chain(self.told.gangs.keys()).cloned());
        telling.queues = true;
    }

    /// All disruption budgets, as the engine knows them.
    fn budgets(&mut self) -> BTreeMap<String, Budget> {
        if !std::mem::take(&mut self.dirty.budgets) {
            return self.told.budgets.clone();
        }
        let (mut budgets, mut problems) = (BTreeMap::new(), Vec::new());
        for (key, object) in self.store.of_kind(Kind::Budget) {
            let Body::Budget(budget) = &object.body else { continue };
            let pods = selected(budget.spec.selector.as_ref(), &key.namespace).unwrap_or_else(|what| {
                let remedy = "mend it; until then it protects every pod of its namespace";
                problems.push(Fault::ignored("spec.selector", what, remedy).of(key.clone()));
                PodSelector { namespaces: Some([key.namespace.clone()].into()), labels: Vec::new() }
            });
            let allowed = u32::try_from(budget.status.disruptions_allowed.max(0)).unwrap_or(u32::MAX);
            budgets.insert(key.path(), Budget { pods, allowed });
        }
        self.problems.retain(|source, _| !matches!(source, Source::Budget(_)));
        for problem in problems {
            self.report(Source::Budget(problem.object.clone()), vec![problem]);
        }
        // The engine cannot forget a budget; one that protects nobody is as good.
        for name in self.told.budgets.keys() {
            let nobody = Budget { pods: PodSelector::nobody(), allowed: u32::MAX };
            budgets.entry(name.clone()).or_insert(nobody);
        }
        budgets
    }

    fn compare_gangs(&mut self, telling: &mut Telling) {
        for key in std::mem::take(&mut self.dirty.gangs) {
            let (wanted, problems) = self.wanted_gang(&key);
            self.report(Source::Gang(key.clone()), problems);
            let told = self.told.gangs.get(&key).map(|told| &told.spec);
            let fixed =
                |a: &GangSpec, b: &GangSpec| (a.queue, a.preemptible, &a.tree) == (b.queue, b.preemptible, &b.tree);
            match (told, wanted) {
                (Some(told), Some(wanted)) if *told == wanted => continue,
                (Some(told), Some(wanted)) if fixed(told, &wanted) => {
                    telling.gangs_changed.insert(key, wanted);
                    continue;
                }
                (None, None) => {}
                (told, wanted) => {
                    if let Some(told) = told.cloned() {
                        self.count_wishes(&told, false);
                        telling.gangs_gone.insert(key.clone());
                    }
                    if let Some(wanted) = wanted {
                        self.count_wishes(&wanted, true);
                        telling.gangs_new.insert(key.clone(), wanted);
                    }
                }
            }
            self.dirty.pods.extend(self.members.get(&key).into_iter().flatten().cloned());
        }
    }

    fn count_wishes(&mut self, gang: &GangSpec, there: bool) {
        for wish in wishes(&gang.tree) {
            for level in [&wish.required, &wish.preferred].into_iter().flatten() {
                let counts = [(&mut self.levels, true), (&mut self.alone, wish.topology == level_alone(level))];
                for (counts, _) in counts.into_iter().filter(|(_, counted)| *counted) {
                    if there { counts.add(level) } else { counts.remove(level) }
                }
            }
        }
    }

    /// A gang as the engine should know it; not at all while it has no pods, or cannot be understood.
    fn wanted_gang(&self, key: &GangKey) -> (Option<GangSpec>, Vec<Problem>) {
        let members: Vec<_> = self.members.get(key).into_iter().flatten().filter_map(|key| self.member(key)).collect();
        let alive = |phase| matches!(phase, Phase::Waits | Phase::Bound(_));
        let first = members.iter().find(|(_, _, phase)| alive(*phase)).map(|(key, _, _)| *key);
        let Some(first) = first else {
            let kept = self.told.gangs.get(key).filter(|told| !told.ghosts.is_empty());
            let kept = kept.filter(|told| self.queues.is_leaf(told.spec.queue));
            return (kept.map(|told| told.spec.clone()), Vec::new());
        };
        let group = key.object().map(|object| (object.clone(), self.group(&object)));
        let about = match &group {
            Some((object, Some(_))) => object.clone(),
            _ => first.clone(),
        };
        if let Some((object, None)) = &group {
            let what = format!("{object} is not there, or cannot be read");
            let fault = Fault::refused("the pod's group", what, "create it; the pod waits until then");
            return (None, vec![fault.of(about)]);
        }
        let group = group.and_then(|(_, group)| group);
        let known = Known {
            key,
            group,
            members: members.iter().filter_map(|(key, pod, _)| Some((*pod, &self.views.get(*key)?.reading))).collect(),
            topologies: &self.settings.topologies,
            classes: &|name| self.class(name),
        };
        let mut faults = Vec::new();
        let described = self.queue_of(key, group, &members).and_then(|queue| known.describe(queue, &mut faults));
        let wanted = described.map_err(|fault| faults.push(fault)).ok();
        (wanted, faults.into_iter().map(|fault| fault.of(about.clone())).collect())
    }

    fn member<'w>(&'w self, key: &'w Key) -> Option<(&'w Key, &'w Pod, Phase)> {
        Some((key, self.pod_object(key)?, self.views.get(key)?.reading.phase))
    }

    fn pod_object(&self, key: &Key) -> Option<&Pod> {
        match &self.store.get(key)?.body {
            Body::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    fn group(&self, key: &Key) -> Option<&Group> {
        match &self.store.get(key)?.body {
            Body::Group(group) => Some(group),
            _ => None,
        }
    }

    fn class(&self, name: &str) -> Option<i64> {
        match &self.store.get(&Key::cluster(Kind::PriorityClass, name))?.body {
            Body::PriorityClass(class) => Some(class.value),
            _ => None,
        }
    }

    /// The queue a gang waits in: named by its group, else by its first pod that names one, else by its namespace.
    fn queue_of(
        &self,
        key: &GangKey,
        group: Option<&Group>,
        members: &[(&Key, &Pod, Phase)],
    ) -> Result<QueueId, Fault> {
        let queues = &self.settings.queues;
        let first = |keys: &[String], from: &BTreeMap<String, String>| {
            keys.iter().find_map(|key| from.get(key)).filter(|name| !name.is_empty()).cloned()
        };
        let of_meta = |meta: &crate::objects::Meta| {
            first(&queues.pod_labels, &meta.labels).or_else(|| first(&queues.pod_annotations, &meta.annotations))
        };
        let of_group = group.and_then(|group| {
            Some(group.spec.queue.clone()).filter(|name| !name.is_empty()).or_else(|| of_meta(&group.metadata))
        });
        let of_pods = || members.iter().find_map(|(_, pod, _)| of_meta(&pod.metadata));
        let of_namespace = || match &self.store.get(&Key::cluster(Kind::Namespace, key.namespace()))?.body {
            Body::Namespace(namespace) => first(&queues.namespace_labels, &namespace.metadata.labels),
            _ => None,
        };
        let named = of_group.or_else(of_pods).or_else(of_namespace).unwrap_or_else(|| queues.default_queue.clone());
        let mut lookup = self.queues.lookup(&named);
        if lookup == Lookup::Unknown && queues.unknown_queue == UnknownQueue::UseDefault {
            lookup = self.queues.lookup(&queues.default_queue);
        }
        match lookup {
            Lookup::Leaf(id) => Ok(id),
            Lookup::NotLeaf => {
                let what = format!("{}, a queue with others below it", found(&named));
                Err(Fault::refused("queue", what, "name one without queues below it"))
            }
            Lookup::Unknown => {
                let what = format!("{}, and there is no such queue that can be used", found(&named));
                Err(Fault::refused("queue", what, "create or mend the Queue, or name another one"))
            }
        }
    }

    /// Labels that make a difference from now on. Who has another one of these has to be told anew.
    fn compare_asked(&mut self, budgets: &BTreeMap<String, Budget>, telling: &mut Telling) {
        let levels = self.settings.topologies.iter().flat_map(|topology| &topology.levels);
        let levels = levels.filter(|level| *level != names::HOSTNAME).chain(self.levels.0.keys());
        let asked = Asked {
            node_keys: levels.chain(self.node_keys.0.keys()).chain(self.volumes.node_keys()).cloned().collect(),
            pod_keys: budgets
                .values()
                .flat_map(|one| pod_keys(&one.pods))
                .chain(self.pod_keys.0.keys().cloned())
                .collect(),
            others: self.others.0.keys().cloned().collect(),
        };
        if (&asked.node_keys, &asked.others) != (&self.asked.node_keys, &self.asked.others) {
            self.dirty.nodes.extend(self.store.of_kind(Kind::Node).map(|(key, _)| key.name.clone()));
        }
        if asked.pod_keys != self.asked.pod_keys {
            self.dirty.pods.extend(self.views.keys().cloned());
        }
        // A level that is left out of the nodes' labels is left out of topologies too, or no node would be part of them.
        let level = |level: &&String| *level != names::HOSTNAME || asked.node_keys.contains(names::HOSTNAME);
        for topology in &self.settings.topologies {
            let levels: Vec<String> = topology.levels.iter().filter(level).cloned().collect();
            telling.topologies.insert(topology.name.clone(), levels);
        }
        let alone = self.alone.0.keys().map(|level| (level_alone(level), vec![level.clone()]));
        telling.topologies.extend(alone);
        self.asked = asked;
    }

    fn compare_nodes(&mut self, telling: &mut Telling) {
        for name in std::mem::take(&mut self.dirty.nodes) {
            let (wanted, problems) = self.wanted_node(&name);
            self.report(Source::Node(name.clone()), problems);
            let told = self.told.nodes.get(&name).map(|(_, spec)| spec);
            if told == wanted.as_ref() {
                continue;
            }
            let list = match (told, wanted) {
                (Some(_), Some(wanted)) => Some((&mut telling.nodes_changed, wanted)),
                (None, Some(wanted)) => Some((&mut telling.nodes_new, wanted)),
                (_, None) => {
                    telling.nodes_gone.insert(name.clone());
                    None
                }
            };
            self.dirty.pods.extend(self.bound.get(&name).into_iter().flatten().cloned());
            self.dirty.pods.extend(self.told.on_node.get(&name).into_iter().flatten().cloned());
            if let Some((list, wanted)) = list {
                list.insert(name, wanted);
            }
        }
    }

    fn wanted_node(&self, name: &str) -> (Option<NodeSpec>, Vec<Problem>) {
        let key = Key::cluster(Kind::Node, name);
        let Some(Body::Node(node)) = self.store.get(&key).map(|object| &object.body) else { return (None, Vec::new()) };
        let agent = self.store.get(&Key::cluster(Kind::GpuNode, name)).and_then(|object| match &object.body {
            Body::GpuNode(agent) => Some(agent.as_ref()),
            _ => None,
        });
        let told = |fault: Fault| fault.of(key.clone());
        match node::read(node, agent, &self.asked.node_keys, &self.asked.others) {
            Err(fault) => (None, vec![told(fault)]),
            Ok((mut shape, mut faults)) => {
                let bound = self.bound.get(name).into_iter().flatten();
                let bound: BTreeMap<&Key, _> =
                    bound.filter_map(|key| Some((key, &self.views.get(key)?.reading.shape))).collect();
                let booked = self.told.on_node.get(name).into_iter().flatten();
                // Whoever is gone or bound elsewhere by now leaves with this telling.
                let waits = |key: &&Key| self.views.get(*key).is_some_and(|view| view.reading.phase == Phase::Waits);
                let booked = booked.filter(|key| !bound.contains_key(*key)).filter(waits);
                let booked: Vec<_> = booked.filter_map(|key| Some(&self.views.get(key)?.reading.shape)).collect();
                faults.extend(node::raise(&mut shape, bound.into_values().chain(booked)));
                (Some(NodeSpec { name: name.to_owned(), shape }), faults.into_iter().map(told).collect())
            }
        }
    }

    /// The namespaces whose labels meet all of it.
    fn namespaces_like(&self, asked: &[Requirement]) -> BTreeSet<String> {
        let all = self.store.of_kind(Kind::Namespace).filter_map(|(key, object)| match &object.body {
            Body::Namespace(namespace) => Some((key, &namespace.metadata.labels)),
            _ => None,
        });
        all.filter(|(_, labels)| asked.iter().all(|one| one.is_met(labels))).map(|(key, _)| key.name.clone()).collect()
    }

    fn compare_pods(&mut self, telling: &mut Telling) {
        for key in std::mem::take(&mut self.dirty.pods) {
            let (wanted, problems) = self.wanted_pod(&key, telling);
            self.report(Source::Pod(key.clone()), problems);
            let told = self.told.pods.get(&key);
            match (told, wanted) {
                (None, None) => {}
                (None, Some(wanted)) => telling.pods_new.push((key, wanted)),
                (Some(_), None) => telling.pods_gone.push(key),
                (Some(told), Some(wanted)) => match verdict(told, &wanted, telling) {
                    verdict @ (Verdict::Same | Verdict::Confirmed) => {
                        let volumes = volumes(&wanted.spec);
                        if volumes != self::volumes(&told.spec) {
                            telling.volumes.push((key.clone(), volumes));
                        }
                        if matches!(verdict, Verdict::Confirmed) {
                            telling.confirmed.push(key);
                        }
                    }
                    Verdict::Again => {
                        let before = Some(told).filter(|told| told.uid == wanted.uid).cloned().map(Box::new);
                        telling.pods_gone.push(key.clone());
                        telling.pods_new.push((key, Wanted { before, ..wanted }));
                    }
                },
            }
        }
    }

    /// A pod as the engine should know it; not at all if it neither holds something nor could be placed.
    fn wanted_pod(&self, key: &Key, telling: &Telling) -> (Option<Wanted>, Vec<Problem>) {
        let (Some(view), Some(pod)) = (self.views.get(key), self.pod_object(key)) else { return (None, Vec::new()) };
        let reading = &view.reading;
        let (mut faults, mut refused) = (reading.broken.clone(), false);
        let ours = view.gang.as_ref();
        let described = ours.and_then(|(gang, subgroup)| {
            let new = telling.gangs_new.get(gang);
            let old =
                || self.told.gangs.get(gang).filter(|_| !telling.gangs_gone.contains(gang)).map(|told| &told.spec);
            Some((new.or_else(old)?, gang, subgroup))
        });
        let member = described.filter(|(spec, _, subgroup)| has_leaf(&spec.tree, subgroup));
        let bound = match reading.phase {
            Phase::Bound(stage) => Some((stage, view.node.clone())),
            Phase::Waits if ours.is_some() => None,
            _ => return (None, Vec::new()),
        };
        if bound.is_none() {
            faults.extend(reading.faults.iter().cloned());
            if let (Some((_, _, subgroup)), None) = (&described, &member) {
                let field = format!("metadata.labels[{}]", names::KAI_SUBGROUP);
                faults.push(Fault::refused(
                    field,
                    found(subgroup),
                    "name a subgroup of the gang that has none below it",
                ));
            }
        }
        let uid = self.store.get(key).map(|object| object.uid.clone()).unwrap_or_default();
        let volumes = self.volumes_of(key, &uid).unwrap_or_else(|refusal| {
            refused = true;
            faults.push(Fault::refused("spec.volumes", refusal, "the pod waits until that has changed"));
            None
        });
        let problems = faults.into_iter().map(|fault| fault.of(key.clone())).collect();
        let present = match &bound {
            Some((_, node)) => {
                telling.nodes_new.contains_key(node)
                    || self.told.nodes.contains_key(node) && !telling.nodes_gone.contains(node)
            }
            // Whose queue or group is gone may be bound all the same, while its call is under way: it keeps its place.
            None => reading.is_sound() && member.is_some() && !refused || self.is_booked(key),
        };
        if !present {
            return (None, problems);
        }
        let asked = |name: &str| self.asked.pod_keys.contains(name);
        let named = |hostname: &str| self.hostnames.get(hostname).cloned().unwrap_or_default();
        let mut terms = reading.terms(pod, asked, named, |labels| self.namespaces_like(labels));
        if volumes.is_some() {
            terms.get_or_insert_default().volumes = volumes;
        }
        let spec = PodSpec {
            name: key.path(),
            shape: reading.shape.clone(),
            priority: pod.spec.priority.unwrap_or(0),
            gang: None,
            order: None,
            terms,
            seat: None,
        };
        let gang = member.map(|(_, gang, subgroup)| (gang.clone(), subgroup.clone()));
        (Some(Wanted { uid, spec, gang, bound, before: None }), problems)
    }
}

fn verdict(told: &ToldPod, wanted: &Wanted, telling: &Telling) -> Verdict {
    let moved_gang = told.gang.as_ref().is_some_and(|(gang, _)| telling.gangs_gone.contains(gang));
    let lost_seat = match &told.at {
        At::Waits => false,
        // Which GPUs a pod has is known to the kubelet alone: where there are fewer of them, it has others.
        At::Seat { node, gpus, .. } => match telling.nodes_changed.get(node) {
            Some(changed) => gpus.iter().any(|gpu| usize::from(*gpu) >= changed.shape.gpus),
            None => telling.nodes_gone.contains(node),
        },
    };
    let same = (&told.uid, &told.gang) == (&wanted.uid, &wanted.gang) && is_same_but_volumes(&told.spec, &wanted.spec);
    if !same || moved_gang || lost_seat {
        return Verdict::Again;
    }
    match (&told.at, &wanted.bound) {
        (_, None) => Verdict::Same,
        (At::Waits, Some(_)) => Verdict::Again,
        (At::Seat { node, .. }, Some((_, bound))) if node != bound => Verdict::Again,
        (At::Seat { stage, .. }, Some((Stage::Evicted, _))) if *stage != Stage::Evicted && !told.evicted => {
            Verdict::Again
        }
        (At::Seat { stage: Stage::Placed, .. }, Some((Stage::Running, _))) if !told.evicted => Verdict::Confirmed,
        _ => Verdict::Same,
    }
}

/// What a pod's volumes ask, as it was told or is to be.
pub(super) fn volumes(spec: &PodSpec) -> Option<Arc<VolumeTerms>> {
    spec.terms.as_ref()?.volumes.clone()
}

/// What volumes ask is the one thing that can be told of a pod later.
fn is_same_but_volumes(told: &PodSpec, wanted: &PodSpec) -> bool {
    let without = |spec: &PodSpec| {
        let mut spec = spec.clone();
        let terms = spec.terms.take().map(|terms| PodTerms { volumes: None, ..terms });
        PodSpec { terms: terms.filter(|terms| *terms != PodTerms::default()), ..spec }
    };
    told == wanted || (volumes(told) != volumes(wanted) && without(told) == without(wanted))
}
