//! `pack`: fill what is already in use. GPUs already shared before fresh ones, the fullest first; nodes with less free
//! before emptier ones; pods without GPU on nodes without GPU if possible. Source: scenarios/FORMAT.md, rule P6.

use super::{Loss, gpus};
use crate::cluster::{Free, NodeShape, NodeState, PodShape, mig_slices};
use crate::units::GPU;

/// The digits of a loss, from the one that counts most; each is below its base. All together they fit in 62 bits.
const DIGITS: [(&str, u64); 5] = [
    ("GPUs that a share would open, or for a pod without GPU: the node has GPUs", 17),
    ("what is left of the GPUs it would share, thousandths", 16_001),
    ("GPU left on the node, MIG instances included, thousandths", 1 << 17),
    ("CPU left, parts of the node's", PARTS + 1),
    ("memory left, parts of the node's", PARTS + 1),
];

/// Parts of a node's CPU or memory that are told apart.
const PARTS: u64 = 10_000;

pub(super) fn loss(node: &NodeState, pod: &PodShape) -> Loss {
    let (shape, free) = (&node.shape, &node.free);
    let gpus = gpus::fullest(node, pod);
    let shared = || gpus.iter().filter_map(|gpu| free.gpus.get(usize::from(gpu)));
    let opened = shared().filter(|left| **left == GPU).count() as u64;
    let values = [
        if pod.wants_gpu() { opened } else { u64::from(shape.gpus > 0 || shape.mig.is_some()) },
        shared().map(|left| left.milli()).sum(),
        gpu_left(shape, free),
        parts(free.cpu_milli, shape.cpu_milli),
        parts(free.memory_bytes, shape.memory_bytes),
    ];
    let loss = values.iter().zip(DIGITS).fold(0, |loss, (value, (_, base))| loss * base + value.min(&(base - 1)));
    Loss { loss: loss as i64, gpus }
}

fn gpu_left(shape: &NodeShape, free: &Free) -> u64 {
    let slices = |((profile, _), left): (&(String, u32), &u16)| mig_slices(profile).unwrap_or(0) * u64::from(*left);
    free.gpu_milli() + 1000 * shape.mig_instances().iter().zip(&free.mig).map(slices).sum::<u64>()
}

/// `left / all` in [`PARTS`], rounded down, so that only an untouched node has all of them.
fn parts(left: u64, all: u64) -> u64 {
    if all == 0 { 0 } else { (u128::from(left) * u128::from(PARTS) / u128::from(all)) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_digits_fit_into_a_loss() {
        let range: u128 = DIGITS.iter().map(|(_, base)| u128::from(*base)).product();
        assert!(range <= 1 << 63, "{range}");
    }
}
