//! Whoever was started or moved is where it may be: selectors, MIG strategy, affinity, required topology levels.

use std::collections::BTreeSet;

use super::super::format::{
    MigStrategy, Node, NodeTerm, Operator, PodAffinity, Requirement, TaintEffect, Task, Toleration,
};
use super::super::played::{State, arrived};
use super::super::world::{World, carries, gangs_above};
use super::Change;

/// The topology key that means the node itself.
const NODE_ITSELF: &str = "node";

/// Every task that an action brought to a node where it must not be.
pub(super) fn misplaced(change: &Change<'_>) -> Vec<String> {
    let world = change.world;
    let mut found = Vec::new();
    for (name, on) in arrived(change.before, change.after) {
        let (Some((_, task)), Some(node)) = (world.task(name), world.nodes.get(on)) else { continue };
        let complaints = [kept_off(node, task), affinity(change, task, node), topology(change, task)].concat();
        found.extend(complaints.into_iter().map(|why| format!("task `{name}` came to `{on}`, {why}")));
    }
    found
}

/// What the node alone says.
fn kept_off(node: &Node, task: &Task) -> Vec<String> {
    let gpu = task.request.devices() > 0 || !task.request.mig.is_empty();
    let strategy = node.mig.as_ref().map(|mig| mig.strategy);
    let repels = |effect: TaintEffect| effect != TaintEffect::PreferNoSchedule;
    let tolerated = |taint| task.tolerations.iter().any(|toleration| tolerates(toleration, taint));
    let taint =
        node.taints.iter().find(|taint| repels(taint.effect) && !tolerated((&taint.key, &taint.value, taint.effect)));
    let rules = [
        (node.cordoned && !ignores_cordons(task), "which is cordoned".to_owned()),
        (taint.is_some(), format!("whose taint `{}` it does not tolerate", taint.map_or("", |taint| &taint.key))),
        (
            task.node_names.as_ref().is_some_and(|names| !names.contains(&node.name)),
            "which is not among the nodes it names".to_owned(),
        ),
        (!carries(&node.labels, &task.node_selector), "which lacks labels it asks for".to_owned()),
        (!is_affine(node, task), "which meets no term of its node affinity".to_owned()),
        (
            gpu && !task.gpu_models.is_empty() && !task.gpu_models.contains(&node.gpu_model),
            format!("whose GPU model `{}` it does not accept", node.gpu_model),
        ),
        (
            !task.request.mig.is_empty() && strategy != Some(MigStrategy::Mixed),
            "which does not offer MIG instances by profile".to_owned(),
        ),
        (task.request.is_share() && strategy.is_some(), "whose GPUs are split by MIG and not shared".to_owned()),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, why)| why).collect()
}

fn is_affine(node: &Node, task: &Task) -> bool {
    let meets = |asked: &Requirement, value: Option<&String>| {
        let number = |text: &String| text.parse::<i64>().ok();
        let numbers = value.and_then(number).zip(asked.values.first().and_then(number));
        match asked.operator {
            Operator::In => value.is_some_and(|value| asked.values.contains(value)),
            Operator::NotIn => !value.is_some_and(|value| asked.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => numbers.is_some_and(|(value, bound)| value > bound),
            Operator::Lt => numbers.is_some_and(|(value, bound)| value < bound),
        }
    };
    let holds = |term: &NodeTerm| {
        let labels = term.match_expressions.iter().all(|asked| meets(asked, node.labels.get(&asked.key)));
        let some = !term.match_expressions.is_empty() || !term.match_fields.is_empty();
        some && labels && term.match_fields.iter().all(|asked| meets(asked, Some(&node.name)))
    };
    task.node_affinity.is_empty() || task.node_affinity.iter().any(holds)
}

/// Kubernetes taints a cordoned node so.
fn ignores_cordons(task: &Task) -> bool {
    let (key, value) = ("node.kubernetes.io/unschedulable".to_owned(), String::new());
    task.tolerations.iter().any(|one| tolerates(one, (&key, &value, TaintEffect::NoSchedule)))
}

fn tolerates(toleration: &Toleration, (key, value, effect): (&String, &String, TaintEffect)) -> bool {
    toleration.key.as_ref().is_none_or(|wanted| wanted == key)
        && toleration.value.as_ref().is_none_or(|wanted| wanted == value)
        && toleration.effect.is_none_or(|wanted| wanted == effect)
}

fn same_place(world: &World, key: &str, a: &Node, b: &str) -> bool {
    if key == NODE_ITSELF {
        return a.name == b;
    }
    let other = world.nodes.get(b).and_then(|node| node.labels.get(key));
    other.is_some() && a.labels.get(key) == other
}

/// Affinity asks for a task that is or will be there; anti-affinity works in both directions, and against a task that is
/// leaving only for one that does not wait until it has left.
fn affinity(change: &Change<'_>, task: &Task, node: &Node) -> Vec<String> {
    let world = change.world;
    let others = || present(world, change.after).filter(|(other, _)| other.name != task.name);
    let mut found = Vec::new();
    if let Some(PodAffinity { topology_key, match_labels }) = &task.pod_affinity {
        let near = others()
            .any(|(other, on)| carries(&other.labels, match_labels) && same_place(world, topology_key, node, on));
        // The first of tasks that seek their own kind has nobody to join.
        let first =
            carries(&task.labels, match_labels) && !others().any(|(other, _)| carries(&other.labels, match_labels));
        if !near && !first {
            found.push(format!("where no task is near by `{topology_key}` with the labels its affinity names"));
        }
    }
    let waits = change.after.get(&task.name).is_some_and(|now| !now.state.holds_now());
    let stays = |other: &Task| !waits || change.after.get(&other.name).is_some_and(|now| now.state.holds_later());
    for (other, on) in others().filter(|(other, _)| stays(other)) {
        let repels = |from: &Task, to: &Task| {
            let rule = from.pod_anti_affinity.as_ref();
            rule.is_some_and(|rule| {
                carries(&to.labels, &rule.match_labels) && same_place(world, &rule.topology_key, node, on)
            })
        };
        if repels(task, other) || repels(other, task) {
            found.push(format!("though anti-affinity keeps it apart from `{}`", other.name));
        }
    }
    found
}

/// The tasks that have a node, with it.
fn present<'a>(world: &'a World, state: &'a State) -> impl Iterator<Item = (&'a Task, &'a str)> {
    world.tasks().filter_map(|(_, task)| Some((task, state.get(&task.name)?.node.as_deref()?)))
}

/// Every gang above the task that requires a level has all its active tasks in one domain of it.
fn topology(change: &Change<'_>, task: &Task) -> Vec<String> {
    let Some((job, _)) = change.world.task(&task.name) else { return Vec::new() };
    let gangs = gangs_above(&job.gang, &task.sub_group);
    let demands = gangs.iter().filter_map(|gang| {
        let topology = gang.topology.as_ref()?;
        Some((gang, &topology.name, topology.required.as_ref()?))
    });
    let mut found = Vec::new();
    for (gang, topology, level) in demands {
        let members = job
            .tasks
            .iter()
            .filter(|task| gangs_above(&job.gang, &task.sub_group).iter().any(|above| std::ptr::eq(*above, *gang)));
        let nodes = members.filter_map(|member| change.after.get(&member.name)?.active_on());
        let domains: BTreeSet<_> = nodes.map(|node| change.world.domain(topology, level, node)).collect();
        if domains.len() != 1 || domains.contains(&None) {
            found.push(format!("and its gang is not in one domain of `{topology}` at level `{level}`"));
        }
    }
    found
}
