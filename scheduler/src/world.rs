//! From what watches say to what the engine is told. Owns the order: objects may come, change and go in any order, the engine
//! is told of queues before gangs, of gangs and nodes before pods, and of nothing twice.
//!
//! It works by comparison: changes only mark what they touch; [`World::events`] works out what the engine should know of
//! that, compares it with what it was told, and tells the difference. So a message that comes twice or late changes nothing.
//!
//! Some things the engine cannot change (a gang's tree, a pod's request): it is told that the old one is gone
//! and a new one is there, under a new id for pods and gangs. Whoever acts on decisions should therefore remember objects by
//! [`World::pod`] and [`World::gang`], not by id.

mod ask;
mod compare;
mod count;
mod look;
mod tell;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use berth_config::SchedulerConfiguration;
use berth_config::scheduler::{GroupConvention, Queues, Topology};
use berth_engine::gang::Stage;
use berth_engine::{Decision, Event, EventError, GangId, NodeId, PodId};

pub use crate::gang::GangKey;
use crate::objects::Key;
use crate::pod::Reading;
use crate::problem::{Fault, Problem};
use crate::queues::Plan;
use crate::store::{Change, Store};
use crate::told::{At, Told};
use crate::volumes::Volumes;
pub(crate) use ask::Doing;

/// The objects of a cluster, and what the engine knows of them.
#[derive(Debug)]
pub struct World {
    settings: Settings,
    store: Store,
    views: BTreeMap<Key, View>,
    /// Our pods by gang, ended ones too.
    members: BTreeMap<GangKey, BTreeSet<Key>>,
    /// Pods that are bound, by node.
    bound: BTreeMap<String, BTreeSet<Key>>,
    /// Nodes by the value of their hostname label.
    hostnames: BTreeMap<String, BTreeSet<String>>,
    /// How many pods look at a node label, and at a label of pods of a namespace.
    node_keys: Counts,
    pod_keys: Counts,
    /// How many pods ask for a resource that is only counted.
    others: Counts,
    /// Pods that look at labels of namespaces.
    by_namespaces: BTreeSet<Key>,
    /// How many gangs wish for a level, and for one as a topology of its own.
    levels: Counts,
    alone: Counts,
    /// What is asked for as of the last comparison.
    asked: Asked,
    queues: Plan,
    dirty: Dirty,
    volumes: Volumes,
    told: Told,
    problems: BTreeMap<Source, Vec<Problem>>,
    /// What has found something else since it was last asked.
    reported: BTreeSet<Source>,
}

/// What of the configuration matters here.
#[derive(Debug)]
struct Settings {
    scheduler: String,
    accept: Vec<GroupConvention>,
    queues: Queues,
    topologies: Vec<Topology>,
}

/// A pod as it was read last.
#[derive(Debug)]
struct View {
    reading: Reading,
    /// Its gang and subgroup, if it is ours to place.
    gang: Option<(GangKey, String)>,
    node: String,
}

/// Names and how often they are asked for.
#[derive(Debug, Default)]
struct Counts(BTreeMap<String, usize>);

impl Counts {
    fn add(&mut self, name: &str) {
        *self.0.entry(name.to_owned()).or_default() += 1;
    }

    fn remove(&mut self, name: &str) {
        if let Some(count) = self.0.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(name);
            }
        }
    }
}

/// Labels and resources that make a difference: all others are left out of what the engine gets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    node_keys: BTreeSet<String>,
    pod_keys: BTreeSet<String>,
    others: BTreeSet<String>,
}

/// What has to be compared again.
#[derive(Debug, Default)]
struct Dirty {
    pods: BTreeSet<Key>,
    gangs: BTreeSet<GangKey>,
    nodes: BTreeSet<String>,
    queues: bool,
    budgets: bool,
    /// Nodes that may attach another number of volumes.
    limits: BTreeSet<String>,
}

/// What found a problem: it is told until that looks again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Object(Key),
    Node(String),
    Gang(GangKey),
    Pod(Key),
    Queue(String),
    Budget(Key),
    Engine(Key),
}

impl World {
    /// A world without objects. `configuration` says which pods are ours, how they name queues and gangs, and which
    /// topologies there are; of its group conventions those should be left out whose API the cluster does not serve.
    pub fn new(configuration: &SchedulerConfiguration) -> Self {
        let settings = Settings {
            scheduler: configuration.scheduler_name.clone(),
            accept: configuration.groups.accept.clone(),
            queues: configuration.queues.clone(),
            topologies: configuration.topologies.clone(),
        };
        World {
            settings,
            store: Store::default(),
            views: BTreeMap::new(),
            members: BTreeMap::new(),
            bound: BTreeMap::new(),
            hostnames: BTreeMap::new(),
            node_keys: Counts::default(),
            pod_keys: Counts::default(),
            others: Counts::default(),
            by_namespaces: BTreeSet::new(),
            levels: Counts::default(),
            alone: Counts::default(),
            asked: Asked::default(),
            queues: Plan::default(),
            dirty: Dirty { queues: true, ..Dirty::default() },
            volumes: Volumes::default(),
            told: Told::default(),
            problems: BTreeMap::new(),
            reported: BTreeSet::new(),
        }
    }

    /// Another default queue, or another fate of pods whose queue does not exist.
    pub(crate) fn reconfigure(&mut self, configuration: &SchedulerConfiguration) {
        let Queues { default_queue, unknown_queue, .. } = configuration.queues.clone();
        (self.settings.queues.default_queue, self.settings.queues.unknown_queue) = (default_queue, unknown_queue);
        self.dirty.queues = true; // and with them all gangs
    }

