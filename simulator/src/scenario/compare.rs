//! Does a state agree with what a scenario expects? FORMAT.md, section 4, points 1 to 4.
//! Owns the wording of every difference. Knows neither how the state came about nor whether it is possible; that is
//! `invariants`'.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{Expect, ExpectedState, GroupResult, NodeResult, SameDomain, TaskResult};
use super::played::{State, TaskNow};
use super::world::World;

/// Every difference between what is expected and what is, a sentence each.
pub fn differences(expect: &Expect, world: &World, state: &State) -> Vec<String> {
    let mut differences = tasks(expect, world, state);
    differences.extend(expect.groups.iter().filter_map(|group| counts(group, state)));
    differences.extend(expect.same_domain.iter().filter_map(|together| same_domain(together, world, state)));
    differences.extend(expect.nodes.iter().filter_map(|(name, result)| node(name, result, world, state)));
    differences
}

/// Are there more evictions in one round than expected?
pub fn too_many_evictions(expect: &Expect, evicted: &BTreeSet<&str>) -> Option<String> {
    let most = expect.max_evictions_per_round?;
    let names = || evicted.iter().copied().collect::<Vec<_>>().join(", ");
    (evicted.len() > most as usize)
        .then(|| format!("{} evictions or moves in one round ({}), at most {most} expected", evicted.len(), names()))
}

/// Tasks by name, and those of which only the job is named.
fn tasks(expect: &Expect, world: &World, state: &State) -> Vec<String> {
    let of_job = |name: &String| world.jobs.get(name).into_iter().flat_map(|job| &job.tasks);
    let by_job = expect.jobs.iter().flat_map(|(name, result)| of_job(name).map(move |task| (&task.name, result)));
    let mut results: BTreeMap<&String, &TaskResult> = by_job.collect();
    results.extend(&expect.tasks);
    let gone = TaskNow::default();
    let now = |name| state.get(name).unwrap_or(&gone);
    results.into_iter().filter_map(|(name, result)| task(name, result, now(name))).collect()
}

fn task(name: &str, result: &TaskResult, now: &TaskNow) -> Option<String> {
    let node = now.node.as_deref();
    let any_of = result.nodes_any_of.as_deref();
    let state_fits = result.state.admits(now.state);
    let node_fits = result.node.as_deref().is_none_or(|expected| node == Some(expected))
        && any_of.is_none_or(|names| node.is_some_and(|node| names.iter().any(|name| name == node)));
    if state_fits && node_fits {
        return None;
    }
    let on = |node: Option<&str>| node.map(|node| format!(" on `{node}`")).unwrap_or_default();
    let names = any_of.map(|names| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or "));
    let place = names.map_or_else(|| on(result.node.as_deref()), |names| format!(" on {names}"));
    Some(format!("task `{name}` is {}{}, expected {}{place}", now.state, on(node), result.state))
}

fn counts(group: &GroupResult, state: &State) -> Option<String> {
    let count = |expected: &ExpectedState| {
        let states = group.tasks.iter().map(|name| state.get(name).map_or_else(Default::default, |now| now.state));
        states.filter(|state| expected.admits(*state)).count()
    };
    if group.counts.iter().all(|(expected, number)| count(expected) == *number as usize) {
        return None;
    }
    let list = |number: &dyn Fn(&ExpectedState, u32) -> usize| {
        let parts = group.counts.iter().map(|(expected, count)| format!("{} {expected}", number(expected, *count)));
        parts.collect::<Vec<_>>().join(", ")
    };
    let (is, expected) = (list(&|expected, _| count(expected)), list(&|_, number| number as usize));
    Some(format!("of {}: {is}, expected {expected}", group.tasks.join(", ")))
}

fn same_domain(together: &SameDomain, world: &World, state: &State) -> Option<String> {
    let SameDomain { tasks, topology, level } = together;
    let domain = |task: &String| {
        let node = state.get(task)?.node.as_deref()?;
        world.domain(topology, level, node)
    };
    let domains: BTreeSet<Option<Vec<&str>>> = tasks.iter().map(domain).collect();
    if domains.len() <= 1 && !domains.contains(&None) {
        return None;
    }
    let shown = |task: &String| {
        let domain = domain(task).map_or_else(|| "in none".to_owned(), |path| format!("in {}", path.join("/")));
        format!("{task} {domain}")
    };
    let places = tasks.iter().map(shown).collect::<Vec<_>>().join(", ");
    Some(format!("tasks expected in one domain of `{topology}` at level `{level}`: {places}"))
}

fn node(name: &str, expected: &NodeResult, world: &World, state: &State) -> Option<String> {
    let (mut held, mut leaving) = (BTreeSet::<u32>::new(), BTreeSet::<u32>::new());
    for now in state.values().filter(|now| now.node.as_deref() == Some(name)) {
        let devices = if now.state.holds_later() { &mut held } else { &mut leaving };
        devices.extend(&now.devices);
    }
    let gpus = world.nodes.get(name).map_or(0, |node| node.gpus as usize);
    let idle = gpus.saturating_sub(held.union(&leaving).count());
    let releasing = leaving.difference(&held).count();
    let fits = (idle, releasing) == (expected.idle_gpus as usize, expected.releasing_gpus as usize);
    (!fits).then(|| {
        format!(
            "node `{name}` has {idle} idle and {releasing} releasing GPUs, expected {} and {}",
            expected.idle_gpus, expected.releasing_gpus
        )
    })
}
