//! Everything a decision depends on, kept together: cluster, queues, gangs, pods and where they are.
//! Owns the one operation that moves a pod from a stage to another, with every account that hangs on it. Decides nothing.

mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::{Cluster, Hold, Interner, NodeShape, NodeSpec, Placement, PodShape, ShareSize, Shared};
use crate::filter::affinity::PodTerms;
use crate::filter::labels::PodSelector;
use crate::filter::volumes::{VolumeBook, VolumeTerms};
use crate::gang::{Chunk, Gang, GangSpec, Stage, Tree, next_chunk};
use crate::queue::amounts::{self, Amounts};
use crate::queue::{QueueSpec, Queues, UsageBook};
use crate::topology::Topologies;
use crate::units::{GangId, NodeId, PodId, QueueId, Timestamp};

/// A pod that waits or runs.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Name, for people and as the last tie-breaker within its subgroup.
    pub name: Arc<str>,
    /// The gang it belongs to.
    pub gang: GangId,
    /// Position of its subgroup in the gang's tree.
    pub leaf: usize,
    /// Pods with an order start first, those of larger order before others.
    pub order: Option<i64>,
    /// What it asks for.
    pub shape: Shared<PodShape>,
    /// What it is doing.
    pub stage: Stage,
    /// Where it may be beyond what the shape says; most pods have nothing to add.
    pub terms: Option<Arc<PodTerms>>,
    /// It was moved and is gone from where it was: its new place waits for the pod that comes in its stead.
    pub gone: bool,
}

/// A pod's stage and places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// What it is doing.
    pub stage: Stage,
    /// The place it has, or had when it was told to stop.
    pub place: Option<Placement>,
    /// For a pod that moves: the place it is leaving.
    pub former: Option<Placement>,
}

impl Whereabouts {
    /// Nowhere.
    pub const PENDING: Whereabouts = Whereabouts { stage: Stage::Pending, place: None, former: None };

    /// At one place; how it holds it follows from the stage.
    pub fn at(stage: Stage, mut place: Placement) -> Self {
        place.hold = stage.hold().unwrap_or(Hold::Leaving);
        Whereabouts { stage, place: Some(place), former: None }
    }
}

/// A limit on how many pods may be evicted together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "camelCase", deny_unknown_fields)
)]
pub struct Budget {
    /// The pods it protects.
    pub pods: PodSelector,
    /// How many of them may still be evicted.
    pub allowed: u32,
}

/// Which device memory an estimate of a GPU memory request assumes, while no node is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assume {
    /// The smallest in the cluster: what a queue asks for.
    SmallestMemory,
    /// The largest: what is certain to be used, for limits.
    LargestMemory,
}

/// Device memory that is assumed where no node says more; smaller devices are not believed. MiB.
const LEAST_DEVICE_MEMORY: u32 = 100;

/// Cluster, queues, gangs and pods.
#[derive(Debug, Default)]
pub struct State {
    pub(crate) cluster: Cluster,
    pub(crate) queues: Queues,
    pub(crate) topologies: Topologies,
    pub(crate) gangs: BTreeMap<GangId, Gang>,
    pub(crate) pods: BTreeMap<PodId, Pod>,
    pub(crate) budgets: BTreeMap<String, Budget>,
    pub(crate) names: BTreeMap<String, NodeId>,
    /// Pods whose anti-affinity keeps others away.
    pub(crate) repelling: BTreeSet<PodId>,
    /// Preemptible gangs with active pods, by leaf queue, those of the lowest priority first; no queue without any.
    pub(crate) evictable: BTreeMap<QueueId, BTreeSet<(i64, GangId)>>,
    /// When gangs that hold something are expected to end, where anybody knows.
    pub(crate) ends: BTreeSet<(Timestamp, GangId)>,
    /// Gangs that may have nominated pods.
    pub(crate) promised: BTreeSet<GangId>,
    /// Volumes in use, and what nodes can attach.
    pub(crate) volumes: VolumeBook,
    /// Gangs that have been given places and may not run yet.
    pub(crate) starting: BTreeSet<GangId>,
    /// Gangs that may hold something with too few pods.
    pub(crate) suspects: BTreeSet<GangId>,
    /// Nodes that offer less than is in use on them, with what they offer.
    narrowed: BTreeMap<NodeId, NodeShape>,
    trees: Interner<Tree>,
    /// Usage of late, where the rules count it.
    pub(crate) usage: Option<UsageBook>,
    /// Nodes by the memory of their devices, MiB.
    memories: BTreeMap<u32, i64>,
    /// What all nodes have, and GPU-thousandths by model.
    capacity: Amounts,
    capacity_by_model: BTreeMap<String, i64>,
}

