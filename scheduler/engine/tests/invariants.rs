//! What must hold after any sequence of events, whatever the policy.

use std::collections::{BTreeMap, BTreeSet};

use berth_engine::decision::WaitCause;
use berth_engine::filter::labels::{Requirement, Test};
use berth_engine::filter::node_affinity::NodeTerm;
use berth_engine::filter::ports::{HostPort, Protocol};
use berth_engine::filter::{self, Constraint};
use berth_engine::state::Whereabouts;
use berth_engine::trial::Trial;
use berth_engine::*;
use proptest::prelude::*;

/// Something that happens; numbers pick among what is there.
#[derive(Debug, Clone)]
enum Step {
    AddNode(NodeShape),
    ChangeNode(usize, NodeShape),
    RemoveNode(usize),
    AddPod(PodShape, i32),
    EndPod(usize),
    FailBinding(usize),
}

fn a_node() -> impl Strategy<Value = NodeShape> {
    let model = prop_oneof![Just("A"), Just("B")];
    (1..=4u64, 1..=4u64, 1..=4u32, 0..=4usize, model, 0..8u8).prop_map(|(cpu, memory, pods, gpus, model, extras)| {
        let taint = Taint { key: "dedicated".into(), value: "x".into(), effect: TaintEffect::NoSchedule };
        NodeShape {
            cpu_milli: cpu * 1000,
            memory_bytes: memory << 30,
            pods,
            gpus,
            gpu_model: if gpus == 0 { String::new() } else { model.into() },
            labels: if extras & 1 == 1 { BTreeMap::from([("zone".into(), "z".into())]) } else { BTreeMap::new() },
            taints: if extras & 6 == 6 { vec![taint] } else { Vec::new() },
            unschedulable: extras == 4,
            gpu_memory_mib: [0, 7, 24_000][usize::from(extras % 3)],
            mig: a_split(extras),
            others: if extras & 3 == 1 { disks(extras.into()) } else { BTreeMap::new() },
        }
    })
}

/// Some nodes are split by MIG, by either strategy.
fn a_split(extras: u8) -> Option<MigShape> {
    let instances = vec![("1g.5gb".to_owned(), 3), ("3g.20gb".to_owned(), 1)];
    matches!(extras, 2 | 5).then_some(MigShape { single: extras == 5, instances })
}

fn a_pod() -> impl Strategy<Value = PodShape> {
    let gpu = prop_oneof![
        Just(GpuRequest::None),
        (1..=9u16).prop_map(|tenths| GpuRequest::share(MilliGpu(tenths * 100))),
        (1..=999u16, 1..=3u8).prop_map(|(milli, devices)| {
            GpuRequest::Share(Share { size: ShareSize::Milli(MilliGpu(milli)), devices })
        }),
        (prop::sample::select(vec![1, 2, 3, 7, 8_000, 20_000, 24_000]), 1..=3u8)
            .prop_map(|(mib, devices)| GpuRequest::Share(Share { size: ShareSize::Memory(mib), devices })),
        (1..=4usize).prop_map(GpuRequest::Whole),
    ];
    (0..=3u64, 0..=2u64, gpu, 0..16u8).prop_map(|(cpu, memory, gpu, extras)| PodShape {
        cpu_milli: cpu * 700,
        memory_bytes: memory << 29,
        gpu,
        mig: match (gpu, extras) {
            (GpuRequest::None, 1..6) => vec![("1g.5gb".to_owned(), u32::from(extras % 2) + 1)],
            (GpuRequest::None, 6) => vec![("1g.5gb".to_owned(), 1), ("3g.20gb".to_owned(), 1)],
            (GpuRequest::None, 7) => vec![("7g.40gb".to_owned(), 1)],
            _ => Vec::new(),
        },
        gpu_models: if extras & 3 == 3 { vec!["A".into()] } else { Vec::new() },
        node_selector: if extras & 12 == 12 { BTreeMap::from([("zone".into(), "z".into())]) } else { BTreeMap::new() },
        tolerations: if extras & 5 == 5 {
            vec![Toleration { key: Some("dedicated".into()), value: None, effect: None }]
        } else {
            Vec::new()
        },
        node_affinity: if extras == 9 { vec![in_no_zone()] } else { Vec::new() },
        host_ports: if extras & 6 == 6 { vec![a_port(extras)] } else { Vec::new() },
        others: if extras & 9 == 8 { disks(1) } else { BTreeMap::new() },
    })
}

