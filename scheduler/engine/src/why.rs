//! Why a gang waits, worked out when a cycle is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{Hold, Placement, PodShape, Shared};
use crate::cycle::Context;
use crate::decision::{OverQuota, Unplaceable, WaitCause, Why};
use crate::gang::{Chunk, Stage};
use crate::placement::Placer;
use crate::queue::amounts;
use crate::remedy;
use crate::report::Answer;
use crate::search::Miss;
use crate::state::{State, Whereabouts};
use crate::trial::Trial;
use crate::units::{GangId, QueueId};

/// So many gangs per cycle are told what would admit them: finding that out costs about as much as a try.
const REMEDIES_PER_CYCLE: usize = 8;

/// What every line that got nothing waits for, and what would help those who are going to be told.
pub(crate) fn answers(context: &mut Context<'_>) -> Vec<Answer> {
    let mut remedies = REMEDIES_PER_CYCLE;
    let mut answers = Vec::new();
    for question in context.report.questions(context.waiting) {
        let brief = why(context, question.gang, &question.miss);
        let mut full = None;
        if question.untold || context.report.is_new(question.line, &brief) {
            let mut told = brief.clone();
            if let WaitCause::Room { fit: 1.., need: 2.., .. } = told.cause {
                told.cause = room_beside(context, question.gang);
            }
            if remedies > 0 {
                remedies -= 1;
                told.remedy = remedy::remedy(context, question.gang, &told.cause);
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
        Miss::Limit { queue, resource, used } => {
            WaitCause::Limit(over(state, *queue, *resource, *used, |quota| quota.limit))
        }
        Miss::Deserved { queue, resource, used } => {
            WaitCause::Deserved(over(state, *queue, *resource, *used, |quota| quota.deserved))
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

fn over(
    state: &State,
    queue: QueueId,
    resource: usize,
    would_use: i64,
    bound: impl Fn(crate::queue::Quota) -> Option<i64>,
) -> OverQuota {
    let known = state.queues.get(queue);
    let bound = known.and_then(|queue| bound(state.queues.quota(queue, resource))).unwrap_or(0);
    let name = known.map(|queue| queue.spec.name.clone()).unwrap_or_default();
    OverQuota { queue: name, resource: state.queues.resource_name(resource), would_use, bound }
}

fn room(state: &State, placer: &mut Placer, id: GangId) -> WaitCause {
    let chunk = state.next_chunk(id);
    let (fit, worst) = most_missing(state, placer, &chunk);
    let nodes = match worst {
        Some(shape) => placer.why_not(&state.cluster, &shape),
        None => {
            Arc::new(Unplaceable { nodes: state.cluster.nodes().len(), ruled_out: Vec::new(), fits_when_empty: true })
        }
    };
    WaitCause::Room { fit, need: chunk.len() as u64, nodes }
}

/// The same, with the reasons that hold for the first pod that does not fit beside the others.
fn room_beside(context: &mut Context<'_>, id: GangId) -> WaitCause {
    let chunk = context.state.next_chunk(id);
    let (fit, worst) = most_missing(context.state, context.placer, &chunk);
    let mut trial = Trial::on(context.state);
    let mut nodes = None;
    for pod in chunk.pods() {
        let Some(shape) = trial.state().pods.get(&pod).map(|pod| pod.shape.clone()) else { continue };
        if worst.as_ref().is_some_and(|worst| *worst != shape) {
            continue;
        }
        let cluster = &trial.state().cluster;
        let Some((slot, _)) = context.placer.choose(cluster, pod, &shape, None) else {
            nodes = Some(context.placer.why_not(cluster, &shape));
            break;
        };
        let place = Placement { shape, node: slot.node, gpus: slot.gpus, hold: Hold::Promised };
        trial.set(pod, Whereabouts::at(Stage::Nominated { counted: true }, place));
    }
    drop(trial);
    match nodes {
        Some(nodes) => WaitCause::Room { fit, need: chunk.len() as u64, nodes },
        None => room(context.state, context.placer, id),
    }
}

/// How many pods of a chunk fit, each kind by itself, and the kind of which most are missing.
fn most_missing(state: &State, placer: &mut Placer, chunk: &Chunk) -> (u64, Option<Shared<PodShape>>) {
    let mut shapes: BTreeMap<u32, (Shared<PodShape>, u64)> = BTreeMap::new();
    for pod in chunk.pods().filter_map(|pod| state.pods.get(&pod)) {
        shapes.entry(pod.shape.id()).or_insert_with(|| (pod.shape.clone(), 0)).1 += 1;
    }
    let mut fit = 0;
    let mut worst: Option<(u64, Shared<PodShape>)> = None;
    for (shape, wanted) in shapes.into_values() {
        let capacity = placer.capacity(&state.cluster, &shape, None, wanted).min(wanted);
        fit += capacity;
        if worst.as_ref().is_none_or(|(most, _)| wanted - capacity > *most) {
            worst = Some((wanted - capacity, shape));
        }
    }
    (fit, worst.map(|(_, shape)| shape))
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
