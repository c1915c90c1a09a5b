//! What must be so once nothing goes wrong any longer: the world comes to rest, everybody who waits says why, and a scheduler
//! that starts now would do nothing else.

use berth_engine::decision::EvictCause;
use berth_engine::gang::Stage;
use berth_engine::{Decision, Timestamp};
use berth_scheduler::driver::{Call, Fact};
use berth_scheduler::{Change, Driver, Kind};

use crate::api;
use crate::sim::{KINDS, START, Sim};

/// At rest is who has asked for nothing for longer than gangs that failed to start are held back.
const REST: u64 = 400_000;

/// Rest comes within this time.
const REST_WITHIN: u64 = 3 * 3_600_000;

impl Sim {
    pub(crate) fn is_quiet(&self) -> bool {
        let calm = START + self.mix.calm_after_ms;
        assert!(
            self.now < calm.max(START) + REST_WITHIN + 1_000_000,
            "there is no end of calls, although nothing goes wrong"
        );
        self.now >= self.last_call + REST && self.nothing_planned()
    }

    pub(crate) fn judge_the_end(&mut self) {
        let Some(driver) = &self.driver else { panic!("no scheduler is there in the end") };
        assert_eq!(driver.calls_under_way(), 0, "calls under way");
        let state = driver.engine().state();
        assert_eq!(state.digest(), state.rebuild().digest(), "the engine's books do not add up");
        for (id, pod) in state.pods() {
            let known = driver.world().pod(*id).is_some() || matches!(pod.stage, Stage::Nominated { .. });
            assert!(known, "the engine still has {}, which is gone", pod.name);
        }
        for (key, pod) in self.api.all(Kind::Pod).filter(|(_, pod)| api::is_ours(pod) && !api::has_ended(pod)) {
            let gated = pod.json["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
            let condition = &pod.json["status"]["conditions"][0];
            let stage = driver.world().pod_id(key).and_then(|id| state.pods().get(&id)).map(|pod| pod.stage);
            let (node, path) = (api::node_of(pod), key.path());
            let nominated = pod.json["status"]["nominatedNodeName"].as_str().unwrap_or_default();
            if node.is_empty() && !gated {
                let told = condition["message"].as_str().unwrap_or_default();
                assert!(
                    condition["status"] == "False" && !told.is_empty(),
                    "{path} waits and does not say why: {stage:?}"
                );
                let promised = matches!(stage, Some(Stage::Nominated { .. }));
                assert!(promised || nominated.is_empty(), "{path} says it is promised {nominated}, and is {stage:?}");
                assert!(
                    matches!(stage, None | Some(Stage::Pending | Stage::Nominated { .. })),
                    "{path} waits, and the engine has it as {stage:?}"
                );
            }
            if !node.is_empty() {
                assert!(
                    condition["status"] != "False",
                    "{path} is on {node} and says that it has no place: {condition}"
                );
                let id = driver.world().pod_id(key);
                let place = id.and_then(|id| driver.engine().cluster().placed().get(&id));
                let known = place.and_then(|place| driver.world().node(place.node));
                assert_eq!(known, Some(node), "{path} is on {node}; the engine has it as {stage:?}");
            }
        }
        self.judge_successor();
    }

    /// A scheduler that starts now binds and evicts nobody: whatever fits is placed. Save that it may find a way to move pods
    /// together which this one, for all it remembers, has not.
    fn judge_successor(&mut self) {
        let mut fresh = Driver::new(&self.configuration, KINDS);
        for kind in KINDS {
            fresh.observe(Change::Replaced { kind, objects: self.api.list(kind, usize::MAX) });
        }
        fresh.lead();
        for turn in 0..3 {
            let calls = fresh.step(Timestamp(self.now + turn * 1_000));
            let facts = fresh.take_facts();
            let refused = facts.iter().find(|fact| matches!(fact, Fact::Refused { .. }));
            assert!(refused.is_none(), "a scheduler that starts now: {refused:?}");
            let moves_pods =
                |decision: &Decision| matches!(decision, Decision::Evict { cause: EvictCause::Consolidate, .. });
            let consolidates =
                |fact: &Fact| matches!(fact, Fact::Decided { decisions } if decisions.iter().any(moves_pods));
            if facts.iter().any(consolidates) {
                return;
            }
            let moves: Vec<_> =
                calls.iter().filter(|(_, call)| matches!(call, Call::Bind { .. } | Call::Evict { .. })).collect();
            assert!(
                moves.is_empty(),
                "a scheduler that starts now would do what this one does not: {moves:?}, {facts:?}"
            );
        }
    }
}
