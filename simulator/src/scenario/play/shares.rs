//! How queues stand at the start of a round, for people.

use std::collections::BTreeMap;

use berth_engine::queue::Amounts;
use berth_engine::queue::amounts::{CPU, GPU, MEMORY, MODELS};
use berth_engine::{QueueId, Quota};

use super::super::text::{show_mib, show_thousandths};
use super::Player;

/// What every queue holds.
pub(super) type Held = BTreeMap<QueueId, Amounts>;

impl Player {
    /// What every queue holds now.
    pub(super) fn held(&self) -> Held {
        self.engine.queues().all().iter().map(|(id, queue)| (*id, queue.allocated.clone())).collect()
    }

    /// A line for each queue, with what it held at the start of the round and the share worked out then. CPU and memory
    /// are told where somebody bounds them.
    pub(super) fn shares(&self, held: &Held) -> Vec<String> {
        let queues = self.engine.queues();
        let line = |queue: &super::super::format::Queue| {
            let id = self.queues.get(&queue.name)?;
            let (known, held) = (queues.get(*id)?, held.get(id)?);
            let depth = self.world.lineage(&queue.name).len();
            let told = (0..queues.resources()).map(|at| (at, queues.quota(known, at)));
            let told = told.filter(|(at, quota)| *at == GPU || quota.deserved.is_some() || quota.limit.is_some());
            let words = told.map(|(at, quota)| {
                let name = match at {
                    GPU => "gpu".to_owned(),
                    CPU => "cpu".to_owned(),
                    MEMORY => "memory".to_owned(),
                    _ => format!("gpu:{}", queues.models().get(at - MODELS).map_or("", String::as_str)),
                };
                resource(&name, at == MEMORY, held.get(at), known.fair_share.get(at), quota)
            });
            Some(format!("{}queue {}: {}", "  ".repeat(depth), queue.name, words.collect::<Vec<_>>().join("; ")))
        };
        self.world.queues.iter().filter_map(line).collect()
    }
}

fn resource(name: &str, is_memory: bool, held: i64, fair: i64, quota: Quota) -> String {
    let show = |amount: i64| {
        let amount = u64::try_from(amount).unwrap_or(0);
        if is_memory { show_mib(amount) } else { show_thousandths(amount) }
    };
    let bound = |bound: Option<i64>| bound.map_or_else(|| "unlimited".to_owned(), show);
    let (deserved, limit) = (bound(quota.deserved), bound(quota.limit));
    format!("{name} {} of fair share {} (deserved {deserved}, limit {limit})", show(held), show(fair))
}
