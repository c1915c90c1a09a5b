//! May a queue take from others just so much, and from these (rules R1 to R6)?

use std::collections::{BTreeMap, BTreeSet};

use super::Cycle;
use super::gangs::{active, units};
use super::ledger::Ledger;
use super::plan::Step;
use super::quotas::{quota, resources};
use crate::queue::Amounts;
use crate::units::{GangId, PodId, QueueId};

/// A reclaim under judgement.
pub(super) struct Reclaim<'c> {
    pub(super) cycle: &'c Cycle<'c>,
    pub(super) step: &'c Step<'c, 'c>,
    pub(super) leaf: QueueId,
    pub(super) asks: &'c Amounts,
}

/// What is taken at once, from one leaf queue.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) gang: GangId,
    pub(super) pods: Vec<PodId>,
    pub(super) amounts: Amounts,
    /// What was left of its gang, down to the last pod.
    pub(super) whole: bool,
}

/// The evicted pods of a gang in the pieces in which they were taken.
pub(super) fn pieces(step: &Step<'_, '_>, gang: GangId) -> Vec<Piece> {
    let Some(tree) = step.ledger.gang(gang).map(|gang| &gang.tree) else { return Vec::new() };
    let mut pieces = Vec::new();
    for unit in units(tree, active(step.ledger, gang, |pod| step.stood(pod))) {
        let pods: Vec<PodId> = unit.pods.into_iter().filter(|pod| step.plan.is_lost(*pod)).collect();
        let amounts = step.charged(pods.iter());
        if !pods.is_empty() {
            pieces.push(Piece { gang, pods, amounts, whole: unit.whole });
        }
    }
    pieces
}

