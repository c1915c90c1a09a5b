//! Topologies, nodes, queues and budgets.

use std::collections::BTreeSet;

use super::super::format::{DisruptionBudget, Node, Queue, Quota, Topology, UNLIMITED};
use super::super::problem::{list, object};
use super::super::world::World;
use super::{AMOUNT_MAX, Check, DEVICES_MAX, GPU_MEMORY_MIB_MAX, MEMORY_MIB_MAX, OBJECTS_MAX, SECONDS_MAX};

/// Largest share of what nobody deserves; products with amounts stay within 128 bits.
const WEIGHT_MAX: u64 = 1 << 31;

impl Check {
    pub(super) fn topology(&mut self, topology: &Topology) {
        let object = object("topology", &topology.name);
        let distinct: BTreeSet<&String> = topology.levels.iter().collect();
        if topology.levels.is_empty() || distinct.len() < topology.levels.len() {
            let levels = list(topology.levels.iter().map(String::as_str));
            self.complain(
                &object,
                format!("field `levels`: found {levels}, expected label keys, widest first, each once"),
            );
        }
    }

    pub(super) fn node(&mut self, node: &Node) {
        let object = object("node", &node.name);
        self.at_most(&object, "gpus", node.gpus, DEVICES_MAX);
        self.at_most(&object, "gpuMemoryMib", node.gpu_memory_mib, GPU_MEMORY_MIB_MAX);
        self.at_most(&object, "cpuMilli", node.cpu_milli, AMOUNT_MAX);
        self.at_most(&object, "memoryMib", node.memory_mib, MEMORY_MIB_MAX);
        self.at_most(&object, "pods", node.pods, OBJECTS_MAX as u64);
        if node.gpus > 0 && node.gpu_memory_mib == 0 {
            self.wrong(&object, "gpuMemoryMib", "0", "at least 1 on a node with GPUs");
        }
        for amount in node.others.values() {
            self.at_most(&object, "others", *amount, AMOUNT_MAX);
        }
        for (profile, count) in node.mig.iter().flat_map(|mig| &mig.instances) {
            self.mig(&object, profile, *count);
        }
    }

    /// So many instances of a MIG profile.
    pub(super) fn mig(&mut self, object: &str, profile: &str, count: u32) {
        let slices = profile.split_once("g.").and_then(|(number, _)| number.parse::<u8>().ok());
        if slices.is_none_or(|slices| slices == 0) {
            self.wrong(object, "mig", profile, "a profile that begins with its compute slices, such as 1g.10gb");
        }
        self.at_most(object, "mig", count, DEVICES_MAX);
    }

    pub(super) fn queue(&mut self, queue: &Queue, world: &World) {
        let object = object("queue", &queue.name);
        if let Some(parent) = &queue.parent {
            self.known(&object, "parent", parent, world.queues.iter().map(|queue| &queue.name), "queue");
            let mut above = world.queue(parent);
            let mut steps = 0;
            while let Some(higher) = above.filter(|_| steps <= world.queues.len()) {
                above = higher.parent.as_deref().and_then(|name| world.queue(name));
                steps += 1;
            }
            if steps > world.queues.len() {
                self.wrong(&object, "parent", parent, "a queue above it; its parents form a ring");
            }
        }
        let plain =
            [("gpu", queue.gpu, AMOUNT_MAX), ("cpu", queue.cpu, AMOUNT_MAX), ("memory", queue.memory, MEMORY_MIB_MAX)];
        for (field, quota, most) in plain {
            self.quota(&object, field, quota, most);
        }
        for (model, quota) in &queue.gpu_models {
            self.quota(&object, &format!("gpuModels.{model}"), *quota, AMOUNT_MAX);
        }
        self.at_most(&object, "reclaimMinRuntimeSeconds", queue.reclaim_min_runtime_seconds, SECONDS_MAX);
        self.at_most(&object, "preemptMinRuntimeSeconds", queue.preempt_min_runtime_seconds, SECONDS_MAX);
        self.at_most(&object, "usedGpuSeconds", queue.used_gpu_seconds, SECONDS_MAX);
    }

    fn quota(&mut self, object: &str, field: &str, quota: Quota, most: u64) {
        for (name, amount) in [("deserved", quota.deserved), ("limit", quota.limit)] {
            if amount != UNLIMITED && u64::try_from(amount).is_ok_and(|amount| amount > most) || amount < UNLIMITED {
                let expected = format!("0 to {most}, or -1 for unlimited");
                self.wrong(object, &format!("{field}.{name}"), &amount.to_string(), &expected);
            }
        }
        self.at_most(object, &format!("{field}.overQuotaWeight"), quota.over_quota_weight, WEIGHT_MAX);
    }

    pub(super) fn budget(&mut self, budget: &DisruptionBudget) {
        let object = object("budget", &budget.name);
        if budget.max_unavailable.is_some() == budget.min_available.is_some() {
            self.complain(&object, "give either `maxUnavailable` or `minAvailable`");
        }
        if budget.match_labels.is_empty() {
            self.complain(&object, "field `matchLabels`: found nothing, expected the labels of the tasks it protects");
        }
    }
}
