//! The things of a scenario as the engine wants them. Owns the units: files count seconds and MiB, the engine ms and bytes.

use std::collections::BTreeMap;

use berth_engine::cluster::{GpuIndexes, Member};
use berth_engine::filter::affinity::{PodTerms, Term};
use berth_engine::filter::labels::{self, PodSelector, Test};
use berth_engine::filter::node_affinity::{NodeTerm, ask_for_names};
use berth_engine::filter::ports::{HostPort, Protocol};
use berth_engine::filter::spread::Spread;
use berth_engine::gang::{GangSpec, StaleGrace, Subgroup, TopologyWish};
use berth_engine::state::Budget;
use berth_engine::{
    GangId, GpuRequest, MigShape, MilliGpu, NodeShape, NodeSpec, PodShape, PodSpec, QueueId, QueueSpec, Quota, Share,
    ShareSize, Taint, TaintEffect, Timestamp, Toleration,
};

use super::format::{
    self, Checkpoint, DisruptionBudget, Gang, Job, MigStrategy, Node, Operator, PodAffinity, Queue, Request, Task,
};

const MIB: u64 = 1 << 20;

/// A length of time of a file, in ms.
pub(super) fn ms(seconds: u64) -> u64 {
    seconds.saturating_mul(1000)
}

fn ago(now: Timestamp, seconds: u64) -> Timestamp {
    Timestamp(now.0.saturating_sub(ms(seconds)))
}

/// A node.
pub(super) fn node(node: &Node) -> NodeSpec {
    let mut labels: BTreeMap<String, String> = node.labels.clone();
    labels.retain(|key, _| key != Term::NODE);
    let mig = node.mig.as_ref().map(|mig| MigShape {
        single: mig.strategy == MigStrategy::Single,
        instances: mig.instances.iter().map(|(profile, count)| (profile.clone(), *count)).collect(),
    });
    let shape = NodeShape {
        cpu_milli: node.cpu_milli,
        memory_bytes: node.memory_mib.saturating_mul(MIB),
        pods: node.pods,
        gpus: node.gpus as usize,
        gpu_model: node.gpu_model.clone(),
        labels,
        taints: node.taints.iter().map(taint).collect(),
        unschedulable: node.cordoned,
        gpu_memory_mib: u32::try_from(node.gpu_memory_mib).unwrap_or(u32::MAX),
        mig,
    };
    NodeSpec { name: node.name.clone(), shape }
}

fn taint(taint: &format::Taint) -> Taint {
    Taint { key: taint.key.clone(), value: taint.value.clone(), effect: effect(taint.effect) }
}

fn effect(effect: format::TaintEffect) -> TaintEffect {
    match effect {
        format::TaintEffect::NoSchedule => TaintEffect::NoSchedule,
        format::TaintEffect::PreferNoSchedule => TaintEffect::PreferNoSchedule,
        format::TaintEffect::NoExecute => TaintEffect::NoExecute,
    }
}

/// A queue under its parent.
pub(super) fn queue(queue: &Queue, parent: Option<QueueId>) -> QueueSpec {
    QueueSpec {
        name: queue.name.clone(),
        parent,
        priority: queue.priority.into(),
        gpu: quota(queue.gpu),
        cpu: quota(queue.cpu),
        memory: quota(queue.memory),
        gpu_models: queue.gpu_models.iter().map(|(model, of)| (model.clone(), quota(*of))).collect(),
        reclaim_min_runtime_ms: ms(queue.reclaim_min_runtime_seconds),
        preempt_min_runtime_ms: ms(queue.preempt_min_runtime_seconds),
    }
}

fn quota(quota: format::Quota) -> Quota {
    let bound = |amount: i64| (amount >= 0).then_some(amount);
    let over_quota_weight = i64::try_from(quota.over_quota_weight).unwrap_or(i64::MAX);
    Quota { deserved: bound(quota.deserved), limit: bound(quota.limit), over_quota_weight }
}

