//! Topologies, nodes, queues and budgets, a line each.

use super::super::format::{
    DisruptionBudget, Labels, Mig, MigStrategy, Node, Queue, Quota, Taint, TaintEffect, Topology,
};
use super::units::{self, MEMORY, THOUSANDTHS, TIME, bound, digits, mib, seconds, thousandths};
use super::words::{Words, split};

/// A node has plenty of everything but GPUs unless it says so: what a scenario is about stands in it.
const CPU_MILLI: u64 = 1_000_000;
const MEMORY_MIB: u64 = 1000 << 10;
const GPU_MEMORY_MIB: u64 = 80 << 10;
const PODS: u32 = 110;

/// Priority of queues that name none.
const PRIORITY: i32 = 100;

const BOUND: &str = "an amount, or `unlimited`";

/// A node that says nothing.
pub(super) fn plain_node(name: &str) -> Node {
    Node {
        name: name.to_owned(),
        gpus: 0,
        gpu_memory_mib: GPU_MEMORY_MIB,
        gpu_model: String::new(),
        mig: None,
        others: Default::default(),
        cpu_milli: CPU_MILLI,
        memory_mib: MEMORY_MIB,
        pods: PODS,
        labels: Labels::new(),
        taints: Vec::new(),
        cordoned: false,
    }
}

/// A queue that says nothing: it deserves everything and has no limit.
pub(super) fn plain_queue(name: &str) -> Queue {
    Queue {
        name: name.to_owned(),
        parent: None,
        priority: PRIORITY,
        gpu: Quota::UNLIMITED,
        cpu: Quota::UNLIMITED,
        memory: Quota::UNLIMITED,
        gpu_models: Default::default(),
        reclaim_min_runtime_seconds: 0,
        preempt_min_runtime_seconds: 0,
        used_gpu_seconds: 0,
    }
}

/// `topology NAME levels=WIDEST,…,NARROWEST`
pub(super) fn topology(words: &mut Words<'_>) -> Topology {
    let name = words.name("topology");
    Topology { name, levels: words.names("levels").unwrap_or_default() }
}

/// What a line says of a node, over what was known of it. The levels of topologies are keys of their own.
pub(super) fn node(words: &mut Words<'_>, topologies: &[Topology], node: &mut Node) {
    let set = |value: Option<u64>, field: &mut u64| *field = value.unwrap_or(*field);
    node.gpus = words.number("gpus").unwrap_or(node.gpus);
    node.gpu_model = words.text("model").map_or_else(|| node.gpu_model.clone(), str::to_owned);
    set(words.value("gpu-memory", MEMORY, mib), &mut node.gpu_memory_mib);
    set(words.value("cpu", THOUSANDTHS, thousandths), &mut node.cpu_milli);
    set(words.value("memory", MEMORY, mib), &mut node.memory_mib);
    node.pods = words.number("pods").unwrap_or(node.pods);
    if let Some(split) = words.value("mig", "`single`, or `mixed:` and instances such as 1g.10gb*7", mig) {
        node.mig = Some(split);
    }
    node.others.extend(words.amounts("other."));
    node.labels.extend(words.prefixed("label."));
    for level in topologies.iter().flat_map(|topology| &topology.levels) {
        if let Some(value) = words.text(level) {
            node.labels.insert(level.clone(), value.to_owned());
        }
    }
    let said: Vec<Taint> =
        std::iter::from_fn(|| words.value("taint", "KEY, KEY=VALUE or KEY=VALUE:EFFECT", taint)).collect();
    if words.flag("untainted") || !said.is_empty() {
        node.taints = said;
    }
    node.cordoned = (words.flag("cordoned") || node.cordoned) && !words.flag("uncordoned");
}

fn mig(text: &str) -> Option<Mig> {
    match text.split_once(':').unwrap_or((text, "")) {
        ("single", instances) => Some(Mig { strategy: MigStrategy::Single, instances: profiles(instances)? }),
        ("mixed", instances) => Some(Mig { strategy: MigStrategy::Mixed, instances: profiles(instances)? }),
        _ => None,
    }
}

