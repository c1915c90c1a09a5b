//! The pods to expect: classes of pods by how often they came.
//! Two sources: a list given beforehand, or the arrivals so far, with older ones counting less.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::cluster::{GpuRequest, PodShape};

/// What makes two pods the same to an expectation: all that matters but memory. Ordered as published (fgd-protocol,
/// section 1, "typical pods"): CPU, GPU per GPU, GPUs, models.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PodClass {
    pub(super) cpu_milli: u64,
    pub(super) per_gpu_milli: u64,
    pub(super) gpus: usize,
    /// Accepted models as written; empty = any.
    pub(super) models: Vec<String>,
}

impl PodClass {
    /// `device_mib`: what memory asked for is a part of; 0 = unknown.
    fn of(pod: &PodShape, device_mib: u32) -> Self {
        PodClass {
            cpu_milli: pod.cpu_milli,
            per_gpu_milli: pod.gpu.per_gpu(device_mib).milli(),
            gpus: pod.gpu.count(),
            models: if pod.gpu == GpuRequest::None { Vec::new() } else { pod.gpu_models.clone() },
        }
    }

    pub(super) fn allows(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|allowed| allowed == model)
    }
}

/// A class and its share of the expected pods.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TypicalPod {
    pub(super) class: PodClass,
    /// Share of the typical pods, 0..=1.
    pub(super) weight: f64,
    /// Mean memory request, bytes.
    pub(super) memory_bytes: u64,
}

/// How often a class was seen.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Pods, in fixed point; see [`ONE`].
    count: u64,
    /// Their memory requests, bytes, weighed by `count`.
    memory: u128,
}

impl Seen {
    fn add(&mut self, pod: &PodShape) {
        self.count += ONE;
        self.memory += u128::from(pod.memory_bytes) * u128::from(ONE);
    }
}

/// Counts of pods seen, in fixed point so that halving forgets gently and stays exact.
#[derive(Debug, Clone, Default)]
pub(super) struct TypicalPods {
    counts: BTreeMap<PodClass, Seen>,
    total: u64,
    /// Total at which expectations are worked out anew.
    refresh_at: u64,
}

#[cfg(test)]
impl TypicalPods {
    /// Changes whenever expectations are due.
    pub(super) fn refreshes(&self) -> u64 {
        self.refresh_at
    }
}

/// One pod seen.
const ONE: u64 = 1 << 16;
/// With this many pods remembered, every count is halved: a pod's say fades over the next few tens of thousands.
const REMEMBERED_MAX: u64 = 1 << 15;
/// Expectations are worked out anew when the count has grown by a quarter: often while little is known, rarely later.
const REFRESH_GROWTH: (u64, u64) = (5, 4);
/// Share of all pods that typical classes cover. Source: fgd-protocol, section 1.
const COVERED: f64 = 0.95;

impl TypicalPods {
    /// The expectation given by a list.
    pub(super) fn of(pods: &[PodShape]) -> Self {
        let mut typical = TypicalPods::default();
        for pod in pods.iter().filter(|pod| pod.gpu.is_possible()) {
            typical.counts.entry(PodClass::of(pod, 0)).or_default().add(pod);
            typical.total += ONE;
        }
        typical
    }

    /// Every class seen, with its count in an arbitrary unit.
    pub(super) fn classes(&self) -> impl Iterator<Item = (&PodClass, u64)> {
        self.counts.iter().map(|(class, seen)| (class, seen.count))
    }

    /// Counts a pod; true when expectations should be worked out anew. `device_mib`: memory of a GPU, to tell which part of
    /// one is asked for as memory; 0 = unknown.
    pub(super) fn observe(&mut self, pod: &PodShape, device_mib: u32) -> bool {
        self.counts.entry(PodClass::of(pod, device_mib)).or_default().add(pod);
        self.total += ONE;
        if self.total >= REMEMBERED_MAX * ONE {
            self.counts.retain(|_, seen| {
                seen.count /= 2;
                seen.memory /= 2;
                seen.count > 0
            });
            self.total = self.counts.values().map(|seen| seen.count).sum();
            self.refresh_at = self.total;
        }
        let due = self.total >= self.refresh_at;
        if due {
            self.refresh_at = (self.total + ONE) * REFRESH_GROWTH.0 / REFRESH_GROWTH.1;
        }
        due
    }

    /// The most frequent classes that together cover 95 % of the pods, most frequent first, with weights that add up
    /// to 1. The two divisions are as published: one division rounds differently.
    pub(super) fn list(&self) -> Vec<TypicalPod> {
        let mut classes: Vec<_> = self.counts.iter().collect();
        classes.sort_by_key(|(class, seen)| Reverse((seen.count, *class)));
        let mut covered = 0;
        let mut listed = 0;
        for (_, seen) in &classes {
            if covered as f64 >= COVERED * self.total as f64 {
                break;
            }
            covered += seen.count;
            listed += 1;
        }
        let share = |count: u64| count as f64 / self.total as f64;
        let typical = |(class, seen): (&PodClass, &Seen)| TypicalPod {
            class: class.clone(),
            weight: share(seen.count) / share(covered),
            memory_bytes: (seen.memory / u128::from(seen.count)) as u64,
        };
        classes.into_iter().take(listed).map(typical).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_pods_fade_and_memory_is_averaged() {
        let pod = |cpu_milli, memory_bytes| PodShape { cpu_milli, memory_bytes, ..PodShape::default() };
        let mut typical = TypicalPods::default();
        for _ in 0..REMEMBERED_MAX - 1 {
            typical.observe(&pod(1, 100), 0);
        }
        assert_eq!(typical.list()[0].memory_bytes, 100);
        for _ in 0..REMEMBERED_MAX {
            typical.observe(&pod(2, 300), 0);
        }
        let list = typical.list();
        assert_eq!((list[0].class.cpu_milli, list[0].memory_bytes), (2, 300), "the newer kind leads by now");
        assert_eq!((list[1].class.cpu_milli, list[1].memory_bytes), (1, 100), "and memory fades with its pods");
        assert!(list[0].weight > 0.6, "{}", list[0].weight);
    }
}
