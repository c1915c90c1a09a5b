//! Why a gang waits, worked out when a cycle is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{PodShape, Shared};
use crate::cycle::Context;
use crate::decision::{OverQuota, Unplaceable, WaitCause, Why};
use crate::placement::Placer;
use crate::queue::amounts;
use crate::queue::waiting::LineId;
use crate::remedy;
use crate::search::{Bound, Miss};
use crate::state::State;
use crate::units::{GangId, QueueId};

/// So many gangs per cycle are told what would admit them: finding that out costs about as much as a try.
const REMEDIES_PER_CYCLE: usize = 8;

/// What every line that got nothing waits for, and what would help those who are going to be told.
pub(crate) fn answers(context: &mut Context<'_>) -> Vec<(LineId, Why)> {
    let mut remedies = REMEDIES_PER_CYCLE;
    let mut answers = Vec::new();
    for question in context.report.questions(context.waiting) {
        let mut answer = why(context, question.gang, &question.miss);
        if (question.untold || context.report.is_new(question.line, &answer)) && remedies > 0 {
            remedies -= 1;
            answer.remedy = remedy::remedy(context, question.gang, &answer.cause);
        }
        answers.push((question.line, answer));
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
        Miss::Room => room(state, context.placer, id),
    };
    let reserved = context.reservations.of(id).map(|reservation| reservation.from);
    Why { cause, reserved, remedy: None }
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

fn room(state: &State, placer: &mut Placer, id: GangId) -> WaitCause {
    let chunk = state.next_chunk(id);
    let mut shapes: BTreeMap<u32, (Shared<PodShape>, u64)> = BTreeMap::new();
    for pod in chunk.pods().filter_map(|pod| state.pods.get(&pod)) {
        shapes.entry(pod.shape.id()).or_insert_with(|| (pod.shape.clone(), 0)).1 += 1;
    }
    let need = chunk.len() as u64;
    let mut fit = 0;
    let mut worst: Option<(u64, Shared<PodShape>)> = None;
    for (shape, wanted) in shapes.into_values() {
        let capacity = placer.capacity(&state.cluster, &shape, None, wanted);
        fit += capacity.min(wanted);
        let missing = wanted - capacity.min(wanted);
        if worst.as_ref().is_none_or(|(most, _)| missing > *most) {
            worst = Some((missing, shape));
        }
    }
    let nodes = match worst {
        Some((_, shape)) => placer.why_not(&state.cluster, &shape),
        None => {
            Arc::new(Unplaceable { nodes: state.cluster.nodes().len(), ruled_out: Vec::new(), fits_when_empty: true })
        }
    };
    WaitCause::Room { fit, need, nodes }
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
