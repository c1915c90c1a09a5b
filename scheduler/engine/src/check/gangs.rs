//! Do gangs start and give way whole? Minimums, next chunks and units of rules G1 to G5, worked out from the tree alone.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::ledger::{Ledger, Stand};
use super::plan::Step;
use super::topology::below;
use crate::decision::EvictCause;
use crate::gang::{Stage, Tree};
use crate::units::{GangId, PodId};

/// Gangs that got only a part of what they need, and gangs that were left with less.
pub(super) fn incomplete(step: &Step<'_, '_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for id in step.plan.gangs() {
        wrong.extend(started(step, id));
    }
    if !matches!(step.plan.cause, Some(EvictCause::Stale | EvictCause::StartTimeout)) {
        for id in step.losers().into_iter().filter(|id| broken(step, *id)) {
            let name = step.ledger.gang_name(id);
            wrong.push(format!("{name} loses pods that it needs and keeps others"));
        }
    }
    wrong
}

fn started(step: &Step<'_, '_>, id: GangId) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(gang) = step.ledger.gang(id).filter(|_| !step.keeps_promises(id)) else { return wrong };
    let name = step.ledger.gang_name(id);
    let have = have(&gang.tree, &active(step.ledger, id, |pod| step.ledger.stand(pod)));
    let given: BTreeSet<PodId> =
        step.plan.given.iter().filter(|given| given.gang == id).map(|given| given.pod).collect();
    let moves = given.iter().any(|pod| step.plan.evicted.contains(pod));
    for (at, branch) in gang.tree.branches().iter().enumerate() {
        let mut below = below(&gang.tree, at).into_iter().flat_map(|leaf| &step.ledger.members(id)[leaf]);
        let short = have[at] < branch.min_member;
        if short && below.any(|pod| given.contains(pod)) {
            let of = if branch.name.is_empty() { String::new() } else { format!(" in `{}`", branch.name) };
            wrong.push(format!("{name} is started with {} of {}{of}", have[at], branch.min_member));
        }
    }
    let victim = step.plan.claimant.is_some_and(|claimant| claimant != id);
    let next = chunk(step.ledger, id, |pod| step.stood(pod));
    if !moves && !victim && given != next {
        wrong.push(format!("{name} is given {} places where its next chunk is {} pods", given.len(), next.len()));
    }
    wrong
}

/// Has it lost what it needs, without being gone as a whole?
fn broken(step: &Step<'_, '_>, id: GangId) -> bool {
    let Some(gang) = step.ledger.gang(id) else { return false };
    let (was, is) =
        (active(step.ledger, id, |pod| step.stood(pod)), active(step.ledger, id, |pod| step.ledger.stand(pod)));
    let (had, has) = (have(&gang.tree, &was), have(&gang.tree, &is));
    let left = |at: usize| below(&gang.tree, at).iter().any(|leaf| !is[*leaf].is_empty());
    let ok = |at: usize| {
        let needed = gang.tree.branch(at).min_member;
        let lost = below(&gang.tree, at).iter().any(|leaf| was[*leaf].iter().any(|pod| !is[*leaf].contains(pod)));
        // What is short of its need already must not lose more of it; what is gone altogether is its parent's to judge.
        !lost || !left(at) || has[at] >= needed || !gang.tree.is_leaf(at) && has[at] >= had[at]
    };
    !(0..gang.tree.branches().len()).all(ok)
}

/// A gang's active pods by position in its tree, in the order in which they start.
pub(super) fn active<'s>(ledger: &Ledger<'_>, gang: GangId, stand: impl Fn(PodId) -> &'s Stand) -> Vec<Vec<PodId>> {
    let only = |pods: &Vec<PodId>| pods.iter().copied().filter(|pod| stand(*pod).is_active()).collect();
    ledger.members(gang).iter().map(only).collect()
}

/// By position: pods of a subgroup that has them itself, satisfied subgroups of another (rule G1).
fn have(tree: &Tree, pods: &[Vec<PodId>]) -> Vec<u32> {
    let mut have: Vec<u32> = pods.iter().map(|pods| pods.len() as u32).collect();
    for at in (0..have.len()).rev().filter(|at| !tree.is_leaf(*at)) {
        let satisfied = |child: &&usize| have[**child] >= tree.branch(**child).min_member;
        have[at] = tree.branch(at).children.iter().filter(satisfied).count() as u32;
    }
    have
}

