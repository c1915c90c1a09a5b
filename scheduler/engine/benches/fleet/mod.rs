//! Clusters with racks, queues and running gangs to measure whole cycles on, made from a seeded stream.

#![allow(dead_code, reason = "no benchmark needs all of it")]

use std::collections::BTreeMap;

use berth_engine::gang::{Stage, Subgroup, TopologyWish};
use berth_engine::*;

pub(crate) const GPUS: u8 = 8;
const NODES_PER_RACK: u32 = 32;
const RACKS_PER_BLOCK: u32 = 16;
const MODELS: [&str; 4] = ["A10", "A100", "H100", "L4"];
const HOUR: u64 = 3_600_000;
/// The present, ms: late enough for everything to have a past.
const NOON: u64 = 1_000 * HOUR;

/// An engine and what its driver knows.
pub(crate) struct Fleet {
    pub(crate) engine: Engine,
    pub(crate) nodes: u32,
    pub(crate) leaves: Vec<QueueId>,
    pub(crate) now: Timestamp,
    gangs: u64,
    pods: u64,
    seed: u64,
    gone: Vec<PodId>,
}

/// A gang to be submitted.
#[derive(Clone)]
pub(crate) struct Job {
    /// Which of the leaf queues.
    pub(crate) leaf: usize,
    pub(crate) priority: i64,
    /// Pods per subgroup; one subgroup without a name is the gang itself.
    pub(crate) pods: u32,
    pub(crate) shape: PodShape,
    pub(crate) tree: Subgroup,
}

impl Job {
    /// A gang of this many pods, which all have to be there.
    pub(crate) fn of(leaf: usize, pods: u32, shape: PodShape) -> Self {
        Job { leaf, priority: 0, pods, shape, tree: Subgroup { min_member: pods, ..Subgroup::default() } }
    }

    /// The same with all pods in one domain of a level.
    pub(crate) fn within(mut self, required: Option<&str>, preferred: Option<&str>) -> Self {
        self.tree.topology = Some(wish(required, preferred));
        self
    }

    /// So many subgroups of this kind, all of them needed.
    pub(crate) fn times(mut self, subgroups: u32) -> Self {
        let one = |number| Subgroup { name: format!("s{number}"), ..self.tree.clone() };
        let subgroups: Vec<Subgroup> = (0..subgroups).map(one).collect();
        self.tree = Subgroup { min_member: subgroups.len() as u32, subgroups, ..Subgroup::default() };
        self
    }
}

pub(crate) fn wish(required: Option<&str>, preferred: Option<&str>) -> TopologyWish {
    let (required, preferred) = (required.map(str::to_owned), preferred.map(str::to_owned));
    TopologyWish { topology: "halls".to_owned(), required, preferred }
}

/// A pod with whole GPUs and its part of a node's CPU and memory.
pub(crate) fn whole(gpus: u8) -> PodShape {
    let (cpu_milli, memory_bytes) = (u64::from(gpus) * 12_000, u64::from(gpus) << 36);
    PodShape { cpu_milli, memory_bytes, gpu: GpuRequest::Whole(gpus.into()), ..PodShape::default() }
}

/// What a node offers; `mig` splits every eighth.
pub(crate) fn node_shape(number: u32, mig: bool) -> NodeShape {
    let rack = number / NODES_PER_RACK;
    let labels = [("rack", rack), ("block", rack / RACKS_PER_BLOCK)];
    let split = mig && number % 8 == 7;
    NodeShape {
        cpu_milli: 128_000,
        memory_bytes: 1 << 40,
        pods: 110,
        gpus: if split { 0 } else { GPUS.into() },
        gpu_model: MODELS[(number / NODES_PER_RACK) as usize % MODELS.len()].to_owned(),
        gpu_memory_mib: 81_920,
        labels: labels.map(|(level, value)| (level.to_owned(), format!("{level}-{value}"))).into(),
        mig: split.then(|| MigShape {
            single: false,
            instances: vec![("1g.10gb".to_owned(), 16), ("3g.40gb".to_owned(), 8), ("7g.80gb".to_owned(), 2)],
        }),
        ..NodeShape::default()
    }
}

impl Fleet {
    /// An empty cluster, with 30 or 1,000 queues on three levels that deserve all of it in equal parts.
    pub(crate) fn new(nodes: u32, queues: u32) -> Self {
        Fleet::with(nodes, queues, |number| node_shape(number, false), Config::default())
    }

