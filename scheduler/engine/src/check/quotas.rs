//! Limits, and what work that is not preemptible may use: on every level of the queues.

use super::ledger::{Account, Ledger};
use super::plan::Step;
use crate::queue::amounts::{CPU, GPU, MEMORY, MODELS};
use crate::queue::{Amounts, Quota};
use crate::units::QueueId;

/// How many resources are accounted.
pub(super) fn resources(ledger: &Ledger<'_>) -> usize {
    MODELS + ledger.facts.queues().models().len()
}

/// What a queue is entitled to; to nothing in particular where it says nothing.
pub(super) fn quota(ledger: &Ledger<'_>, queue: QueueId, resource: usize) -> Quota {
    let Some(spec) = ledger.facts.queues().get(queue).map(|queue| &queue.spec) else { return Quota::UNLIMITED };
    match resource {
        GPU => spec.gpu,
        CPU => spec.cpu,
        MEMORY => spec.memory,
        _ => {
            let model = ledger.facts.queues().models().get(resource - MODELS);
            model.and_then(|model| spec.gpu_models.get(model)).copied().unwrap_or(Quota::UNLIMITED)
        }
    }
}

/// Queues that came to use more than they may, or more than before of what they had too much of.
pub(super) fn overdrawn(step: &Step<'_, '_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for id in step.queues() {
        let (was, is) = (step.had(id), step.ledger.account_of(id));
        let mut grown = |of: fn(&Account) -> &Amounts, most: fn(Quota) -> Option<i64>, what: &str| {
            for resource in 0..resources(step.ledger) {
                let (was, is) = (of(&was).get(resource), of(&is).get(resource));
                let bound = most(quota(step.ledger, id, resource)).filter(|bound| is > was && is > *bound);
                if let Some(bound) = bound {
                    let (name, resource) = (step.ledger.queue_name(id), name(step.ledger, resource));
                    wrong.push(format!("{name} goes from {was} to {is} of {resource}{what} {bound}"));
                }
            }
        };
        grown(|account| &account.all, |quota| quota.limit, ", its limit is");
        grown(|account| &account.fixed, |quota| quota.deserved, " for gangs that are not preemptible, it deserves");
    }
    wrong
}

/// May a queue's leaf take these amounts more, where the books stand after the plan, so that no limit is broken that was kept
/// before it?
pub(super) fn has_room(step: &Step<'_, '_>, leaf: QueueId, more: &Amounts) -> bool {
    step.ledger.lineage(leaf).into_iter().all(|id| {
        let (was, is) = (step.had(id).all, step.ledger.account_of(id).all.plus(more));
        (0..resources(step.ledger)).all(|resource| {
            let limit = quota(step.ledger, id, resource).limit;
            let kept = limit.is_none_or(|limit| is.get(resource) <= limit.max(was.get(resource)));
            kept || more.get(resource) == 0
        })
    })
}

fn name(ledger: &Ledger<'_>, resource: usize) -> String {
    match resource {
        GPU => "GPU".to_owned(),
        CPU => "CPU".to_owned(),
        MEMORY => "memory".to_owned(),
        _ => format!("GPU model `{}`", ledger.facts.queues().models()[resource - MODELS]),
    }
}
