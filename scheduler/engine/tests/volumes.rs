//! What volumes ask of nodes and of each other: sharing, limits, where they can be, and claims that have none yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_engine::decision::{Assigned, Choice, PlanId, WaitCause};
use berth_engine::filter::affinity::PodTerms;
use berth_engine::filter::labels::{Requirement, Test};
use berth_engine::filter::node_affinity::NodeTerm;
use berth_engine::filter::volumes::{
    Chosen, Disk, FreeVolume, FreeVolumes, PlaceRule, UnboundClaim, VolumePlace, VolumeTerms, chosen,
};
use berth_engine::gang::{Stage, StaleGrace, Subgroup};
use berth_engine::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_000_000);
const DRIVER: &str = "csi.example.com";

/// Nodes `n0`, `n1`, … with so many GPUs each, in zones `z0`, `z1`, ….
struct World {
    engine: Engine,
    rules: Rules,
}

impl World {
    fn of(nodes: u32, gpus: usize) -> World {
        let rules = Rules { stale_grace: StaleGrace::Forever, ..Rules::default() };
        let config = Config { policy: Policy::Pack, rules: rules.clone(), ..Config::default() };
        let mut world = World { engine: Engine::new(config), rules };
        for id in 0..nodes {
            let labels = BTreeMap::from([("zone".to_owned(), format!("z{id}"))]);
            let shape = NodeShape {
                cpu_milli: 64_000,
                memory_bytes: 1 << 40,
                pods: 100,
                gpus,
                gpu_model: "A".into(),
                labels,
                ..NodeShape::default()
            };
            world.tell(Event::NodeAdded { node: NodeId(id), spec: NodeSpec { name: format!("n{id}"), shape } });
        }
        world
    }

    fn tell(&mut self, event: Event) {
        self.engine.apply(event, NOW).expect("what happens is consistent");
    }

    fn limit(&mut self, node: u32, most: u32) {
        self.tell(Event::VolumeLimits { node: NodeId(node), limits: BTreeMap::from([(DRIVER.into(), most)]) });
    }

    /// A gang of pods with one GPU each, numbered from `first`, which all start together.
    fn gang(&mut self, first: u64, priority: i64, volumes: &[VolumeTerms], on: Option<u32>) {
        self.gang_on(first, priority, volumes, on.map(|node| (node, 0)));
    }

    /// The same, perhaps on GPUs of a node from one on.
    fn gang_on(&mut self, first: u64, priority: i64, volumes: &[VolumeTerms], on: Option<(u32, u8)>) {
        let mut spec = GangSpec::lone(Engine::DEFAULT_QUEUE, priority, NOW);
        (spec.name, spec.preemptible) = (format!("g{first}").into(), true);
        spec.tree = Subgroup { min_member: volumes.len() as u32, ..Subgroup::default() };
        self.tell(Event::GangAdded { gang: GangId(first), spec });
        for (id, volumes) in (first..).zip(volumes) {
            let seat = on.map(|(node, gpu)| Seat {
                stage: Stage::Running,
                node: NodeId(node),
                gpus: [gpu + (id - first) as u8].into_iter().collect(),
            });
            let terms = PodTerms { volumes: Some(Arc::new(volumes.clone())), ..PodTerms::default() };
            let shape = PodShape { gpu: GpuRequest::Whole(1), ..PodShape::default() };
            let gang = Some(Member { gang: GangId(first), subgroup: String::new() });
            let spec =
                PodSpec { name: format!("p{id:02}"), shape, gang, terms: Some(terms), seat, ..PodSpec::default() };
            self.tell(Event::PodAdded { pod: PodId(id), spec });
        }
    }

    fn pod(&mut self, id: u64, volumes: VolumeTerms) {
        self.gang(id, 0, &[volumes], None);
    }

    /// What a cycle decides, in short; the judge and the accounts agree with it.
    fn decide(&mut self) -> Vec<String> {
        let before = self.engine.state().rebuild();
        let decisions = self.engine.decide(NOW);
        assert_eq!(check::violations(&before, &decisions, &self.rules, NOW), [""; 0]);
        assert_eq!(self.engine.state().digest(), self.engine.state().rebuild().digest());
        let places = |pods: &[Assigned]| {
            let place = |one: &Assigned| format!("p{} n{}", one.slot.pod.0, one.slot.node.0);
            pods.iter().map(place).collect::<Vec<_>>().join(", ")
        };
        let mut said = Vec::new();
        for decision in &decisions {
            match decision {
                Decision::Bind { pods, .. } => said.push(format!("bind {}", places(pods))),
                Decision::Nominate { pods, .. } => said.push(format!("nominate {}", places(pods))),
                Decision::Evict { pods, .. } => said.push(format!("evict {pods:?}")),
                _ => {}
            }
        }
        said
    }

