//! Who gives way: room is made for a gang by moving others, by taking from other queues, or from lower priorities of its own.
//! The three actions differ in who may ask, who may be asked and what may be taken: a file each. Here is what they share:
//! nobody is evicted for a claimant that does not get its whole chunk by it.

mod asking;
mod attempt;
mod budget;
mod by_node;
mod consolidate;
mod order;
mod preempt;
mod reclaim;
mod room;
mod spare;

use std::collections::BTreeSet;

pub(crate) use attempt::Outcome;
pub(crate) use order::{VictimIndex, unit_loss};

use consolidate::Left;

use crate::cycle::Context;
use crate::gang::{Chunk, Stage};
use crate::queue::amounts::Amounts;
use crate::queue::serving::Serving;
use crate::state::{Assume, State};
use crate::units::{GangId, PodId, QueueId, Timestamp};

/// A way of making room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Move others so that what is free is in one place.
    Consolidate,
    /// Take from queues that have more than their share.
    Reclaim,
    /// Take from lower priorities of the same queue.
    Preempt,
}

impl Action {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Action::Consolidate => "consolidate",
            Action::Reclaim => "reclaim",
            Action::Preempt => "preempt",
        }
    }

    /// May this claimant make room at all? `free` is what is left of the cluster, wherever it is, if it was worked out.
    fn may_claim(self, state: &State, claim: &Claim, free: &mut Option<Left>) -> bool {
        match self {
            Action::Consolidate => {
                consolidate::may_claim(state, claim, free.get_or_insert_with(|| Left::of(&state.cluster)))
            }
            Action::Reclaim => reclaim::may_claim(state, claim),
            Action::Preempt => preempt::may_claim(state, claim),
        }
    }

    /// May it ask gangs of this leaf queue?
    fn may_ask_queue(self, state: &State, claim: &Claim, victims: QueueId) -> bool {
        match self {
            Action::Consolidate => true,
            Action::Reclaim => reclaim::may_ask(state, claim, victims),
            Action::Preempt => victims == claim.queue,
        }
    }

    /// May it ask this gang of such a queue?
    fn may_ask(self, claim: &Claim, victim: GangId, priority: i64) -> bool {
        match self {
            Action::Consolidate => victim != claim.gang,
            Action::Reclaim => true,
            Action::Preempt => priority < claim.priority,
        }
    }

    /// For so long after its start a victim loses nothing but surplus, ms.
    fn min_runtime_ms(self, state: &State, claim: &Claim, victim: QueueId) -> u64 {
        match self {
            Action::Consolidate => 0,
            Action::Reclaim => reclaim::min_runtime_ms(state, claim, victim),
            Action::Preempt => preempt::min_runtime_ms(state, victim),
        }
    }

    /// May one more piece be taken from this leaf queue, of what is left to the queues?
    fn may_give(self, state: &State, claim: &Claim, before: &Before, rest: &Before, queue: QueueId) -> bool {
        match self {
            Action::Reclaim => reclaim::may_give(state, claim, before, rest, queue),
            Action::Consolidate | Action::Preempt => true,
        }
    }

    /// May all of this be taken?
    fn is_legal(self, state: &State, claim: &Claim, before: &Before, taken: &[Piece]) -> bool {
        match self {
            Action::Consolidate => taken.is_empty(),
            Action::Reclaim => reclaim::is_legal(state, claim, before, taken),
            Action::Preempt => true,
        }
    }
}

/// Who asks for room, and for what.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) gang: GangId,
    pub(crate) queue: QueueId,
    pub(crate) priority: i64,
    pub(crate) preemptible: bool,
    pub(crate) chunk: Chunk,
    pub(crate) asks: Amounts,
}

impl Claim {
    fn of(state: &State, gang_id: GangId) -> Option<Claim> {
        // Whoever lost members to another claimant of this pass may have to wait for them first.
        let gang = state.gangs.get(&gang_id).filter(|gang| gang.is_waiting())?;
        let chunk = state.next_chunk(gang_id);
        let asks = state.estimate_all(chunk.pods(), Assume::SmallestMemory);
        let spec = &gang.spec;
        let (queue, priority, preemptible) = (spec.queue, spec.priority, spec.preemptible);
        Some(Claim { gang: gang_id, queue, priority, preemptible, chunk, asks }).filter(|claim| !claim.chunk.is_empty())
    }
}

/// What is finally taken from a gang at once.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) queue: QueueId,
    pub(crate) amounts: Amounts,
}

/// What queues had before anything was taken.
pub(crate) type Before = std::collections::BTreeMap<QueueId, Amounts>;

/// One pass: every waiting gang in its turn, each with at most one attempt. What an attempt does is there for the next.
pub(crate) fn make_room(context: &mut Context<'_>, action: Action) {
    if context.state.evictable.is_empty() || context.waiting.len() == 0 {
        return;
    }
    let mut victims = VictimIndex::default();
    if !anybody_may_claim(context, action, &mut victims.left) {
        return; // most of the time nobody may, and then nobody's turn need be worked out
    }
    let entries = context.waiting.lines(true).map(|(line, turn)| (line.queue, line, turn.clone()));
    let mut serving = Serving::of(context.state, entries);
    let mut tried: BTreeSet<GangId> = BTreeSet::new();
    while let Some((queue, line, gang)) = serving.peek() {
        tried.insert(gang);
        let may = context.may_make_room(gang);
        match may.then(|| attempt::attempt(context, &mut victims, action, gang)).flatten() {
            Some(outcome) => {
                victims.left = None;
                let touched: BTreeSet<GangId> = outcome.victims(context.state).collect();
                budget::spend(context.state, outcome.disturbed());
                if outcome.disturbed().any(|pod| leaves_nothing(context.state, *pod)) {
                    context.waiting.unblock(); // a promise given up is free at once, and no event will say so
                }
                context.waiting.refresh(context.state, context.rules, gang);
                let next = context.waiting.turns(line).find(|turn| !tried.contains(&turn.gang)).cloned();
                serving.set(context.state, queue, line, next);
                for victim in touched {
                    victims.refresh(context.state, context.rules, context.now, victim);
                    context.waiting.changed(victim);
                    if let Some(known) = context.state.gangs.get(&victim) {
                        serving.restand(context.state, known.spec.queue);
                    }
                }
                victims.refresh(context.state, context.rules, context.now, gang);
                context.report.made_room(context.state, &outcome);
            }
            None => serving.set(context.state, queue, line, None),
        }
    }
}

/// Had this pod, which was disturbed, only the promise of a place?
fn leaves_nothing(state: &State, pod: PodId) -> bool {
    let there = state.whereabouts(pod);
    there.stage != Stage::Evicted && there.former.is_none()
}

fn anybody_may_claim(context: &Context<'_>, action: Action, left: &mut Option<Left>) -> bool {
    let mut firsts = context.waiting.lines(true).filter_map(|(_, turn)| Claim::of(context.state, turn.gang));
    firsts.any(|claim| action.may_claim(context.state, &claim, left))
}

/// Was this so short a while ago that it still counts as within `ms`?
fn is_within(started: Option<Timestamp>, now: Timestamp, ms: u64) -> bool {
    started.is_some_and(|started| now.0.saturating_sub(started.0) < ms)
}

/// What a pod holds now.
fn holds(state: &State, pod: PodId) -> Amounts {
    state.cluster.placed().get(&pod).map_or_else(Amounts::zero, |place| state.held(place))
}
