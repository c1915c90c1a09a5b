//! The arrival stream of one packing run: which pod arrives when, and which node goes first among equals.
//! Owns the published experiment's order (Weng et al., USENIX ATC 2023), draw for draw, so that a run here and the
//! published run of the same seed see the same pods. May not place anything.

use std::cmp::Ordering;
use std::num::NonZeroUsize;

use thiserror::Error;

use super::go_rand::GoRand;
use crate::trace::{NodeRow, PodRow};

/// Draws the published simulator spends on starting its informers, between the arrivals and the node order. Found by
/// search; with it every published deterministic run replays exactly.
const DRAWS_OF_START_UP: usize = 10;

/// What one seed makes of a cluster and a list of pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The pods in order of arrival, as indices into the caller's pods. After all originals (fewer if the list asks for
    /// more than the target) come clones, which repeat an index.
    pub arrivals: Vec<usize>,
    /// For each of the caller's nodes its place in the tie order, 0 first, no two alike: of equally good nodes the
    /// smallest rank wins.
    pub rank: Vec<u32>,
    /// The cluster's GPUs, thousandths.
    pub capacity_milli: u64,
}

/// Why there is no stream.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StreamError {
    /// Per cents of nothing say nothing.
    #[error("no node of the cluster has a GPU, so there is no GPU capacity to fill; add nodes that have")]
    NoGpus,
    /// Cloning pods without GPUs forever would never reach the target.
    #[error("none of its {pods} pods asks for a GPU, so there is nothing to fill the GPUs with; add pods that do")]
    NothingToInflate {
        /// Number of pods given.
        pods: usize,
    },
}

impl Stream {
    /// The stream of `seed`, inflated or cut until the pods ask for `target_percent` of the cluster's GPUs (published:
    /// 130).
    ///
    /// # Errors
    /// When pods are to be cloned but none asks for a GPU.
    pub fn new(nodes: &[NodeRow], pods: &[PodRow], seed: u64, target_percent: u32) -> Result<Self, StreamError> {
        let capacity_milli = nodes.iter().map(NodeRow::gpu_total_milli).fold(0, u64::saturating_add);
        if capacity_milli == 0 {
            return Err(StreamError::NoGpus);
        }
        let target_milli = capacity_milli.saturating_mul(u64::from(target_percent)) / 100;
        let by_name = sorted_by_name(pods, |pod| &pod.name);
        let mut rand = GoRand::new(seed);
        rand.discard(1);
        let mut arrivals = by_name.clone();
        rand.shuffle(&mut arrivals);
        let demand_milli = pods.iter().map(PodRow::gpu_total_milli).fold(0, u64::saturating_add);
        match demand_milli.cmp(&target_milli) {
            Ordering::Equal => {}
            Ordering::Greater => cut(&mut arrivals, pods, demand_milli - target_milli, &mut rand),
            Ordering::Less if demand_milli == 0 => {
                return Err(StreamError::NothingToInflate { pods: pods.len() });
            }
            Ordering::Less => inflate(&mut arrivals, pods, &by_name, target_milli - demand_milli, &mut rand),
        }
        rand.discard(DRAWS_OF_START_UP);
        let mut rank = vec![0; nodes.len()];
        let order = rand.perm(nodes.len());
        for (node, place) in sorted_by_name(nodes, |node| &node.name).into_iter().zip(order) {
            rank[node] = place as u32;
        }
        Ok(Self { arrivals, rank, capacity_milli })
    }

    /// How many arrivals, from the first on, ask for at most `percent` of the cluster's GPUs in sum. `pods` are the rows
    /// the stream was made from.
    pub fn arrived_by(&self, pods: &[PodRow], percent: f64) -> usize {
        let limit_milli = percent / 100.0 * self.capacity_milli as f64;
        let mut arrived_milli = 0_u64;
        let within = self.arrivals.iter().take_while(|&&pod| {
            let asked_milli = pods.get(pod).map_or(0, PodRow::gpu_total_milli);
            arrived_milli = arrived_milli.saturating_add(asked_milli);
            arrived_milli as f64 <= limit_milli
        });
        within.count()
    }
}

/// Removes uniformly random pods until those removed asked for `excess_milli` or more.
fn cut(arrivals: &mut Vec<usize>, pods: &[PodRow], excess_milli: u64, rand: &mut GoRand) {
    let mut removed_milli = 0_u64;
    while let Some(len) = NonZeroUsize::new(arrivals.len())
        && removed_milli < excess_milli
    {
        let pod = arrivals.remove(rand.intn(len));
        removed_milli = pods[pod].gpu_total_milli().saturating_add(removed_milli);
    }
}

/// Appends uniformly random pods until the next would ask for more than is left of `missing_milli`. As published, the
/// test looks at one GPU of the pod but all its GPUs count, so a pod of several GPUs may overshoot.
fn inflate(arrivals: &mut Vec<usize>, pods: &[PodRow], by_name: &[usize], missing_milli: u64, rand: &mut GoRand) {
    let mut added_milli = 0_u64;
    while let Some(len) = NonZeroUsize::new(by_name.len()) {
        let pod = by_name[rand.intn(len)];
        if added_milli.saturating_add(u64::from(pods[pod].gpu_milli)) > missing_milli {
            return;
        }
        added_milli = added_milli.saturating_add(pods[pod].gpu_total_milli());
        arrivals.push(pod);
    }
}