    /// Why a pod that waits does, in kube-scheduler's words.
    fn why(&mut self, pod: u64) -> String {
        let why = self.engine.explain(GangId(pod), NOW).expect("it waits");
        let WaitCause::Room { nodes, .. } = why.cause else { panic!("it waits for room, not {:?}", why.cause) };
        nodes.kubernetes_message(&PodShape::default())
    }

    fn chosen(&self) -> Vec<String> {
        let one = |(claim, chosen): (Arc<str>, Chosen)| match chosen {
            Chosen::Volume(volume) => format!("{claim}={volume}"),
            Chosen::New(node) => format!("{claim} new on n{}", node.0),
        };
        chosen(self.engine.state()).into_iter().map(one).collect()
    }
}

fn sole(claim: &str) -> VolumeTerms {
    VolumeTerms { sole: [claim.into()].into(), ..VolumeTerms::default() }
}

fn disk(name: &str, shared: bool) -> VolumeTerms {
    VolumeTerms { disks: vec![Disk { name: name.into(), shared }], ..VolumeTerms::default() }
}

fn attached(volumes: &[&str]) -> VolumeTerms {
    let volumes = volumes.iter().map(|volume| (*volume).into()).collect();
    VolumeTerms { attached: [(DRIVER.into(), volumes)].into(), ..VolumeTerms::default() }
}

fn zone(name: &str) -> NodeTerm {
    let asked = Requirement { key: "zone".into(), test: Test::In([name.to_owned()].into()) };
    NodeTerm { labels: vec![asked], names: Vec::new() }
}

fn on_nodes(names: &[&str]) -> Vec<NodeTerm> {
    let names = Test::In(names.iter().map(|name| (*name).to_owned()).collect());
    vec![NodeTerm { labels: Vec::new(), names: vec![names] }]
}

fn place(rule: PlaceRule, terms: Vec<NodeTerm>) -> VolumeTerms {
    VolumeTerms { places: vec![VolumePlace { rule, terms }], ..VolumeTerms::default() }
}

/// Volumes by name, each with the nodes on which it can be; none = all.
fn free(volumes: &[(&str, &[&str])]) -> Arc<FreeVolumes> {
    let one = |(name, nodes): &(&str, &[&str])| FreeVolume {
        name: (*name).into(),
        terms: if nodes.is_empty() { Vec::new() } else { on_nodes(nodes) },
    };
    Arc::new(FreeVolumes::of(volumes.iter().map(one).collect()))
}

fn claim(name: &str, volumes: &Arc<FreeVolumes>, provision: Option<Vec<NodeTerm>>) -> VolumeTerms {
    let one = UnboundClaim { claim: name.into(), bytes: 1, volumes: Arc::clone(volumes), provision };
    VolumeTerms { unbound: vec![one], ..VolumeTerms::default() }
}

#[test]
fn a_claim_of_one_pod_is_free_when_its_pod_is_gone_and_not_before() {
    let mut world = World::of(2, 4);
    world.gang(1, 0, &[sole("db")], Some(0));
    world.pod(2, sole("db"));
    world.pod(3, sole("other"));
    assert_eq!(world.decide(), ["bind p3 n0"]);
    let reason = "2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by \
                  another pod";
    assert_eq!(world.why(2), format!("0/2 nodes are available: {reason}."));
    world.gang(4, 9, &[sole("db")], None);
    assert_eq!(world.decide(), ["evict [PodId(1)]", "nominate p4 n0"]);
    assert_eq!(world.decide(), [""; 0], "its GPU is free, its claim is not yet");
    world.tell(Event::PodGone { pod: PodId(1) });
    assert_eq!(world.decide(), ["bind p4 n0"]);
}

#[test]
fn of_many_the_one_that_uses_the_claim_gives_way() {
    let mut world = World::of(6, 4);
    for node in 0..6 {
        let on_node = (0..3).map(|at| sole(&format!("{node}-{at}"))).collect::<Vec<_>>();
        for (at, one) in (0..).zip(on_node) {
            let (id, gpu) = (u64::from(10 * (node + 1) + at), Some((node, at as u8)));
            world.gang_on(id, 0, &[one], gpu);
        }
    }
    world.gang(100, 9, &[sole("4-1")], None);
    assert_eq!(world.decide(), ["evict [PodId(51)]", "nominate p100 n0"]);
}

