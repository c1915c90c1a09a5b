//! The world by the rules alone: where every pod is, what fits beside it, what a gang asks for. Everything is worked out anew at
//! every question, from the words of FORMAT.md. Shares no code with the engine.

use std::collections::BTreeMap;

use berth_engine::filter::affinity::Term;
use berth_engine::filter::labels::{PodSelector, Test};
use berth_engine::filter::node_affinity::NodeTerm;
use berth_engine::filter::ports::HostPort;
use berth_engine::gang::{Stage, Subgroup, TopologyWish};
use berth_engine::*;

use crate::world::{LEVELS, World, node_name};

/// A node, by its position, and GPUs of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub node: usize,
    pub gpus: Vec<u8>,
}

/// What a pod does and where; `former` is the place it is leaving for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stand {
    pub stage: Stage,
    pub place: Option<Spot>,
    pub former: Option<Spot>,
}

impl Stand {
    pub(crate) const PENDING: Stand = Stand { stage: Stage::Pending, place: None, former: None };

    pub(crate) fn at(stage: Stage, spot: Spot) -> Self {
        Stand { stage, place: Some(spot), former: None }
    }

    pub(crate) fn is_active(&self) -> bool {
        matches!(self.stage, Stage::Nominated { .. } | Stage::Placed | Stage::Running)
    }

    /// The places where it takes capacity now, or later.
    fn holds(&self, later: bool) -> Option<&Spot> {
        let there = match self.stage {
            Stage::Pending => false,
            Stage::Nominated { .. } => later,
            Stage::Evicted => !later,
            Stage::Placed | Stage::Running | Stage::Stuck => true,
        };
        let place = self.place.as_ref().filter(|_| there);
        if later { place } else { place.or(self.former.as_ref()) }
    }
}

/// A pod.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub spec: PodSpec,
    pub gang: usize,
    /// Position of its subgroup.
    pub leaf: usize,
    pub stand: Stand,
}

/// A subgroup.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub name: String,
    pub least: usize,
    pub parent: Option<usize>,
    pub below: Vec<usize>,
    pub wish: Option<TopologyWish>,
}

/// A gang with its subgroups, the root first.
#[derive(Debug, Clone)]
pub(crate) struct Gang {
    pub spec: GangSpec,
    pub groups: Vec<Group>,
}

/// Everything.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub nodes: Vec<NodeShape>,
    pub queues: Vec<QueueSpec>,
    pub gangs: Vec<Gang>,
    pub pods: BTreeMap<u64, Pod>,
    /// Whoever prefers a topology must be somewhere in it.
    prefers_strictly: bool,
}

/// Amounts that queues account: GPU, CPU, memory in MiB, GPU of model A.
pub(crate) type Amounts = [i64; 4];

impl Model {
    pub(crate) fn of(world: &World) -> Model {
        let gang = |spec: &GangSpec| {
            let mut groups = Vec::new();
            flatten(&spec.tree, None, &mut groups);
            Gang { spec: spec.clone(), groups }
        };
        let mut model = Model {
            nodes: world.nodes.iter().map(|node| node.shape.clone()).collect(),
            queues: world.queues.clone(),
            gangs: world.gangs.iter().map(gang).collect(),
            pods: BTreeMap::new(),
            prefers_strictly: !world.rules.leave_preferred_topology,
        };
        for (id, member) in (0..).zip(&world.pods) {
            model.add(id, member.gang, member.spec.clone(), member.start.clone());
        }
        model
    }

    pub(crate) fn add(&mut self, id: u64, gang: usize, spec: PodSpec, stand: Stand) {
        let subgroup = spec.gang.as_ref().map(|member| &member.subgroup);
        let is_it = |group: &Group| group.below.is_empty() && Some(&group.name) == subgroup;
        let leaf = self.gangs[gang].groups.iter().position(is_it).expect("pods are in leaves");
        self.pods.insert(id, Pod { spec, gang, leaf, stand });
    }

    /// Every choice of a pod's GPUs on a node, used or not.
    pub(crate) fn spots(&self, pod: usize, node: usize) -> Vec<Spot> {
        let count = self.pods[&(pod as u64)].spec.shape.gpu.count();
        subsets(self.nodes[node].gpus, count).into_iter().map(|gpus| Spot { node, gpus }).collect()
    }