fn disks(count: u64) -> BTreeMap<std::sync::Arc<str>, u64> {
    BTreeMap::from([("example.com/disk".into(), count)])
}

fn in_no_zone() -> NodeTerm {
    NodeTerm { labels: vec![Requirement { key: "zone".into(), test: Test::DoesNotExist }], names: Vec::new() }
}

fn a_port(extras: u8) -> HostPort {
    let address = (extras & 1 == 1).then(|| format!("10.0.0.{}", extras / 8));
    HostPort { protocol: Protocol::Tcp, port: 80, address }
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => a_node().prop_map(Step::AddNode),
        1 => any::<usize>().prop_map(Step::RemoveNode),
        2 => (any::<usize>(), a_node()).prop_map(|(pick, shape)| Step::ChangeNode(pick, shape)),
        8 => (a_pod(), 0..3i32).prop_map(|(shape, priority)| Step::AddPod(shape, priority)),
        4 => any::<usize>().prop_map(Step::EndPod),
        1 => any::<usize>().prop_map(Step::FailBinding),
    ]
}

/// Drives an engine through steps and remembers what a driver knows.
struct World {
    engine: Engine,
    waiting: BTreeMap<PodId, PodShape>,
    nodes: BTreeSet<NodeId>,
    next: u32,
}

impl World {
    fn new(policy: Policy, ties: TieBreak) -> Self {
        let engine = Engine::new(Config {
            // A place kept for who waits long keeps others waiting although they fit.
            rules: Rules { waiting: rules::WaitingRule::Skip, ..Rules::default() },
            policy,
            ties,
            seed: 7,
            ..Config::default()
        });
        World { engine, waiting: BTreeMap::new(), nodes: BTreeSet::new(), next: 0 }
    }

    fn step(&mut self, step: &Step) -> Vec<Decision> {
        self.next += 1;
        // Far enough apart for those whose bindings failed again and again to be tried again.
        let now = Timestamp(u64::from(self.next) * 600_000);
        let pods: Vec<PodId> = self.waiting.keys().chain(self.engine.cluster().placed().keys()).copied().collect();
        let event = match step {
            Step::AddNode(shape) => {
                let node = NodeId(self.next);
                self.nodes.insert(node);
                Event::NodeAdded { node, spec: NodeSpec { name: format!("n{}", self.next), shape: shape.clone() } }
            }
            Step::ChangeNode(pick, shape) => {
                let Some(&node) = self.nodes.iter().nth(pick % self.nodes.len().max(1)) else { return Vec::new() };
                // Whoever runs there may stay whatever its labels and taints are by now, but the judge of bookings could not tell.
                let old = NodeShape::clone(&self.engine.cluster().state(node).expect("it is there").shape);
                let NodeShape { labels, taints, gpu_model, .. } = old;
                let shape = NodeShape { labels, taints, gpu_model, ..shape.clone() };
                Event::NodeChanged { node, spec: NodeSpec { name: format!("n{}", node.0), shape } }
            }
            Step::RemoveNode(pick) => {
                let Some(&node) = self.nodes.iter().nth(pick % self.nodes.len().max(1)) else { return Vec::new() };
                self.nodes.remove(&node);
                Event::NodeRemoved { node }
            }
            Step::AddPod(shape, priority) => {
                let pod = PodId(u64::from(self.next));
                self.waiting.insert(pod, shape.clone());
                let spec = PodSpec {
                    name: format!("p{}", self.next),
                    shape: shape.clone(),
                    priority: *priority,
                    ..PodSpec::default()
                };
                Event::PodAdded { pod, spec }
            }
            Step::EndPod(pick) => {
                let Some(&pod) = pods.get(pick % pods.len().max(1)) else { return Vec::new() };
                self.waiting.remove(&pod);
                Event::PodGone { pod }
            }
            Step::FailBinding(pick) => {
                let placed: Vec<PodId> = self.engine.cluster().placed().keys().copied().collect();
                let Some(&pod) = placed.get(pick % placed.len().max(1)) else { return Vec::new() };
                self.waiting.insert(pod, PodShape::clone(&self.engine.cluster().placed()[&pod].shape));
                Event::BindFailed { pod }
            }
        };
        self.engine.apply(event, now).expect("the step is consistent");
        let decisions = self.engine.decide(Timestamp(now.0 + 400_000));
        for decision in &decisions {
            if let Decision::Bind { pods, .. } = decision {
                for one in pods {
                    self.waiting.remove(&one.slot.pod).expect("only waiting pods are bound");
                }
            }
        }
        decisions
    }

