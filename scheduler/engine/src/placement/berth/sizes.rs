//! What a hole of each size is worth, in GPUs: the prices at which cutting GPUs into the expected sizes breaks even.
//!
//! This is the dual of the cutting-stock problem: the highest prices for which no way of cutting one GPU brings more than
//! one GPU. A GPU with 190 left is worth nothing where almost everybody asks for 810, and the prices say so.

use std::collections::BTreeMap;

use super::super::typical::TypicalPod;
use super::simplex;

/// Sizes are rounded up to this, thousandths of a GPU: cutting is worked out in a table of 1000 / `STEP` entries.
pub(super) const STEP: u64 = 10;
/// Table entries for the rest of one GPU: 0, 10, … 1000.
pub(super) const STEPS: usize = 1000 / STEP as usize + 1;
/// Cuttings tried beyond the first ones. A dozen or two suffice in practice; stopping early leaves prices a little high.
const CUTTINGS_MAX: usize = 200;
/// A cutting must be worth this much more than a GPU to count as too good, against rounding.
const TOLERANCE: f64 = 1e-6;

/// A size as a number of steps.
pub(super) fn steps(milli: u64) -> usize {
    milli.div_ceil(STEP) as usize
}

/// Price by size in steps, for pods that all want GPUs; sizes that nobody is expected to ask for have none.
pub(super) fn prices(users: &[TypicalPod]) -> BTreeMap<usize, f64> {
    let mut demand: BTreeMap<usize, f64> = BTreeMap::new();
    for pod in users {
        *demand.entry(steps(pod.class.per_gpu_milli)).or_default() += pod.weight * pod.class.gpus as f64;
    }
    let sizes: Vec<usize> = demand.keys().copied().collect();
    let gain: Vec<f64> = demand.values().copied().collect();
    let alone = |(index, size): (usize, &usize)| {
        let mut cutting = vec![0.0; sizes.len()];
        cutting[index] = ((STEPS - 1) / size) as f64;
        cutting
    };
    let mut cuttings: Vec<Vec<f64>> = sizes.iter().enumerate().map(alone).collect();
    let mut prices = simplex::maximise(&gain, &cuttings);
    for _ in 0..CUTTINGS_MAX {
        let Some(cutting) = too_good(&sizes, &prices) else { break };
        cuttings.push(cutting);
        prices = simplex::maximise(&gain, &cuttings);
    }
    sizes.into_iter().zip(prices).collect()
}

/// The most valuable way to cut one GPU, if it brings more than a GPU: how many of each size.
fn too_good(sizes: &[usize], prices: &[f64]) -> Option<Vec<f64>> {
    let mut best = [0.0_f64; STEPS];
    let mut last: [Option<usize>; STEPS] = [None; STEPS];
    for room in 1..STEPS {
        best[room] = best[room - 1];
        for (index, &size) in sizes.iter().enumerate().filter(|(_, size)| **size <= room) {
            let worth = best[room - size] + prices[index];
            if worth > best[room] + TOLERANCE * TOLERANCE {
                (best[room], last[room]) = (worth, Some(index));
            }
        }
    }
    if best[STEPS - 1] <= 1.0 + TOLERANCE {
        return None;
    }
    let mut cutting = vec![0.0; sizes.len()];
    let mut room = STEPS - 1;
    while room > 0 {
        match last[room] {
            Some(index) => {
                cutting[index] += 1.0;
                room -= sizes[index];
            }
            None => room -= 1,
        }
    }
    Some(cutting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::typical::PodClass;

    fn pod(per_gpu_milli: u64, weight: f64) -> TypicalPod {
        let class = PodClass { cpu_milli: 1000, per_gpu_milli, gpus: 1, models: Vec::new() };
        TypicalPod { class, weight, memory_bytes: 0 }
    }

    #[test]
    fn a_hole_is_worth_what_its_best_use_brings() {
        let cases: [(&str, Vec<TypicalPod>, Vec<f64>); 3] = [
            ("nothing fits beside 810, so it costs a GPU", vec![pod(810, 1.0)], vec![1.0]),
            ("halves", vec![pod(500, 1.0)], vec![0.5]),
            ("fillers are plenty: only the big ones need a GPU", vec![pod(190, 0.1), pod(810, 0.9)], vec![0.0, 1.0]),
        ];
        for (case, typical, expected) in cases {
            let prices: Vec<f64> = prices(&typical).into_values().collect();
            assert!(prices.iter().zip(&expected).all(|(price, e)| (price - e).abs() < 1e-9), "{case}: {prices:?}");
        }
    }
}