    /// Would a pod fit there, if it did this?
    pub(crate) fn is_free(&self, pod: usize, spot: &Spot, stage: Stage) -> bool {
        let mut with = self.clone();
        with.pods.get_mut(&(pod as u64)).expect("it is there").stand = Stand::at(stage, spot.clone());
        with.is_possible(spot.node)
    }

    /// Is nothing of a node given out more than once, now and later?
    pub(crate) fn is_possible(&self, node: usize) -> bool {
        self.is_enough(node, false) && self.is_enough(node, true)
    }

    pub(crate) fn is_enough(&self, node: usize, later: bool) -> bool {
        let shape = &self.nodes[node];
        let (mut cpu, mut memory, mut pods) = (0, 0, 0);
        let mut gpus = vec![0_u64; shape.gpus];
        let mut instances: BTreeMap<&str, u32> = BTreeMap::new();
        for pod in self.pods.values() {
            let Some(spot) = pod.stand.holds(later).filter(|spot| spot.node == node) else { continue };
            let asked = &pod.spec.shape;
            (cpu, memory, pods) = (cpu + asked.cpu_milli, memory + asked.memory_bytes, pods + 1);
            for gpu in &spot.gpus {
                gpus[usize::from(*gpu)] += taken(asked.gpu, shape.gpu_memory_mib);
            }
            for (profile, count) in &asked.mig {
                *instances.entry(profile).or_default() += count;
            }
        }
        let each = if shape.gpu_memory_mib > 0 { shape.gpu_memory_mib.into() } else { 1000 };
        let offered = |profile: &str| {
            let mixed = shape.mig.as_ref().filter(|mig| !mig.single);
            mixed
                .and_then(|mig| mig.instances.iter().find(|(known, _)| known == profile))
                .map_or(0, |(_, count)| *count)
        };
        cpu <= shape.cpu_milli
            && memory <= shape.memory_bytes
            && pods <= shape.pods
            && gpus.iter().all(|used| *used <= each)
            && instances.iter().all(|(profile, count)| *count <= offered(profile))
            && self.others_suffice(node, later)
            && self.ports_get_along(node, later)
    }

