//! Go's `math/rand` generator, bit for bit, so that the published packing runs replay with the very same arrivals.
//! Owns the generator and the draws those runs use. Nothing else in Berth may draw from it: it is old and only fit
//! for replay; everything new uses ChaCha8.
//!
//! The algorithm is the additive lagged Fibonacci generator y(j) = y(j-607) + y(j-273) mod 2^64 (Go's `rng.go`).
//! Seeding xors the seed's own values into a table of 607 words, which is the generator's state 7.8e12 steps after
//! another seeding (Go's `gen_cooked.go`). The table is computed here, in about 4 ms and once per process, not copied:
//! stepping is linear, so N steps are x^N modulo the polynomial of the recurrence.

use std::num::NonZeroUsize;
use std::sync::OnceLock;

/// Words of state: the longer lag of the recurrence.
const LENGTH: usize = 607;
/// The shorter lag of the recurrence.
const TAP: usize = 273;
/// Slot of the first word to be replaced; the feed then walks downwards through the state.
const FEED_START: usize = LENGTH - TAP;
/// Steps from the table's seeding to the table (`gen_cooked.go`).
const TABLE_STEPS: u64 = 7_800_000_000_000;
/// Modulus of the seeding generator x -> 48271 x mod (2^31 - 1).
const SEED_MODULUS: u64 = (1 << 31) - 1;
/// Multiplier of the seeding generator.
const SEED_MULTIPLIER: u64 = 48_271;
/// What Go seeds with in place of 0, which the seeding generator would never leave.
const SEED_FOR_ZERO: u64 = 89_482_311;
/// Draws of the seeding generator thrown away before the first word.
const SEED_WARM_UP: usize = 20;

/// One stream of Go's `math/rand`.
#[derive(Debug, Clone)]
pub struct GoRand {
    state: Box<[u64; LENGTH]>,
    tap: usize,
    feed: usize,
}

impl GoRand {
    /// The stream of `rand.Seed(seed)`, for every seed that fits Go's int64.
    pub fn new(seed: u64) -> Self {
        let mut state = Box::new(seeded(seed, 40, 20));
        for (word, table) in state.iter_mut().zip(table()) {
            *word ^= table;
        }
        Self { state, tap: 0, feed: FEED_START }
    }

    /// The next draw, 0..2^63 (`Int63`).
    pub fn int63(&mut self) -> u64 {
        self.tap = (self.tap + LENGTH - 1) % LENGTH;
        self.feed = (self.feed + LENGTH - 1) % LENGTH;
        let word = self.state[self.feed].wrapping_add(self.state[self.tap]);
        self.state[self.feed] = word;
        word & (u64::MAX >> 1)
    }

    /// Throws `draws` draws away.
    pub fn discard(&mut self, draws: usize) {
        for _ in 0..draws {
            self.int63();
        }
    }

    /// Uniform in 0..n (`Intn`).
    pub fn intn(&mut self, n: NonZeroUsize) -> usize {
        let bits = if fits_int31(n.get()) { 31 } else { 63 };
        self.below(n.get() as u64, bits) as usize
    }

    /// A random order of 0..n (`Perm`).
    pub fn perm(&mut self, n: usize) -> Vec<usize> {
        let mut order = vec![0; n];
        for i in 0..n {
            let j = self.intn(NonZeroUsize::MIN.saturating_add(i));
            order[i] = order[j];
            order[j] = i;
        }
        order
    }

    /// Puts `items` in random order (`Shuffle`).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let n = i + 1;
            let j = if fits_int31(n) { self.int31n(n as u32) as usize } else { self.below(n as u64, 63) as usize };
            items.swap(i, j);
        }
    }

    /// Uniform in 0..n by modulo of the top `bits` bits; what lies past the last whole multiple of n is drawn again.
    fn below(&mut self, n: u64, bits: u32) -> u64 {
        let span = 1_u64 << bits;
        let n = n.min(span);
        let whole = span - span % n;
        loop {
            let draw = self.int63() >> (63 - bits);
            if draw < whole {
                return draw % n;
            }
        }
    }

    /// Uniform in 0..n by Lemire's multiplication of the top 32 bits, which only `Shuffle` uses.
    fn int31n(&mut self, n: u32) -> u32 {
        let rejected_below = n.wrapping_neg() % n;
        loop {
            let product = (self.int63() >> 31) * u64::from(n);
            if product as u32 >= rejected_below {
                return (product >> 32) as u32;
            }
        }
    }
}

/// Go draws 31 bits for bounds that fit an int32, 63 for larger ones.
fn fits_int31(n: usize) -> bool {
    n < 1 << 31
}

/// The state before any table is mixed in: three draws of the seeding generator for each word, shifted as told.
fn seeded(seed: u64, high_shift: u32, middle_shift: u32) -> [u64; LENGTH] {
    let mut x = match seed % SEED_MODULUS {
        0 => SEED_FOR_ZERO,
        seed => seed,
    };
    let mut next = || {
        x = x * SEED_MULTIPLIER % SEED_MODULUS;
        x
    };
    for _ in 0..SEED_WARM_UP {
        next();
    }
    std::array::from_fn(|_| (next() << high_shift) ^ (next() << middle_shift) ^ next())
}

/// The table that every seeding mixes in (Go's `rngCooked`).
fn table() -> &'static [u64; LENGTH] {
    static TABLE: OnceLock<[u64; LENGTH]> = OnceLock::new();
    TABLE.get_or_init(|| advanced(&seeded(1, 20, 10), TABLE_STEPS))
}

