//! A tiny random cluster with queues, gangs and pods, as a driver would describe it. Owns what is thrown, not what follows.

use std::collections::{BTreeMap, BTreeSet};

use berth_engine::filter::affinity::{PodTerms, Term};
use berth_engine::filter::labels::{PodSelector, Requirement, Test};
use berth_engine::filter::node_affinity::NodeTerm;
use berth_engine::filter::ports::{HostPort, Protocol};
use berth_engine::filter::spread::Spread;
use berth_engine::gang::{Stage, StaleGrace, Subgroup, TopologyWish};
use berth_engine::state::Budget;
use berth_engine::*;

use crate::dice::Dice;
use crate::model::{Model, Spot, Stand};

/// The present, ms.
pub(crate) const NOW: Timestamp = Timestamp(1_000_000_000);

/// The levels of the one topology there is.
pub(crate) const LEVELS: [&str; 2] = ["zone", "rack"];

/// All that a driver tells an engine before the first cycle. Nodes, queues and gangs are named by their position.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub rules: Rules,
    pub policy: Policy,
    pub nodes: Vec<NodeSpec>,
    pub queues: Vec<QueueSpec>,
    pub gangs: Vec<GangSpec>,
    pub budgets: BTreeMap<String, Budget>,
    pub pods: Vec<Member>,
}

/// A pod, its gang and where it is at first.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub gang: usize,
    pub spec: PodSpec,
    pub start: Stand,
}

impl World {
    /// The world of a seed.
    pub(crate) fn of(seed: u64) -> World {
        let dice = &mut Dice::new(seed);
        let kai = dice.chance(50);
        let (rules, policy) = if kai { (Rules::kai(), Policy::Pack) } else { (Rules::default(), Policy::Berth) };
        let count = 1 + dice.below(3) + usize::from(dice.chance(30)) * dice.below(4);
        let nodes: Vec<NodeSpec> = (0..count).map(|id| node(dice, id)).collect();
        let queues = queues(dice);
        let leaves: Vec<usize> = (0..queues.len()).filter(|id| !has_children(&queues, *id)).collect();
        let mut world =
            World { rules, policy, nodes, queues, gangs: Vec::new(), budgets: BTreeMap::new(), pods: Vec::new() };
        if dice.chance(15) {
            let budget = Budget { pods: selector(dice), allowed: dice.below(3) as u32 };
            world.budgets.insert("budget".to_owned(), budget);
        }
        for id in 0..2 + dice.below(4) {
            let queue = dice.pick(&leaves);
            world.add_gang(dice, id, queue);
        }
        world
    }

    fn add_gang(&mut self, dice: &mut Dice, id: usize, queue: usize) {
        let left = 8 - self.pods.len();
        if left == 0 {
            return;
        }
        let count = 1 + usize::from(dice.chance(50)) * dice.below(left.min(4));
        let tree = tree(dice, count);
        let running = dice.chance(45);
        let started = Timestamp(NOW.0 - 1000 * dice.below(200) as u64);
        let mut spec = GangSpec::lone(QueueId(queue as u32), dice.below(3) as i64, NOW);
        spec.name = format!("g{id}").into();
        spec.preemptible = dice.chance(75);
        spec.created = Timestamp(NOW.0 - 1000 * dice.below(6) as u64);
        spec.started = running.then_some(started);
        spec.preemption_delay_ms = if dice.chance(10) { 3000 } else { 0 };
        spec.stale_since = dice.chance(20).then_some(Timestamp(NOW.0 - 1000 * dice.below(120) as u64));
        spec.stale_grace = match dice.below(10) {
            0 => Some(StaleGrace::Forever),
            1 => Some(StaleGrace::For(0)),
            _ => None,
        };
        spec.succeeded = u32::from(dice.chance(5));
        spec.last_checkpoint = dice.chance(30).then_some(Timestamp(NOW.0 - 1000 * dice.below(100) as u64));
        spec.recreated = dice.chance(70);
        spec.tree = tree;
        let mut leaves = Vec::new();
        leaf_names(&spec.tree, &mut leaves);
        self.gangs.push(spec);
        let gang = self.gangs.len() - 1;
        let shape = shape(dice);
        for number in 0..count {
            let shape = if dice.chance(70) { shape.clone() } else { self::shape(dice) };
            let member =
                berth_engine::Member { gang: GangId(gang as u64), subgroup: leaves[number % leaves.len()].clone() };
            let spec = PodSpec {
                name: format!("g{id}-{number}"),
                shape,
                priority: 0,
                gang: Some(member),
                order: dice.chance(15).then(|| dice.below(3) as i64),
                terms: terms(dice, self.nodes.len()),
                seat: None,
            };
            self.pods.push(Member { gang, spec, start: Stand::PENDING });
            if running && dice.chance(92) {
                self.seat(dice, self.pods.len() - 1);
            }
        }
    }