    pub(crate) fn with(nodes: u32, queues: u32, shape: impl Fn(u32) -> NodeShape, config: Config) -> Self {
        let mut fleet = Fleet {
            engine: Engine::new(config),
            nodes,
            leaves: Vec::new(),
            now: Timestamp(NOON),
            gangs: 0,
            pods: 0,
            seed: 42,
            gone: Vec::new(),
        };
        fleet
            .tell(Event::TopologySet { name: "halls".to_owned(), levels: vec!["block".to_owned(), "rack".to_owned()] });
        fleet.add_queues(if queues <= 30 { [2, 2, 6] } else { [10, 9, 10] });
        for number in 0..nodes {
            fleet.add_node(number, shape(number));
        }
        fleet
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.engine.apply(event, self.now).expect("a consistent event");
    }

    pub(crate) fn add_node(&mut self, number: u32, shape: NodeShape) {
        let spec = NodeSpec { name: format!("node-{number:05}"), shape };
        self.tell(Event::NodeAdded { node: NodeId(number), spec });
    }

    fn add_queues(&mut self, [roots, middles, leaves]: [u32; 3]) {
        let mut next = 0;
        for _ in 0..roots {
            let root = self.add_queue(&mut next, None, roots);
            for _ in 0..middles {
                let middle = self.add_queue(&mut next, Some(root), roots * middles);
                for _ in 0..leaves {
                    let leaf = self.add_queue(&mut next, Some(middle), roots * middles * leaves);
                    self.leaves.push(leaf);
                }
            }
        }
    }

    fn add_queue(&mut self, next: &mut u32, parent: Option<QueueId>, parts: u32) -> QueueId {
        let queue = QueueId(*next);
        *next += 1;
        let all = i64::from(self.nodes) * i64::from(GPUS) * 1000;
        self.set_queue(queue, parent, all / i64::from(parts));
        queue
    }

    /// Gives a queue this much to deserve, GPU thousandths.
    pub(crate) fn set_queue(&mut self, queue: QueueId, parent: Option<QueueId>, deserved: i64) {
        let gpu = Quota { deserved: Some(deserved), limit: None, over_quota_weight: 1 };
        let name = format!("queue-{:04}", queue.0);
        let spec = QueueSpec { parent, gpu, ..QueueSpec::unlimited(&name) };
        self.tell(Event::QueueSet { queue, spec });
    }

    fn add_gang(&mut self, job: &Job, age: u64, running: bool) -> GangId {
        self.gangs += 1;
        let gang = GangId(self.gangs);
        let created = Timestamp(self.now.0 - age);
        let spec = GangSpec {
            name: format!("job-{:06}", self.gangs).into(),
            preemptible: true,
            recreated: true,
            started: running.then_some(created),
            tree: job.tree.clone(),
            ..GangSpec::lone(self.leaves[job.leaf % self.leaves.len()], job.priority, created)
        };
        self.tell(Event::GangAdded { gang, spec });
        gang
    }

    /// The names of the subgroups that hold pods.
    fn leaves_of(tree: &Subgroup) -> Vec<String> {
        match tree.subgroups.as_slice() {
            [] => vec![tree.name.clone()],
            below => below.iter().flat_map(Fleet::leaves_of).collect(),
        }
    }

    fn add_pod(&mut self, gang: GangId, subgroup: &str, shape: &PodShape, seat: Option<Seat>) {
        self.pods += 1;
        let member = Member { gang, subgroup: subgroup.to_owned() };
        let name = format!("pod-{:07}", self.pods);
        let spec = PodSpec { name, shape: shape.clone(), gang: Some(member), seat, ..PodSpec::default() };
        self.tell(Event::PodAdded { pod: PodId(self.pods), spec });
    }

    /// Submits a gang with its pods.
    pub(crate) fn submit(&mut self, job: &Job) -> GangId {
        let gang = self.add_gang(job, 0, false);
        for subgroup in Fleet::leaves_of(&job.tree) {
            for _ in 0..job.pods {
                self.add_pod(gang, &subgroup, &job.shape, None);
            }
        }
        gang
    }

    /// A gang that runs already, each pod on one of these nodes with its GPUs from the one named on.
    pub(crate) fn start(&mut self, job: &Job, places: impl IntoIterator<Item = (u32, u8)>) -> GangId {
        let age = 13 * HOUR - self.random() % (12 * HOUR);
        let gang = self.add_gang(job, age, true);
        for (node, first) in places {
            let gpus = (first..).take(job.shape.gpu.count()).collect();
            let seat = Seat { stage: Stage::Running, node: NodeId(node), gpus };
            self.add_pod(gang, "", &job.shape, Some(seat));
        }
        gang
    }

    /// Takes a gang and its pods out.
    pub(crate) fn cancel(&mut self, gang: GangId) {
        let pods: Vec<PodId> = self.engine.state().gangs()[&gang].pods().collect();
        for pod in pods {
            self.tell(Event::PodGone { pod });
        }
        self.tell(Event::GangRemoved { gang });
    }