/// The state `steps` steps after `state`.
///
/// In the order in which they were or would be drawn, the words a(0), a(1), … obey a(i+607) = a(i+334) + a(i), so with
/// x^steps = Σ c(k) x^k modulo x^607 - x^334 - 1 the word a(steps+i) is Σ c(k) a(k+i). The word drawn i-th sits in slot
/// (333 - i) mod 607.
fn advanced(state: &[u64; LENGTH], steps: u64) -> [u64; LENGTH] {
    let slot = |drawn: u64| {
        let length = LENGTH as u64;
        ((FEED_START as u64 - 1 + length - drawn % length) % length) as usize
    };
    let mut words: Vec<u64> = (0..LENGTH as u64).map(|i| state[slot(i)]).collect();
    for i in 0..LENGTH {
        words.push(words[i + FEED_START].wrapping_add(words[i]));
    }
    let power = x_to_the(steps);
    let mut later = [0; LENGTH];
    for i in 0..LENGTH {
        let terms = power.iter().zip(&words[i..]);
        later[slot(steps + i as u64)] = terms.fold(0, |sum: u64, (c, word)| sum.wrapping_add(c.wrapping_mul(*word)));
    }
    later
}

/// The coefficients of x^exponent modulo x^607 - x^334 - 1, lowest power first, by squaring.
fn x_to_the(exponent: u64) -> [u64; LENGTH] {
    let mut power = [0_u64; LENGTH];
    power[0] = 1;
    for bit in (0..u64::BITS - exponent.leading_zeros()).rev() {
        // One spare place for the multiplication by x.
        let mut square = [0_u64; 2 * LENGTH];
        let odd = (exponent >> bit & 1) as usize;
        for (i, &a) in power.iter().enumerate().filter(|&(_, &a)| a != 0) {
            for (sum, &b) in square[i + odd..].iter_mut().zip(&power) {
                *sum = sum.wrapping_add(a.wrapping_mul(b));
            }
        }
        for i in (LENGTH..2 * LENGTH).rev() {
            square[i - TAP] = square[i - TAP].wrapping_add(square[i]);
            square[i - LENGTH] = square[i - LENGTH].wrapping_add(square[i]);
        }
        power.copy_from_slice(&square[..LENGTH]);
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first draws, then the FNV-1a hash of everything else a run can draw, as Go 1.26's own `math/rand` has them.
    #[test]
    fn draws_what_go_draws() {
        for (seed, first, rest) in [
            (0, [8717895732742165505, 2259404117704393152, 6050128673802995827], 0xbe5347f39358fb89),
            (1, [5577006791947779410, 8674665223082153551, 6129484611666145821], 0xfcd2878529df68a4),
            (42, [3440579354231278675, 608747136543856411, 5571782338101878760], 0x19adb6accb41069),
            (43, [251513763977812265, 4758643001895455243, 4454543167247874465], 0x849bc3ceeef30184),
            (51, [3893522058333705853, 6164845938608892732, 3083795589842122694], 0x400a82c4e2123735),
            (2147483646, [3644962268338389676, 550171362161912239, 3094056749125766625], 0x5501e06571413f03),
            (2147483647, [8717895732742165505, 2259404117704393152, 6050128673802995827], 0xbe5347f39358fb89),
            (123456789012345, [3737036971006415568, 7575832930880105937, 4956748923785984301], 0xe82595ff7df0aa89),
            (i64::MAX as u64, [5577006791947779410, 8674665223082153551, 6129484611666145821], 0xfcd2878529df68a4),
        ] {
            let mut rand = GoRand::new(seed);
            assert_eq!(first.map(|_| rand.int63()), first, "seed {seed}");
            assert_eq!(fnv_1a(&everything_else(&mut rand)), rest, "seed {seed}: later draws");
        }
    }

    /// 2000 draws, a shuffle, a permutation and bounded draws on both sides of 2^31, printed as Go prints them.
    fn everything_else(rand: &mut GoRand) -> String {
        let mut printed: String = (0..2000).map(|_| format!("{},", rand.int63())).collect();
        let mut order: Vec<usize> = (0..1000).collect();
        rand.shuffle(&mut order);
        for order in [order, rand.perm(1213)] {
            let words: Vec<String> = order.iter().map(usize::to_string).collect();
            printed += &format!("[{}]", words.join(" "));
        }
        let largest = 6_917_529_027_641_081_857;
        for n in [1, 2, 3, 7, 1024, 8152, (1 << 30) + 1, (1 << 31) - 1, 1 << 31, 3_000_000_000, largest] {
            let n = NonZeroUsize::new(n).unwrap();
            printed.extend((0..20).map(|_| format!("{},", rand.intn(n))));
        }
        printed
    }

    fn fnv_1a(text: &str) -> u64 {
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    #[test]
    fn jumping_ahead_is_stepping() {
        let start = seeded(7, 20, 10);
        for steps in [0, 1, 272, 606, 607, 608, 5000] {
            // The step of the recurrence on a bare state, as in `int63`.
            let mut stepped = GoRand { state: Box::new(start), tap: 0, feed: FEED_START };
            stepped.discard(steps);
            assert_eq!(advanced(&start, steps as u64), *stepped.state, "{steps} steps");
        }
    }
}