impl Reclaim<'_> {
    fn ledger(&self) -> &Ledger<'_> {
        self.step.ledger
    }

    /// R1: within the fair share of its leaf.
    pub(super) fn is_within_share(&self) -> bool {
        let with = self.step.had(self.leaf).all.plus(self.asks);
        let shares = &self.cycle.shares;
        (0..resources(self.ledger())).all(|resource| with.get(resource) <= shares.get(self.leaf, resource))
    }

    /// R1 and R6: within what every queue above deserves, for work that is not preemptible.
    pub(super) fn is_deserved(&self) -> bool {
        self.ledger().lineage(self.leaf).into_iter().all(|id| {
            let with = self.step.had(id).fixed.plus(self.asks);
            (0..resources(self.ledger())).filter(|resource| self.asks.get(*resource) > 0).all(|resource| {
                quota(self.ledger(), id, resource).deserved.is_none_or(|deserved| with.get(resource) <= deserved)
            })
        })
    }

    /// R2: just below the lowest common ancestor, the claimant's side and the victim's.
    pub(super) fn sides(&self, victim: QueueId) -> Option<(QueueId, QueueId)> {
        let (mine, theirs) = (self.ledger().lineage(self.leaf), self.ledger().lineage(victim));
        let x = mine.iter().copied().take_while(|id| !theirs.contains(id)).last()?;
        let y = theirs.iter().copied().take_while(|id| !mine.contains(id)).last()?;
        Some((x, y))
    }

    fn is_guaranteed(&self, x: QueueId, asks: &Amounts) -> bool {
        let with = self.step.had(x).all.plus(asks);
        let within = |resource| {
            let deserved = quota(self.ledger(), x, resource).deserved;
            deserved.is_none_or(|deserved| with.get(resource) <= deserved)
        };
        (0..resources(self.ledger())).all(within)
    }

    fn is_above_share(&self, y: QueueId, has: &Amounts) -> bool {
        let above = |resource| {
            let most = self.cycle.shares.allocatable(self.ledger(), y, resource);
            most.is_some_and(|most| has.get(resource) > most)
        };
        (0..resources(self.ledger())).any(above)
    }

    /// R3: may this leaf queue be asked at all?
    pub(super) fn may_ask(&self, victim: QueueId) -> bool {
        let Some((x, y)) = self.sides(victim) else { return false };
        let has = self.step.had(y).all;
        if !self.is_guaranteed(x, self.asks) {
            return self.is_above_share(y, &has);
        }
        let asked = (0..resources(self.ledger())).filter(|resource| self.asks.get(*resource) > 0);
        let known = asked.filter_map(|resource| Some((resource, quota(self.ledger(), y, resource).deserved?)));
        let compared: BTreeSet<_> = known.map(|(resource, deserved)| has.get(resource).cmp(&deserved)).collect();
        compared.contains(&std::cmp::Ordering::Greater) || !compared.contains(&std::cmp::Ordering::Less)
    }

    /// R4 and R5: may these pieces be taken? In the best order: only before the last piece of a side is it decided whether
    /// that side still had more than its own.
    pub(super) fn is_legal(&self, pieces: &[&Piece]) -> bool {
        let mut by_side: BTreeMap<(QueueId, QueueId), Vec<&Piece>> = BTreeMap::new();
        let mut rest: BTreeMap<QueueId, Amounts> = BTreeMap::new();
        for piece in pieces {
            let Some(leaf) = self.ledger().gang(piece.gang).map(|gang| gang.spec.queue) else { return false };
            let Some(sides) = self.sides(leaf) else { return false };
            by_side.entry(sides).or_default().push(piece);
            for id in self.ledger().lineage(leaf) {
                rest.entry(id).or_insert_with(|| self.step.had(id).all).add(&piece.amounts, -1);
            }
        }
        let lawful = by_side.iter().all(|((x, y), taken)| {
            let has = |last: &Piece| {
                let left = rest.get(y).cloned().unwrap_or_default();
                left.plus(&last.amounts)
            };
            taken.iter().any(|last| self.is_theirs_to_give(*x, *y, &has(last)))
        });
        lawful && self.ledger().lineage(self.leaf).into_iter().all(|id| self.keeps_order(id, &rest))
    }

    fn is_theirs_to_give(&self, x: QueueId, y: QueueId, has: &Amounts) -> bool {
        let above_deserved = (0..resources(self.ledger())).any(|resource| {
            quota(self.ledger(), y, resource).deserved.is_some_and(|deserved| has.get(resource) > deserved)
        });
        // With what the claimant is charged where it is, too: what is not deserved there could be taken back at once.
        let guaranteed = self.is_guaranteed(x, self.asks) && self.is_guaranteed(x, &self.charged());
        self.is_above_share(y, has) || guaranteed && above_deserved
    }

    /// What the claimant is charged where it gets its places.
    fn charged(&self) -> Amounts {
        let mut sum = Amounts::zero();
        for given in self.step.plan.given.iter().filter(|given| Some(given.gang) == self.step.plan.claimant) {
            if let Some(pod) = self.ledger().pod(given.pod) {
                sum.add(&self.ledger().charge(&pod.shape, given.spot.node), 1);
            }
        }
        sum
    }

    /// R5 for one queue on the claimant's way up and all of its siblings that lose something.
    fn keeps_order(&self, id: QueueId, rest: &BTreeMap<QueueId, Amounts>) -> bool {
        let left = |id: QueueId| rest.get(&id).cloned().unwrap_or_else(|| self.step.had(id).all);
        let (mine, parent) =
            (left(id).plus(self.asks), self.ledger().facts.queues().get(id).map(|queue| queue.spec.parent));
        let siblings = self
            .ledger()
            .facts
            .queues()
            .all()
            .iter()
            .filter(|(other, queue)| **other != id && Some(queue.spec.parent) == parent);
        for (sibling, _) in siblings {
            let (had, has) = (self.step.had(*sibling).all, left(*sibling));
            for resource in (0..resources(self.ledger())).filter(|_| had != has) {
                let concerned = self.asks.get(resource) > 0 || had.get(resource) > has.get(resource);
                let shares = &self.cycle.shares;
                let (my_share, their_share) = (shares.get(id, resource), shares.get(*sibling, resource));
                let (a, c) = (i128::from(mine.get(resource)), i128::from(has.get(resource)));
                let (b, d) = (i128::from(my_share), i128::from(their_share));
                // a / b > 1 and a / b >= c / d, where over 0 a positive amount is infinite.
                if concerned && d > 0 && a > b && (b == 0 || a * d >= c * b) {
                    return false;
                }
            }
        }
        true
    }
}
