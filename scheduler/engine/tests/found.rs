//! What brute force has found (tests/brute_force), each as small as it can be told: gangs, queues and victims.

use std::collections::{BTreeMap, BTreeSet};

use berth_engine::decision::Assigned;
use berth_engine::filter::affinity::{PodTerms, Term};
use berth_engine::filter::labels::PodSelector;
use berth_engine::filter::ports::{HostPort, Protocol};
use berth_engine::gang::{Stage, StaleGrace, Subgroup};
use berth_engine::*;

const NOW: Timestamp = Timestamp(1_000_000);

/// An engine with these nodes, `n0` first, and the queue `q0`.
fn engine(rules: Rules, nodes: &[NodeShape]) -> Engine {
    let mut engine = Engine::new(Config { policy: Policy::Pack, rules, ..Config::default() });
    for (id, shape) in (0..).zip(nodes) {
        let spec = NodeSpec { name: format!("n{id}"), shape: shape.clone() };
        tell(&mut engine, Event::NodeAdded { node: NodeId(id), spec });
    }
    tell(&mut engine, Event::QueueSet { queue: QueueId(0), spec: QueueSpec::unlimited("q0") });
    engine
}

fn tell(engine: &mut Engine, event: Event) {
    engine.apply(event, NOW).expect("what happens is consistent");
}

fn node(gpus: usize) -> NodeShape {
    NodeShape { cpu_milli: 8000, memory_bytes: 1 << 40, pods: 10, gpus, gpu_model: "A".into(), ..NodeShape::default() }
}

fn whole(gpus: usize) -> PodShape {
    PodShape { gpu: GpuRequest::Whole(gpus), ..PodShape::default() }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A pod's own labels, and whom it must or must not share its node with: all by the label `app`.
fn terms(app: &str, with: Option<&str>, without: Option<&str>) -> Option<PodTerms> {
    let term = |app| Term { topology_key: Term::NODE.into(), pods: PodSelector::equal("", &labels(&[("app", app)])) };
    Some(PodTerms {
        labels: labels(&[("app", app)]),
        affinity: with.map(term).into_iter().collect(),
        anti_affinity: without.map(term).into_iter().collect(),
        ..PodTerms::default()
    })
}

/// A preemptible gang of `q0` that came just now.
fn gang(engine: &mut Engine, id: u64, priority: i64, min_member: u32) {
    let mut spec = GangSpec::lone(QueueId(0), priority, NOW);
    (spec.name, spec.preemptible, spec.recreated) = (format!("g{id}").into(), true, true);
    spec.tree = Subgroup { min_member, ..Subgroup::default() };
    tell(engine, Event::GangAdded { gang: GangId(id), spec });
}

/// Where a pod is from the start: what it does, on which GPUs of a node.
type On<'a> = Option<(Stage, u32, &'a [u8])>;

/// It runs there.
fn runs(node: u32, gpus: &[u8]) -> On<'_> {
    Some((Stage::Running, node, gpus))
}

/// A pod of a gang without subgroups, named and numbered.
fn pod(engine: &mut Engine, gang: u64, id: u64, shape: PodShape, terms: Option<PodTerms>, on: On<'_>) {
    let seat = on.map(|(stage, node, gpus)| Seat { stage, node: NodeId(node), gpus: gpus.iter().copied().collect() });
    let gang = Some(Member { gang: GangId(gang), subgroup: String::new() });
    let spec = PodSpec { name: format!("p{id}"), shape, gang, terms, seat, ..PodSpec::default() };
    tell(engine, Event::PodAdded { pod: PodId(id), spec });
}

/// What a cycle decides, in short, without who waits; the judge and the accounts agree with it.
fn decide(engine: &mut Engine, rules: &Rules) -> Vec<String> {
    let before = engine.state().rebuild();
    let decisions = engine.decide(NOW);
    assert_eq!(check::violations(&before, &decisions, rules, NOW), [""; 0]);
    assert_eq!(check::booking(engine.cluster()), [""; 0]);
    assert_eq!(engine.state().digest(), engine.state().rebuild().digest());
    let place = |one: &Assigned| {
        let gpus = one.slot.gpus.iter().map(u8::to_string).collect::<Vec<_>>().join(",");
        format!("p{}->n{}[{gpus}]", one.slot.pod.0, one.slot.node.0)
    };
    let places = |pods: &[Assigned]| pods.iter().map(place).collect::<Vec<_>>().join(" ");
    let line = |decision: &Decision| match decision {
        Decision::Bind { pods, .. } => Some(format!("bind {}", places(pods))),
        Decision::Nominate { pods, .. } => Some(format!("nominate {}", places(pods))),
        Decision::Evict { pods, .. } => {
            let pods: BTreeSet<String> = pods.iter().map(|pod| format!("p{}", pod.0)).collect();
            Some(format!("evict {}", pods.into_iter().collect::<Vec<_>>().join(" ")))
        }
        _ => None,
    };
    decisions.iter().filter_map(line).collect()
}

