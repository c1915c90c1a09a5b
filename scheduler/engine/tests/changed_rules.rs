//! Rules that change while there is something to schedule.

use berth_engine::rules::WaitingRule;
use berth_engine::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn tell(engine: &mut Engine, event: Event) {
    engine.apply(event, NOW).expect("what happens is consistent");
}

fn pod(engine: &mut Engine, id: u64, gpus: usize) {
    let shape = PodShape { gpu: GpuRequest::Whole(gpus), ..PodShape::default() };
    tell(engine, Event::PodAdded { pod: PodId(id), spec: PodSpec { shape, ..PodSpec::default() } });
}

/// The pods that get a place now.
fn placed(engine: &mut Engine) -> Vec<u64> {
    let decisions = engine.decide(NOW);
    let binds = decisions.iter().filter_map(|decision| match decision {
        Decision::Bind { pods, .. } => Some(pods),
        _ => None,
    });
    binds.flatten().map(|one| one.slot.pod.0).collect()
}

#[test]
fn who_was_held_back_by_the_old_rules_is_placed_by_the_new_ones() {
    // Whoever was passed over once is not passed again.
    let strict = WaitingRule::Reserve { dated: false, passed_over_max_ms: 0, departures_max: 0 };
    let mut engine = Engine::new(Config { rules: Rules { waiting: strict, ..Rules::default() }, ..Config::default() });
    let shape = NodeShape { gpus: 3, pods: 10, ..NodeShape::default() };
    tell(&mut engine, Event::NodeAdded { node: NodeId(0), spec: NodeSpec { name: "n0".into(), shape } });
    pod(&mut engine, 0, 1);
    assert_eq!(placed(&mut engine), [0]);
    pod(&mut engine, 1, 3); // waits for all three
    pod(&mut engine, 2, 1);
    assert_eq!(placed(&mut engine), [2], "it passes the big one");
    pod(&mut engine, 3, 1);
    assert_eq!(placed(&mut engine), [0; 0], "the last GPU is kept for the big one");

    let free = Rules { waiting: WaitingRule::Skip, ..Rules::default() };
    tell(&mut engine, Event::RulesSet { rules: Box::new(free.clone()) });
    assert_eq!(*engine.rules(), free);
    assert_eq!(placed(&mut engine), [3]);
    assert_eq!(engine.state().digest(), engine.state().rebuild().digest());
}
