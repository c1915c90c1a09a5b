//! Nodes that change while pods are on them.

use berth_engine::gang::Stage;
use berth_engine::*;

const NODE: NodeId = NodeId(1);

fn offers(gpus: usize, cpu: u64) -> NodeShape {
    NodeShape {
        cpu_milli: cpu * 1000,
        memory_bytes: 1 << 40,
        pods: 110,
        gpus,
        gpu_model: "H100".to_owned(),
        ..NodeShape::default()
    }
}

fn wants(gpus: usize, cpu: u64) -> PodShape {
    PodShape { cpu_milli: cpu * 1000, gpu: GpuRequest::Whole(gpus), ..PodShape::default() }
}

fn spec(shape: NodeShape) -> NodeSpec {
    NodeSpec { name: "node-1".to_owned(), shape }
}

struct World(Engine);

impl World {
    /// One node with a running pod of 4 GPUs and 8 cores.
    fn new() -> Self {
        let mut world = World(Engine::new(Config::default()));
        world.tell(Event::NodeAdded { node: NODE, spec: spec(offers(8, 16)) });
        world.submit(1, wants(4, 8));
        assert_eq!(world.decide(), [1]);
        world.tell(Event::Confirmed { pod: PodId(1) });
        world
    }

    fn tell(&mut self, event: Event) {
        self.0.apply(event, Timestamp(0)).expect("a consistent event");
    }

    fn change(&mut self, shape: NodeShape) {
        self.tell(Event::NodeChanged { node: NODE, spec: spec(shape) });
        assert_eq!(self.0.state().digest(), self.0.state().rebuild().digest());
        assert_eq!(check::booking(self.0.cluster()), Vec::<String>::new());
    }

    fn submit(&mut self, pod: u64, shape: PodShape) {
        self.tell(Event::PodAdded { pod: PodId(pod), spec: PodSpec { shape, ..PodSpec::default() } });
    }

    /// Who gets a place.
    fn decide(&mut self) -> Vec<u64> {
        let decisions = self.0.decide(Timestamp(0)).into_iter();
        decisions
            .flat_map(|decision| match decision {
                Decision::Bind { pods, .. } => pods.iter().map(|one| one.slot.pod.0).collect(),
                _ => Vec::new(),
            })
            .collect()
    }
}

#[test]
fn pods_stay_on_a_node_that_is_cordoned_and_nobody_joins_them() {
    let mut world = World::new();
    world.change(NodeShape { unschedulable: true, ..offers(8, 16) });
    world.submit(2, wants(1, 1));
    assert_eq!(world.decide(), [0_u64; 0]);
    assert_eq!(world.0.state().pods()[&PodId(1)].stage, Stage::Running);
    world.change(offers(8, 16));
    assert_eq!(world.decide(), [2]);
}

#[test]
fn a_node_that_grows_takes_who_waited_for_that() {
    let mut world = World::new();
    world.submit(2, wants(2, 12));
    assert_eq!(world.decide(), [0_u64; 0]);
    world.change(offers(8, 20));
    assert_eq!(world.decide(), [2]);
}

#[test]
fn a_node_that_offers_less_than_is_in_use_takes_nobody_until_that_is_gone() {
    let mut world = World::new();
    world.change(offers(2, 16));
    world.submit(2, wants(1, 1));
    assert_eq!(world.decide(), [0_u64; 0], "two GPUs are offered and four in use");
    world.tell(Event::PodGone { pod: PodId(1) });
    assert_eq!(world.decide(), [2]);
    world.submit(3, wants(2, 1));
    assert_eq!(world.decide(), [0_u64; 0], "one of two is left");
}

#[test]
fn a_promise_that_a_node_cannot_keep_any_longer_falls() {
    let mut world = World::new();
    let spec = |queue| GangSpec { preemptible: true, ..GangSpec::lone(queue, 0, Timestamp(0)) };
    world.tell(Event::GangAdded { gang: GangId(7), spec: GangSpec { priority: 5, ..spec(Engine::DEFAULT_QUEUE) } });
    let member = Member { gang: GangId(7), subgroup: String::new() };
    // Told to stop, the first pod leaves room that is promised to the second.
    world.tell(Event::PodGone { pod: PodId(1) });
    let seat = Seat { stage: Stage::Evicted, node: NODE, gpus: [0, 1, 2, 3].into_iter().collect() };
    let leaving = PodSpec { shape: wants(4, 8), seat: Some(seat), ..PodSpec::default() };
    world.tell(Event::PodAdded { pod: PodId(2), spec: leaving });
    world.tell(Event::PodAdded {
        pod: PodId(3),
        spec: PodSpec { shape: wants(8, 8), gang: Some(member), ..PodSpec::default() },
    });
    assert_eq!(world.decide(), [0_u64; 0]);
    assert_eq!(world.0.state().pods()[&PodId(3)].stage, Stage::Nominated { counted: true });
    world.change(offers(4, 16));
    assert_eq!(world.0.state().pods()[&PodId(3)].stage, Stage::Pending);
}

#[test]
fn a_change_that_makes_no_sense_changes_nothing() {
    let mut world = World::new();
    let before = world.0.state().digest();
    let mut refused = |node, name: &str, shape| {
        let spec = NodeSpec { name: name.to_owned(), shape };
        let error = world.0.apply(Event::NodeChanged { node, spec }, Timestamp(0)).expect_err("it makes no sense");
        assert_eq!(world.0.state().digest(), before);
        error.to_string()
    };
    assert!(refused(NodeId(9), "node-9", offers(8, 16)).contains("not in the cluster"), "unknown");
    assert!(refused(NODE, "node-2", offers(8, 16)).contains("added twice"), "another name");
    assert!(refused(NODE, "node-1", offers(17, 16)).contains("17 GPUs"), "too many GPUs");
}

/// Loss, protection by minimum runtime and expected ends all count from the last start.
#[test]
fn a_gang_that_starts_again_counts_from_its_new_start() {
    let mut engine = Engine::new(Config::default());
    let mut tell = |event, now| {
        engine.apply(event, Timestamp(now)).expect("a consistent event");
        engine.decide(Timestamp(now));
        engine.state().gangs().get(&GangId(7)).and_then(|gang| gang.spec.started)
    };
    tell(Event::NodeAdded { node: NODE, spec: spec(offers(8, 16)) }, 0);
    tell(Event::GangAdded { gang: GangId(7), spec: GangSpec::lone(Engine::DEFAULT_QUEUE, 0, Timestamp(0)) }, 0);
    for (pod, now) in [(1, 1_000), (2, 50_000)] {
        let gang = Some(Member { gang: GangId(7), subgroup: String::new() });
        tell(
            Event::PodAdded { pod: PodId(pod), spec: PodSpec { shape: wants(1, 1), gang, ..PodSpec::default() } },
            now,
        );
        assert_eq!(tell(Event::Confirmed { pod: PodId(pod) }, now), Some(Timestamp(now)));
        tell(Event::PodGone { pod: PodId(pod) }, now + 1_000);
    }
}