    /// Puts the newest pod somewhere where there is room for it, if there is.
    fn seat(&mut self, dice: &mut Dice, pod: usize) {
        let stage = match dice.below(100) {
            0..4 => Stage::Evicted,
            4..6 => Stage::Stuck,
            6..11 => Stage::Nominated { counted: false },
            11..16 => Stage::Placed,
            _ => Stage::Running,
        };
        let model = Model::of(self);
        let suited = (0..self.nodes.len()).filter(|node| model.is_suited(&model.pods[&(pod as u64)], *node));
        let all: Vec<Spot> = suited.flat_map(|node| model.spots(pod, node)).collect();
        let fits = |spot: &&Spot| model.is_free(pod, spot, stage);
        let free: Vec<&Spot> = all.iter().filter(fits).collect();
        if !free.is_empty() {
            let place = Some(dice.pick(&free).clone());
            self.pods[pod].start = Stand { stage, place, former: None };
        }
    }

    /// An engine that has been told all of it, with node `n` under the number `ids[n]` and the name of that number.
    pub(crate) fn engine(&self, ids: &[usize]) -> Engine {
        let mut engine = Engine::new(Config { policy: self.policy, rules: self.rules.clone(), ..Config::default() });
        let mut tell = |event: Event| engine.apply(event, NOW).expect("the world is consistent");
        tell(Event::TopologySet { name: "t".to_owned(), levels: LEVELS.map(str::to_owned).to_vec() });
        for (id, spec) in (0..).zip(&self.queues) {
            tell(Event::QueueSet { queue: QueueId(id), spec: spec.clone() });
        }
        for (at, spec) in self.nodes.iter().enumerate() {
            let spec = NodeSpec { name: node_name(ids[at]), ..spec.clone() };
            tell(Event::NodeAdded { node: NodeId(ids[at] as u32), spec });
        }
        for (name, budget) in &self.budgets {
            tell(Event::BudgetSet { name: name.clone(), budget: budget.clone() });
        }
        for (id, spec) in (0..).zip(&self.gangs) {
            tell(Event::GangAdded { gang: GangId(id), spec: spec.clone() });
        }
        for (id, member) in (0..).zip(&self.pods) {
            let seat = member.start.place.as_ref().map(|spot| Seat {
                stage: member.start.stage,
                node: NodeId(ids[spot.node] as u32),
                gpus: spot.gpus.iter().copied().collect(),
            });
            let mut spec = PodSpec { seat, ..member.spec.clone() };
            rename(&mut spec, ids);
            tell(Event::PodAdded { pod: PodId(id), spec });
        }
        engine
    }
}

pub(crate) fn node_name(id: usize) -> String {
    format!("n{id}")
}

