//! Random numbers: one stream for each purpose, all from one seed, the same bytes on every machine.
//!
//! The generator is ChaCha with 8 rounds (`rand_chacha` 0.10, `ChaCha8Rng`): the seed fills the first 8 bytes of the
//! key in little-endian order, the others are zero, and the purpose is the stream number. Nothing else of `rand` is
//! used, as its ways of drawing from a range may change between versions; there is no floating point, as its functions
//! differ between machines.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::preset::Quantiles;

/// What a stream is for. Each has its own, so that a change to one leaves the draws of the others as they were.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// Order of the nodes.
    Nodes = 1,
    /// Group, kind and size of a pod.
    Kinds = 2,
    /// Small differences from the kind.
    Variations = 3,
    /// Limits to GPU models.
    Limits = 4,
    /// Quality of service.
    Qos = 5,
    /// Run times.
    RunTimes = 6,
    /// Sweeps and their sizes.
    Sweeps = 7,
    /// Arrival times.
    Arrivals = 8,
}

/// The random numbers for one purpose.
#[derive(Debug, Clone)]
pub(super) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `seed` for `purpose`.
    pub(super) fn new(seed: u64, purpose: Purpose) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(purpose as u64);
        Self(generator)
    }

    /// A number below `bound`, each as likely as any other to within `bound` / 2^64; 0 where `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(bound);
        (product >> 64) as u64
    }

    /// True with a chance of `permille` in a thousand.
    pub(super) fn chance(&mut self, permille: u32) -> bool {
        self.below(1000) < u64::from(permille)
    }

    /// The place of one of `weights`, as likely as its weight; `None` where they sum to 0.
    pub(super) fn weighted(&mut self, weights: &[u64]) -> Option<usize> {
        let mut left = self.below(weights.iter().sum());
        weights.iter().position(|&weight| match left.checked_sub(weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
    }

    /// A value of the distribution with these quantiles; 0 where there are none.
    pub(super) fn quantile(&mut self, quantiles: Quantiles) -> u64 {
        let level = self.below(1000 * PARTS);
        let segment = quantiles.windows(2).find(|pair| level < u64::from(pair[1].0) * PARTS);
        let Some(&[(from, low), (to, high)]) = segment else { return quantiles.last().map_or(0, |last| last.1) };
        let width = u64::from(to.saturating_sub(from)).max(1) * PARTS;
        low + high.saturating_sub(low) * level.saturating_sub(u64::from(from) * PARTS) / width
    }

    /// `items` in a random order (Fisher and Yates, from the end).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Steps into which a thousandth of a distribution is cut: run times of up to some months then differ by a second or
/// so from one step to the next, and products with them stay in 64 bits.
const PARTS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of seed 42 for the first purpose; another machine or version must give the same.
    #[test]
    fn the_stream_is_fixed() {
        let mut stream = Stream::new(42, Purpose::Nodes);
        assert_eq!([0; 4].map(|_| stream.below(1000)), [776, 201, 632, 107]);
    }

    #[test]
    fn a_weight_of_zero_is_never_drawn() {
        let mut stream = Stream::new(1, Purpose::Kinds);
        assert_eq!(stream.weighted(&[]), None);
        assert_eq!(stream.weighted(&[0, 0]), None);
        assert!((0..100).all(|_| stream.weighted(&[0, 3, 0, 5, 0]).is_some_and(|place| place % 2 == 1)));
    }

    #[test]
    fn quantiles_are_met() {
        let mut stream = Stream::new(1, Purpose::RunTimes);
        let mut values: Vec<u64> =
            (0..10_000).map(|_| stream.quantile(&[(0, 10), (500, 100), (900, 1000), (1000, 5000)])).collect();
        values.sort_unstable();
        assert!(values[0] >= 10 && values[9999] < 5000);
        assert!((95..=105).contains(&values[5000]) && (950..=1050).contains(&values[9000]));
        assert_eq!(stream.quantile(&[]), 0);
    }
}