#[test]
fn the_limit_of_a_gpu_model_holds_for_pods_that_take_any_model() {
    let rules = Rules::default();
    let mut engine = engine(rules.clone(), &[node(4), NodeShape { gpu_model: "B".into(), ..node(4) }]);
    let mut spec = QueueSpec::unlimited("q0");
    spec.gpu_models.insert("A".into(), Quota { limit: Some(1000), ..Quota::UNLIMITED });
    tell(&mut engine, Event::QueueSet { queue: QueueId(0), spec });
    gang(&mut engine, 1, 0, 2);
    pod(&mut engine, 1, 1, whole(1), None, None);
    pod(&mut engine, 1, 2, whole(1), None, None);
    assert_eq!(decide(&mut engine, &rules), ["bind p1->n0[0] p2->n1[0]"]);
}

/// Nothing but schedulers keeps pods apart that want the same port: where others bound them, they are there all the same.
#[test]
fn pods_that_are_found_on_one_port_are_believed() {
    let rules = Rules::default();
    let mut engine = engine(rules.clone(), &[node(1)]);
    let open = |address: Option<&str>| {
        let port = HostPort { protocol: Protocol::Tcp, port: 80, address: address.map(str::to_owned) };
        PodShape { host_ports: vec![port], ..PodShape::default() }
    };
    for (id, address, on) in [(1, None, runs(0, &[])), (2, Some("10.0.0.1"), runs(0, &[])), (3, None, None)] {
        gang(&mut engine, id, 0, 1);
        pod(&mut engine, id, id, open(address), None, on);
    }
    for left in [1, 2] {
        assert_eq!(decide(&mut engine, &rules), [""; 0], "p{left} has the port");
        tell(&mut engine, Event::PodGone { pod: PodId(left) });
    }
    assert_eq!(decide(&mut engine, &rules), ["bind p3->n0[]"]);
}

#[test]
fn whoever_moves_away_is_no_company() {
    let rules = Rules::kai();
    let mut engine = engine(rules.clone(), &[node(1), node(1)]);
    gang(&mut engine, 1, 0, 1);
    pod(&mut engine, 1, 1, whole(1), terms("db", None, None), runs(0, &[0]));
    gang(&mut engine, 2, 0, 1);
    pod(&mut engine, 2, 2, whole(1), terms("web", Some("db"), None), None);
    assert_eq!(decide(&mut engine, &rules), [""; 0], "moving p1 makes room for p2 beside nobody");
}

#[test]
fn whoever_is_evicted_keeps_nobody_away() {
    let rules = Rules::default();
    let mut engine = engine(rules.clone(), &[node(1)]);
    gang(&mut engine, 1, 0, 1);
    pod(&mut engine, 1, 1, whole(1), terms("db", None, None), runs(0, &[0]));
    gang(&mut engine, 2, 1, 1);
    pod(&mut engine, 2, 2, whole(1), terms("web", None, Some("db")), None);
    assert_eq!(decide(&mut engine, &rules), ["evict p1", "nominate p2->n0[0]"]);
}

#[test]
fn whoever_comes_back_where_it_was_does_not_wait_for_those_that_move() {
    let rules = Rules::kai();
    let mut engine = engine(rules.clone(), &[node(2), node(2)]);
    gang(&mut engine, 1, 1, 2);
    pod(&mut engine, 1, 1, whole(1), None, runs(0, &[0]));
    pod(&mut engine, 1, 2, whole(1), None, Some((Stage::Placed, 1, &[0])));
    gang(&mut engine, 2, 0, 1);
    pod(&mut engine, 2, 3, whole(2), None, None);
    let decided = decide(&mut engine, &rules);
    assert_eq!(decided, ["evict p1", "nominate p3->n0[0,1]", "nominate p1->n1[1]"]);
    assert_eq!(engine.state().whereabouts(PodId(2)).stage, Stage::Placed);
}

#[test]
fn nobody_is_evicted_for_a_gang_that_fits_where_others_leave() {
    let rules = Rules::kai();
    let mut engine = engine(rules.clone(), &[node(4), node(1)]);
    gang(&mut engine, 1, 0, 2);
    pod(&mut engine, 1, 1, whole(2), None, runs(0, &[0, 1]));
    pod(&mut engine, 1, 2, whole(2), None, runs(0, &[2, 3]));
    gang(&mut engine, 2, 1, 1);
    pod(&mut engine, 2, 3, whole(1), None, runs(1, &[0]));
    gang(&mut engine, 3, 3, 1);
    pod(&mut engine, 3, 4, whole(2), None, None);
    gang(&mut engine, 4, 2, 1);
    pod(&mut engine, 4, 5, whole(1), None, None);
    assert_eq!(decide(&mut engine, &rules), ["evict p1 p2", "nominate p4->n0[0,1]"]);
    assert_eq!(decide(&mut engine, &rules), ["nominate p5->n0[2]"]);
}

