//! The preset for replay: a queue forms and drains. Judged by a scheduler of a few lines that shares no code with ours.

use std::collections::BTreeMap;

use berth::generate::{find, generate};
use berth::trace::{NodeRow, PodRow, Trace};

const DAY_S: u64 = 24 * 3600;

/// On most days some pods wait, and at some time of the day no more than one of eight GPUs does, for a node of its own.
#[test]
fn the_queue_of_the_example_forms_and_drains() {
    let Some(example) = find("example") else { panic!("no preset `example`") };
    for seed in 1..=5 {
        let trace = generate(example, seed);
        let queue = replay(&trace);
        println!("seed {seed}: {} pods, {queue:?}", trace.pods.len());
        assert!((5_000..=15_000).contains(&trace.pods.len()), "seed {seed}: {} pods", trace.pods.len());
        assert!(queue.most_by_day.values().filter(|&&gpus| gpus >= 8).count() >= 2, "seed {seed}: {queue:?}");
        assert!(queue.least_by_day.values().filter(|&&gpus| gpus <= 8).count() >= 3, "seed {seed}: {queue:?}");
        assert!(queue.left == 0 && queue.drained_s < 2 * DAY_S, "seed {seed}: {queue:?}");
    }
}

/// How the queue went.
#[derive(Debug, Default)]
struct Queue {
    /// Most GPUs that waiting pods asked for at any time of a day.
    most_by_day: BTreeMap<u64, u64>,
    /// Fewest GPUs that waiting pods asked for at any time of a day.
    least_by_day: BTreeMap<u64, u64>,
    /// From the last arrival to the last start, seconds.
    drained_s: u64,
    /// Pods that never started.
    left: usize,
}

impl Queue {
    fn note(&mut self, now_s: u64, gpus: u64) {
        let most = self.most_by_day.entry(now_s / DAY_S).or_insert(gpus);
        *most = gpus.max(*most);
        let least = self.least_by_day.entry(now_s / DAY_S).or_insert(gpus);
        *least = gpus.min(*least);
    }
}

/// Room on a node: CPU in thousandths of a core, memory in MiB, each GPU in thousandths.
struct Room<'a> {
    node: &'a NodeRow,
    cpu_milli: u64,
    memory_mib: u64,
    cards_milli: Vec<u32>,
}

impl<'a> Room<'a> {
    fn of(node: &'a NodeRow) -> Self {
        let cards_milli = vec![1000; node.gpus as usize];
        Self { node, cpu_milli: node.cpu_milli, memory_mib: node.memory_mib, cards_milli }
    }

    /// The GPUs that the pod would get, fullest first; `None` where it does not fit.
    fn cards(&self, pod: &PodRow) -> Option<Vec<usize>> {
        let allowed = pod.gpu_spec.is_empty() || pod.gpu_spec.contains(&self.node.model);
        if !allowed || pod.cpu_milli > self.cpu_milli || pod.memory_mib > self.memory_mib {
            return None;
        }
        let fits = |card: &usize| self.cards_milli[*card] >= pod.gpu_milli;
        let mut cards: Vec<usize> = (0..self.cards_milli.len()).filter(fits).collect();
        cards.sort_by_key(|&card| (self.cards_milli[card], card));
        cards.truncate(pod.num_gpu as usize);
        (cards.len() == pod.num_gpu as usize).then_some(cards)
    }

    fn take(&mut self, pod: &PodRow, cards: &[usize]) {
        self.cpu_milli -= pod.cpu_milli;
        self.memory_mib -= pod.memory_mib;
        cards.iter().for_each(|&card| self.cards_milli[card] -= pod.gpu_milli);
    }

    fn give(&mut self, pod: &PodRow, cards: &[usize]) {
        self.cpu_milli += pod.cpu_milli;
        self.memory_mib += pod.memory_mib;
        cards.iter().for_each(|&card| self.cards_milli[card] += pod.gpu_milli);
    }
}

/// Starts pods in order of arrival, each as soon as it fits, past those that do not; on the node with the least GPU
/// left, so that whole nodes stay free.
fn replay(trace: &Trace) -> Queue {
    let mut rooms: Vec<Room<'_>> = trace.nodes.iter().map(Room::of).collect();
    let (mut ends, mut waiting, mut queue) = (BTreeMap::new(), Vec::<usize>::new(), Queue::default());
    let times: Vec<_> = trace.pods.iter().filter_map(|pod| pod.times).collect();
    let (mut arrived, last_arrival_s) = (0, times.last().map_or(0, |last| last.arrival_s));
    loop {
        let next_end_s = ends.first_key_value().map(|((end_s, _), _): (&(u64, usize), _)| *end_s);
        let next_arrival_s = times.get(arrived).map(|next| next.arrival_s);
        let Some(now_s) = next_end_s.into_iter().chain(next_arrival_s).min() else { break };
        while let Some(end) = ends.first_entry().filter(|end| end.key().0 <= now_s) {
            let ((_, pod), (node, cards)): (_, (usize, Vec<usize>)) = end.remove_entry();
            rooms[node].give(&trace.pods[pod], &cards);
        }
        while times.get(arrived).is_some_and(|next| next.arrival_s <= now_s) {
            waiting.push(arrived);
            arrived += 1;
        }
        waiting.retain(|&pod| {
            let row = &trace.pods[pod];
            let fits = (0..rooms.len()).filter_map(|node| Some((node, rooms[node].cards(row)?)));
            let Some((node, cards)) = fits.min_by_key(|(node, _)| rooms[*node].cards_milli.iter().sum::<u32>()) else {
                return true;
            };
            rooms[node].take(row, &cards);
            ends.insert((now_s + times[pod].runtime_s, pod), (node, cards));
            queue.drained_s = now_s.saturating_sub(last_arrival_s);
            false
        });
        if now_s <= last_arrival_s {
            queue.note(now_s, waiting.iter().map(|&pod| trace.pods[pod].gpu_total_milli()).sum::<u64>() / 1000);
        }
    }
    queue.left = waiting.len();
    queue
}