    fn others_suffice(&self, node: usize, later: bool) -> bool {
        let here = |pod: &&Pod| pod.stand.holds(later).is_some_and(|spot| spot.node == node);
        let mut held: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, amount) in self.pods.values().filter(here).flat_map(|pod| &pod.spec.shape.others) {
            *held.entry(name).or_default() += amount;
        }
        held.iter().all(|(name, held)| self.nodes[node].others.get(*name).is_some_and(|offered| held <= offered))
    }

    fn ports_get_along(&self, node: usize, later: bool) -> bool {
        let here = |pod: &&Pod| pod.stand.holds(later).is_some_and(|spot| spot.node == node);
        let ports: Vec<&HostPort> =
            self.pods.values().filter(here).flat_map(|pod| &pod.spec.shape.host_ports).collect();
        let one_address = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
        let clash = |a: &HostPort, b: &HostPort| {
            (a.port, a.protocol) == (b.port, b.protocol) && one_address(&a.address, &b.address)
        };
        ports.iter().enumerate().all(|(at, one)| ports[at + 1..].iter().all(|other| !clash(one, other)))
    }

    /// Is the node of the kind the pod asks for?
    pub(crate) fn is_suited(&self, pod: &Pod, node: usize) -> bool {
        let (shape, asked) = (&self.nodes[node], &pod.spec.shape);
        let wants = asked.gpu != GpuRequest::None || !asked.mig.is_empty();
        let model = !wants || asked.gpu_models.is_empty() || asked.gpu_models.contains(&shape.gpu_model);
        let selected = asked.node_selector.iter().all(|(key, value)| shape.labels.get(key) == Some(value));
        let shares = matches!(asked.gpu, GpuRequest::Share(_));
        let affine = meets_one(&asked.node_affinity, shape, node);
        model && selected && affine && !(shares && shape.mig.is_some())
    }

    /// Does the node take such a pod, whatever is on it?
    pub(crate) fn is_admitted(&self, pod: &Pod, node: usize) -> bool {
        let shape = &self.nodes[node];
        let tainted = !shape.taints.is_empty() && pod.spec.shape.tolerations.is_empty();
        let named = pod.spec.terms.as_ref().and_then(|terms| terms.node_names.as_ref());
        self.is_suited(pod, node)
            && !shape.unschedulable
            && !tainted
            && named.is_none_or(|names| names.contains(&node_name(node)))
            && pod.spec.terms.as_ref().is_none_or(|terms| meets_one(&terms.node_affinity, shape, node))
    }

    /// Is nobody in the pod's domains whom it, or who, wants it elsewhere?
    pub(crate) fn is_apart(&self, id: u64) -> bool {
        let pod = &self.pods[&id];
        let repels = |one: &Pod, other: &Pod| {
            let terms = one.spec.terms.iter().flat_map(|terms| &terms.anti_affinity);
            terms.filter(|term| speaks_of(&term.pods, other)).any(|term| self.is_near(term, one, other))
        };
        let mut others = self.pods.iter().filter(|(other, _)| **other != id);
        others.all(|(_, other)| !repels(pod, other) && !repels(other, pod))
    }

    /// Is the pod near to those it must be near to? Where there are none yet but its own kind, it may be the first of them.
    pub(crate) fn is_in_company(&self, id: u64) -> bool {
        let pod = &self.pods[&id];
        let in_one = |term: &Term, pod: &Pod| self.is_near(term, pod, pod);
        let wanted: Vec<&Term> = pod.spec.terms.iter().flat_map(|terms| &terms.affinity).collect();
        let spoken_of = |other: &Pod| wanted.iter().all(|term| speaks_of(&term.pods, other));
        let others = self.pods.iter().filter(|(other, _)| **other != id).map(|(_, other)| other);
        let kin: Vec<&Pod> = others.filter(|other| spoken_of(other)).collect();
        if kin.iter().any(|other| wanted.iter().any(|term| in_one(term, other))) {
            return wanted.iter().all(|term| kin.iter().any(|other| self.is_near(term, pod, other)));
        }
        wanted.is_empty() || spoken_of(pod) && wanted.iter().all(|term| in_one(term, pod))
    }

    /// Are the pod's like spread as evenly as it wants, with everybody where it is later?
    pub(crate) fn is_even(&self, id: u64) -> bool {
        let pod = &self.pods[&id];
        let (Some(terms), Some(spot)) = (&pod.spec.terms, pod.stand.holds(true)) else { return true };
        terms.spread.iter().all(|spread| {
            let name = |node: usize| Some(node_name(node)).filter(|_| spread.topology_key == Term::NODE);
            let zone = |node: usize| name(node).or_else(|| self.nodes[node].labels.get(&spread.topology_key).cloned());
            let makes_a_domain = |node: &usize| {
                let (shape, asked) = (&self.nodes[*node], &pod.spec.shape);
                let selected = asked.node_selector.iter().all(|(key, value)| shape.labels.get(key) == Some(value));
                let affine =
                    meets_one(&asked.node_affinity, shape, *node) && meets_one(&terms.node_affinity, shape, *node);
                let tolerated = shape.taints.is_empty() || !asked.tolerations.is_empty();
                let has = |key: &String| key == Term::NODE || shape.labels.contains_key(key);
                let labelled = terms.spread.iter().all(|other| has(&other.topology_key));
                labelled && (selected && affine || !spread.honor_affinity) && (tolerated || !spread.honor_taints)
            };
            let nodes: Vec<usize> = (0..self.nodes.len()).filter(makes_a_domain).collect();
            let count = |domain: &String| {
                let there = |other: &&Pod| {
                    let at = other.stand.holds(true).map(|spot| spot.node).filter(|at| nodes.contains(at));
                    at.is_some_and(|at| zone(at).as_ref() == Some(domain)) && speaks_of(&spread.pods, other)
                };
                self.pods.values().filter(there).count()
            };
            let domains: std::collections::BTreeSet<String> = nodes.iter().filter_map(|node| zone(*node)).collect();
            let least = domains.iter().map(&count).min().unwrap_or(0);
            let least = if domains.len() < spread.min_domains as usize { 0 } else { least };
            zone(spot.node).is_some_and(|domain| count(&domain) <= least + spread.max_skew as usize)
        })
    }

    /// Are both in one domain of the term?
    fn is_near(&self, term: &Term, one: &Pod, other: &Pod) -> bool {
        let places = one.stand.holds(true).zip(other.stand.holds(true));
        places.is_some_and(|(one, other)| self.is_one_domain(&term.topology_key, one.node, other.node))
    }

    fn is_one_domain(&self, key: &str, one: usize, other: usize) -> bool {
        let value = |node: usize| self.nodes[node].labels.get(key);
        if key == Term::NODE { one == other } else { value(one).is_some() && value(one) == value(other) }
    }

    /// Are all active pods of the subgroups a pod is in as close as these require?
    pub(crate) fn is_together(&self, pod: &Pod) -> bool {
        let wish = |at: &usize| self.gangs[pod.gang].groups[*at].wish.as_ref();
        self.above(pod.gang, pod.leaf).iter().all(|at| wish(at).is_none_or(|wish| self.is_close(pod.gang, *at, wish)))
    }

    fn is_close(&self, gang: usize, at: usize, wish: &TopologyWish) -> bool {
        let known = wish.topology == "t";
        let depth = match &wish.required {
            Some(level) if known => LEVELS.iter().position(|key| key == level).expect("only these are thrown") + 1,
            Some(_) => return false,
            None => return true, // what is only preferred, `may_leave` knows
        };
        let pods = self.pods.values().filter(|pod| pod.gang == gang && self.is_under(gang, pod.leaf, at));
        let active = pods.filter(|pod| pod.stand.is_active()).filter_map(|pod| pod.stand.place.as_ref());
        let mut domains: Vec<Option<Vec<&String>>> = active.map(|spot| self.path(spot.node, depth)).collect();
        domains.sort();
        domains.dedup();
        domains.len() <= 1 && !domains.contains(&None)
    }

    /// The first `depth` label values of a node that has all of the topology's labels.
    fn path(&self, node: usize, depth: usize) -> Option<Vec<&String>> {
        let all: Option<Vec<&String>> = LEVELS.iter().map(|key| self.nodes[node].labels.get(*key)).collect();
        all.map(|all| all[..depth].to_vec())
    }

    /// May a pod be on a node, by what its subgroups only prefer?
    pub(crate) fn may_leave(&self, pod: &Pod, node: usize) -> bool {
        let bound =
            |group: &Group| group.wish.as_ref().is_some_and(|wish| wish.topology == "t" && wish.required.is_none());
        let mut above = self.above(pod.gang, pod.leaf).into_iter().map(|at| &self.gangs[pod.gang].groups[at]);
        !self.prefers_strictly || self.path(node, 0).is_some() || !above.any(bound)
    }

    fn above(&self, gang: usize, leaf: usize) -> Vec<usize> {
        let mut above = vec![leaf];
        while let Some(parent) = self.gangs[gang].groups[above[above.len() - 1]].parent {
            above.push(parent);
        }
        above
    }

    pub(crate) fn is_under(&self, gang: usize, leaf: usize, at: usize) -> bool {
        self.above(gang, leaf).contains(&at)
    }

    /// What a queue and all below have, all together or only what is not preemptible.
    pub(crate) fn account(&self, queue: usize, fixed_only: bool) -> Amounts {
        let mut sum = [0; 4];
        for pod in self.pods.values() {
            let gang = &self.gangs[pod.gang].spec;
            let counted = pod.stand.is_active() && pod.stand.stage != Stage::Nominated { counted: false };
            let below = self.lineage(gang.queue.0 as usize).contains(&queue);
            if let Some(spot) =
                pod.stand.place.as_ref().filter(|_| counted && below && !(fixed_only && gang.preemptible))
            {
                let amounts = charge(&pod.spec.shape, &self.nodes[spot.node]);
                sum.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount);
            }
        }
        sum
    }

    pub(crate) fn lineage(&self, queue: usize) -> Vec<usize> {
        let mut above = vec![queue];
        while let Some(parent) = self.queues[above[above.len() - 1]].parent {
            above.push(parent.0 as usize);
        }
        above
    }

    /// Are all queues above a pod within what they may use of what the pod takes (rule P2)?
    pub(crate) fn is_allowed(&self, id: u64) -> bool {
        let pod = &self.pods[&id];
        let gang = &self.gangs[pod.gang].spec;
        let Some(spot) = &pod.stand.place else { return false };
        let takes = charge(&pod.spec.shape, &self.nodes[spot.node]);
        self.lineage(gang.queue.0 as usize).into_iter().all(|queue| {
            let (all, fixed) = (self.account(queue, false), self.account(queue, true));
            let spec = &self.queues[queue];
            let model = spec.gpu_models.get("A").copied().unwrap_or(Quota::UNLIMITED);
            let quotas = [spec.gpu, spec.cpu, spec.memory, model];
            (0..4).filter(|resource| takes[*resource] > 0).all(|resource| {
                let within = |has: i64, most: Option<i64>| most.is_none_or(|most| has <= most);
                let bound = if gang.preemptible { None } else { quotas[resource].deserved };
                within(all[resource], quotas[resource].limit) && within(fixed[resource], bound)
            })
        })
    }
}