/// A disruption budget, given how many tasks it protects and how many of them run.
pub(super) fn budget(budget: &DisruptionBudget, members: usize, running: usize) -> Budget {
    let allowed = u32::try_from(running.saturating_sub(budget.needed(members))).unwrap_or(u32::MAX);
    Budget { pods: selector(&budget.match_labels), allowed }
}

/// For how long a gang may be below its minimum.
pub(super) fn stale_grace(seconds: i64) -> StaleGrace {
    u64::try_from(seconds).map_or(StaleGrace::Forever, |seconds| StaleGrace::For(ms(seconds)))
}

/// A job's gang, at this moment.
pub(super) fn gang(job: &Job, queue: QueueId, succeeded: u32, now: Timestamp) -> GangSpec {
    GangSpec {
        name: job.name.as_str().into(),
        queue,
        priority: job.priority.into(),
        preemptible: job.preemptible,
        created: ago(now, job.age_seconds),
        started: job.started_seconds_ago.map(|seconds| ago(now, seconds)),
        preemption_delay_ms: ms(job.preemption_delay_seconds),
        stale_since: job.stale_seconds.map(|seconds| ago(now, seconds)),
        stale_grace: job.stale_grace_seconds.map(stale_grace),
        succeeded,
        start_timeout_ms: job.start_timeout_seconds.map(ms),
        expected_runtime_ms: job.expected_runtime_seconds.map(ms),
        last_checkpoint: match job.last_checkpoint_seconds_ago {
            Some(Checkpoint::SecondsAgo(seconds)) => Some(ago(now, seconds)),
            Some(Checkpoint::Never) | None => None,
        },
        recreated: !job.bare,
        tree: subgroup(&job.gang),
    }
}

fn subgroup(gang: &Gang) -> Subgroup {
    let topology = gang.topology.as_ref().map(|wish| TopologyWish {
        topology: wish.name.clone(),
        required: wish.required.clone(),
        preferred: wish.preferred.clone(),
    });
    let subgroups = gang.sub_groups.iter().map(subgroup).collect();
    Subgroup { name: gang.name.clone(), min_member: gang.min_member, subgroups, topology }
}

/// A task that waits.
pub(super) fn pod(task: &Task, gang: GangId) -> PodSpec {
    let affinity: Vec<NodeTerm> = task.node_affinity.iter().map(node_term).collect();
    let by_name = ask_for_names(&affinity);
    let terms = PodTerms {
        node_names: task.node_names.as_ref().map(|names| names.iter().cloned().collect()),
        node_affinity: affinity.into_iter().filter(|_| by_name).collect(),
        namespace: String::new(),
        spread: task.topology_spread.iter().map(|one| spread(one, task)).collect(),
        labels: task.labels.clone(),
        affinity: task.pod_affinity.iter().map(term).collect(),
        anti_affinity: task.pod_anti_affinity.iter().map(term).collect(),
        volumes: None,
    };
    PodSpec {
        name: task.name.clone(),
        shape: shape(task),
        priority: 0,
        gang: Some(Member { gang, subgroup: task.sub_group.clone() }),
        order: task.order.map(i64::from),
        terms: (terms != PodTerms::default()).then_some(terms),
        seat: None,
    }
}

fn term(term: &PodAffinity) -> Term {
    Term { topology_key: term.topology_key.clone(), pods: selector(&term.match_labels) }
}

fn shape(task: &Task) -> PodShape {
    let request = &task.request;
    PodShape {
        cpu_milli: request.cpu_milli,
        memory_bytes: request.memory_mib.saturating_mul(MIB),
        gpu: gpu(request),
        mig: request.mig.iter().filter(|(_, count)| **count > 0).map(|(name, count)| (name.clone(), *count)).collect(),
        gpu_models: task.gpu_models.clone(),
        node_selector: task.node_selector.clone(),
        node_affinity: node_affinity_of_shape(task),
        host_ports: task.host_ports.iter().map(host_port).collect(),
        tolerations: task.tolerations.iter().map(toleration).collect(),
    }
}