#[test]
fn whoever_is_not_in_the_way_stays_though_its_node_takes_nobody_new() {
    let rules = Rules::default();
    let cordoned = NodeShape { unschedulable: true, ..node(0) };
    let mut engine = engine(rules.clone(), &[node(0), cordoned]);
    let busy = || PodShape { cpu_milli: 8000, ..PodShape::default() };
    gang(&mut engine, 1, 0, 1);
    pod(&mut engine, 1, 1, busy(), None, runs(0, &[]));
    pod(&mut engine, 1, 2, busy(), None, runs(1, &[]));
    gang(&mut engine, 2, 1, 1);
    pod(&mut engine, 2, 3, busy(), None, None);
    assert_eq!(decide(&mut engine, &rules), ["evict p1", "nominate p3->n0[]"]);
}

#[test]
fn a_pod_that_gets_a_place_with_its_gang_is_told_of() {
    for rules in [Rules::default(), Rules::kai()] {
        let mut engine = engine(rules.clone(), &[node(1)]);
        let mut spec = QueueSpec::unlimited("q0");
        spec.cpu.limit = Some(1000);
        tell(&mut engine, Event::QueueSet { queue: QueueId(0), spec });
        gang(&mut engine, 1, 0, 1);
        pod(&mut engine, 1, 1, PodShape { cpu_milli: 1000, ..PodShape::default() }, None, None);
        pod(&mut engine, 1, 2, PodShape { cpu_milli: 1000, ..whole(1) }, None, runs(0, &[0]));
        gang(&mut engine, 2, 1, 1);
        pod(&mut engine, 2, 3, whole(1), None, None);
        let decided = decide(&mut engine, &rules);
        assert_eq!(decided, ["evict p2", "nominate p3->n0[0]", "nominate p1->n0[]"], "{rules:?}");
    }
}

#[test]
fn who_must_be_with_its_own_kind_starts_in_a_domain_only() {
    let rules = Rules::default();
    let mut engine = engine(rules.clone(), &[node(1), NodeShape { labels: labels(&[("zone", "z")]), ..node(1) }]);
    let zone = Term { topology_key: "zone".into(), pods: PodSelector::equal("", &labels(&[("app", "web")])) };
    gang(&mut engine, 1, 0, 1);
    let wanted = PodTerms { affinity: vec![zone], ..terms("web", None, None).expect("terms") };
    pod(&mut engine, 1, 1, whole(1), Some(wanted.clone()), None);
    pod(&mut engine, 1, 2, whole(1), Some(wanted), None);
    assert_eq!(decide(&mut engine, &rules), ["bind p1->n1[0]"]);
}

#[test]
fn the_first_of_a_kind_is_not_whoever_was_placed_before_its_kind_came_back() {
    let rules = Rules::kai();
    let mut engine = engine(rules.clone(), &[node(2), node(1), node(0)]);
    gang(&mut engine, 1, 0, 1);
    pod(&mut engine, 1, 1, whole(1), None, runs(0, &[0]));
    gang(&mut engine, 2, 0, 1);
    pod(&mut engine, 2, 2, whole(2), terms("web", Some("web"), None), None);
    gang(&mut engine, 3, 0, 1);
    let only = PodTerms { node_names: Some(["n2".to_owned()].into()), ..terms("web", None, None).expect("terms") };
    pod(&mut engine, 3, 3, PodShape::default(), Some(only), runs(2, &[]));
    assert_eq!(decide(&mut engine, &rules), [""; 0], "p3 stays on n2, and p2 does not fit there");
}

#[test]
fn room_that_was_only_promised_is_used_once_the_promise_is_given_up() {
    let rules = Rules { stale_grace: StaleGrace::For(0), ..Rules::kai() };
    let mut engine = engine(rules.clone(), &[node(1)]);
    gang(&mut engine, 1, 1, 2);
    pod(&mut engine, 1, 1, whole(1), None, Some((Stage::Nominated { counted: false }, 0, &[0])));
    gang(&mut engine, 2, 0, 1);
    pod(&mut engine, 2, 2, whole(1), None, None);
    assert_eq!(decide(&mut engine, &rules), ["evict p1"]);
    assert_eq!(decide(&mut engine, &rules), ["bind p2->n0[0]"]);
}
