//! No queue goes over a limit, and non-preemptible jobs not beyond what their queues deserve.

use std::collections::BTreeMap;

use super::super::format::{Job, Node, Quota, Request, Task, TaskState, UNLIMITED};
use super::super::played::State;
use super::Change;

/// What a queue has of each resource, in the units of its quotas. GPU models are resources of their own.
type Account = BTreeMap<Resource, u64>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Resource {
    Gpu,
    Cpu,
    Memory,
    GpuModel(String),
}

impl Resource {
    fn shown(&self, amount: u64) -> String {
        match self {
            Resource::Gpu => format!("{amount} thousandths of a GPU"),
            Resource::Cpu => format!("{amount} thousandths of a core"),
            Resource::Memory => format!("{amount} MiB of memory"),
            Resource::GpuModel(model) => format!("{amount} thousandths of a GPU of model `{model}`"),
        }
    }
}

/// Every limit of a queue that an action went over, or further over.
pub(super) fn over_limit(change: &Change<'_>) -> Vec<String> {
    grown(change, |_| true, |quota| quota.limit, "over its limit of")
}

/// Every amount deserved that the non-preemptible jobs of a queue went beyond, or further beyond.
pub(super) fn beyond_deserved(change: &Change<'_>) -> Vec<String> {
    grown(change, |job| !job.preemptible, |quota| quota.deserved, "in non-preemptible jobs, beyond the deserved")
}

fn grown(
    change: &Change<'_>,
    counts: impl Fn(&Job) -> bool + Copy,
    bound: impl Fn(&Quota) -> i64,
    over: &str,
) -> Vec<String> {
    let (before, after) = (accounts(change, change.before, counts), accounts(change, change.after, counts));
    let mut found = Vec::new();
    for queue in &change.world.queues {
        let models = queue.gpu_models.iter().map(|(model, quota)| (Resource::GpuModel(model.clone()), quota));
        let plain = [(Resource::Gpu, &queue.gpu), (Resource::Cpu, &queue.cpu), (Resource::Memory, &queue.memory)];
        for (resource, quota) in plain.into_iter().chain(models) {
            let amount = |accounts: &BTreeMap<&str, Account>| {
                accounts.get(queue.name.as_str()).and_then(|account| account.get(&resource)).copied().unwrap_or(0)
            };
            let (was, is) = (amount(&before), amount(&after));
            let most = bound(quota);
            if most != UNLIMITED && is > was && i128::from(is) > i128::from(most) {
                let has = resource.shown(is);
                found.push(format!("queue `{}` went from {was} to {has} {over} {most}", queue.name));
            }
        }
    }
    found
}

/// What each queue has in active tasks of the jobs that count; promises that only the file made are left out.
fn accounts<'a>(change: &Change<'a>, state: &State, counts: impl Fn(&Job) -> bool) -> BTreeMap<&'a str, Account> {
    let world = change.world;
    let mut accounts: BTreeMap<&str, Account> = BTreeMap::new();
    for (job, task) in world.tasks().filter(|(job, _)| counts(job)) {
        let Some(now) = state.get(&task.name) else { continue };
        let file_only = now.state == TaskState::Nominated && change.start.get(&task.name) == Some(now);
        let Some(node) = now.active_on().and_then(|node| world.nodes.get(node)).filter(|_| !file_only) else {
            continue;
        };
        for queue in world.lineage(&job.queue) {
            let account = accounts.entry(&queue.name).or_default();
            for (resource, amount) in amounts(task, node) {
                *account.entry(resource).or_default() += amount;
            }
        }
    }
    accounts
}

fn amounts(task: &Task, node: &Node) -> [(Resource, u64); 4] {
    let Request { cpu_milli, memory_mib, .. } = task.request;
    let gpu = gpu_milli(&task.request, node);
    let model = Resource::GpuModel(node.gpu_model.clone());
    [(Resource::Gpu, gpu), (model, gpu), (Resource::Cpu, cpu_milli), (Resource::Memory, memory_mib)]
}

/// The GPU amount of a task on its node, thousandths (rule A2).
fn gpu_milli(request: &Request, node: &Node) -> u64 {
    let devices = u64::from(request.gpu_devices);
    let mig = request.mig.iter().map(|(profile, count)| u64::from(*count) * slices(profile) * 1000);
    let hundredths = u64::div_ceil(100 * request.gpu_memory_mib, node.gpu_memory_mib.max(1));
    u64::from(request.gpus) * 1000
        + u64::from(request.gpu_milli) * devices
        + hundredths * 10 * devices
        + mig.sum::<u64>()
}

/// The N of a profile `Ng.…`; 0 where there is none.
fn slices(profile: &str) -> u64 {
    profile.split_once('g').and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
}
