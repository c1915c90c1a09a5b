//! The simulated world: a heap of what is still to happen, and a record of what has.
//! Owns virtual time. May not look at nodes: where a pod runs changes nothing out here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::lacks::Lacks;
use super::measure::{Level, Measure};
use super::stats::wait_stats;
use super::*;
use crate::trace::{PodRow, PodTimes};

/// What happens to a pod. At one instant ends come first, so that arrivals find the room; then smaller pod ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    End,
    Arrival,
}

/// Where a pod stands.
#[derive(Debug, Clone)]
enum State {
    /// Not answered yet.
    New,
    Waiting,
    Started {
        wait_ms: u64,
    },
    /// No node could take it even when empty.
    Never {
        why: Arc<Unplaceable>,
    },
}

/// One pod of the trace, under its simulation id (its place in arrival order).
#[derive(Debug)]
struct Pod<'a> {
    place_in_file: usize,
    row: &'a PodRow,
    times: PodTimes,
    /// What it asks for, over all GPUs, as the engine counts it.
    gpu_milli: u64,
    line: usize,
    state: State,
}

impl Pod<'_> {
    fn wait_s(&self) -> Option<u64> {
        match self.state {
            State::Started { wait_ms } => Some(wait_ms / 1000),
            _ => None,
        }
    }
}

/// Everything outside the engine.
#[derive(Debug)]
pub(super) struct World<'a> {
    pods: Vec<Pod<'a>>,
    heap: BinaryHeap<Reverse<(u64, What, u64)>>,
    now_ms: u64,
    done: u64,
    first_ms: u64,
    last_arrival_ms: u64,
    last_end_ms: u64,
    level: Level,
    measure: Measure,
    lacks: Lacks,
}

