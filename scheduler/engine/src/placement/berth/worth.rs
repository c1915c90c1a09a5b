//! What the remainder of a node is worth to the pods expected next, in thousandths of a GPU.
//!
//! worth(node) = min over prices ( price of the CPU or memory left + Σ over its GPUs of W(left, price) )
//!
//! W is the best way to fill the rest of one GPU with expected sizes, each bringing its size price less what the CPU or
//! memory it needs costs at that price. The least over the prices is a linear-programming bound on the node's future: a
//! node short of CPU is worth its CPU, one short of memory its memory, one short of GPU its GPUs. With less CPU or memory
//! than any expected pod needs, a node is worth nothing: a third of a pod is no pod.

use std::collections::BTreeMap;

use super::super::typical::{TypicalPod, TypicalPods};
use super::sizes::{self, STEP, STEPS};
use crate::cluster::NodeShape;
use crate::units::MilliGpu;

/// Prices tried, GPUs per core; dense where real nodes balance (8 to 64 cores per GPU: 0.015 to 0.13). Memory has the
/// same prices, per as much memory as goes with a core on average.
const PRICES_PER_CORE: [f64; 24] = [
    0.0, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.115, 0.13, 0.15, 0.2, 0.25,
    0.35, 0.5, 1.0, 2.0, 3.0,
];
/// CPU prices, then memory prices: a node is short of the one or the other first.
const PRICES: usize = 2 * PRICES_PER_CORE.len();

/// Of the pods of a size, the part a hole can choose its users from: the cheaper 1 / 1.3. There are more pods than holes,
/// but not so many that only the very best ones come.
const CHOICE: f64 = 1.3;

/// W by what is left of a GPU, in steps; at every price.
type Fillings = Vec<[f64; PRICES]>;

/// What one unit of CPU or memory costs.
#[derive(Debug, Clone, Copy, Default)]
struct Price {
    gpu_per_core: f64,
    gpu_per_byte: f64,
}

impl Price {
    fn of(self, cpu_milli: u64, memory_bytes: u64) -> f64 {
        self.gpu_per_core * cpu_milli as f64 / 1000.0 + self.gpu_per_byte * memory_bytes as f64
    }
}

/// What is expected of future pods, ready for valuing nodes.
#[derive(Debug)]
pub(super) struct Outlook {
    users: Vec<TypicalPod>,
    sizes: BTreeMap<usize, f64>,
    prices: [Price; PRICES],
}

impl Outlook {
    pub(super) fn of(typical: &TypicalPods) -> Self {
        let mut users = typical.list();
        users.retain(|pod| pod.class.gpus > 0);
        let sizes = sizes::prices(&users);
        let cores: f64 = users.iter().map(|pod| pod.weight * pod.class.cpu_milli as f64 / 1000.0).sum();
        let bytes: f64 = users.iter().map(|pod| pod.weight * pod.memory_bytes as f64).sum();
        let cores_per_byte = if bytes > 0.0 { cores / bytes } else { 0.0 };
        let prices = std::array::from_fn(|index| match PRICES_PER_CORE.get(index) {
            Some(&gpu_per_core) => Price { gpu_per_core, gpu_per_byte: 0.0 },
            None => {
                let price = PRICES_PER_CORE[index - PRICES_PER_CORE.len()];
                Price { gpu_per_core: 0.0, gpu_per_byte: price * cores_per_byte }
            }
        });
        Outlook { users, sizes, prices }
    }
}

/// W for one kind of node: GPU model and number of GPUs.
#[derive(Debug)]
pub(super) struct Worth {
    fillings: Fillings,
    cpu_least_milli: u64,
    memory_least_bytes: u64,
}

impl Worth {
    pub(super) fn of(outlook: &Outlook, node: &NodeShape) -> Self {
        let welcome = |pod: &&TypicalPod| pod.class.gpus <= node.gpus && pod.class.allows(&node.gpu_model);
        let users: Vec<&TypicalPod> = outlook.users.iter().filter(welcome).collect();
        Worth {
            fillings: fillings(outlook, &users),
            cpu_least_milli: users.iter().map(|pod| pod.class.cpu_milli).min().unwrap_or(0),
            memory_least_bytes: users.iter().map(|pod| pod.memory_bytes).min().unwrap_or(0),
        }
    }

    /// The worth of a node with this much left.
    pub(super) fn node(&self, outlook: &Outlook, cpu_milli: u64, memory_bytes: u64, gpus: &[MilliGpu]) -> f64 {
        if cpu_milli < self.cpu_least_milli || memory_bytes < self.memory_least_bytes {
            return 0.0;
        }
        let mut worth = [0.0; PRICES];
        for left in gpus.iter().filter(|left| left.milli() >= STEP) {
            let filling = &self.fillings[(left.milli() / STEP) as usize];
            worth.iter_mut().zip(filling).for_each(|(sum, filling)| *sum += filling);
        }
        let with_rest = outlook.prices.iter().zip(worth).map(|(price, gpus)| price.of(cpu_milli, memory_bytes) + gpus);
        1000.0 * with_rest.fold(f64::INFINITY, f64::min)
    }
}

/// W for these users.
fn fillings(outlook: &Outlook, users: &[&TypicalPod]) -> Fillings {
    let mut fillings = vec![[0.0; PRICES]; STEPS];
    for (column, price) in outlook.prices.iter().enumerate() {
        let gain = |(&size, &size_price): (&usize, &f64)| (size, gain(users, size, size_price, *price));
        let gains: Vec<(usize, f64)> = outlook.sizes.iter().map(gain).filter(|(_, gain)| *gain > 0.0).collect();
        for left in 1..STEPS {
            let fitting = gains.iter().filter(|(size, _)| *size <= left);
            let filled = fitting.map(|(size, gain)| fillings[left - size][column] + gain);
            fillings[left][column] = filled.fold(fillings[left - 1][column], f64::max);
        }
    }
    fillings
}

/// What a hole of this size brings on average, CPU and memory paid for, if the cheaper part of its users come.
fn gain(users: &[&TypicalPod], size: usize, size_price: f64, price: Price) -> f64 {
    let of_size = users.iter().filter(|pod| sizes::steps(pod.class.per_gpu_milli) == size);
    let mut gains: Vec<(f64, f64)> = of_size
        .map(|pod| {
            let gpus = pod.class.gpus as f64;
            ((size_price - price.of(pod.class.cpu_milli, pod.memory_bytes) / gpus).max(0.0), pod.weight * gpus)
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