/// `1g.10gb*7,2g.20gb`: how many of each profile, one where it is not said.
pub(super) fn profiles(text: &str) -> Option<std::collections::BTreeMap<String, u32>> {
    let profile = |part: String| match part.split_once('*') {
        Some((profile, count)) => Some((profile.to_owned(), digits(count)?)),
        None => Some((part, 1)),
    };
    split(text).into_iter().map(profile).collect()
}

fn taint(text: &str) -> Option<Taint> {
    let (key, value, effect) = key_value_effect(text)?;
    Some(Taint { key: key?, value: value.unwrap_or_default(), effect: effect.unwrap_or_default() })
}

/// `KEY=VALUE:EFFECT`, of which each may be left out; `*` is any key.
pub(super) fn key_value_effect(text: &str) -> Option<(Option<String>, Option<String>, Option<TaintEffect>)> {
    let (rest, effect) = match text.split_once(':') {
        Some((rest, "NoSchedule")) => (rest, Some(TaintEffect::NoSchedule)),
        Some((rest, "PreferNoSchedule")) => (rest, Some(TaintEffect::PreferNoSchedule)),
        Some((rest, "NoExecute")) => (rest, Some(TaintEffect::NoExecute)),
        Some(_) => return None,
        None => (text, None),
    };
    let (key, value) = rest.split_once('=').map_or((rest, None), |(key, value)| (key, Some(value.to_owned())));
    Some(((key != "*").then(|| key.to_owned()), value, effect))
}

/// What a line says of a queue, over what was known of it.
pub(super) fn queue(words: &mut Words<'_>, queue: &mut Queue) {
    queue.parent = words.text("parent").map(str::to_owned).or_else(|| queue.parent.clone());
    queue.priority = words.number("priority").unwrap_or(queue.priority);
    quota(words, "", &mut queue.gpu, thousandths);
    quota(words, "cpu.", &mut queue.cpu, thousandths);
    quota(words, "memory.", &mut queue.memory, mib);
    // `gpu:H100.limit=2`: the model is what stands before the last dot.
    for (rest, value) in words.prefixed("gpu:") {
        let Some((model, field)) = rest.rsplit_once('.') else {
            words.complain(format!("`gpu:{rest}`: expected gpu:MODEL.deserved, .limit or .weight"));
            continue;
        };
        let quota = queue.gpu_models.entry(model.to_owned()).or_insert(Quota::UNLIMITED);
        let read = match field {
            "deserved" => bound(&value, thousandths).map(|amount| quota.deserved = amount),
            "limit" => bound(&value, thousandths).map(|amount| quota.limit = amount),
            "weight" => digits(&value).map(|weight| quota.over_quota_weight = weight),
            _ => None,
        };
        if read.is_none() {
            words.complain(format!("`gpu:{rest}={value}`: expected deserved, limit or weight with {BOUND}"));
        }
    }
    let set = |value: Option<u64>, field: &mut u64| *field = value.unwrap_or(*field);
    set(words.value("reclaim-min-runtime", TIME, seconds), &mut queue.reclaim_min_runtime_seconds);
    set(words.value("preempt-min-runtime", TIME, seconds), &mut queue.preempt_min_runtime_seconds);
    set(words.number("used-gpu-seconds"), &mut queue.used_gpu_seconds);
}

fn quota(words: &mut Words<'_>, prefix: &str, quota: &mut Quota, amount: impl Fn(&str) -> Option<u64> + Copy) {
    let read = |text: &str| bound(text, amount);
    quota.deserved = words.value(&format!("{prefix}deserved"), BOUND, read).unwrap_or(quota.deserved);
    quota.limit = words.value(&format!("{prefix}limit"), BOUND, read).unwrap_or(quota.limit);
    quota.over_quota_weight = words.number(&format!("{prefix}weight")).unwrap_or(quota.over_quota_weight);
}

/// `budget NAME max-unavailable=1 match.app=db`
pub(super) fn budget(words: &mut Words<'_>) -> DisruptionBudget {
    DisruptionBudget {
        name: words.name("budget"),
        match_labels: words.prefixed("match.").into_iter().collect(),
        max_unavailable: words.value("max-unavailable", "a number", units::digits),
        min_available: words.value("min-available", "a number", units::digits),
    }
}