#[test]
fn a_disk_is_shared_by_those_of_a_node_that_only_read() {
    let mut world = World::of(2, 4);
    world.gang(1, 0, &[disk("d", true)], Some(0));
    world.pod(2, disk("d", true));
    world.pod(3, disk("d", false));
    assert_eq!(world.decide(), ["bind p2 n0", "bind p3 n1"]);
    world.pod(4, disk("d", false));
    assert_eq!(world.decide(), [""; 0]);
    assert_eq!(world.why(4), "0/2 nodes are available: 2 node(s) had no available disk.");
}

#[test]
fn a_volume_counts_once_for_all_of_a_node_that_use_it() {
    let mut world = World::of(2, 8);
    world.limit(0, 2);
    world.limit(1, 1);
    world.gang(1, 0, &[attached(&["a", "b"])], Some(0));
    world.pod(2, attached(&["a"]));
    world.pod(3, attached(&["c"]));
    world.pod(4, attached(&["c", "a"]));
    assert_eq!(world.decide(), ["bind p2 n0", "bind p3 n1"]);
    assert_eq!(world.why(4), "0/2 nodes are available: 2 node(s) exceed max volume count.");
    world.limit(1, 2);
    assert_eq!(world.decide(), ["bind p4 n1"]);
    world.limit(1, 0);
    world.pod(5, attached(&["c"]));
    assert_eq!(world.decide(), ["bind p5 n1"], "what is attached already is not one more");
}

#[test]
fn what_a_node_can_attach_is_known_until_it_leaves() {
    let mut world = World::of(1, 8);
    world.limit(0, 1);
    let limit = |world: &World| world.engine.state().volume_limit(NodeId(0), DRIVER);
    let shape = NodeShape { cpu_milli: 1, pods: 9, ..NodeShape::default() };
    let spec = NodeSpec { name: "n0".into(), shape };
    world.tell(Event::NodeChanged { node: NodeId(0), spec: spec.clone() });
    assert_eq!(limit(&world), Some(1));
    world.tell(Event::NodeRemoved { node: NodeId(0) });
    world.tell(Event::NodeAdded { node: NodeId(0), spec });
    assert_eq!(limit(&world), None);
}

#[test]
fn a_promise_falls_where_the_volumes_cannot_be() {
    let mut world = World::of(2, 1);
    world.gang(1, 0, &[VolumeTerms::default()], Some(0));
    world.gang(2, 0, &[VolumeTerms::default()], Some(1));
    world.gang(3, 9, &[place(PlaceRule::Affinity, vec![zone("z0")])], None);
    assert_eq!(world.decide(), ["evict [PodId(1)]", "nominate p3 n0"]);
    let volumes = Some(Arc::new(place(PlaceRule::Affinity, vec![zone("z1")])));
    world.tell(Event::VolumesChanged { pod: PodId(3), volumes });
    assert_eq!(world.decide(), ["evict [PodId(2)]", "nominate p3 n1", "nominate p2 n0"]);
}

#[test]
fn the_claimant_gets_the_place_of_whoever_attaches_too_many() {
    let mut world = World::of(1, 8);
    world.limit(0, 2);
    world.gang(1, 0, &[attached(&["a"])], Some(0));
    world.pod(2, attached(&["b"]));
    assert_eq!(world.decide(), ["bind p2 n0"]);
    world.tell(Event::Confirmed { pod: PodId(2) });
    world.gang(3, 9, &[attached(&["c"])], None);
    let decided = world.decide();
    assert_eq!(decided.len(), 2, "one gives way, and the other one need not: {decided:?}");
    assert!(decided[0].starts_with("evict [PodId(") && !decided[0].contains(','), "{decided:?}");
    assert_eq!(decided[1], "nominate p3 n0");
    assert_eq!(world.decide(), [""; 0], "what leaves is still attached");
}

