//! What waiting pods lacked, weighted by how long they waited for it. Pods of one shape share one reason, so the books
//! are kept per shape and touched only when a pod comes or goes or the reason changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth_engine::filter::Constraint;
use berth_engine::{PodShape, Unplaceable};

use super::result::Lacked;
use super::stats::ratio;

/// Milliseconds in an hour.
const HOUR_MS: u128 = 3_600_000;

/// The waiting pods of one shape.
#[derive(Debug, Default)]
struct Line {
    gpu_milli: u64,
    waiting: u64,
    since_ms: u64,
    why: Option<Arc<Unplaceable>>,
}

/// Waiting for one thing, added up.
#[derive(Debug, Default)]
struct Bill {
    pod_ms: u128,
    gpu_milli_ms: u128,
    worst_pod_ms: u128,
    worst: Option<Arc<Unplaceable>>,
}

/// The books.
#[derive(Debug, Default)]
pub(super) struct Lacks {
    lines: Vec<Line>,
    bills: BTreeMap<String, Bill>,
}

impl Lacks {
    /// Opens a line for a shape; its number is the count of lines before.
    pub(super) fn open(&mut self, shape: &PodShape) -> usize {
        self.lines.push(Line { gpu_milli: shape.gpu.total_milli(), ..Line::default() });
        self.lines.len() - 1
    }

    /// The pods of this line wait for another reason from now on.
    pub(super) fn reason(&mut self, line: usize, why: &Arc<Unplaceable>, now_ms: u64) {
        self.settle(line, now_ms);
        if let Some(line) = self.lines.get_mut(line) {
            line.why = Some(Arc::clone(why));
        }
    }

    /// One more pod of this line waits.
    pub(super) fn enter(&mut self, line: usize, now_ms: u64) {
        self.settle(line, now_ms);
        if let Some(line) = self.lines.get_mut(line) {
            line.waiting += 1;
        }
    }

    /// One pod of this line waits no longer.
    pub(super) fn leave(&mut self, line: usize, now_ms: u64) {
        self.settle(line, now_ms);
        if let Some(line) = self.lines.get_mut(line) {
            line.waiting = line.waiting.saturating_sub(1);
        }
    }

    /// Bills a line's waiting until now.
    fn settle(&mut self, line: usize, now_ms: u64) {
        let Some(line) = self.lines.get_mut(line) else { return };
        let length_ms = now_ms.saturating_sub(std::mem::replace(&mut line.since_ms, now_ms));
        let pod_ms = u128::from(line.waiting) * u128::from(length_ms);
        let Some(why) = line.why.as_ref().filter(|_| pod_ms > 0) else { return };
        let bill = self.bills.entry(what_is_lacking(why)).or_default();
        bill.pod_ms += pod_ms;
        bill.gpu_milli_ms += pod_ms * u128::from(line.gpu_milli);
        if pod_ms > bill.worst_pod_ms {
            (bill.worst_pod_ms, bill.worst) = (pod_ms, Some(Arc::clone(why)));
        }
    }

    /// Everything billed, most pod-hours first. Nobody waits any more.
    pub(super) fn into_list(self) -> Vec<Lacked> {
        let mut bills: Vec<_> = self.bills.into_iter().collect();
        bills.sort_by(|(a_what, a), (b_what, b)| b.pod_ms.cmp(&a.pod_ms).then_with(|| a_what.cmp(b_what)));
        let lacked = |(what, bill): (String, Bill)| Lacked {
            what,
            pod_hours: ratio(bill.pod_ms, HOUR_MS),
            gpu_hours: ratio(bill.gpu_milli_ms, 1000 * HOUR_MS),
            example: bill.worst.map(|why| why.to_string()).unwrap_or_default(),
        };
        bills.into_iter().map(lacked).collect()
    }
}

/// The resources that every node open to the pod is short of; where there is none, all that some node is short of.
fn what_is_lacking(why: &Unplaceable) -> String {
    let closed = why.ruled_out.iter().filter(|reason| !matches!(reason.constraint, Constraint::Lack(_)));
    let open = why.nodes - closed.map(|reason| reason.nodes).sum::<usize>().min(why.nodes);
    let lacks = || {
        why.ruled_out.iter().filter_map(|reason| match reason.constraint {
            Constraint::Lack(resource) => Some((resource, reason.nodes)),
            _ => None,
        })
    };
    let everywhere: Vec<_> = lacks().filter(|(_, nodes)| *nodes >= open).map(|(what, _)| what.to_string()).collect();
    if !everywhere.is_empty() {
        return everywhere.join(" and ");
    }
    let somewhere: Vec<_> = lacks().map(|(what, _)| what.to_string()).collect();
    format!("{} (differs by node)", somewhere.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_engine::decision::RuledOut;
    use berth_engine::filter::Resource;

    #[test]
    fn names_what_every_open_node_is_short_of() {
        let ruled = |constraint, nodes| RuledOut { constraint, nodes, nearest_miss: None };
        let (cpu, gpus) = (Constraint::Lack(Resource::Cpu), Constraint::Lack(Resource::Gpus));
        for (case, ruled_out, expected) in [
            ("one of two everywhere", vec![ruled(cpu, 4), ruled(gpus, 1)], "CPU"),
            ("both everywhere", vec![ruled(cpu, 4), ruled(gpus, 4)], "CPU and whole free GPUs"),
            ("each somewhere", vec![ruled(cpu, 3), ruled(gpus, 1)], "CPU or whole free GPUs (differs by node)"),
            ("closed nodes aside", vec![ruled(Constraint::GpuModel, 3), ruled(gpus, 1)], "whole free GPUs"),
        ] {
            let why = Unplaceable { nodes: 4, ruled_out, fits_when_empty: true, short_of: Default::default() };
            assert_eq!(what_is_lacking(&why), expected, "{case}");
        }
    }
}