fn flatten(tree: &Subgroup, parent: Option<usize>, groups: &mut Vec<Group>) -> usize {
    let at = groups.len();
    let (name, least, wish) = (tree.name.clone(), tree.min_member as usize, tree.topology.clone());
    groups.push(Group { name, least, parent, below: Vec::new(), wish });
    for below in &tree.subgroups {
        let child = flatten(below, Some(at), groups);
        groups[at].below.push(child);
    }
    at
}

fn passes(test: &Test, value: Option<&String>) -> bool {
    match test {
        Test::In(values) => value.is_some_and(|value| values.contains(value)),
        Test::NotIn(values) => !value.is_some_and(|value| values.contains(value)),
        Test::Exists => value.is_some(),
        Test::DoesNotExist => value.is_none(),
        Test::Gt(_) | Test::Lt(_) => unreachable!("no dice roll them"),
    }
}

/// Does a node meet one of the terms, where there are any?
fn meets_one(terms: &[NodeTerm], shape: &NodeShape, node: usize) -> bool {
    let name = node_name(node);
    terms.is_empty()
        || terms.iter().any(|term| {
            (!term.labels.is_empty() || !term.names.is_empty())
                && term.labels.iter().all(|asked| passes(&asked.test, shape.labels.get(&asked.key)))
                && term.names.iter().all(|test| passes(test, Some(&name)))
        })
}