    /// Runs jobs of one pod with this many GPUs on every GPU of some nodes, in turn in these leaf queues.
    pub(crate) fn occupy(&mut self, nodes: std::ops::Range<u32>, gpus: u8, leaves: std::ops::Range<usize>) {
        for (number, node) in nodes.enumerate() {
            for first in (0..GPUS).step_by(gpus.into()) {
                let leaf = leaves.start + (number * usize::from(GPUS) + usize::from(first)) % leaves.len();
                self.start(&Job::of(leaf, 1, whole(gpus)), [(node, first)]);
            }
        }
    }

    /// Fills the cluster with jobs of 1, 2, 4 and 8 GPUs, then ends jobs here and there until it is this full: so what is
    /// free lies scattered. The last leaf queue gets nothing.
    pub(crate) fn fill(&mut self, percent: u64) {
        if percent == 0 {
            return;
        }
        let mut running = Vec::new();
        for node in 0..self.nodes {
            let all = self.engine.cluster().state(NodeId(node)).map_or(0, |node| node.shape.gpus as u8);
            let mut first = 0;
            while first < all {
                let gpus = [1, 1, 2, 2, 4, 8][(self.random() % 6) as usize].min(all - first);
                let gpus = 1 << gpus.ilog2();
                let leaf = self.random() as usize % (self.leaves.len() - 1);
                running.push(self.start(&Job::of(leaf, 1, whole(gpus)), [(node, first)]));
                first += gpus;
            }
        }
        let target = self.engine.cluster().gpu_capacity_milli() * percent / 100;
        while self.engine.cluster().gpu_used_milli() > target {
            let pick = self.random() as usize % running.len();
            self.cancel(running.swap_remove(pick));
        }
    }

    /// Leaves the queues of the first root nothing to deserve, and doubles what the others do.
    pub(crate) fn give_all_to_the_second_root(&mut self) {
        let queues = self.engine.queues();
        let real = queues.all().iter().filter(|(id, _)| **id != Engine::DEFAULT_QUEUE);
        let new = real.map(|(id, queue)| {
            let deserved = queue.spec.gpu.deserved.unwrap_or(0);
            (*id, queue.spec.parent, if queues.is_under(*id, QueueId(0)) { 0 } else { 2 * deserved })
        });
        for (queue, parent, deserved) in new.collect::<Vec<_>>() {
            self.set_queue(queue, parent, deserved);
        }
    }

    /// Gangs with a running pod.
    pub(crate) fn running(&self) -> Vec<GangId> {
        let gangs = self.engine.state().gangs().iter();
        gangs.filter(|(_, gang)| gang.members.iter().any(|members| members.settled > 0)).map(|(id, _)| *id).collect()
    }

    /// Decides until nothing more is done, everybody doing at once what was decided.
    pub(crate) fn settle(&mut self) {
        loop {
            let decisions = self.decide();
            let mut quiet = true;
            for decision in decisions {
                match decision {
                    Decision::Bind { pods, .. } => {
                        quiet = false;
                        pods.iter().for_each(|one| self.tell(Event::Confirmed { pod: one.slot.pod }));
                    }
                    Decision::Evict { pods, .. } => {
                        quiet = false;
                        self.gone.extend(pods);
                    }
                    _ => {}
                }
            }
            for pod in std::mem::take(&mut self.gone) {
                self.leave(pod);
            }
            if quiet {
                return;
            }
        }
    }

    /// A pod that was told to stop is gone. One that moves is created anew and goes on there, others were the end of their job.
    fn leave(&mut self, pod: PodId) {
        let Some(known) = self.engine.state().pods().get(&pod).cloned() else { return };
        self.tell(Event::PodGone { pod });
        let gang = &self.engine.state().gangs()[&known.gang];
        if self.engine.state().pods().contains_key(&pod) {
            let subgroup = gang.tree.branch(known.leaf).name.clone();
            self.add_pod(known.gang, &subgroup, &known.shape, None);
        } else if gang.pods().next().is_none() {
            self.tell(Event::GangRemoved { gang: known.gang });
        }
    }

    pub(crate) fn decide(&mut self) -> Vec<Decision> {
        self.engine.decide(self.now)
    }

    pub(crate) fn random(&mut self) -> u64 {
        // xorshift64: good enough to mix, and the same everywhere.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    /// Pods as told, by what was decided: bound, nominated, evicted.
    pub(crate) fn count(decisions: &[Decision]) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for decision in decisions {
            let (what, pods) = match decision {
                Decision::Bind { pods, .. } => ("bound", pods.len()),
                Decision::Nominate { pods, .. } => ("nominated", pods.len()),
                Decision::Evict { pods, .. } => ("evicted", pods.len()),
                Decision::Wait { .. } => ("told to wait", 1),
                _ => ("other", 1),
            };
            *counts.entry(what).or_default() += pods;
        }
        counts
    }
}