/// The subgroups of one, in the order in which they are served (rule O4).
fn served(tree: &Tree, at: usize, have: &[u32]) -> Vec<usize> {
    let compare = |one: &usize, other: &usize| -> Ordering {
        let (a, b) = (tree.branch(*one), tree.branch(*other));
        let (has_a, has_b) = (have[*one], have[*other]);
        let group = |has: u32, needed: u32| u8::from(has >= needed) + u8::from(needed == 0);
        let satisfied = has_a >= a.min_member && has_b >= b.min_member;
        let by_need = match (a.min_member, b.min_member) {
            (0, 0) => has_a.cmp(&has_b),
            (x, y) => (u64::from(has_a) * u64::from(y)).cmp(&(u64::from(has_b) * u64::from(x))),
        };
        let by_need = if satisfied { by_need } else { Ordering::Equal };
        group(has_a, a.min_member).cmp(&group(has_b, b.min_member)).then(by_need).then_with(|| a.name.cmp(&b.name))
    };
    let mut children = tree.branch(at).children.to_vec();
    children.sort_by(compare);
    children
}

/// What a gang asks for next (rule G3). Of subgroups only those count that have pods enough to get what they need.
pub(super) fn chunk<'s>(ledger: &Ledger<'_>, id: GangId, stand: impl Fn(PodId) -> &'s Stand) -> BTreeSet<PodId> {
    let Some(gang) = ledger.gang(id) else { return BTreeSet::new() };
    let active = active(ledger, id, &stand);
    let waits = |pods: &Vec<PodId>| pods.iter().copied().filter(|pod| stand(*pod).stage == Stage::Pending).collect();
    let pending: Vec<Vec<PodId>> = ledger.members(id).iter().map(waits).collect();
    let have = have(&gang.tree, &active);
    Asking { tree: &gang.tree, have: &have, active: &active, pending: &pending }.chunk(0)
}

struct Asking<'a> {
    tree: &'a Tree,
    have: &'a [u32],
    active: &'a [Vec<PodId>],
    pending: &'a [Vec<PodId>],
}

impl Asking<'_> {
    fn chunk(&self, at: usize) -> BTreeSet<PodId> {
        let (has, needed) = (self.have[at], self.tree.branch(at).min_member);
        if self.tree.is_leaf(at) {
            let missing = if has >= needed { 1 } else { needed - has };
            return self.pending[at].iter().copied().take(missing as usize).collect();
        }
        let ready = served(self.tree, at, self.have).into_iter().filter(|child| self.ready(*child));
        if has >= needed {
            return ready.map(|child| self.chunk(child)).find(|chunk| !chunk.is_empty()).unwrap_or_default();
        }
        let first = ready.take(needed as usize).filter(|child| self.have[*child] < self.tree.branch(*child).min_member);
        first.flat_map(|child| self.chunk(child)).collect()
    }

    fn ready(&self, at: usize) -> bool {
        let there = match self.tree.is_leaf(at) {
            true => self.active[at].len() + self.pending[at].len(),
            false => self.tree.branch(at).children.iter().filter(|child| self.ready(**child)).count(),
        };
        there >= self.tree.branch(at).min_member as usize
    }
}

/// Pods that are taken from a gang together.
pub(super) struct Unit {
    pub(super) pods: Vec<PodId>,
    /// All that was left of the gang, and none of it above a minimum.
    pub(super) whole: bool,
}

/// What can be taken from a gang, unit after unit, until nothing is left (rule G5).
pub(super) fn units(tree: &Tree, mut active: Vec<Vec<PodId>>) -> Vec<Unit> {
    let mut units = Vec::new();
    while active.iter().any(|pods| !pods.is_empty()) {
        let spare = spare(tree, 0, &active);
        let whole = spare.is_none();
        let pods = spare.unwrap_or_else(|| active.iter().flatten().copied().collect());
        for left in &mut active {
            left.retain(|pod| !pods.contains(pod));
        }
        units.push(Unit { pods, whole });
    }
    units
}

fn spare(tree: &Tree, at: usize, active: &[Vec<PodId>]) -> Option<Vec<PodId>> {
    let have = have(tree, active);
    let above = have[at] > tree.branch(at).min_member;
    if tree.is_leaf(at) {
        return active[at].last().filter(|_| above).map(|last| vec![*last]);
    }
    let last_first = || served(tree, at, &have).into_iter().rev();
    if let Some(pods) = last_first().find_map(|child| spare(tree, child, active)) {
        return Some(pods);
    }
    let satisfied = last_first().filter(|child| above && have[*child] >= tree.branch(*child).min_member);
    let all = |child: usize| below(tree, child).into_iter().flat_map(|leaf| active[leaf].iter().copied()).collect();
    satisfied.map(all).find(|pods: &Vec<PodId>| !pods.is_empty())
}
