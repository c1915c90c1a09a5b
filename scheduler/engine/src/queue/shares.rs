//! What every queue should have: the cluster divided among the roots, each queue's share among its children.
//! The division itself is in `fair_share`; here is what goes into it.

use crate::queue::amounts::{self, Amounts};
use crate::queue::fair_share::{self, Claim, Usage};
use crate::queue::{Queues, UsageBook};
use crate::state::{Assume, State};
use crate::units::QueueId;

/// Works out every queue's fair share, for one cycle.
pub(crate) fn divide(state: &mut State) {
    let requests = requests(state);
    let total = state.total();
    state.queues.total = total.clone();
    let usage = state.usage.take();
    divide_among(
        &mut state.queues,
        None,
        &total,
        &requests,
        usage.as_ref().map(|usage| (usage, total.get(amounts::GPU))),
    );
    state.usage = usage;
}

type Requests = std::collections::BTreeMap<QueueId, Amounts>;

/// What every queue asks for: what it has and what waits in it and below.
fn requests(state: &State) -> Requests {
    let mut requests = Requests::new();
    for (&id, queue) in state.queues.all() {
        requests.entry(id).or_default().add(&queue.allocated, 1);
        for (shape, count) in queue.waiting.values() {
            let each = state.estimate(shape, Assume::SmallestMemory);
            for (above, _) in state.queues.path(id) {
                requests.entry(above).or_default().add(&each, i64::from(*count));
            }
        }
    }
    requests
}

fn divide_among(
    queues: &mut Queues,
    parent: Option<QueueId>,
    amount: &Amounts,
    requests: &Requests,
    usage: Option<(&UsageBook, i64)>,
) {
    let siblings = queues.children(parent).to_vec();
    for resource in 0..queues.resources() {
        let claims: Vec<Claim<'_>> =
            siblings.iter().filter_map(|id| claim(queues, *id, resource, requests.get(id)?, usage)).collect();
        let unit = if resource == amounts::CPU || resource == amounts::MEMORY { 1 } else { 1000 };
        let shares = fair_share::divide(amount.get(resource), unit, &claims);
        for (id, share) in siblings.iter().zip(shares) {
            if let Some(queue) = queues.get_mut(*id) {
                queue.fair_share[resource] = share;
            }
        }
    }
    for id in siblings {
        if !queues.children(Some(id)).is_empty()
            && let Some(share) = queues.get(id).map(|queue| queue.fair_share.clone())
        {
            divide_among(queues, Some(id), &share, requests, usage);
        }
    }
}

fn claim<'a>(
    queues: &'a Queues,
    id: QueueId,
    resource: usize,
    request: &Amounts,
    usage: Option<(&UsageBook, i64)>,
) -> Option<Claim<'a>> {
    let queue = queues.get(id)?;
    let quota = queues.quota(queue, resource);
    let asked = request.get(resource);
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