#[test]
fn volumes_are_where_they_say_and_the_reason_is_that_of_the_first_rule() {
    let mut world = World::of(3, 8);
    world.pod(1, place(PlaceRule::Affinity, vec![zone("z2")]));
    world.pod(2, place(PlaceRule::Zone, vec![zone("z1")]));
    assert_eq!(world.decide(), ["bind p1 n2", "bind p2 n1"]);
    let mut both = place(PlaceRule::Affinity, vec![zone("z0"), zone("z1")]);
    both.places.extend(place(PlaceRule::Zone, vec![zone("z2")]).places);
    world.pod(3, both);
    world.pod(4, place(PlaceRule::Missing, Vec::new()));
    assert_eq!(world.decide(), [""; 0]);
    assert_eq!(
        world.why(3),
        "0/3 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 2 node(s) had no available \
         volume zone."
    );
    let missing = "3 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
    assert_eq!(world.why(4), format!("0/3 nodes are available: {missing}."));
    let volumes = Some(Arc::new(place(PlaceRule::Affinity, vec![zone("z1")])));
    world.tell(Event::VolumesChanged { pod: PodId(4), volumes });
    world.tell(Event::VolumesChanged { pod: PodId(3), volumes: None });
    assert_eq!(world.decide().len(), 2);
}

#[test]
fn no_volume_is_given_twice_and_nobody_waits_for_want_of_a_better_choice() {
    let mut world = World::of(3, 8);
    let volumes = free(&[("a", &["n0"]), ("b", &["n0"])]);
    let only_a = free(&[("a", &["n0"])]);
    world.pod(1, claim("first", &volumes, None));
    world.pod(2, claim("second", &only_a, None));
    world.pod(3, claim("third", &volumes, None));
    assert_eq!(world.decide(), ["bind p1 n0", "bind p2 n0"]);
    assert_eq!(world.chosen(), ["first=b", "second=a"]);
    world.tell(Event::PodGone { pod: PodId(1) });
    assert_eq!(world.decide(), ["bind p3 n0"]);
}

#[test]
fn a_gang_gets_a_volume_for_each_pod_or_none() {
    let mut world = World::of(2, 8);
    let volumes = free(&[("a", &["n0"]), ("b", &["n1"])]);
    world.gang(1, 0, &["c1", "c2", "c3"].map(|name| claim(name, &volumes, None)), None);
    assert_eq!(world.decide(), [""; 0]);
    world.pod(4, claim("c0", &free(&[("a", &["n0"])]), None));
    assert_eq!(world.decide(), ["bind p4 n0"]);
    world.pod(5, claim("c9", &free(&[("a", &["n0"])]), None));
    assert_eq!(world.decide(), [""; 0]);
    let reason = "node(s) didn't find available persistent volumes to bind";
    assert_eq!(world.why(5), format!("0/2 nodes are available: 2 {reason}."));
    world.tell(Event::PodGone { pod: PodId(5) });
    world.tell(Event::PodGone { pod: PodId(4) });
    world.gang(11, 0, &["c4", "c5"].map(|name| claim(name, &volumes, None)), None);
    assert_eq!(world.decide(), ["bind p11 n0, p12 n1"]);
    assert_eq!(world.chosen(), ["c4=a", "c5=b"]);
}

#[test]
fn who_can_have_a_new_volume_leaves_old_ones_to_those_who_cannot() {
    let mut world = World::of(2, 8);
    let volumes = free(&[("a", &[]), ("b", &[])]);
    world.pod(1, claim("any", &volumes, Some(Vec::new())));
    world.pod(2, claim("old-1", &volumes, None));
    world.pod(3, claim("old-2", &volumes, None));
    world.pod(4, claim("there", &free(&[]), Some(vec![zone("z1")])));
    assert_eq!(world.decide(), ["bind p1 n0", "bind p2 n0", "bind p3 n0", "bind p4 n1"]);
    assert_eq!(world.chosen(), ["any new on n0", "old-1=a", "old-2=b", "there new on n1"]);
}

#[test]
fn pods_that_share_a_claim_get_one_volume() {
    let mut world = World::of(3, 1);
    let local = free(&[("a", &["n0"]), ("b", &["n1", "n2"])]);
    world.gang(1, 0, &["c", "c"].map(|name| claim(name, &local, None)), None);
    assert_eq!(world.decide(), ["bind p1 n1, p2 n2"]);
    assert_eq!(world.chosen(), ["c=b"]);
    let mut world = World::of(3, 1);
    world.gang(1, 0, &["c", "c"].map(|name| claim(name, &free(&[]), Some(Vec::new()))), None);
    assert_eq!(world.decide(), [""; 0], "a new volume is made for one node");
}

