//! Preempt: strictly lower priority gives way within one leaf queue (rules E1-E3).

use super::Claim;
use crate::state::State;
use crate::units::QueueId;

/// Anybody of a higher priority than some, as long as work that is not preemptible stays within what is deserved.
pub(super) fn may_claim(state: &State, claim: &Claim) -> bool {
    let lowest = state.evictable.get(&claim.queue).and_then(|gangs| gangs.first());
    if lowest.is_none_or(|(priority, _)| *priority >= claim.priority) {
        return false;
    }
    claim.preemptible || state.queues.over_deserved(claim.queue, &claim.asks).next().is_none()
}

/// The nearest on the way up that says something.
pub(super) fn min_runtime_ms(state: &State, victim: QueueId) -> u64 {
    let set = state.queues.path(victim).map(|(_, queue)| queue.spec.preempt_min_runtime_ms).find(|ms| *ms > 0);
    set.unwrap_or(0)
}