impl<'a> World<'a> {
    /// The world before the first arrival.
    pub(super) fn of(trace: &'a Trace) -> Result<Self, SimulateError> {
        let mut timed = in_arrival_order(trace)?;
        let mut lacks = Lacks::default();
        let mut lines = BTreeMap::new();
        let pods: Vec<Pod<'a>> = timed
            .drain(..)
            .map(|(place_in_file, row, times)| {
                let shape = convert::pod(row).shape;
                let gpu_milli = shape.gpu.total_milli();
                let line = *lines.entry(shape).or_insert_with_key(|shape| lacks.open(shape));
                Pod { place_in_file, row, times, gpu_milli, line, state: State::New }
            })
            .collect();
        let arrival_ms = |pod: Option<&Pod<'_>>| pod.map_or(0, |pod| pod.times.arrival_s * 1000);
        let (first_ms, last_arrival_ms) = (arrival_ms(pods.first()), arrival_ms(pods.last()));
        let longest_ms = pods.iter().map(|pod| pod.times.runtime_s * 1000).max().unwrap_or(0);
        let window_end_ms = if first_ms < last_arrival_ms { last_arrival_ms } else { first_ms + longest_ms };
        let capacity_milli = trace.nodes.iter().map(|node| node.gpu_total_milli()).sum();
        let arrival = |(id, pod): (u64, &Pod<'_>)| Reverse((pod.times.arrival_s * 1000, What::Arrival, id));
        Ok(World {
            heap: (0u64..).zip(&pods).map(arrival).collect(),
            pods,
            now_ms: first_ms,
            done: 0,
            first_ms,
            last_arrival_ms,
            last_end_ms: first_ms,
            level: Level::default(),
            measure: Measure::new(first_ms, window_end_ms, capacity_milli),
            lacks,
        })
    }

    /// Arrivals and ends, if every pod gets its place.
    pub(super) fn events_total(&self) -> u64 {
        2 * self.pods.len() as u64
    }

    /// Arrivals and ends so far.
    pub(super) fn events_done(&self) -> u64 {
        self.done
    }

    /// The busiest moment to look at bookings: everything that will come has come.
    pub(super) fn is_last_arrival(&self, now: Timestamp) -> bool {
        now.0 == self.last_arrival_ms
    }

    /// Lets time pass until something happens; all that happens at that instant.
    pub(super) fn next_instant(&mut self) -> Option<(Timestamp, Vec<Event>)> {
        let Reverse((now_ms, _, _)) = *self.heap.peek()?;
        self.measure.until(now_ms, &self.level);
        self.now_ms = now_ms;
        let mut events = Vec::new();
        while let Some(&Reverse((at_ms, what, id))) = self.heap.peek()
            && at_ms == now_ms
        {
            self.heap.pop();
            self.done += 1;
            events.extend(self.happen(what, id));
        }
        Some((Timestamp(now_ms), events))
    }

    fn happen(&mut self, what: What, id: u64) -> Option<Event> {
        let pod = self.pods.get(id as usize)?;
        match what {
            What::Arrival => Some(Event::PodAdded { pod: PodId(id), spec: convert::pod(pod.row) }),
            What::End => {
                self.level.allocated_milli -= pod.gpu_milli;
                self.last_end_ms = self.now_ms;
                Some(Event::PodGone { pod: PodId(id) })
            }
        }
    }

    /// The pod has its place; it ends when its run time is over.
    pub(super) fn started(&mut self, id: PodId) {
        let Some(pod) = self.pods.get_mut(id.0 as usize) else { return };
        let wait_ms = self.now_ms - pod.times.arrival_s * 1000;
        let before = std::mem::replace(&mut pod.state, State::Started { wait_ms });
        if matches!(before, State::Waiting) {
            self.level.waiting_pods -= 1;
            self.level.waiting_milli -= pod.gpu_milli;
            self.lacks.leave(pod.line, self.now_ms);
        }
        self.level.allocated_milli += pod.gpu_milli;
        self.heap.push(Reverse((self.now_ms + pod.times.runtime_s * 1000, What::End, id.0)));
    }

    /// The pod stays queued, for this reason.
    pub(super) fn waits(&mut self, id: PodId, why: &Arc<Unplaceable>) {
        let Some(pod) = self.pods.get_mut(id.0 as usize) else { return };
        if !why.fits_when_empty {
            pod.state = State::Never { why: Arc::clone(why) };
            return;
        }
        self.lacks.reason(pod.line, why, self.now_ms);
        if matches!(pod.state, State::New) {
            pod.state = State::Waiting;
            self.level.waiting_pods += 1;
            self.level.waiting_milli += pod.gpu_milli;
            self.lacks.enter(pod.line, self.now_ms);
        }
    }

    /// The books, closed.
    pub(super) fn into_result(self, config: &Config) -> RunResult {
        let started = self.waits_s(|_| true);
        let mut pod_waits_s = vec![None; self.pods.len()];
        for pod in &self.pods {
            if let Some(place) = pod_waits_s.get_mut(pod.place_in_file) {
                *place = pod.wait_s();
            }
        }
        let wait_by_kind =
            PodKind::ALL.into_iter().filter(|kind| self.pods.iter().any(|p| PodKind::of(p.row) == *kind));
        let kind_wait = |kind| {
            let waits_s = self.waits_s(|row| PodKind::of(row) == kind);
            KindWait { kind, started: waits_s.len() as u64, wait: wait_stats(&waits_s) }
        };
        let (pods, wait) = (self.pods.len() as u64, wait_stats(&started));
        RunResult {
            policy: config.policy,
            ties: config.ties,
            seed: config.seed,
            pods,
            started: started.len() as u64,
            never_started: pods - started.len() as u64,
            wait,
            wait_by_kind: wait_by_kind.map(kind_wait).collect(),
            window_s: self.measure.window_s(),
            allocated_percent: self.measure.allocated_percent(),
            stranded_percent: self.measure.stranded_percent(),
            waiting_gpus_mean: self.measure.waiting_gpus_mean(),
            makespan_s: (self.last_end_ms - self.first_ms) / 1000,
            never: self.never(),
            timeline: self.measure.timeline(),
            lacked: self.lacks.into_list(),
            pod_waits_s,
        }
    }

    /// Waiting times of the started pods of interest, seconds, ascending.
    fn waits_s(&self, of_interest: impl Fn(&PodRow) -> bool) -> Vec<u64> {
        let mut waits_s: Vec<u64> =
            self.pods.iter().filter(|pod| of_interest(pod.row)).filter_map(Pod::wait_s).collect();
        waits_s.sort_unstable();
        waits_s
    }

    fn never(&self) -> Vec<NeverStarted> {
        let mut by_kind: BTreeMap<PodKind, NeverStarted> = BTreeMap::new();
        for pod in &self.pods {
            let State::Never { why } = &pod.state else { continue };
            let kind = PodKind::of(pod.row);
            let entry = || NeverStarted { kind, pods: 0, example_pod: pod.row.name.clone(), why: why.to_string() };
            by_kind.entry(kind).or_insert_with(entry).pods += 1;
        }
        by_kind.into_values().collect()
    }
}

/// The pods with their times, by arrival and then as in the file; refuses lists without times and times that would
/// overflow the clock however long everybody waits.
fn in_arrival_order(trace: &Trace) -> Result<Vec<(usize, &PodRow, PodTimes)>, SimulateError> {
    let rows = trace.pods.iter().enumerate();
    let mut timed: Vec<_> = rows.filter_map(|(index, row)| Some((index, row, row.times?))).collect();
    if let Some(first) = trace.pods.iter().find(|row| row.times.is_none()) {
        let (pods, without) = (trace.pods.len(), trace.pods.len() - timed.len());
        return Err(SimulateError::NoTimes { without, pods, pod: first.name.clone() });
    }
    timed.sort_by_key(|(_, _, times)| times.arrival_s);
    let Some((_, _, last)) = timed.last() else { return Err(SimulateError::NoPods) };
    let runtimes_s: u128 = timed.iter().map(|(_, _, times)| u128::from(times.runtime_s)).sum();
    let end_ms = (u128::from(last.arrival_s) + runtimes_s) * 1000;
    if end_ms > u128::from(u64::MAX / 2) { Err(SimulateError::TooLong) } else { Ok(timed) }
}