impl State {
    /// Nodes and who holds what of them.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The queues and their accounts.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// The gangs, by id.
    pub fn gangs(&self) -> &BTreeMap<GangId, Gang> {
        &self.gangs
    }

    /// The pods, by id.
    pub fn pods(&self) -> &BTreeMap<PodId, Pod> {
        &self.pods
    }

    /// The topologies and their domains.
    pub fn topologies(&self) -> &Topologies {
        &self.topologies
    }

    /// Pods that are promised a place, each with its node.
    pub fn promised(&self) -> impl Iterator<Item = (PodId, NodeId)> + '_ {
        let gangs = self.promised.iter().filter_map(|gang| self.gangs.get(gang));
        let is = |pod: &PodId| self.pods.get(pod).is_some_and(|pod| matches!(pod.stage, Stage::Nominated { .. }));
        let pods = gangs.flat_map(|gang| gang.pods()).filter(is);
        pods.filter_map(|pod| Some((pod, self.cluster.placed().get(&pod)?.node)))
    }

    /// Where a pod is; pending for one that is not known.
    pub fn whereabouts(&self, pod: PodId) -> Whereabouts {
        let Some(known) = self.pods.get(&pod) else { return Whereabouts::PENDING };
        let placed = self.cluster.placed();
        Whereabouts { stage: known.stage, place: placed.get(&pod).cloned(), former: placed.get(&pod.former()).cloned() }
    }

    /// Moves a pod to another stage and place, with all accounts; returns where it was. The caller has found the room.
    pub(crate) fn set(&mut self, id: PodId, new: Whereabouts) -> Whereabouts {
        let old = self.whereabouts(id);
        let Some(pod) = self.pods.get_mut(&id) else { return old };
        pod.stage = new.stage;
        let (gang_id, leaf, shape) = (pod.gang, pod.leaf, pod.shape.clone());
        let terms = pod.terms.clone();
        let volumes = terms.as_deref().and_then(|terms| terms.volumes.as_deref());
        let Some(gang) = self.gangs.get_mut(&gang_id) else { return old };
        gang.restage(leaf, old.stage, new.stage);
        let members = &gang.members[leaf];
        let below = members.holding > 0 && members.holding < gang.tree.branch(leaf).min_member;
        if below || gang.members.len() > 1 {
            self.suspects.insert(gang_id);
        }
        if matches!(new.stage, Stage::Nominated { .. }) {
            self.promised.insert(gang_id);
        }
        let (queue, fixed) = (gang.spec.queue, !gang.spec.preemptible);
        if gang.active() <= 1 || gang.holding() <= 1 {
            self.list(gang_id);
        }
        if let Some(place) = old.place.as_ref() {
            if old.stage.is_counted() {
                let amounts = self.held(place);
                self.queues.book(queue, &amounts, fixed, -1);
            }
            volumes.inspect(|volumes| self.volumes.remove(id, volumes, place.node));
            self.cluster.release(id);
        }
        if let Some(place) = old.former.as_ref() {
            volumes.inspect(|volumes| self.volumes.remove(id.former(), volumes, place.node));
            self.cluster.release(id.former());
        }
        if (old.stage == Stage::Pending) != (new.stage == Stage::Pending) {
            self.queues.count_waiting(queue, &shape, new.stage == Stage::Pending);
        }
        if let Some(place) = new.former {
            volumes.inspect(|volumes| self.volumes.add(id.former(), volumes, place.node, place.hold));
            self.cluster.place(id.former(), place);
        }
        if let Some(place) = new.place {
            if new.stage.is_counted() {
                let amounts = self.held(&place);
                self.queues.book(queue, &amounts, fixed, 1);
            }
            volumes.inspect(|volumes| self.volumes.add(id, volumes, place.node, place.hold));
            self.cluster.place(id, place);
        }
        old
    }

    /// A pod's volumes ask for something else from now on.
    pub(crate) fn set_volumes(&mut self, id: PodId, volumes: Option<Arc<VolumeTerms>>) {
        let there = self.whereabouts(id);
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let old = pod.terms.as_deref().cloned().unwrap_or_default();
        for (under, place) in [(id, &there.place), (id.former(), &there.former)] {
            let Some(place) = place else { continue };
            old.volumes.iter().for_each(|volumes| self.volumes.remove(under, volumes, place.node));
            volumes.iter().for_each(|volumes| self.volumes.add(under, volumes, place.node, place.hold));
        }
        let terms = PodTerms { volumes, ..old };
        pod.terms = (terms != PodTerms::default()).then(|| Arc::new(terms));
    }

    /// Adds a queue or changes what one is entitled to.
    pub(crate) fn set_queue(&mut self, id: QueueId, spec: QueueSpec) {
        if self.queues.set(id, spec) {
            self.book_anew();
        }
    }

    /// Takes a queue out; the caller has checked that nothing is in it or under it.
    pub(crate) fn remove_queue(&mut self, id: QueueId) {
        if self.queues.remove(id) {
            self.book_anew();
        }
    }

    /// Works out all accounts of queues from nothing: pods are below other queues now, or count in other accounts.
    fn book_anew(&mut self) {
        self.queues.clear_accounts();
        for (id, pod) in self.pods.iter().filter(|(_, pod)| pod.stage.is_counted()) {
            let Some((gang, place)) = self.gangs.get(&pod.gang).zip(self.cluster.placed().get(id)) else { continue };
            self.queues.book(gang.spec.queue, &self.held(place), !gang.spec.preemptible, 1);
        }
    }

    /// Adds a gang without pods.
    pub(crate) fn add_gang(&mut self, id: GangId, spec: GangSpec) {
        let tree = self.trees.intern(Tree::of(&spec.tree));
        self.gangs.insert(id, Gang::new(spec, tree));
    }

    /// Changes what is known of a gang; its queue and its tree stay.
    pub(crate) fn change_gang(&mut self, id: GangId, change: impl FnOnce(&mut Gang)) {
        self.unlist(id);
        self.gangs.get_mut(&id).map(change);
        self.list(id);
    }

    /// Puts a gang in the lists of those that may give way and of those whose end is known, or takes it out.
    fn list(&mut self, id: GangId) {
        self.unlist(id);
        let Some(gang) = self.gangs.get(&id) else { return };
        if gang.spec.preemptible && gang.active() > 0 {
            self.evictable.entry(gang.spec.queue).or_default().insert((gang.spec.priority, id));
        }
        if let Some(end) = gang.end().filter(|_| gang.holding() > 0) {
            self.ends.insert((end, id));
        }
    }

    fn unlist(&mut self, id: GangId) {
        let Some(gang) = self.gangs.get(&id) else { return };
        if let Some(gangs) = self.evictable.get_mut(&gang.spec.queue) {
            gangs.remove(&(gang.spec.priority, id));
            if gangs.is_empty() {
                self.evictable.remove(&gang.spec.queue);
            }
        }
        if let Some(end) = gang.end() {
            self.ends.remove(&(end, id));
        }
    }

    /// Forgets a gang that has no pods.
    pub(crate) fn remove_gang(&mut self, id: GangId) {
        self.unlist(id);
        self.gangs.remove(&id);
        self.suspects.remove(&id);
        self.starting.remove(&id);
        self.promised.remove(&id);
    }

    /// Adds a pod to a gang that is there; it waits.
    pub(crate) fn add_pod(&mut self, id: PodId, pod: Pod) {
        let Some(gang) = self.gangs.get_mut(&pod.gang) else { return };
        let (leaf, queue) = (pod.leaf, gang.spec.queue);
        let key = |pod: &Pod| (pod.order.is_none(), std::cmp::Reverse(pod.order), Arc::clone(&pod.name));
        let mine = (key(&pod), id);
        let position = gang.members[leaf]
            .pods
            .partition_point(|other| self.pods.get(other).is_some_and(|known| (key(known), *other) < mine));
        gang.add(leaf, position, id, Stage::Pending);
        let shape = pod.shape.clone();
        if pod.terms.as_ref().is_some_and(|terms| !terms.anti_affinity.is_empty()) {
            self.repelling.insert(id);
        }
        self.pods.insert(id, Pod { stage: Stage::Pending, ..pod });
        self.queues.count_waiting(queue, &shape, true);
    }

    /// A pod that moves is gone from where it was; returns false for any other pod.
    pub(crate) fn has_left(&mut self, id: PodId) -> bool {
        let there = self.whereabouts(id);
        if there.former.is_none() {
            return false;
        }
        self.set(id, Whereabouts { former: None, ..there });
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.gone = true;
        }
        true
    }

    /// The pod that is gone in whose stead this one has come, if any: the same gang and subgroup, asking for the same, with
    /// the same volumes.
    pub(crate) fn predecessor(&self, pod: &Pod) -> Option<PodId> {
        let members = &self.gangs.get(&pod.gang)?.members[pod.leaf];
        let volumes = |pod: &Pod| pod.terms.as_ref().and_then(|terms| terms.volumes.clone());
        let is_alike = |other: &Pod| other.gone && other.shape == pod.shape && volumes(other) == volumes(pod);
        let alike = |other: &&PodId| self.pods.get(other).is_some_and(is_alike);
        members.pods.iter().find(alike).copied()
    }

    /// Forgets a pod and what it holds; returns its gang.
    pub(crate) fn remove_pod(&mut self, id: PodId) -> Option<GangId> {
        self.set(id, Whereabouts::PENDING);
        let pod = self.pods.remove(&id)?;
        self.repelling.remove(&id);
        let gang = self.gangs.get_mut(&pod.gang)?;
        gang.remove(pod.leaf, id, Stage::Pending);
        let queue = gang.spec.queue;
        self.queues.count_waiting(queue, &pod.shape, false);
        Some(pod.gang)
    }

    /// How many volumes of a driver a node can attach, if there is a limit.
    pub fn volume_limit(&self, node: NodeId, driver: &str) -> Option<u32> {
        self.volumes.limit(node, driver)
    }

    /// What a pod holds of its queues at a place.
    pub fn held(&self, place: &Placement) -> Amounts {
        match self.cluster.state(place.node) {
            Some(state) => self.amounts_on(&place.shape, &state.shape),
            None => Amounts::zero(),
        }
    }

    /// What a pod would hold on such a node.
    pub(crate) fn amounts_on(&self, pod: &PodShape, node: &NodeShape) -> Amounts {
        self.amounts(pod, pod.gpu_milli_on(node), Some(&node.gpu_model))
    }

    /// What a pod counts as while no node is chosen.
    pub(crate) fn estimate(&self, pod: &PodShape, assume: Assume) -> Amounts {
        let gpu = match pod.gpu.as_share().map(|share| (share.size, share.devices)) {
            Some((ShareSize::Memory(mib), devices)) => {
                let mut known = self.memories.keys().copied().filter(|memory| *memory > LEAST_DEVICE_MEMORY);
                let memory = match assume {
                    Assume::SmallestMemory => known.next(),
                    Assume::LargestMemory => known.next_back(),
                };
                let memory = u64::from(memory.unwrap_or(LEAST_DEVICE_MEMORY));
                (1000 * u64::from(mib) * u64::from(devices)).div_ceil(memory)
            }
            _ => pod.gpu_milli(),
        };
        let model = match pod.gpu_models.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        self.amounts(pod, gpu, model)
    }

    fn amounts(&self, pod: &PodShape, gpu_milli: u64, model: Option<&String>) -> Amounts {
        let mib = pod.memory_bytes.div_ceil(1 << 20);
        let mut amounts = Amounts::of(signed(gpu_milli), signed(pod.cpu_milli), signed(mib));
        if gpu_milli > 0 && !self.queues.models().is_empty() {
            let at = model.and_then(|model| self.queues.models().iter().position(|known| known == model));
            if let Some(at) = at {
                amounts[amounts::MODELS + at] = signed(gpu_milli);
            }
        }
        amounts
    }

    /// What some pods count as together while no node is chosen.
    pub(crate) fn estimate_all(&self, pods: impl Iterator<Item = PodId>, assume: Assume) -> Amounts {
        let mut sum = Amounts::zero();
        let mut last: Option<(u32, Amounts)> = None;
        for pod in pods.filter_map(|pod| self.pods.get(&pod)) {
            let one = match last.take().filter(|(id, _)| *id == pod.shape.id()) {
                Some((_, known)) => known,
                None => self.estimate(&pod.shape, assume),
            };
            sum.add(&one, 1);
            last = Some((pod.shape.id(), one));
        }
        sum
    }

    /// A gang's name, for people: that of its first pod, where it has none.
    pub(crate) fn name(&self, gang: GangId) -> Arc<str> {
        let Some(gang) = self.gangs.get(&gang) else { return "?".into() };
        let first = || gang.pods().next().and_then(|pod| self.pods.get(&pod)).map(|pod| &pod.name);
        Arc::clone(Some(&gang.spec.name).filter(|name| !name.is_empty()).or_else(first).unwrap_or(&gang.spec.name))
    }

    /// What a gang asks for next.
    pub(crate) fn next_chunk(&self, gang: GangId) -> Chunk {
        let stage = |pod| self.pods.get(&pod).map_or(Stage::Evicted, |pod| pod.stage);
        self.gangs.get(&gang).map(|gang| next_chunk(gang, stage)).unwrap_or_default()
    }

    /// All the cluster has, by resource.
    pub(crate) fn total(&self) -> Amounts {
        let mut total = Amounts::zero().plus(&self.capacity);
        for (at, model) in self.queues.models().iter().enumerate() {
            total[amounts::MODELS + at] = self.capacity_by_model.get(model).copied().unwrap_or(0);
        }
        total
    }

    /// The same state built from nothing: every node, queue, gang and pod told anew.
    pub fn rebuild(&self) -> State {
        let (budgets, narrowed) = (self.budgets.clone(), self.narrowed.clone());
        let volumes = self.volumes.without_users();
        let mut rebuilt = State { budgets, narrowed, volumes, ..State::default() };
        rebuilt.topologies = self.topologies.without_nodes();
        for (&id, node) in self.cluster.nodes() {
            if let Some(state) = self.cluster.state(id) {
                let shape = NodeShape::clone(&state.shape);
                rebuilt.add_node(id, NodeSpec { name: node.name.clone(), shape });
            }
        }
        let mut queues: Vec<_> = self.queues.all().iter().collect();
        queues.sort_by_key(|(_, queue)| queue.rank);
        for (&id, queue) in queues {
            rebuilt.set_queue(id, queue.spec.clone());
        }
        for (&id, gang) in &self.gangs {
            let passed_over = gang.passed_over;
            let tree = rebuilt.trees.intern(Tree::clone(&gang.tree));
            rebuilt.gangs.insert(id, Gang { passed_over, ..Gang::new(gang.spec.clone(), tree) });
        }
        for (&id, pod) in &self.pods {
            rebuilt.add_pod(id, pod.clone());
            rebuilt.set(id, self.whereabouts(id));
        }
        rebuilt
    }

    /// A number that two states share exactly when clusters, accounts and stages agree.
    pub fn digest(&self) -> u64 {
        let mut digest = crate::cluster::Fnv::new();
        digest.write(&format!("{}", self.cluster.digest()));
        digest.write(&format!("{:?}", self.volumes));
        for (id, queue) in self.queues.all() {
            let amounts = |of: &Amounts| (0..self.queues.resources()).map(|one| of.get(one)).collect::<Vec<_>>();
            digest.write(&format!("{id} {:?} {:?}", amounts(&queue.allocated), amounts(&queue.fixed)));
            digest.write(&format!("{:?}", queue.waiting));
        }
        for (id, gang) in &self.gangs {
            digest.write(&format!("{id} {:?}", gang.members));
        }
        for (id, pod) in &self.pods {
            digest.write(&format!("{id} {:?}", pod.stage));
        }
        digest.value()
    }
}

/// Amounts are far below 2^63: requests and capacities are bounded when they come in.
pub(crate) fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
