//! Why a gang waits, worked out when a cycle is over.

mod room;

use std::sync::Arc;

use crate::cycle::Context;
use crate::decision::{OverQuota, WaitCause, Why};
use crate::miss::{Bound, Miss};
use crate::queue::amounts;
use crate::remedy;
use crate::report::Answer;
use crate::search::Search;
use crate::state::State;
use crate::trial::Trial;
use crate::units::{GangId, QueueId};
use room::Beside;

/// So many gangs per cycle are told what would admit them: finding that out costs about as much as a try.
const REMEDIES_PER_CYCLE: usize = 8;

/// Within a cycle only so many others are gone through for a remedy; [`full`] goes through all of them.
const OTHERS_MAX: usize = 512;

/// Within a cycle only gangs up to this are placed as far as they fit, to see what the next pod lacks.
const PODS_TRIED_MAX: u64 = 64;

/// All there is to say about one gang that waits, whatever it takes.
pub(crate) fn full(context: &mut Context<'_>, id: GangId) -> Option<Why> {
    let chunk = context.state.next_chunk(id);
    if !context.state.gangs.get(&id)?.is_waiting() {
        return Some(incomplete(context.state, id)).filter(|_| !chunk.is_empty());
    }
    let mut trial = Trial::on(context.state);
    let placed = Search::new(&mut trial, context.placer, context.rules, context.steps).place(id, &chunk);
    drop(trial);
    let Err(miss) = placed else {
        return kept(context, id).map(|cause| Why { cause, reserved: None, remedy: None });
    };
    let mut answer = why(context, id, &miss);
    if miss == Miss::Room {
        answer.cause = room::room(context.state, context.placer, id, Beside::ThoseThatFit);
    }
    answer.remedy = remedy::remedy(context, id, &answer.cause, usize::MAX);
    Some(answer)
}

/// What every line that got nothing waits for, and what would help those who are going to be told.
pub(crate) fn answers(context: &mut Context<'_>) -> Vec<Answer> {
    let mut remedies = REMEDIES_PER_CYCLE;
    let mut answers = Vec::new();
    for question in context.report.questions(context.waiting) {
        let brief = why(context, question.gang, &question.miss);
        let mut full = None;
        if question.untold || context.report.is_new(question.line, &brief) {
            let mut told = brief.clone();
            let by_room = remedies > 0 && matches!(told.cause, WaitCause::Room { .. });
            if let Some(cause) = Some(question.gang).filter(|_| by_room).and_then(|gang| kept(context, gang)) {
                told.cause = cause;
            }
            if let WaitCause::Room { fit, need, nodes } = &mut told.cause {
                if *need <= PODS_TRIED_MAX {
                    told.cause = room::room(context.state, context.placer, question.gang, Beside::ThoseThatFit);
                } else if *fit > 0 {
                    Arc::make_mut(nodes).ruled_out.clear(); // these are reasons for one pod alone, which has room
                }
            }
            if remedies > 0 {
                remedies -= 1;
                told.remedy = remedy::remedy(context, question.gang, &told.cause, OTHERS_MAX);
            }
            full = Some(told);
        }
        answers.push(Answer { line: question.line, brief, full });
    }
    answers
}

/// What a gang waits for that is not complete yet.
pub(crate) fn incomplete(state: &State, gang: GangId) -> Why {
    let held = state.gangs.get(&gang).filter(|gang| gang.is_waiting()).and_then(|gang| gang.not_before);
    let cause = held.map_or_else(|| quorum(state, gang), |until| WaitCause::BackOff { until });
    Why { cause, reserved: None, remedy: None }
}

fn why(context: &mut Context<'_>, id: GangId, miss: &Miss) -> Why {
    let state = &*context.state;
    let cause = match miss {
        Miss::Limit { queue, resource, used } => WaitCause::Limit(over(state, *queue, *resource, *used, Bound::Limit)),
        Miss::Deserved { queue, resource, used } => {
            WaitCause::Deserved(over(state, *queue, *resource, *used, Bound::Deserved))
        }
        Miss::Steps => WaitCause::Steps,
        Miss::Room => room::room(context.state, context.placer, id, Beside::Nobody),
    };
    let reserved = context.reservations.of(id).map(|reservation| reservation.from);
    Why { cause, reserved, remedy: None }
}

/// Whose reservations keep the gang from starting, if it would fit but for them.
fn kept(context: &mut Context<'_>, id: GangId) -> Option<WaitCause> {
    let others = context.reservations.before(context.state, id, context.now);
    if others.is_empty() {
        return None;
    }
    let chunk = context.state.next_chunk(id);
    let mut trial = Trial::on(context.state);
    Search::new(&mut trial, context.placer, context.rules, context.steps).place(id, &chunk).ok()?;
    drop(trial);
    Some(WaitCause::Kept { gangs: others.iter().map(|gang| context.state.name(*gang).to_string()).collect() })
}

fn quorum(state: &State, id: GangId) -> WaitCause {
    let gang = state.gangs.get(&id);
    let short = gang.and_then(|gang| {
        let mut leaves = gang.tree.leaves().map(|at| {
            let members = &gang.members[at];
            (members.active + members.pending, gang.tree.branch(at).min_member)
        });
        leaves.find(|(have, need)| have < need)
    });
    let (have, need) = short.unwrap_or((0, 0));
    WaitCause::Quorum { have, need }
}

/// How a queue's bound is exceeded.
pub(crate) fn over(state: &State, queue: QueueId, resource: usize, would_use: i64, kind: Bound) -> OverQuota {
    let known = state.queues.get(queue);
    let bound = known.and_then(|queue| {
        let quota = state.queues.quota(queue, resource);
        if kind == Bound::Limit { quota.limit } else { quota.deserved }
    });
    let name = known.map(|queue| queue.spec.name.clone()).unwrap_or_default();
    OverQuota { queue: name, resource: state.queues.resource_name(resource), would_use, bound: bound.unwrap_or(0) }
}

/// The name of an accounted resource.
impl crate::queue::Queues {
    pub(crate) fn resource_name(&self, resource: usize) -> String {
        match resource {
            amounts::GPU => "gpu".to_owned(),
            amounts::CPU => "cpu".to_owned(),
            amounts::MEMORY => "memory".to_owned(),
            _ => format!("gpu:{}", self.models().get(resource - amounts::MODELS).map_or("", String::as_str)),
        }
    }
}