fn rename(spec: &mut PodSpec, ids: &[usize]) {
    let Some(terms) = spec.terms.as_mut() else { return };
    let affinity = terms.node_affinity.iter_mut().flat_map(|term| &mut term.names).map(|test| match test {
        Test::In(names) | Test::NotIn(names) => names,
        _ => unreachable!("no dice roll them"),
    });
    for names in terms.node_names.iter_mut().chain(affinity) {
        *names = (0..ids.len()).filter(|at| names.contains(&node_name(*at))).map(|at| node_name(ids[at])).collect();
    }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn node(dice: &mut Dice, id: usize) -> NodeSpec {
    let (zone, rack) = (dice.pick(&["z0", "z1"]), dice.pick(&["r0", "r1"]));
    let labels = match dice.below(10) {
        0 => labels(&[]),
        1 => labels(&[("zone", zone)]),
        _ => labels(&[("zone", zone), ("rack", rack)]),
    };
    let split = dice.chance(12);
    let single = dice.chance(30);
    let gpus = if split && !single { dice.below(2) } else { dice.pick(&[0, 1, 2, 2, 3, 4]) };
    let instances = vec![("1g.5gb".to_owned(), 1 + dice.below(3) as u32), ("3g.20gb".to_owned(), 1)];
    let taint = Taint { key: "team".to_owned(), value: "x".to_owned(), effect: TaintEffect::NoSchedule };
    let shape = NodeShape {
        cpu_milli: dice.pick(&[2000, 4000, 16_000]),
        memory_bytes: (dice.pick(&[4, 64]) as u64) << 30,
        pods: dice.pick(&[2, 4, 10, 10]),
        gpus,
        gpu_model: if gpus == 0 && !split { String::new() } else { dice.pick(&["A", "B"]).to_owned() },
        labels,
        taints: if dice.chance(8) { vec![taint] } else { Vec::new() },
        unschedulable: dice.chance(5),
        gpu_memory_mib: dice.pick(&[0, 0, 0, 7, 200, 1000]),
        mig: split.then_some(MigShape { single, instances }),
    };
    NodeSpec { name: node_name(id), shape }
}

fn queues(dice: &mut Dice) -> Vec<QueueSpec> {
    let count = 1 + dice.below(5);
    let mut queues: Vec<QueueSpec> = Vec::new();
    for id in 0..count {
        let depth = |mut at: usize| {
            let mut depth = 1;
            while let Some(parent) = queues[at].parent {
                (at, depth) = (parent.0 as usize, depth + 1);
            }
            depth
        };
        let above: Vec<usize> = (0..id).filter(|at| depth(*at) < 3).collect();
        let parent = (dice.chance(55) && !above.is_empty()).then(|| QueueId(dice.pick(&above) as u32));
        let mut spec = QueueSpec::unlimited(&format!("q{id}"));
        spec.parent = parent;
        spec.priority = if dice.chance(20) { 1 } else { 0 };
        spec.gpu = quota(dice, 1000);
        if dice.chance(15) {
            spec.cpu = quota(dice, 1000);
        }
        if dice.chance(5) {
            spec.memory = quota(dice, 1024);
        }
        if dice.chance(8) {
            spec.gpu_models.insert("A".to_owned(), quota(dice, 1000));
        }
        spec.reclaim_min_runtime_ms = if dice.chance(10) { 100_000 } else { 0 };
        spec.preempt_min_runtime_ms = if dice.chance(10) { 100_000 } else { 0 };
        queues.push(spec);
    }
    queues
}

fn has_children(queues: &[QueueSpec], id: usize) -> bool {
    queues.iter().any(|queue| queue.parent == Some(QueueId(id as u32)))
}

fn quota(dice: &mut Dice, unit: i64) -> Quota {
    let deserved = (!dice.chance(35)).then(|| unit * dice.below(5) as i64);
    let limit = dice.chance(25).then(|| unit * (1 + dice.below(5)) as i64);
    Quota { deserved, limit, over_quota_weight: dice.pick(&[0, 1, 1, 2]) }
}

fn wish(dice: &mut Dice) -> Option<TopologyWish> {
    let level = |dice: &mut Dice| Some(dice.pick(&LEVELS).to_owned());
    let (required, preferred) = match dice.below(100) {
        0..75 => return None,
        75..90 => (level(dice), None),
        90..95 => (None, level(dice)),
        _ => (Some("zone".to_owned()), Some("rack".to_owned())),
    };
    let topology = if dice.chance(5) { "unknown" } else { "t" };
    Some(TopologyWish { topology: topology.to_owned(), required, preferred })
}

fn tree(dice: &mut Dice, pods: usize) -> Subgroup {
    let leaf = |dice: &mut Dice, name: &str, most: usize| Subgroup {
        name: name.to_owned(),
        min_member: if dice.chance(60) { most } else { dice.below(most + 1) } as u32,
        subgroups: Vec::new(),
        topology: wish(dice),
    };
    if pods < 2 || dice.chance(65) {
        let mut root = leaf(dice, "", pods);
        root.min_member = root.min_member.max(u32::from(dice.chance(90)));
        return root;
    }
    let inner = |dice: &mut Dice, name: &str, subgroups: Vec<Subgroup>| {
        let least = if dice.chance(60) { subgroups.len() } else { 1 + dice.below(subgroups.len()) };
        Subgroup { name: name.to_owned(), min_member: least as u32, subgroups, topology: wish(dice) }
    };
    let each = pods.div_ceil(2);
    if pods > 2 && dice.chance(30) {
        let each = pods.div_ceil(3);
        let pair = vec![leaf(dice, "b1", each), leaf(dice, "b2", each)];
        let subgroups = vec![leaf(dice, "a", each), inner(dice, "b", pair)];
        return inner(dice, "", subgroups);
    }
    let subgroups = vec![leaf(dice, "a", each), leaf(dice, "b", pods - each)];
    inner(dice, "", subgroups)
}

fn leaf_names(tree: &Subgroup, names: &mut Vec<String>) {
    if tree.subgroups.is_empty() {
        names.push(tree.name.clone());
    }
    tree.subgroups.iter().for_each(|below| leaf_names(below, names));
}

fn shape(dice: &mut Dice) -> PodShape {
    let milli = |dice: &mut Dice| ShareSize::Milli(MilliGpu(dice.pick(&[250, 300, 500, 500, 600, 999])));
    let share = |size, devices| GpuRequest::Share(Share { size, devices });
    let mut mig = Vec::new();
    let gpu = match dice.below(100) {
        0..10 => GpuRequest::None,
        10..50 => GpuRequest::Whole(dice.pick(&[1, 1, 1, 2, 3])),
        50..70 => share(milli(dice), 1),
        70..78 => share(milli(dice), 2),
        78..88 => share(ShareSize::Memory(dice.pick(&[3, 4, 100, 120, 500])), 1),
        88..92 => share(ShareSize::Memory(dice.pick(&[3, 100])), 2),
        _ => {
            mig = match dice.below(4) {
                0 => vec![("1g.5gb".to_owned(), 2)],
                1 => vec![("1g.5gb".to_owned(), 1), ("3g.20gb".to_owned(), 1)],
                2 => vec![("3g.20gb".to_owned(), 1)],
                _ => vec![("1g.5gb".to_owned(), 1)],
            };
            GpuRequest::None
        }
    };
    let toleration = Toleration { key: Some("team".to_owned()), value: None, effect: None };
    PodShape {
        cpu_milli: dice.pick(&[0, 0, 500, 1000, 2000]),
        memory_bytes: (dice.pick(&[0, 0, 1, 2]) as u64) << 30,
        gpu,
        mig,
        gpu_models: if dice.chance(8) { vec![dice.pick(&["A", "B"]).to_owned()] } else { Vec::new() },
        node_selector: if dice.chance(8) { labels(&[("zone", dice.pick(&["z0", "z1"]))]) } else { labels(&[]) },
        tolerations: if dice.chance(10) { vec![toleration] } else { Vec::new() },
        node_affinity: if dice.chance(8) { node_affinity(dice, false) } else { Vec::new() },
        host_ports: if dice.chance(10) { vec![host_port(dice)] } else { Vec::new() },
    }
}

fn host_port(dice: &mut Dice) -> HostPort {
    let address = dice.pick(&[None, Some("10.0.0.1"), Some("10.0.0.2")]).map(str::to_owned);
    HostPort { protocol: dice.pick(&[Protocol::Tcp, Protocol::Tcp, Protocol::Udp]), port: 80, address }
}

fn node_affinity(dice: &mut Dice, by_name: bool) -> Vec<NodeTerm> {
    let zone = |dice: &mut Dice| {
        let values = [dice.pick(&["z0", "z1", "z2"]).to_owned()].into();
        let tests = [Test::In(values), Test::Exists, Test::DoesNotExist];
        Requirement { key: "zone".to_owned(), test: tests[dice.below(3)].clone() }
    };
    let name = |dice: &mut Dice| {
        let names = [node_name(dice.below(3))].into();
        if dice.chance(50) { Test::In(names) } else { Test::NotIn(names) }
    };
    let term = |dice: &mut Dice, by_name| NodeTerm {
        labels: if dice.chance(60) { vec![zone(dice)] } else { Vec::new() },
        names: if by_name { vec![name(dice)] } else { Vec::new() },
    };
    let first = term(dice, by_name);
    if dice.chance(50) { vec![first, term(dice, false)] } else { vec![first] }
}

/// Most ask for one label of one namespace.
fn selector(dice: &mut Dice) -> PodSelector {
    let app: BTreeSet<String> = [dice.pick(&["a", "b"]).to_owned()].into();
    let other = [Test::NotIn(app.clone()), Test::Exists, Test::DoesNotExist];
    let test = if dice.chance(75) { Test::In(app) } else { other[dice.below(3)].clone() };
    let namespaces = match dice.below(10) {
        0 => None,
        1 => Some(BTreeSet::from([String::new(), "other".to_owned()])),
        2 => Some(BTreeSet::from(["other".to_owned()])),
        _ => Some(BTreeSet::from([String::new()])),
    };
    let asked = vec![Requirement { key: "app".to_owned(), test }];
    PodSelector { namespaces, labels: if dice.chance(5) { Vec::new() } else { asked } }
}

fn terms(dice: &mut Dice, nodes: usize) -> Option<PodTerms> {
    if dice.chance(70) {
        return None;
    }
    let app = |dice: &mut Dice| labels(&[("app", dice.pick(&["a", "b"]))]);
    let term = |dice: &mut Dice| Term {
        topology_key: dice.pick(&[Term::NODE, Term::NODE, "zone"]).to_owned(),
        pods: selector(dice),
    };
    let mut terms = PodTerms::default();
    if dice.chance(80) {
        terms.labels = app(dice);
    }
    if dice.chance(20) {
        terms.namespace = "other".to_owned();
    }
    if dice.chance(25) {
        terms.affinity.push(term(dice));
    }
    if dice.chance(5) {
        terms.affinity.push(term(dice));
    }
    if dice.chance(30) {
        terms.anti_affinity.push(term(dice));
    }
    if dice.chance(20) {
        let named: BTreeSet<String> = (0..nodes).filter(|_| dice.chance(60)).map(node_name).collect();
        terms.node_names = Some(named);
    }
    if dice.chance(20) {
        terms.spread.push(Spread {
            topology_key: dice.pick(&["zone", "zone", "rack", Term::NODE]).to_owned(),
            max_skew: dice.pick(&[1, 1, 2]),
            min_domains: dice.pick(&[1, 1, 2, 3]),
            pods: selector(dice),
            honor_affinity: dice.chance(70),
            honor_taints: dice.chance(30),
        });
    }
    if dice.chance(15) {
        terms.node_affinity = node_affinity(dice, true);
    }
    Some(terms)
}