fn speaks_of(selector: &PodSelector, pod: &Pod) -> bool {
    pod.spec.terms.as_ref().is_some_and(|terms| {
        let named = selector.namespaces.as_ref().is_none_or(|names| names.contains(&terms.namespace));
        named && selector.labels.iter().all(|asked| passes(&asked.test, terms.labels.get(&asked.key)))
    })
}

/// What a request takes of each of its GPUs: MiB where memory is known, else thousandths (rule P5).
pub(crate) fn taken(request: GpuRequest, device_mib: u32) -> u64 {
    let mib = u64::from(device_mib);
    match request {
        GpuRequest::None => 0,
        GpuRequest::Whole(_) => {
            if mib > 0 {
                mib
            } else {
                1000
            }
        }
        GpuRequest::Share(share) => match share.size {
            ShareSize::Milli(milli) if mib == 0 => milli.milli(),
            ShareSize::Milli(milli) => (milli.milli() * mib / 1000).max(1),
            ShareSize::Memory(_) if mib == 0 => u64::MAX / 64, // fits nowhere
            ShareSize::Memory(asked) => asked.into(),
        },
    }
}

/// What a pod counts as on a node (rule A2).
fn charge(pod: &PodShape, node: &NodeShape) -> Amounts {
    let mig: i64 = pod
        .mig
        .iter()
        .map(|(profile, count)| i64::from(&profile[..1] == "3") * 2 * i64::from(*count) + i64::from(*count))
        .sum();
    let gpu = match pod.gpu {
        GpuRequest::None => 1000 * mig,
        GpuRequest::Whole(count) => 1000 * count as i64,
        GpuRequest::Share(Share { size: ShareSize::Milli(milli), devices }) => i64::from(milli.0) * i64::from(devices),
        GpuRequest::Share(Share { size: ShareSize::Memory(mib), devices }) => {
            let parts = (100 * i64::from(mib)).div_euclid(i64::from(node.gpu_memory_mib.max(1)));
            let cut = i64::from(100 * i64::from(mib) > parts * i64::from(node.gpu_memory_mib.max(1)));
            (parts + cut) * 10 * i64::from(devices)
        }
    };
    let of_a = if node.gpu_model == "A" { gpu } else { 0 };
    [gpu, pod.cpu_milli as i64, pod.memory_bytes.div_ceil(1 << 20) as i64, of_a]
}

/// All ways to take `count` of the first numbers, ascending.
fn subsets(of: usize, count: usize) -> Vec<Vec<u8>> {
    let all = (0..1_u32 << of).filter(|set| set.count_ones() as usize == count);
    all.map(|set| (0..of as u8).filter(|gpu| set >> gpu & 1 == 1).collect()).collect()
}
