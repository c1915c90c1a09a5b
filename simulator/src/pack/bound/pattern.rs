//! Ways to cut one card into shares.
//! Owns the search for the pattern worth most. May not know where the worths come from.

use std::collections::BTreeMap;

/// Thousandths in one card.
pub(super) const CARD_MILLI: u32 = 1000;

/// A way to cut one card: how many shares of each size (thousandths, adding up to at most one card).
pub(super) type Pattern = BTreeMap<u32, u32>;

/// The pattern of `sizes` (thousandths, ascending) whose shares are worth most in sum, `worth` in the order of sizes
/// and not negative, and its worth. The rest of the card is filled with what is worth nothing, so that no other pattern
/// holds all its shares and more.
///
/// An unbounded knapsack, by the best worth of each smaller card.
pub(super) fn worth_most(sizes: &[u32], worth: &[f64]) -> (Pattern, f64) {
    let unit = sizes.iter().copied().fold(CARD_MILLI, greatest_common_divisor);
    let units = |milli: u32| (milli / unit) as usize;
    // Of a card of so many units: the best worth, and the last share cut for it.
    let mut best: Vec<(f64, Option<u32>)> = vec![(0.0, None); units(CARD_MILLI) + 1];
    for card in 1..best.len() {
        best[card] = (best[card - 1].0, None);
        for (&size, worth) in sizes.iter().zip(worth) {
            if let Some(rest) = card.checked_sub(units(size))
                && best[rest].0 + worth > best[card].0
            {
                best[card] = (best[rest].0 + worth, Some(size));
            }
        }
    }
    let mut pattern = Pattern::new();
    let mut card = units(CARD_MILLI);
    while card > 0 {
        match best[card].1 {
            Some(size) => {
                *pattern.entry(size).or_default() += 1;
                card -= units(size);
            }
            None => card -= 1,
        }
    }
    fill(&mut pattern, sizes);
    (pattern, best[units(CARD_MILLI)].0)
}

/// For each size a card of as many such shares as go, filled up.
pub(super) fn plain(sizes: &[u32]) -> Vec<Pattern> {
    let of = |&size: &u32| {
        let mut pattern = Pattern::from([(size, CARD_MILLI / size)]);
        fill(&mut pattern, sizes);
        pattern
    };
    sizes.iter().map(of).collect()
}

/// `pattern` without the sizes that are not in `sizes`, filled up.
pub(super) fn restricted(pattern: &Pattern, sizes: &[u32]) -> Pattern {
    let mut pattern = pattern.clone();
    pattern.retain(|size, _| sizes.contains(size));
    fill(&mut pattern, sizes);
    pattern
}

/// Adds shares, large ones first, until none fits.
fn fill(pattern: &mut Pattern, sizes: &[u32]) {
    let used: u32 = pattern.iter().map(|(size, count)| size * count).sum();
    let mut left = CARD_MILLI.saturating_sub(used);
    for &size in sizes.iter().rev().filter(|&&size| size <= CARD_MILLI) {
        if size <= left {
            *pattern.entry(size).or_default() += left / size;
            left %= size;
        }
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_worth_most() {
        for (case, sizes, worth, pattern, total) in [
            ("no sizes", &[][..], &[][..], &[][..], 0.0),
            ("one large share beats small ones", &[300, 700], &[1.0, 3.0], &[(300, 1), (700, 1)], 4.0),
            ("many small ones beat a large one", &[250, 700], &[1.0, 2.5], &[(250, 4)], 4.0),
            ("filled with worthless shares", &[110, 160, 810], &[0.0, 0.0, 1.0], &[(160, 1), (810, 1)], 1.0),
            ("sizes without common divisor", &[333, 334], &[1.0, 1.0], &[(333, 3)], 3.0),
        ] {
            let (best, worth) = worth_most(sizes, worth);
            assert_eq!(best, pattern.iter().copied().collect(), "{case}");
            assert_eq!(worth, total, "{case}");
        }
    }

    #[test]
    fn plain_and_restricted_patterns_are_full() {
        let plain = plain(&[160, 810]);
        assert_eq!(plain, [[(160, 6)].into(), [(160, 1), (810, 1)].into()]);
        assert_eq!(restricted(&plain[1], &[50, 160]), [(160, 6)].into());
    }
}
