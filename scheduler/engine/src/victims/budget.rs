//! Disruption budgets: how many of the pods that carry some labels may still be disturbed. A set of victims spends what it
//! takes when it is booked; looking at somebody spends nothing.

use crate::state::{Budget, State};
use crate::units::PodId;

/// May all of these go together, each named once?
pub(super) fn allows<'p>(state: &State, pods: impl IntoIterator<Item = &'p PodId, IntoIter: Clone>) -> bool {
    let pods = pods.into_iter();
    state.budgets.values().all(|budget| protected(state, budget, pods.clone()) <= budget.allowed as usize)
}

/// These go. Until the driver tells what the budgets allow then, this much less is left of them.
pub(super) fn spend<'p>(state: &mut State, pods: impl IntoIterator<Item = &'p PodId, IntoIter: Clone>) {
    let (pods, mut budgets) = (pods.into_iter(), std::mem::take(&mut state.budgets));
    for budget in budgets.values_mut() {
        let spent = protected(state, budget, pods.clone());
        budget.allowed = budget.allowed.saturating_sub(u32::try_from(spent).unwrap_or(u32::MAX));
    }
    state.budgets = budgets;
}

fn protected<'p>(state: &State, budget: &Budget, pods: impl Iterator<Item = &'p PodId>) -> usize {
    pods.filter(|pod| state.pods.get(pod).is_some_and(|pod| pod.is_meant_by(&budget.pods))).count()
}
