//! A world and what happened in it, in a few lines for people.

use std::fmt::Write as _;

use berth_engine::*;

use crate::model::Stand;
use crate::world::World;

/// Everything that is not as it mostly is.
pub(crate) fn show(world: &World) -> String {
    let mut text = format!("policy {:?}, reprieve {}\n", world.policy, world.rules.reprieve);
    let mut line = |what: String| writeln!(text, "{what}").expect("text takes everything");
    for node in &world.nodes {
        let NodeShape { cpu_milli, memory_bytes, pods, gpus, gpu_model, labels, gpu_memory_mib, mig, .. } = &node.shape;
        let (taints, cordon) = (node.shape.taints.len(), node.shape.unschedulable);
        line(format!(
            "{}: {gpus} GPUs {gpu_model} {gpu_memory_mib} MiB, {cpu_milli} CPU, {} GiB, {pods} pods, {labels:?}, taints {taints}, \
             cordoned {cordon}, {mig:?}",
            node.name,
            memory_bytes >> 30,
        ));
    }
    for queue in &world.queues {
        let quota = |name: &str, quota: &Quota| match *quota == Quota::UNLIMITED {
            true => String::new(),
            false => format!(", {name} {:?} of {:?} x{}", quota.deserved, quota.limit, quota.over_quota_weight),
        };
        let models: String = queue.gpu_models.iter().map(|(model, of)| quota(model, of)).collect();
        let quotas =
            [quota("gpu", &queue.gpu), quota("cpu", &queue.cpu), quota("memory", &queue.memory), models].concat();
        let (reclaim, preempt) = (queue.reclaim_min_runtime_ms, queue.preempt_min_runtime_ms);
        line(format!("{} in {:?}, priority {}{quotas}, {reclaim} {preempt}", queue.name, queue.parent, queue.priority));
    }
    for (name, budget) in &world.budgets {
        line(format!("{name}: {:?} {}", budget.pods, budget.allowed));
    }
    for (id, gang) in world.gangs.iter().enumerate() {
        let (age, preemptible) = (crate::world::NOW.0 - gang.created.0, gang.preemptible);
        line(format!(
            "{} in {}, priority {}, age {age}, preemptible {preemptible}, recreated {}, started {:?}, {:?} {:?} {}: {}",
            gang.name,
            gang.queue,
            gang.priority,
            gang.recreated,
            gang.started,
            gang.stale_since,
            gang.stale_grace,
            gang.succeeded,
            tree(&gang.tree),
        ));
        for member in world.pods.iter().filter(|member| member.gang == id) {
            let PodShape { cpu_milli, memory_bytes, gpu, mig, gpu_models, node_selector, tolerations, .. } =
                &member.spec.shape;
            let (node_affinity, host_ports) = (&member.spec.shape.node_affinity, &member.spec.shape.host_ports);
            let subgroup = member.spec.gang.as_ref().map_or("", |member| &member.subgroup);
            let Stand { stage, place, .. } = &member.start;
            line(format!(
                "  {} `{subgroup}` {gpu} {mig:?} {cpu_milli} CPU {} GiB {gpu_models:?} {node_selector:?} tolerates {} order {:?} \
                 {stage:?} {place:?} {node_affinity:?} {host_ports:?} {:?}",
                member.spec.name,
                memory_bytes >> 30,
                tolerations.len(),
                member.spec.order,
                member.spec.terms,
            ));
        }
    }
    text
}

fn tree(group: &gang::Subgroup) -> String {
    let below: Vec<String> = group.subgroups.iter().map(tree).collect();
    let wish = group
        .topology
        .as_ref()
        .map(|wish| format!(" {}: {:?}/{:?}", wish.topology, wish.required.as_deref(), wish.preferred.as_deref()));
    format!("{}>={}{} [{}]", group.name, group.min_member, wish.unwrap_or_default(), below.join(", "))
}

/// Decisions, a line each.
pub(crate) fn decisions(decisions: &[Decision]) -> String {
    let one = |decision: &Decision| match decision {
        Decision::Bind { plan, pods, .. } => format!("{} bind {}\n", plan.0, slots(pods)),
        Decision::Nominate { plan, pods, .. } => format!("{} nominate {}\n", plan.0, slots(pods)),
        Decision::Evict { plan, pods, claimant, cause } => {
            let pods: Vec<u64> = pods.iter().map(|pod| pod.0).collect();
            format!("{} evict {pods:?} for {claimant:?} {cause:?}\n", plan.0)
        }
        Decision::Reserve { gang, from } => format!("{gang} reserves from {from:?}\n"),
        Decision::Wait { gang, why, .. } => format!("{gang} waits: {why}\n"),
    };
    decisions.iter().map(one).collect()
}

fn slots(pods: &[decision::Assigned]) -> String {
    let slot =
        |one: &decision::Assigned| format!("{} -> n{} {:?}", one.slot.pod.0, one.slot.node.0, one.slot.gpus.as_slice());
    pods.iter().map(slot).collect::<Vec<_>>().join(", ")
}