/// The indices of `rows` in string order of their names; equal names keep their order.
fn sorted_by_name<T>(rows: &[T], name: impl Fn(&T) -> &str) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| name(&rows[a]).cmp(name(&rows[b])));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::openb_rows::{nodes, pods};

    fn cluster(gpus: &[u32]) -> Vec<NodeRow> {
        let node = |(i, &gpus): (usize, &u32)| NodeRow {
            name: format!("n{i}"),
            cpu_milli: 1000,
            memory_mib: 1000,
            gpus,
            model: "A10".into(),
        };
        gpus.iter().enumerate().map(node).collect()
    }

    fn pod(name: &str, num_gpu: u32, gpu_milli: u32) -> PodRow {
        PodRow {
            name: name.into(),
            cpu_milli: 1,
            memory_mib: 1,
            num_gpu,
            gpu_milli,
            gpu_spec: Default::default(),
            priority: 0,
            qos: String::new(),
            times: None,
        }
    }

    fn demand(stream: &Stream, pods: &[PodRow]) -> u64 {
        stream.arrivals.iter().map(|&i| pods[i].gpu_total_milli()).sum()
    }

    /// Arrivals and ranks of the published runs; both files are in name order, so rank is the permutation itself.
    #[test]
    fn the_published_streams_replay() {
        let (Some(nodes), Some(pods)) = (nodes(), pods("default")) else {
            return;
        };
        for (seed, first, last, count, rank) in [
            (42, [255, 1685, 6784, 4463, 602, 1564, 3882, 7257], 5877, 10_866, [601, 815, 450, 13, 731, 1143]),
            (43, [2283, 7248, 5897, 4175, 5883, 20, 5038, 6733], 6778, 10_793, [1072, 485, 626, 608, 606, 921]),
            (51, [7151, 7598, 3598, 3081, 2518, 7874, 2046, 1686], 1596, 10_859, [226, 1032, 294, 1084, 786, 92]),
        ] {
            let stream = Stream::new(&nodes, &pods, seed, 130).unwrap();
            assert_eq!(stream.arrivals[..8], first, "seed {seed}: first arrivals");
            assert_eq!(stream.arrivals.last(), Some(&last), "seed {seed}: last arrival");
            assert_eq!(stream.arrivals.len(), count, "seed {seed}: arrivals");
            assert_eq!(stream.rank[..6], rank, "seed {seed}: ranks");
            assert_eq!(stream.capacity_milli, 6_212_000);
        }
    }

    #[test]
    fn rows_in_another_order_make_the_same_stream() {
        let (nodes, pods) = (cluster(&[2, 1, 4]), [pod("a", 1, 300), pod("b", 2, 1000), pod("c", 0, 0)]);
        let (mut nodes_turned, mut pods_turned) = (nodes.clone(), pods.clone());
        nodes_turned.reverse();
        pods_turned.reverse();
        let stream = Stream::new(&nodes, &pods, 7, 130).unwrap();
        let turned = Stream::new(&nodes_turned, &pods_turned, 7, 130).unwrap();
        let back = |arrivals: &[usize]| arrivals.iter().map(|i| 2 - i).collect::<Vec<_>>();
        assert_eq!(stream.arrivals, back(&turned.arrivals));
        assert_eq!(stream.rank, turned.rank.into_iter().rev().collect::<Vec<_>>());
    }

    #[test]
    fn demand_meets_the_target_from_below() {
        let nodes = cluster(&[8, 2]);
        for (case, pods, percent, reached) in [
            ("inflated", vec![pod("a", 1, 300), pod("b", 0, 0)], 130, 12_900),
            ("already there", vec![pod("a", 5, 1000), pod("b", 5, 1000)], 100, 10_000),
            ("cut", (0..50).map(|i| pod(&format!("p{i}"), 1, 500)).collect(), 130, 13_000),
            ("cut to nothing", vec![pod("a", 16, 1000)], 130, 0),
        ] {
            let stream = Stream::new(&nodes, &pods, 1, percent).unwrap();
            assert_eq!(demand(&stream, &pods), reached, "{case}");
        }
    }

    #[test]
    fn nothing_to_inflate_is_an_error_not_a_loop() {
        let nodes = cluster(&[1]);
        for pods in [vec![], vec![pod("a", 0, 0)]] {
            let expected = StreamError::NothingToInflate { pods: pods.len() };
            assert_eq!(Stream::new(&nodes, &pods, 1, 130), Err(expected));
        }
        assert_eq!(Stream::new(&[], &[pod("a", 0, 0)], 1, 130), Err(StreamError::NoGpus));
    }

    #[test]
    fn a_share_has_arrived_before_the_pod_that_exceeds_it() {
        let pods = [pod("a", 1, 400), pod("b", 1, 700), pod("c", 0, 0)];
        let stream = Stream { arrivals: vec![2, 0, 2, 1, 0], rank: vec![0], capacity_milli: 1000 };
        for (percent, arrived) in [(0.0, 1), (39.9, 1), (40.0, 3), (109.9, 3), (110.0, 4), (150.0, 5), (900.0, 5)] {
            assert_eq!(stream.arrived_by(&pods, percent), arrived, "{percent} %");
        }
    }
}
