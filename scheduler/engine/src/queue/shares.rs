//! What every queue should have: the cluster divided among the roots, each queue's share among its children.
//! The division itself is in `fair_share`; here is what goes into it.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::queue::amounts::{self, Amounts};
use crate::queue::fair_share::{self, Claim, Usage};
use crate::queue::{Queue, Queues, UsageBook};
use crate::state::{Assume, State};
use crate::units::QueueId;

/// Works out every queue's fair share, for one cycle: of those for which something that goes into it has changed since the
/// last time.
pub(crate) fn divide(state: &mut State) {
    let total = state.total();
    let mut due = catch_up(state);
    if state.usage.is_some() {
        due.extend(state.queues.all().values().map(|queue| queue.spec.parent)); // time alone changes what was used of late
    }
    if state.queues.divided != total {
        due.insert(None);
        state.queues.divided = total.clone();
    }
    let usage = state.usage.take();
    divide_among(&mut state.queues, None, &total, &due, usage.as_ref().map(|usage| (usage, total.get(amounts::GPU))));
    state.usage = usage;
}

/// The queues whose children's claims have changed; `None` for the roots'.
type Due = BTreeSet<Option<QueueId>>;

/// Brings up to date what waits in and below every queue.
fn catch_up(state: &mut State) -> Due {
    let mut due = Due::new();
    for leaf in state.queues.take_stale() {
        let Some(queue) = state.queues.get(leaf) else { continue };
        let mut waits = Amounts::zero();
        for (shape, count) in queue.waiting.values() {
            waits.add(&state.estimate(shape, Assume::SmallestMemory), i64::from(*count));
        }
        let more = waits.less(&queue.waits);
        let path: Vec<QueueId> = state.queues.path(leaf).map(|(id, _)| id).collect();
        for id in path {
            if let Some(queue) = state.queues.get_mut(id) {
                queue.waits_below.add(&more, 1);
                due.insert(queue.spec.parent);
                if id == leaf {
                    queue.waits = waits.clone();
                }
            }
        }
    }
    due
}

/// Divides among the children of a queue if that is due, and further down wherever it is due or there is another amount.
fn divide_among(
    queues: &mut Queues,
    parent: Option<QueueId>,
    amount: &Amounts,
    due: &Due,
    usage: Option<(&UsageBook, i64)>,
) {
    let siblings = queues.children(parent).to_vec();
    let mut shares: Vec<Amounts> = vec![Amounts::zero(); siblings.len()];
    for resource in 0..queues.resources() {
        let claims: Vec<Claim<'_>> =
            siblings.iter().filter_map(|id| claim(queues, queues.get(*id)?, *id, resource, usage)).collect();
        let unit = if resource == amounts::CPU || resource == amounts::MEMORY { 1 } else { 1000 };
        let divided = fair_share::divide(amount.get(resource), unit, &claims);
        for (share, of_this) in shares.iter_mut().zip(divided) {
            share[resource] = of_this;
        }
    }
    for (id, share) in siblings.into_iter().zip(shares) {
        let Some(queue) = queues.get_mut(id) else { continue };
        let changed = queue.fair_share != share;
        queue.fair_share = share.clone();
        if (changed || due.contains(&Some(id))) && !queues.children(Some(id)).is_empty() {
            divide_among(queues, Some(id), &share, due, usage);
        }
    }
}

/// What a queue asks for: what it has and what waits in it and below.
fn claim<'a>(
    queues: &Queues,
    queue: &'a Queue,
    id: QueueId,
    resource: usize,
    usage: Option<(&UsageBook, i64)>,
) -> Option<Claim<'a>> {
    let quota = queues.quota(queue, resource);
    let asked = queue.allocated.get(resource) + queue.waits_below.get(resource);
    Some(Claim {
        deserved: quota.deserved,
        requestable: quota.limit.map_or(asked, |limit| asked.min(limit)),
        weight: quota.over_quota_weight,
        priority: queue.spec.priority,
        rank: queue.rank,
        name: &queue.spec.name,
        usage: usage
            .filter(|_| resource == amounts::GPU)
            .map_or(Usage::NONE, |(usage, capacity)| usage.share(id, capacity)),
    })
}