    /// Takes note of what a watch says. What it means is told by the next [`World::events`].
    pub fn apply(&mut self, change: Change) {
        self.store.apply(change);
    }

    /// Takes note of a binding the API server has said yes to.
    pub(crate) fn was_bound(&mut self, pod: &Key, uid: &str, node: &str) {
        self.store.bound(pod, uid, node);
    }

    /// What the engine has to be told, in this order, to know what the watches have said so far.
    pub fn events(&mut self) -> Vec<Event> {
        self.look();
        self.compare()
    }

    /// Everything that cannot be understood or honoured at present, as of the last [`World::events`].
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.values().flatten()
    }

    /// The engine refused an event: that is a problem of the object, and a pod or gang that was to be added is told again when
    /// it changes.
    pub fn refused(&mut self, event: &Event, error: &EventError) {
        // The engine gives back what a gang was promised as soon as that is of no use any longer, and says nothing of it.
        let fell = matches!(error, EventError::NotPlaced { .. }) && matches!(event, Event::NominationExpired { .. });
        let left = matches!(error, EventError::NoSuchPod { .. }) && matches!(event, Event::PodGone { .. });
        if fell || left {
            return;
        }
        let key = match event {
            Event::PodAdded { pod, .. } => self.told.pod_keys.get(pod).cloned(),
            Event::NodeAdded { node, .. } | Event::NodeChanged { node, .. } => {
                self.node(*node).map(|name| Key::cluster(crate::Kind::Node, name))
            }
            Event::QueueSet { spec, .. } => Some(Key::cluster(crate::Kind::Queue, &spec.name)),
            _ => None,
        };
        let key = key.unwrap_or_else(|| Key::cluster(crate::Kind::Queue, ""));
        if matches!(event, Event::PodAdded { .. }) {
            self.told.remove_pod(&key);
        }
        let fault = Fault::refused("", error.to_string(), "this is a fault of the scheduler; please report it");
        self.problems.entry(Source::Engine(key.clone())).or_default().push(fault.of(key));
    }

    /// Takes note of what the engine decided, since it has booked it: what the watches say later is compared with that.
    pub fn decided(&mut self, decision: &Decision) {
        match decision {
            Decision::Bind { pods, .. } => {
                for assigned in pods {
                    let slot = &assigned.slot;
                    let Some((key, node)) = self.of_slot(slot.pod, slot.node) else { continue };
                    self.told.move_pod(&key, At::Seat { stage: Stage::Placed, node, gpus: slot.gpus.clone() });
                    if let Some(pod) = self.told.pods.get_mut(&key) {
                        (pod.nominated, pod.evicted) = (None, false);
                    }
                }
            }
            Decision::Nominate { pods, .. } => {
                for assigned in pods {
                    let Some((key, node)) = self.of_slot(assigned.slot.pod, assigned.slot.node) else { continue };
                    if let Some(pod) = self.told.pods.get_mut(&key) {
                        self.told.promised_on.insert(node.clone());
                        pod.nominated = Some(node);
                    }
                }
            }
            Decision::Evict { pods, .. } => {
                for pod in pods {
                    let known = self.told.pod_keys.get(pod).and_then(|key| self.told.pods.get_mut(key));
                    if let Some(pod) = known {
                        pod.evicted = true;
                    }
                }
            }
            Decision::Reserve { .. } | Decision::Wait { .. } => {}
        }
    }

    fn of_slot(&self, pod: PodId, node: NodeId) -> Option<(Key, String)> {
        Some((self.told.pod_keys.get(&pod)?.clone(), self.told.node_names.get(&node)?.clone()))
    }

    /// A binding the engine had booked came to nothing; what to tell it, unless the pod is bound all the same or gone.
    pub fn bind_failed(&mut self, pod: &Key) -> Option<Event> {
        let bound = self.views.get(pod).is_some_and(|view| view.reading.phase.is_bound());
        let told = self.told.pods.get(pod).filter(|told| !bound && matches!(told.at, At::Seat { .. }))?;
        let id = told.id;
        // What the node was made out to offer for its sake is looked at again.
        if let At::Seat { node, .. } = &told.at {
            self.dirty.nodes.insert(node.clone());
        }
        self.dirty.pods.insert(pod.clone());
        self.told.move_pod(pod, At::Waits);
        Some(Event::BindFailed { pod: id })
    }

    /// A promise is not kept any longer; what to tell the engine, if the pod still has one.
    pub fn nomination_expired(&mut self, pod: &Key) -> Option<Event> {
        let told = self.told.pods.get_mut(pod)?;
        told.nominated.take().map(|_| Event::NominationExpired { pod: told.id })
    }

    /// The pod with an id: its object and uid.
    pub fn pod(&self, id: PodId) -> Option<(&Key, &str)> {
        let key = self.told.pod_keys.get(&id)?;
        Some((key, self.told.pods.get(key)?.uid.as_str()))
    }

    /// The id of a pod, as of now.
    pub fn pod_id(&self, pod: &Key) -> Option<PodId> {
        self.told.pods.get(pod).map(|told| told.id)
    }

    /// The name of the node with an id.
    pub fn node(&self, id: NodeId) -> Option<&str> {
        self.told.node_names.get(&id).map(String::as_str)
    }

    /// The id of a node.
    pub fn node_id(&self, name: &str) -> Option<NodeId> {
        self.told.nodes.get(name).map(|(id, _)| *id)
    }

    /// The gang with an id.
    pub fn gang(&self, id: GangId) -> Option<&GangKey> {
        self.told.gang_keys.get(&id)
    }

    /// The id of a gang, as of now.
    pub fn gang_id(&self, gang: &GangKey) -> Option<GangId> {
        self.told.gangs.get(gang).map(|told| told.id)
    }
}
