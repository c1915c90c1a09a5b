//! No node is over its capacity: not now, and not once those that leave are gone and those promised have come.

use std::collections::{BTreeMap, BTreeSet};

use super::super::format::{HostPort, Node, Request, Task};
use super::super::played::{State, TaskNow};
use super::super::world::World;

/// Every resource of every node of which more is held than there is, and every device held in a way it cannot be.
pub fn over_capacity(world: &World, state: &State) -> Vec<String> {
    let tasks: Vec<(&Task, &TaskNow)> =
        world.tasks().filter_map(|(_, task)| Some((task, state.get(&task.name)?))).collect();
    let missing = tasks.iter().filter(|(_, now)| now.node.as_ref().is_some_and(|name| !world.nodes.contains_key(name)));
    let mut found: Vec<String> =
        missing.map(|(task, now)| format!("task `{}` is on `{}`, which is not there", task.name, on(now))).collect();
    found.extend(tasks.iter().filter_map(|(task, now)| no_place(task, now)));
    for node in world.nodes.values() {
        let here = || tasks.iter().filter(|(_, now)| now.node.as_deref() == Some(&node.name));
        found.extend(here().filter_map(|(task, now)| wrong_devices(node, task, now)));
        for (when, later) in [("", false), (" once all have left that leave", true)] {
            let holds = |now: &TaskNow| if later { now.state.holds_later() } else { now.state.holds_now() };
            let holders: Vec<_> = here().filter(|(_, now)| holds(now)).copied().collect();
            let over = amounts(node, &holders).into_iter().chain(devices(node, &holders));
            found.extend(over.chain(ports(&holders)).map(|text| format!("node `{}` {text}{when}", node.name)));
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|text| seen.insert(text.clone()));
    found
}

fn on(now: &TaskNow) -> &str {
    now.node.as_deref().unwrap_or_default()
}

/// A state that needs a node has one, the others have none.
fn no_place(task: &Task, now: &TaskNow) -> Option<String> {
    match (now.state.has_node(), &now.node) {
        (true, None) => Some(format!("task `{}` is {} but on no node", task.name, now.state)),
        (false, Some(node)) => Some(format!("task `{}` is {} but on `{node}`", task.name, now.state)),
        _ => None,
    }
}

/// It holds as many devices as it asks for, different ones, all of them there.
fn wrong_devices(node: &Node, task: &Task, now: &TaskNow) -> Option<String> {
    let distinct: BTreeSet<u32> = now.devices.iter().copied().filter(|device| *device < node.gpus).collect();
    let asked = task.request.devices() as usize;
    (distinct.len() != asked || now.devices.len() != asked).then(|| {
        format!(
            "task `{}` asks for {asked} devices and has {:?} of the {} on `{}`",
            task.name, now.devices, node.gpus, node.name
        )
    })
}

/// Ports of the node that two tasks open on one address.
fn ports(holders: &[(&Task, &TaskNow)]) -> Vec<String> {
    let all = |port: &HostPort| matches!(port.host_ip.as_deref(), None | Some("" | "0.0.0.0"));
    let mut found = Vec::new();
    for (at, (one, _)) in holders.iter().enumerate() {
        for (other, _) in &holders[at + 1..] {
            let pairs =
                one.host_ports.iter().flat_map(|mine| other.host_ports.iter().map(move |theirs| (mine, theirs)));
            let shared = pairs.filter(|(mine, theirs)| {
                (mine.protocol, mine.host_port) == (theirs.protocol, theirs.host_port)
                    && (all(mine) || all(theirs) || mine.host_ip == theirs.host_ip)
            });
            let told = |(port, _): (&HostPort, _)| {
                format!("has port {} opened by both `{}` and `{}`", port.host_port, one.name, other.name)
            };
            found.extend(shared.map(told));
        }
    }
    found
}

/// CPU, memory, tasks, MIG instances and other resources.
fn amounts(node: &Node, holders: &[(&Task, &TaskNow)]) -> Vec<String> {
    let sum = |of: &dyn Fn(&Request) -> u64| holders.iter().map(|(task, _)| of(&task.request)).sum::<u64>();
    let mut accounts = vec![
        ("thousandths of a core".to_owned(), sum(&|request| request.cpu_milli), node.cpu_milli),
        ("MiB of memory".to_owned(), sum(&|request| request.memory_mib), node.memory_mib),
        ("tasks".to_owned(), holders.len() as u64, node.pods.into()),
    ];
    let profiles: BTreeSet<&String> = holders.iter().flat_map(|(task, _)| task.request.mig.keys()).collect();
    for profile in profiles {
        let held = sum(&|request| request.mig.get(profile).copied().unwrap_or(0).into());
        let there = node.mig.as_ref().and_then(|mig| mig.instances.get(profile)).copied().unwrap_or(0);
        accounts.push((format!("MIG instances {profile}"), held, there.into()));
    }
    let others: BTreeSet<&String> = holders.iter().flat_map(|(task, _)| task.request.others.keys()).collect();
    for name in others {
        let held = sum(&|request| request.others.get(name).copied().unwrap_or(0));
        accounts.push((format!("of {name}"), held, node.others.get(name).copied().unwrap_or(0)));
    }
    let over = accounts.into_iter().filter(|(_, held, there)| held > there);
    over.map(|(what, held, there)| format!("holds {held} {what} of {there}")).collect()
}

/// A device is whole for one task, or shared within its memory.
fn devices(node: &Node, holders: &[(&Task, &TaskNow)]) -> Vec<String> {
    let mut held: BTreeMap<u32, Vec<&Task>> = BTreeMap::new();
    for (task, now) in holders {
        now.devices.iter().for_each(|device| held.entry(*device).or_default().push(task));
    }
    held.iter().filter_map(|(device, tasks)| device_misused(node, *device, tasks)).collect()
}

fn device_misused(node: &Node, device: u32, tasks: &[&Task]) -> Option<String> {
    let names = || tasks.iter().map(|task| format!("`{}`", task.name)).collect::<Vec<_>>().join(", ");
    if tasks.len() > 1 && tasks.iter().any(|task| task.request.gpus > 0) {
        return Some(format!("gives device {device}, which somebody has whole, to {}", names()));
    }
    let share = |request: &Request| request.gpu_memory_mib + u64::from(request.gpu_milli) * node.gpu_memory_mib / 1000;
    let used: u64 = tasks.iter().map(|task| share(&task.request)).sum();
    let there = node.gpu_memory_mib;
    (used > there).then(|| format!("gives {used} MiB of the {there} of device {device} to {}", names()))
}
