//! Reclaim: a queue takes back its share from queues that have more than theirs (rules R1-R6).

use super::{Before, Claim, Piece};
use crate::queue::Queue;
use crate::queue::amounts::Amounts;
use crate::state::State;
use crate::units::QueueId;

/// The claimant's queue must stay within its fair share, and work that is not preemptible within what is deserved.
pub(super) fn may_claim(state: &State, claim: &Claim) -> bool {
    let Some(queue) = state.queues.get(claim.queue) else { return false };
    let with = queue.allocated.plus(&claim.asks);
    (0..state.queues.resources()).all(|resource| with.get(resource) <= queue.fair_share.get(resource))
        && (claim.preemptible || state.queues.over_deserved(claim.queue, &claim.asks).next().is_none())
}

/// Other queues which, as siblings of the claimant's, have something that is not theirs by right.
pub(super) fn may_ask(state: &State, claim: &Claim, queue: QueueId) -> bool {
    let Some((x, y)) = state.queues.siblings_above(claim.queue, queue) else { return false };
    let (Some(mine), Some(theirs)) = (state.queues.get(x), state.queues.get(y)) else { return false };
    if !is_guaranteed(state, Some(&mine.allocated), &claim.asks, x) {
        return is_above(&theirs.allocated, |resource| state.queues.allocatable(theirs, resource));
    }
    let due = |resource: usize| state.queues.quota(theirs, resource).deserved.filter(|_| claim.asks.get(resource) > 0);
    let have = |resource| theirs.allocated.get(resource);
    let bounded = || (0..state.queues.resources()).filter_map(|resource| Some((have(resource), due(resource)?)));
    bounded().any(|(have, due)| have > due) || !bounded().any(|(have, due)| have < due)
}

/// Does the claimant's side, which had so much, stay within what it deserves?
fn is_guaranteed(state: &State, had: Option<&Amounts>, asks: &Amounts, x: QueueId) -> bool {
    let Some((mine, had)) = state.queues.get(x).zip(had) else { return false };
    let with = had.plus(asks);
    (0..state.queues.resources()).all(|resource| {
        let deserved = state.queues.quota(mine, resource).deserved;
        deserved.is_none_or(|deserved| with.get(resource) <= deserved)
    })
}

fn is_above(amounts: &Amounts, bound: impl Fn(usize) -> Option<i64>) -> bool {
    amounts.iter().enumerate().any(|(resource, amount)| bound(resource).is_some_and(|bound| amount > bound))
}

/// The nearest from the claimant's sibling upwards that says something.
pub(super) fn min_runtime_ms(state: &State, claim: &Claim, victim: QueueId) -> u64 {
    let Some((_, y)) = state.queues.siblings_above(claim.queue, victim) else { return 0 };
    let set = state.queues.path(y).map(|(_, queue)| queue.spec.reclaim_min_runtime_ms).find(|ms| *ms > 0);
    set.unwrap_or(0)
}

/// Before each piece its queue must still be above its share, or above what it deserves if the claimant is guaranteed; and
/// afterwards the claimant must not be further above its share than those it took from. Guaranteed with what it is charged
/// where it is now, too: else those it took from could take it back by the same right.
pub(super) fn is_legal(state: &State, claim: &Claim, before: &Before, taken: &[Piece]) -> bool {
    let mut rest = before.clone();
    let charged = claim.chunk.pods().fold(Amounts::zero(), |sum, pod| sum.plus(&super::holds(state, pod)));
    let is_guaranteed = |x| [&claim.asks, &charged].iter().all(|asks| is_guaranteed(state, before.get(&x), asks, x));
    let mut pieces: Vec<&Piece> = taken.iter().collect();
    pieces.sort_by_key(|piece| piece.queue);
    for piece in pieces {
        if !gives(state, claim, &rest, piece.queue, is_guaranteed) {
            return false;
        }
        for (id, _) in state.queues.path(piece.queue) {
            if let Some(left) = rest.get_mut(&id) {
                left.add(&piece.amounts, -1);
            }
        }
    }
    state.queues.path(claim.queue).all(|(id, queue)| keeps_order(state, claim, id, queue, before, &rest))
}

/// May one more piece be taken from a leaf queue, of what is left to the queues? As far as can be said before the claimant has
/// its place.
pub(super) fn may_give(state: &State, claim: &Claim, before: &Before, rest: &Before, queue: QueueId) -> bool {
    gives(state, claim, rest, queue, |x| is_guaranteed(state, before.get(&x), &claim.asks, x))
}

fn gives(state: &State, claim: &Claim, rest: &Before, queue: QueueId, is_guaranteed: impl Fn(QueueId) -> bool) -> bool {
    let Some((x, y)) = state.queues.siblings_above(claim.queue, queue) else { return false };
    let (Some(theirs), Some(left)) = (state.queues.get(y), rest.get(&y)) else { return false };
    let over_share = is_above(left, |resource| state.queues.allocatable(theirs, resource));
    let over_deserved = || is_above(left, |resource| state.queues.quota(theirs, resource).deserved);
    over_share || is_guaranteed(x) && over_deserved()
}

/// Among the siblings of one queue on the claimant's way up: whoever loses something must stay fuller than the claimant, if
/// that goes beyond its share.
fn keeps_order(state: &State, claim: &Claim, id: QueueId, queue: &Queue, before: &Before, rest: &Before) -> bool {
    let Some(mine) = rest.get(&id) else { return false };
    let with = mine.plus(&claim.asks);
    state.queues.children(queue.spec.parent).iter().filter(|sibling| **sibling != id).all(|sibling| {
        let (Some(had), Some(left)) = (before.get(sibling), rest.get(sibling)) else { return true };
        let Some(theirs) = state.queues.get(*sibling).filter(|_| had != left) else { return true };
        (0..state.queues.resources()).all(|resource| {
            let concerned = claim.asks.get(resource) > 0 || had.get(resource) != left.get(resource);
            let (my_share, their_share) = (queue.fair_share.get(resource), theirs.fair_share.get(resource));
            let beyond = with.get(resource) > my_share;
            !(concerned
                && beyond
                && their_share > 0
                && is_at_least(with.get(resource), my_share, left.get(resource), their_share))
        })
    })
}

/// Is a / b at least c / d, for d > 0? Over 0, a positive amount is more than everything.
fn is_at_least(a: i64, b: i64, c: i64, d: i64) -> bool {
    if b == 0 {
        return a > 0 || c <= 0;
    }
    i128::from(a) * i128::from(d) >= i128::from(c) * i128::from(b)
}