/// Node affinity that looks at labels only makes pods differ; one that names nodes is in the pod's terms.
fn node_affinity_of_shape(task: &Task) -> Vec<NodeTerm> {
    let terms: Vec<NodeTerm> = task.node_affinity.iter().map(node_term).collect();
    if ask_for_names(&terms) { Vec::new() } else { terms }
}

fn node_term(term: &format::NodeTerm) -> NodeTerm {
    let asked = |one: &format::Requirement| labels::Requirement { key: one.key.clone(), test: test(one) };
    NodeTerm {
        labels: term.match_expressions.iter().map(asked).collect(),
        names: term.match_fields.iter().map(test).collect(),
    }
}

fn test(asked: &format::Requirement) -> Test {
    let values = || asked.values.iter().cloned().collect();
    let number = || asked.values.first().and_then(|value| value.parse().ok()).unwrap_or_default(); // was checked
    match asked.operator {
        Operator::In => Test::In(values()),
        Operator::NotIn => Test::NotIn(values()),
        Operator::Exists => Test::Exists,
        Operator::DoesNotExist => Test::DoesNotExist,
        Operator::Gt => Test::Gt(number()),
        Operator::Lt => Test::Lt(number()),
    }
}

/// Tasks are all in one namespace, which has no name.
fn selector(labels: &format::Labels) -> PodSelector {
    PodSelector::equal("", labels)
}

fn spread(spread: &format::Spread, task: &Task) -> Spread {
    let own = spread.match_label_keys.iter().filter_map(|key| Some((key.clone(), task.labels.get(key)?.clone())));
    let mut pods = selector(&spread.match_labels);
    pods.labels.extend(own.map(|(key, value)| labels::Requirement::equal(&key, &value)));
    Spread {
        topology_key: spread.topology_key.clone(),
        max_skew: spread.max_skew,
        min_domains: spread.min_domains.unwrap_or(1),
        pods,
        honor_affinity: !spread.ignore_affinity,
        honor_taints: spread.honor_taints,
    }
}

fn host_port(port: &format::HostPort) -> HostPort {
    let protocol = match port.protocol {
        format::Protocol::Tcp => Protocol::Tcp,
        format::Protocol::Udp => Protocol::Udp,
        format::Protocol::Sctp => Protocol::Sctp,
    };
    let address = port.host_ip.clone().filter(|address| !address.is_empty() && address != "0.0.0.0");
    HostPort { protocol, port: port.host_port, address }
}

fn gpu(request: &Request) -> GpuRequest {
    let devices = u8::try_from(request.gpu_devices).unwrap_or(u8::MAX);
    let share = |size| GpuRequest::Share(Share { size, devices });
    match request {
        Request { gpus: 1.., .. } => GpuRequest::Whole(request.gpus as usize),
        Request { gpu_milli: 1000.., .. } => GpuRequest::Whole(request.gpu_devices as usize),
        Request { gpu_milli: 1.., .. } => share(ShareSize::Milli(MilliGpu(request.gpu_milli as u16))),
        Request { gpu_memory_mib: 1.., .. } => {
            share(ShareSize::Memory(u32::try_from(request.gpu_memory_mib).unwrap_or(u32::MAX)))
        }
        _ => GpuRequest::None,
    }
}

fn toleration(toleration: &format::Toleration) -> Toleration {
    Toleration { key: toleration.key.clone(), value: toleration.value.clone(), effect: toleration.effect.map(effect) }
}

/// Device numbers as the engine has them.
pub(super) fn devices(devices: &[u32]) -> GpuIndexes {
    let mut indexes: GpuIndexes = devices.iter().map(|device| u8::try_from(*device).unwrap_or(u8::MAX)).collect();
    indexes.sort_unstable();
    indexes
}
