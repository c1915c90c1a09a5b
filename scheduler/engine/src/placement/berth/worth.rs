//! What the remainder of a node is worth to the pods expected next, in thousandths of a GPU.
//!
//! worth(node) = min over CPU prices π of ( π · cores left + Σ over its GPUs of W(left, π) )
//!
//! W is the best way to fill the rest of one GPU with expected sizes, each bringing its size price less π for the CPU it
//! needs. The least over π is the linear-programming value of the node's future: a node short of CPU is worth its CPU, a
//! node short of GPU its GPUs, and a balanced one both.

use std::collections::BTreeMap;

use super::super::typical::TypicalPod;
use super::sizes::{STEP, STEPS};
use crate::units::MilliGpu;

/// CPU prices tried, GPUs per core; dense where real nodes balance (8 to 64 cores per GPU: 0.015 to 0.13).
const CPU_PRICES: [f64; 24] = [
    0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.115, 0.13, 0.15, 0.2, 0.25,
    0.35, 0.5, 1.0, 2.0, 3.0,
];

/// Of the pods of a size, the part a hole can choose its users from: the cheaper 1 / 1.3 in CPU. There are more pods than
/// holes, but not so many that only the very best ones come.
const CHOICE: f64 = 1.3;

/// One number per CPU price.
pub(super) type PerPrice = [f64; CPU_PRICES.len()];

/// W for one kind of node: GPU model and number of GPUs.
#[derive(Debug)]
pub(super) struct Worth {
    by_left: Vec<PerPrice>,
}

impl Worth {
    pub(super) fn of(typical: &[TypicalPod], sizes: &BTreeMap<usize, f64>, model: &str, gpus: usize) -> Self {
        let welcome = |pod: &&TypicalPod| (1..=gpus).contains(&pod.class.gpus) && pod.class.allows(model);
        let users: Vec<&TypicalPod> = typical.iter().filter(welcome).collect();
        let mut by_left = vec![[0.0; CPU_PRICES.len()]; STEPS];
        for (column, &cpu_price) in CPU_PRICES.iter().enumerate() {
            let gain = |(&size, &price): (&usize, &f64)| (size, gain(&users, size, price, cpu_price));
            let gains: Vec<(usize, f64)> = sizes.iter().map(gain).filter(|(_, gain)| *gain > 0.0).collect();
            for left in 1..STEPS {
                let fitting = gains.iter().filter(|(size, _)| *size <= left);
                let filled = fitting.map(|(size, gain)| by_left[left - size][column] + gain);
                by_left[left][column] = filled.fold(by_left[left - 1][column], f64::max);
            }
        }
        Worth { by_left }
    }

    /// W of one GPU.
    fn gpu(&self, left: MilliGpu) -> &PerPrice {
        &self.by_left[(left.milli() / STEP) as usize]
    }

    /// Σ W over the GPUs of a node.
    pub(super) fn gpus(&self, gpus: &[MilliGpu]) -> PerPrice {
        let mut sum = [0.0; CPU_PRICES.len()];
        for left in gpus.iter().filter(|left| left.milli() >= STEP) {
            sum.iter_mut().zip(self.gpu(*left)).for_each(|(sum, worth)| *sum += worth);
        }
        sum
    }

    /// Σ W after `count` GPUs went from `before` to `after`.
    pub(super) fn exchange(&self, sum: &PerPrice, count: usize, before: MilliGpu, after: MilliGpu) -> PerPrice {
        let (before, after) = (self.gpu(before), self.gpu(after));
        std::array::from_fn(|price| sum[price] - count as f64 * (before[price] - after[price]))
    }
}

/// The worth of a node with this much CPU left and this Σ W.
pub(super) fn node(cpu_milli: u64, gpus: &PerPrice) -> f64 {
    let cores = cpu_milli as f64 / 1000.0;
    let at = |(price, gpus): (&f64, &f64)| price * cores + gpus;
    1000.0 * CPU_PRICES.iter().zip(gpus).map(at).fold(f64::INFINITY, f64::min)
}

/// What a hole of this size brings on average, CPU paid for, if the cheaper part of its users come.
fn gain(users: &[&TypicalPod], size: usize, price: f64, cpu_price: f64) -> f64 {
    let of_size = users.iter().filter(|pod| super::sizes::steps(pod.class.per_gpu_milli) == size);
    let mut gains: Vec<(f64, f64)> = of_size
        .map(|pod| {
            let gpus = pod.class.gpus as f64;
            let cores_per_gpu = pod.class.cpu_milli as f64 / 1000.0 / gpus;
            ((price - cpu_price * cores_per_gpu).max(0.0), pod.weight * gpus)
        })
        .collect();
    gains.sort_by(|a, b| b.0.total_cmp(&a.0));
    let chosen = gains.iter().map(|(_, weight)| weight).sum::<f64>() / CHOICE;
    if chosen <= 0.0 {
        return 0.0;
    }
    let (mut left, mut sum) = (chosen, 0.0);
    for (gain, weight) in gains {
        let part = weight.min(left);
        sum += gain * part;
        left -= part;
    }
    sum / chosen
}
