//! What some pods take of a node together, added up anew: each GPU by itself, in MiB where its memory is known.

use std::collections::BTreeMap;

use crate::cluster::{GpuRequest, NodeShape, PodShape, ShareSize};

/// What is taken of one thing, and how much of it there is.
pub(super) struct Line {
    pub(super) what: String,
    pub(super) used: u128,
    pub(super) all: u128,
}

/// Everything a node has, in this order: CPU, memory, pods, each MIG profile, each GPU, each other resource.
pub(super) fn lines<'a>(node: &NodeShape, held: impl Iterator<Item = (&'a PodShape, &'a [u8])>) -> Vec<Line> {
    let (mut cpu, mut memory, mut pods) = (0, 0, 0);
    let mut instances: BTreeMap<&str, u128> = BTreeMap::new();
    let mut others: BTreeMap<&str, u128> = BTreeMap::new();
    let mut gpus = vec![0; node.gpus];
    for (pod, on) in held {
        cpu += u128::from(pod.cpu_milli);
        memory += u128::from(pod.memory_bytes);
        pods += 1;
        for (profile, count) in &pod.mig {
            *instances.entry(profile).or_default() += u128::from(*count);
        }
        for (name, amount) in &pod.others {
            *others.entry(name).or_default() += u128::from(*amount);
        }
        for gpu in on {
            if let Some(used) = gpus.get_mut(usize::from(*gpu)) {
                *used += of_a_gpu(pod.gpu, node.gpu_memory_mib);
            }
        }
    }
    let line = |what: String, used, all| Line { what, used, all };
    let mut lines = vec![
        line("thousandths of a core".to_owned(), cpu, node.cpu_milli.into()),
        line("bytes of memory".to_owned(), memory, node.memory_bytes.into()),
        line("pods".to_owned(), pods, node.pods.into()),
    ];
    let split = node.mig.as_ref().filter(|mig| !mig.single);
    for (profile, all) in split.map_or(&[][..], |mig| &mig.instances) {
        let used = instances.get(profile.as_str()).copied().unwrap_or(0);
        lines.push(line(format!("MIG instances {profile}"), used, (*all).into()));
    }
    let (unit, each) = match node.gpu_memory_mib {
        0 => ("thousandths", 1000),
        mib => ("MiB", mib.into()),
    };
    lines.extend((0..).zip(gpus).map(|(gpu, used): (u8, u128)| line(format!("{unit} of GPU {gpu}"), used, each)));
    for (name, all) in &node.others {
        lines.push(line(format!("of {name}"), others.get(&**name).copied().unwrap_or(0), (*all).into()));
    }
    lines
}

/// What a request takes of each of its GPUs: MiB where a GPU has this many, thousandths where that is unknown (0).
fn of_a_gpu(request: GpuRequest, device_mib: u32) -> u128 {
    match (request, device_mib) {
        (GpuRequest::None, _) => 0,
        (GpuRequest::Whole(_), 0) => 1000,
        (GpuRequest::Whole(_), mib) => mib.into(),
        (GpuRequest::Share(share), mib) => match share.size {
            ShareSize::Memory(asked) => asked.into(),
            ShareSize::Milli(milli) if mib == 0 => milli.0.into(),
            ShareSize::Milli(milli) => u128::max(1, u128::from(mib) * u128::from(milli.0) / 1000),
        },
    }
}

/// What speaks against a pod on just these GPUs of a node, whatever else is there. The pod is named by the caller.
pub(super) fn misfit(name: &str, node: &NodeShape, pod: &PodShape, on: &[u8]) -> Vec<String> {
    let mut wrong = Vec::new();
    let count = match pod.gpu {
        GpuRequest::None => 0,
        GpuRequest::Share(share) => usize::from(share.devices),
        GpuRequest::Whole(count) => count,
    };
    if on.len() != count {
        wrong.push(format!("asked for {count} GPUs and holds {}", on.len()));
    }
    if !on.windows(2).all(|pair| pair[0] < pair[1]) {
        wrong.push(format!("holds GPUs {on:?}, out of order or twice"));
    }
    for gpu in on.iter().filter(|gpu| usize::from(**gpu) >= node.gpus) {
        wrong.push(format!("holds GPU {gpu} of `{name}`, which has {}", node.gpus));
    }
    let picky = count > 0 || !pod.mig.is_empty();
    if picky && !pod.gpu_models.is_empty() && !pod.gpu_models.contains(&node.gpu_model) {
        wrong.push(format!("runs on GPU model `{}`, which it does not accept", node.gpu_model));
    }
    if pod.node_selector.iter().any(|(key, value)| node.labels.get(key) != Some(value)) {
        wrong.push(format!("runs on `{name}`, which lacks a label it selects by"));
    }
    if let GpuRequest::Share(share) = pod.gpu {
        if node.mig.is_some() {
            wrong.push(format!("shares a GPU of `{name}`, which is split by MIG"));
        }
        if node.gpu_memory_mib == 0 && matches!(share.size, ShareSize::Memory(_)) {
            wrong.push(format!("holds GPU memory on `{name}`, where nobody knows how much there is"));
        }
    }
    for other in pod.others.keys().filter(|other| !node.others.contains_key(*other)) {
        wrong.push(format!("holds {other} of `{name}`, which offers none"));
    }
    let mixed = node.mig.as_ref().filter(|mig| !mig.single);
    for (profile, _) in &pod.mig {
        if !mixed.is_some_and(|mig| mig.instances.iter().any(|(offered, _)| offered == profile)) {
            wrong.push(format!("holds MIG instances {profile} of `{name}`, which offers none"));
        }
    }
    wrong
}
