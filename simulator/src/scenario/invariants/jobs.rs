//! Who may lose its place, and that a job that starts has its gang.

use std::collections::BTreeSet;

use super::super::format::{DisruptionBudget, Gang, Job, Mode, TaskState};
use super::super::played::{State, arrived, lost};
use super::super::world::gangs_above;
use super::Change;

/// Every task of a non-preemptible job that lost its place, unless its gang was given up.
pub(super) fn wrongly_evicted(change: &Change<'_>) -> Vec<String> {
    if change.kind == Mode::StaleGang {
        return Vec::new();
    }
    let fixed = |name: &&str| change.world.task(name).is_some_and(|(job, _)| !job.preemptible);
    let evicted = lost(change.before, change.after).filter(fixed);
    evicted.map(|name| format!("task `{name}` of a non-preemptible job was evicted or moved")).collect()
}

/// Every job that got a task started while a gang above that task is short of its minimum.
pub(super) fn below_minimum(change: &Change<'_>) -> Vec<String> {
    let mut short: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (name, _) in arrived(change.before, change.after) {
        let Some((job, task)) = change.world.task(name) else { continue };
        let gangs = gangs_above(&job.gang, &task.sub_group);
        let unsatisfied = gangs.iter().find(|gang| !satisfied(job, gang, change.after));
        short.extend(unsatisfied.map(|gang| (job.name.as_str(), gang.name.as_str())));
    }
    let of = |name: &str| if name.is_empty() { String::new() } else { format!(" in `{name}`") };
    short
        .into_iter()
        .map(|(job, gang)| format!("job `{job}` was started without its gang minimum{}", of(gang)))
        .collect()
}

/// Has the gang as many active tasks, or satisfied sub-groups, as it needs (rule G1)?
fn satisfied(job: &Job, gang: &Gang, state: &State) -> bool {
    let allocated = if gang.sub_groups.is_empty() {
        let members = job.tasks.iter().filter(|task| task.sub_group == gang.name);
        members.filter(|task| state.get(&task.name).is_some_and(|now| now.state.is_active())).count()
    } else {
        gang.sub_groups.iter().filter(|below| satisfied(job, below, state)).count()
    };
    allocated >= gang.min_member as usize
}

/// Every disruption budget that an action overdrew by taking away tasks that ran.
pub(super) fn over_budget(change: &Change<'_>) -> Vec<String> {
    let taken: BTreeSet<&str> = lost(change.before, change.after).collect();
    let runs = |name: &str| change.after.get(name).is_some_and(|now| now.state == TaskState::Running);
    let overdrawn = |budget: &&DisruptionBudget| {
        let members: Vec<&str> = change.world.protected_by(budget).map(|task| task.name.as_str()).collect();
        let running = members.iter().filter(|name| runs(name)).count();
        members.iter().any(|name| taken.contains(name)) && running < budget.needed(members.len())
    };
    // A gang that is given up is no longer anybody's to protect.
    let budgets = change.world.budgets.iter().filter(|_| change.kind != Mode::StaleGang).filter(overdrawn);
    budgets.map(|budget| format!("disruption budget `{}` was overdrawn", budget.name)).collect()
}
