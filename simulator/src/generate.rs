//! Makes up clusters and pods from a seed: the same preset and seed give the same bytes on every machine.
//! Owns no data of others: a preset holds a few aggregate statistics of published traces, each with its source, and
//! every row is drawn from those. Random numbers: see `random`.
//!
//! [`generate`] draws the pods one after the other, independently of the cluster's state, until they ask for as much
//! as the preset says; then their arrival times, and sorts those. So each prefix of a list is a fair sample of its mix.

mod catalog;
mod mixes;
mod pods;
pub mod preset;
mod random;

use crate::trace::{NodeRow, PodRow, PodTimes, Trace};
use pods::Submission;
pub use preset::Preset;
use preset::{Arrivals, NodeKind};
use random::{Purpose, Stream};

/// Every preset: `example` first, then the mixes for comparing placement policies.
pub fn presets() -> &'static [Preset] {
    catalog::PRESETS
}

/// The preset of this name.
pub fn find(name: &str) -> Option<&'static Preset> {
    presets().iter().find(|preset| preset.name == name)
}

/// The cluster and pods of `preset` for `seed`. Pods are in order of arrival and have times.
///
/// A kind of pod that fits fewer than four of the nodes is left out, and so every pod fits some empty nodes. A preset
/// of no GPUs or without a pod that fits has no pods.
pub fn generate(preset: &Preset, seed: u64) -> Trace {
    let submissions = pods::submissions(preset, seed);
    let mut arrivals_s = arrivals_s(&preset.arrivals, submissions.len(), seed);
    arrivals_s.sort_unstable();
    let pods = submissions.into_iter().zip(arrivals_s).flat_map(|(submission, arrival_s)| rows(submission, arrival_s));
    let named = |(place, row)| PodRow { name: format!("pod-{:05}", place + 1), ..row };
    Trace { nodes: nodes(preset.nodes, seed), pods: pods.enumerate().map(named).collect() }
}

/// The nodes of all kinds in a random order, since some policies break ties by the order of nodes.
fn nodes(kinds: &[NodeKind], seed: u64) -> Vec<NodeRow> {
    let mut nodes: Vec<&NodeKind> =
        kinds.iter().flat_map(|kind| std::iter::repeat_n(kind, kind.count as usize)).collect();
    Stream::new(seed, Purpose::Nodes).shuffle(&mut nodes);
    let row = |(place, kind): (usize, &NodeKind)| NodeRow {
        name: format!("node-{:04}", place + 1),
        cpu_milli: kind.cpu_milli(),
        memory_mib: kind.memory_mib(),
        gpus: kind.gpus,
        model: kind.model.to_owned(),
    };
    nodes.into_iter().enumerate().map(row).collect()
}

/// Arrival times of `count` submissions, seconds from the start, unsorted.
fn arrivals_s(arrivals: &Arrivals, count: usize, seed: u64) -> Vec<u64> {
    let mut stream = Stream::new(seed, Purpose::Arrivals);
    let rates = arrivals.by_hour.map(u64::from);
    let mut arrival_s = || {
        let day = stream.below(u64::from(arrivals.days));
        let hour = stream.weighted(&rates).unwrap_or(0) as u64;
        (day * 24 + hour) * 3600 + stream.below(3600)
    };
    (0..count).map(|_| arrival_s()).collect()
}

/// The pods of one submission, still without names.
fn rows(submission: Submission, arrival_s: u64) -> impl Iterator<Item = PodRow> {
    let Submission { row, runtimes_s } = submission;
    runtimes_s
        .into_iter()
        .map(move |runtime_s| PodRow { times: Some(PodTimes { arrival_s, runtime_s }), ..row.clone() })
}