    fn fits_somewhere(&self, pod: &PodShape) -> bool {
        let cluster = self.engine.cluster();
        cluster.nodes().keys().any(|node| cluster.state(*node).is_some_and(|state| filter::fits(state, pod)))
    }
}

fn policies() -> impl Strategy<Value = (Policy, TieBreak)> {
    (prop::sample::select(Policy::ALL.to_vec()), prop::sample::select(TieBreak::ALL.to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    /// The state kept incrementally is the state built from nothing, nothing is given away twice, and a pod waits
    /// exactly when it fits nowhere.
    #[test]
    fn state_is_consistent_and_pods_wait_only_when_they_must(
        (policy, ties) in policies(), steps in prop::collection::vec(a_step(), 1..60),
    ) {
        let mut world = World::new(policy, ties);
        for step in &steps {
            let decisions = world.step(step);
            let cluster = world.engine.cluster();
            prop_assert_eq!(check::booking(cluster), Vec::<String>::new());
            let state = world.engine.state();
            prop_assert_eq!(state.digest(), state.rebuild().digest());
            prop_assert_eq!(world.engine.waiting(), world.waiting.len());
            for (pod, shape) in &world.waiting {
                prop_assert!(!world.fits_somewhere(shape), "{} waits but fits", pod);
            }
            for decision in decisions {
                if let Decision::Wait { pod, why, .. } = decision {
                    let WaitCause::Room { nodes, .. } = &why.cause else {
                        panic!("a lone pod without quotas waits for room only, not: {why}");
                    };
                    check_reason(&world, &world.waiting[&pod], nodes)?;
                }
            }
        }
    }

    /// Same events, same decisions.
    #[test]
    fn decisions_repeat((policy, ties) in policies(), steps in prop::collection::vec(a_step(), 1..60)) {
        let (mut one, mut two) = (World::new(policy, ties), World::new(policy, ties));
        for step in &steps {
            prop_assert_eq!(one.step(step), two.step(step));
        }
    }

    /// Whatever a trial did, undoing it restores the digest; dropping it does, too.
    #[test]
    fn undo_restores_the_digest(
        steps in prop::collection::vec(a_step(), 1..40), moves in prop::collection::vec(any::<usize>(), 1..20),
    ) {
        let mut world = World::new(Policy::BestFit, TieBreak::Rank);
        for step in &steps {
            world.step(step);
        }
        let mut state = world.engine.state().rebuild();
        let before = state.digest();
        let mut trial = Trial::on(&mut state);
        let mut after_first_half = None;
        for (index, pick) in moves.iter().enumerate() {
            if index == moves.len() / 2 {
                after_first_half = Some((trial.mark(), trial.state().digest()));
            }
            let placed: Vec<PodId> = trial.state().cluster().placed().keys().copied().collect();
            let Some(&pod) = placed.get(pick % placed.len().max(1)) else { break };
            let home = trial.state().whereabouts(pod);
            trial.set(pod, Whereabouts::PENDING);
            if pick % 3 == 0 {
                trial.set(pod, home);
            }
        }
        if let Some((mark, digest)) = after_first_half {
            trial.undo_to(mark);
            prop_assert_eq!(trial.state().digest(), digest);
        }
        drop(trial);
        prop_assert_eq!(state.digest(), before);
    }
}

/// A reason counts every node, under the first rule that rejects it, and its margins are those of the nearest node.
fn check_reason(world: &World, pod: &PodShape, why: &Unplaceable) -> Result<(), TestCaseError> {
    let cluster = world.engine.cluster();
    prop_assert_eq!(why.nodes, cluster.nodes().len());
    let mut expected: BTreeMap<Constraint, (usize, Option<u64>)> = BTreeMap::new();
    for state in cluster.nodes().keys().filter_map(|node| cluster.state(*node)) {
        if let Some(constraint) = filter::rejection(&state.shape, state.later(), pod) {
            expected.entry(constraint).or_default().0 += 1;
            continue;
        }
        for resource in filter::Resource::ALL {
            let missing = resource.missing(&state.shape, state.later(), pod);
            if missing > 0 {
                let (nodes, nearest) = expected.entry(Constraint::Lack(resource)).or_default();
                *nodes += 1;
                *nearest = Some(nearest.unwrap_or(u64::MAX).min(missing));
            }
        }
    }
    let given: BTreeMap<_, _> =
        why.ruled_out.iter().map(|rule| (rule.constraint, (rule.nodes, rule.nearest_miss))).collect();
    prop_assert_eq!(given, expected);
    Ok(())
}
