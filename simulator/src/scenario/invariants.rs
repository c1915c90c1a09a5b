//! What holds after every action of every round, whatever a scenario expects: FORMAT.md, section 4, point 5.
//! An oracle of its own, over the words of the scenario alone: it shares no code with the engine, and counts everything
//! anew each time. Owns what is impossible or forbidden, not what is wanted.

mod jobs;
mod nodes;
mod places;
mod queues;

use super::format::{Mode, Scenario};
use super::played::{Played, State};
use super::world::World;

pub use nodes::over_capacity;

/// One action, seen from outside.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    /// The things there are.
    pub world: &'a World,
    /// Which action.
    pub kind: Mode,
    /// Where every task stood when the scenario began: promises of the file do not count until they are given again.
    pub start: &'a State,
    /// Before the action.
    pub before: &'a State,
    /// After it.
    pub after: &'a State,
}

/// Every invariant that one action broke, a sentence each.
pub fn violations(change: &Change<'_>) -> Vec<String> {
    [
        nodes::over_capacity(change.world, change.after),
        places::misplaced(change),
        queues::over_limit(change),
        queues::beyond_deserved(change),
        jobs::wrongly_evicted(change),
        jobs::below_minimum(change),
        jobs::over_budget(change),
    ]
    .concat()
}

/// Every invariant broken anywhere in a run; each says in which round and after which action.
pub fn violations_of_run(scenario: &Scenario, played: &Played) -> Vec<String> {
    let mut world = World::of(scenario);
    let mut found = Vec::new();
    let Some(first) = played.rounds.first() else { return found };
    for (number, round) in (1..).zip(&played.rounds) {
        let step = round.step.and_then(|step| scenario.steps.get(step));
        step.into_iter().flat_map(|step| &step.events).for_each(|event| world.apply(event));
        for (before, action) in round.actions_with_before() {
            let change = Change { world: &world, kind: action.kind, start: &first.start, before, after: &action.state };
            let at = format!("round {number}, after {}", action.kind.word());
            found.extend(violations(&change).into_iter().map(|text| format!("{at}: {text}")));
        }
    }
    found
}