const CLAIMS: [&str; 4] = ["c0", "c1", "c2", "c3"];

/// By claim: which volumes it may have, and the zone in which one could be made for it.
type Claims = Vec<(Vec<(&'static str, &'static [&'static str])>, Option<usize>)>;

fn some_claims() -> impl Strategy<Value = Claims> {
    let local: Vec<(&str, &[&str])> = vec![("v0", &["n0"]), ("v1", &["n1"]), ("v2", &["n0", "n2"]), ("v3", &[])];
    let one = (proptest::sample::subsequence(local, 0..4), proptest::option::weighted(0.3, 0..3_usize));
    proptest::collection::vec(one, CLAIMS.len())
}

/// What a pod may ask, its claims by number: few of each thing, so that they meet.
fn some_volumes() -> impl Strategy<Value = (VolumeTerms, Vec<usize>)> {
    let some = |what: &'static [&'static str]| proptest::sample::subsequence(what, 0..=1);
    let claims = proptest::sample::subsequence(vec![0, 1, 2, 3], 0..=2);
    let parts = (some(&["s0", "s1"]), some(&["d0", "d1"]), any::<bool>(), some(&["a", "b", "c"]), 0..8_usize, claims);
    parts.prop_map(|(soles, disks, shared, volumes, at, claims)| {
        let mut terms = attached(&volumes);
        terms.attached.retain(|_, volumes| !volumes.is_empty());
        terms.sole = soles.into_iter().map(Into::into).collect();
        terms.disks = disks.into_iter().map(|name| Disk { name: name.into(), shared }).collect();
        if at < 3 {
            terms.places = place(PlaceRule::Affinity, vec![zone("z0"), zone(&format!("z{at}"))]).places;
        }
        (terms, claims)
    })
}

fn with_claims((mut terms, claims): (VolumeTerms, Vec<usize>), known: &Claims) -> VolumeTerms {
    for at in claims {
        let (volumes, made) = &known[at];
        let made = made.map(|at| vec![zone(&format!("z{at}"))]);
        terms.unbound.extend(claim(CLAIMS[at], &free(volumes), made).unbound);
    }
    terms
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// What is decided is right by the judge, and whoever waits could not be anywhere, by the same judge.
    #[test]
    fn whoever_waits_could_be_nowhere(
        gangs in proptest::collection::vec((proptest::collection::vec(some_volumes(), 1..3), 0..3_i64), 1..7),
        limits in proptest::collection::vec(0..3_u32, 3),
        leaves in 0..6_u64,
        claims in some_claims(),
    ) {
        let mut world = World::of(3, 3);
        (0..).zip(limits).for_each(|(node, limit)| world.limit(node, limit));
        for (number, (volumes, priority)) in (1..).zip(&gangs) {
            let volumes: Vec<VolumeTerms> = volumes.iter().map(|one| with_claims(one.clone(), &claims)).collect();
            world.gang(10 * number, *priority, &volumes, None);
            world.decide();
        }
        if world.engine.state().pods().get(&PodId(10 * leaves)).is_some() {
            world.tell(Event::PodGone { pod: PodId(10 * leaves) });
        }
        world.decide();
        let state = world.engine.state().rebuild();
        // What is promised may be free by now for others, and who loses a place may have another one in the next cycle.
        let settled = state.pods().values().all(|pod| matches!(pod.stage, Stage::Pending | Stage::Placed));
        let lone = state.pods().iter().filter(|(_, pod)| {
            settled && pod.stage == Stage::Pending && state.gangs()[&pod.gang].pods().count() == 1
        });
        for (id, pod) in lone {
            for node in 0..3 {
                let slots = (0..3).map(|gpu| Slot { pod: *id, node: NodeId(node), gpus: [gpu].into_iter().collect() });
                for slot in slots {
                    let choice = Choice { policy: Policy::Pack, waits: false, loss: 0, next_loss: None };
                    let pods = vec![Assigned { slot: slot.clone(), because: choice }];
                    let bind = Decision::Bind { plan: PlanId(999), gang: pod.gang, pods };
                    let wrong = check::violations(&state, &[bind], &world.rules, NOW);
                    let gpu_taken = state.cluster().placed().values().any(|place| place.node == slot.node && place.gpus == slot.gpus);
                    prop_assert!(gpu_taken || !wrong.is_empty(), "{} could be on n{node}", pod.name);
                }
            }
        }
    }
}
