//! Was anybody evicted beyond need? With the claimant where it is, no evicted unit may have had room where it was.

use std::collections::BTreeSet;

use super::Cycle;
use super::ledger::Spot;
use super::places::{has_room, repelled};
use super::plan::Step;
use super::quotas;
use super::reclaim::{Piece, Reclaim, pieces};
use super::spread;
use super::topology::torn_at;
use super::volumes::in_the_way;
use crate::decision::EvictCause;
use crate::units::PodId;

/// Units that could have stayed, where the rules say that these are spared.
pub(super) fn beyond_need(cycle: &Cycle<'_>, step: &Step<'_, '_>) -> Vec<String> {
    let deliberate =
        step.plan.cause.is_some_and(|cause| !matches!(cause, EvictCause::Stale | EvictCause::StartTimeout));
    if !cycle.rules.reprieve || !deliberate {
        return Vec::new();
    }
    let all: Vec<Piece> = step.losers().into_iter().flat_map(|gang| pieces(step, gang)).collect();
    let mut wrong = Vec::new();
    for (index, piece) in all.iter().enumerate() {
        // What a gang has above its minimum cannot stay without the rest of it.
        let rest_is_gone = !piece.whole && all.iter().any(|other| other.whole && other.gang == piece.gang);
        let others: Vec<&Piece> =
            all.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, other)| other).collect();
        if !rest_is_gone && could_stay(step, piece) && is_still_legal(cycle, step, &others) {
            let names: Vec<String> = piece.pods.iter().map(|pod| step.ledger.pod_name(*pod)).collect();
            let of = step.ledger.gang_name(piece.gang);
            wrong.push(format!("{} of {of} could have stayed", names.join(", ")));
        }
    }
    wrong
}

fn could_stay(step: &Step<'_, '_>, piece: &Piece) -> bool {
    let homes: Vec<(PodId, Spot)> =
        piece.pods.iter().filter_map(|pod| Some((*pod, step.stood(*pod).place.clone()?))).collect();
    let there = |pod: PodId| {
        let home = homes.iter().find(|(known, _)| *known == pod).map(|(_, home)| home);
        home.or_else(|| step.ledger.stand(pod).active())
    };
    let was = |pod: PodId| step.stood(pod).active();
    let Some(gang) = step.ledger.gang(piece.gang) else { return false };
    // Only who came with this plan can be in somebody's way who was there before.
    let came: BTreeSet<PodId> = step.plan.given.iter().map(|given| given.pod).collect();
    let repelled =
        |(pod, home): &(PodId, Spot)| repelled(step.ledger, *pod, home.node).iter().any(|by| came.contains(by));
    // Who is given a place must be together with all that stay; who is given none may be as far apart as before.
    let is_given = step.plan.given.iter().any(|given| given.gang == piece.gang);
    let may_be_torn = if is_given { 0 } else { torn_at(step.ledger, piece.gang, &piece.pods, &was).len() };
    homes.len() == piece.pods.len()
        && has_room(step.ledger, &homes)
        && !homes.iter().any(repelled)
        && !in_the_way(step.ledger, &homes, &came)
        && !homes.iter().any(|(pod, _)| came.iter().any(|other| spread::matters(step.ledger, *pod, *other)))
        && torn_at(step.ledger, piece.gang, &piece.pods, &there).len() <= may_be_torn
        && quotas::has_room(step, gang.spec.queue, &piece.amounts)
}

/// Would the other pieces alone be taken by right?
fn is_still_legal(cycle: &Cycle<'_>, step: &Step<'_, '_>, others: &[&Piece]) -> bool {
    let claim = step.plan.claimant.and_then(|claimant| step.ledger.gang(claimant));
    let Some(leaf) = claim.map(|gang| gang.spec.queue) else { return true };
    let asks = step.plan.claimant.map(|claimant| super::victims::asks(step, claimant)).unwrap_or_default();
    if step.plan.cause == Some(EvictCause::Reclaim) && cycle.rules.usage.is_some() {
        return false;
    }
    step.plan.cause != Some(EvictCause::Reclaim) || Reclaim { cycle, step, leaf, asks: &asks }.is_legal(others)
}
