//! From a node, and what its agent says of its GPUs, to what the engine knows of it. Owns what a node offers; what pods hold
//! is told to it.

use std::collections::BTreeSet;

use berth_config::crd::{GpuNode, Health};
use berth_config::names;
use berth_engine::cluster::{GPUS_PER_NODE_MAX, mig_slices};
use berth_engine::{GpuRequest, MigShape, NodeShape, PodShape, Taint, TaintEffect};

use crate::constraints::taint_effect;
use crate::objects::Node;
use crate::problem::{Fault, found};
use crate::resources::{self, CPU, MEMORY, Sum};

/// What a node offers. Of its labels only those with one of the `keys` count: every other would make classes of nodes that
/// nobody can tell apart.
///
/// # Errors
/// Amounts that cannot be read, or more GPUs than the engine can hold apart: the node is left out then.
pub(crate) fn read(
    node: &Node,
    agent: Option<&GpuNode>,
    keys: &BTreeSet<String>,
) -> Result<(NodeShape, Vec<Fault>), Fault> {
    let sum = resources::read(&node.status.allocatable, "status.allocatable")?;
    let labels = &node.metadata.labels;
    let mut faults = Vec::new();
    let gpus = gpus(&sum, agent, &mut faults)?;
    let mig = mig(&sum, labels.get(names::MIG_STRATEGY).map(String::as_str), labels.get(names::GPU_PRODUCT), gpus);
    let has_gpus = gpus > 0 || mig.is_some();
    let (agents_model, agents_memory) = agent.map_or((None, None), model);
    let labelled = || labels.get(names::GPU_PRODUCT).cloned();
    let shape = NodeShape {
        cpu_milli: sum.milli(CPU),
        memory_bytes: sum.whole(MEMORY),
        pods: u32::try_from(sum.whole("pods")).unwrap_or(u32::MAX),
        gpus,
        gpu_model: labelled().or(agents_model).filter(|_| has_gpus).unwrap_or_default(),
        gpu_memory_mib: if has_gpus { memory(node, agents_memory, &mut faults) } else { 0 },
        labels: labels
            .iter()
            .filter(|(key, _)| keys.contains(*key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        taints: taints(node, &mut faults),
        // One that is going takes nobody either.
        unschedulable: node.spec.unschedulable || node.metadata.deletion_timestamp.is_some(),
        mig,
    };
    Ok((shape, faults))
}

/// Whole GPUs (or what is given out as such): what pods may have, less what the agent knows to be broken.
fn gpus(sum: &Sum, agent: Option<&GpuNode>, faults: &mut Vec<Fault>) -> Result<usize, Fault> {
    let count = sum.whole(names::GPU_RESOURCE);
    let field = format!("status.allocatable[{}]", names::GPU_RESOURCE);
    if count > GPUS_PER_NODE_MAX as u64 {
        let what = format!("{count} GPUs (or replicas, or MIG instances given out as such)");
        return Err(Fault::refused(field, what, format!("offer at most {GPUS_PER_NODE_MAX}, or MIG profiles by name")));
    }
    let status = agent.and_then(|agent| agent.status.as_ref());
    // Only where the agent sees the same GPUs that the device plugin offers, and none of them split.
    let broken =
        status.filter(|status| status.gpus.len() as u64 >= count && status.gpus.iter().all(|gpu| gpu.mig.is_none()));
    let sound = broken.map(|status| status.gpus.iter().filter(|gpu| gpu.health != Health::Unhealthy).count() as u64);
    let usable = sound.map_or(count, |sound| sound.min(count));
    if usable < count {
        let what = format!("{} of {count} GPUs are broken, as the node's agent says", count - usable);
        faults.push(Fault::ignored(field, what, "restart the device plugin, so that the kubelet knows"));
    }
    Ok(usable as usize)
}

/// MIG instances. Profiles with a name of another kind are left out: no pod can ask for them.
fn mig(sum: &Sum, strategy: Option<&str>, product: Option<&String>, gpus: usize) -> Option<MigShape> {
    if strategy == Some("single") {
        let (_, profile) = product?.split_once("-MIG-")?;
        let count = u32::try_from(gpus).ok().filter(|count| *count > 0 && mig_slices(profile).is_some())?;
        return Some(MigShape { single: true, instances: vec![(profile.to_owned(), count)] });
    }
    let profiles = sum.names().filter_map(|name| Some((name, name.strip_prefix(names::MIG_RESOURCE)?)));
    let instances = profiles.filter(|(_, profile)| mig_slices(profile).is_some()).map(|(name, profile)| {
        let count = sum.whole(name).min(u64::from(u16::MAX));
        (profile.to_owned(), count as u32)
    });
    let instances: Vec<(String, u32)> = instances.collect();
    if instances.is_empty() { None } else { Some(MigShape { single: false, instances }) }
}

/// Model and least memory (MiB) of the GPUs the agent sees.
fn model(agent: &GpuNode) -> (Option<String>, Option<u32>) {
    let gpus = agent.status.as_ref().map_or(&[][..], |status| &status.gpus);
    let least = gpus.iter().filter_map(|gpu| u32::try_from(gpu.memory_mib).ok()).min();
    (gpus.first().map(|gpu| gpu.product.clone()), least)
}

fn memory(node: &Node, agents: Option<u32>, faults: &mut Vec<Fault>) -> u32 {
    let Some(text) = node.metadata.labels.get(names::GPU_MEMORY) else { return agents.unwrap_or(0) };
    text.parse().unwrap_or_else(|_| {
        let field = format!("metadata.labels[{}]", names::GPU_MEMORY);
        faults.push(Fault::ignored(field, found(text), "write MiB as a whole number"));
        agents.unwrap_or(0)
    })
}

/// Sorted, since their order means nothing. A node that is not known to be well has the taint that Kubernetes gives it for
/// that, whether its controller came to it or not.
fn taints(node: &Node, faults: &mut Vec<Fault>) -> Vec<Taint> {
    let mut taints = Vec::new();
    for (at, taint) in node.spec.taints.iter().enumerate() {
        match taint_effect(&taint.effect) {
            Some(effect) => taints.push(Taint { key: taint.key.clone(), value: taint.value.clone(), effect }),
            None => {
                let field = format!("spec.taints[{at}].effect");
                faults.push(Fault::ignored(field, found(&taint.effect), "use an effect of Kubernetes"));
            }
        }
    }
    let ready = node.status.conditions.iter().find(|condition| condition.kind == "Ready");
    let ill = match ready.map_or("False", |ready| ready.status.as_str()) {
        "True" => None,
        "Unknown" => Some("node.kubernetes.io/unreachable"),
        _ => Some("node.kubernetes.io/not-ready"),
    };
    let taint = |key: &str| Taint { key: key.to_owned(), value: String::new(), effect: TaintEffect::NoSchedule };
    taints.extend(ill.map(taint));
    taints.sort();
    taints.dedup();
    taints
}

/// Makes room for what pods hold already, where that is more than the node offers (it shrank, or schedulers raced): then the
/// engine sees the node as full, and neither as free nor as impossible.
pub(crate) fn raise<'p>(shape: &mut NodeShape, held: impl Iterator<Item = &'p PodShape>) -> Vec<Fault> {
    let (mut cpu, mut memory, mut pods, mut gpus) = (0_u64, 0_u64, 0_u32, 0_usize);
    let mut mig: std::collections::BTreeMap<&str, u32> = std::collections::BTreeMap::new();
    for pod in held {
        cpu = cpu.saturating_add(pod.cpu_milli);
        memory = memory.saturating_add(pod.memory_bytes);
        pods = pods.saturating_add(1);
        if let GpuRequest::Whole(count) = pod.gpu {
            gpus = gpus.saturating_add(count);
        }
        for (profile, count) in &pod.mig {
            *mig.entry(profile).or_default() += count;
        }
    }
    let mut faults = Vec::new();
    let mut more = |resource: &str, held: u64, offered: u64| {
        let field = format!("status.allocatable[{resource}]");
        let what = format!("pods hold {held} of {offered}");
        faults.push(Fault::ignored(field, what, "nothing is placed there until enough of them have ended"));
    };
    if cpu > shape.cpu_milli {
        more("cpu", cpu, std::mem::replace(&mut shape.cpu_milli, cpu));
    }
    if memory > shape.memory_bytes {
        more("memory", memory, std::mem::replace(&mut shape.memory_bytes, memory));
    }
    if pods > shape.pods {
        more("pods", pods.into(), std::mem::replace(&mut shape.pods, pods).into());
    }
    if gpus > shape.gpus {
        let all = gpus.min(GPUS_PER_NODE_MAX);
        more(names::GPU_RESOURCE, gpus as u64, std::mem::replace(&mut shape.gpus, all) as u64);
    }
    for (profile, held) in mig {
        let known = shape.mig.get_or_insert_with(|| MigShape { single: false, instances: Vec::new() });
        if known.single {
            more(profile, held.into(), 0); // instances are no resource of their own here; who holds one has no seat
            continue;
        }
        match known.instances.binary_search_by(|(other, _)| other.as_str().cmp(profile)) {
            Ok(at) if known.instances[at].1 >= held => {}
            Ok(at) => more(profile, held.into(), std::mem::replace(&mut known.instances[at].1, held).into()),
            Err(at) => {
                known.instances.insert(at, (profile.to_owned(), held));
                more(profile, held.into(), 0);
            }
        }
    }
    faults
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
