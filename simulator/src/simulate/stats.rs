//! Small exact arithmetic: sums stay integers until the last step, so every machine prints the same digits.

use super::result::WaitStats;

/// `part / whole`, rounded to three decimals; 0 of nothing is 0.
pub(super) fn ratio(part: u128, whole: u128) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    let thousandths = part.saturating_mul(1000).saturating_add(whole / 2) / whole;
    thousandths as f64 / 1000.0
}

/// Rounds to three decimals.
pub(super) fn round3(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Statistics of waiting times in ascending order, seconds.
pub(super) fn wait_stats(ascending_s: &[u64]) -> WaitStats {
    let Some(&max_s) = ascending_s.last() else { return WaitStats::default() };
    let sum: u128 = ascending_s.iter().map(|&wait| u128::from(wait)).sum();
    WaitStats {
        mean_s: ratio(sum, ascending_s.len() as u128),
        p50_s: quantile(ascending_s, 50),
        p90_s: quantile(ascending_s, 90),
        p99_s: quantile(ascending_s, 99),
        max_s,
    }
}

/// The least value that `percent` of the values do not exceed (nearest rank); 0 of nothing.
pub fn quantile(ascending: &[u64], percent: usize) -> u64 {
    let rank = (ascending.len() * percent).div_ceil(100).max(1);
    ascending.get(rank - 1).copied().unwrap_or(0)
}

/// Mean and sample standard deviation; the deviation of one value is 0.
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    if values.len() == 1 {
        return (mean, 0.0);
    }
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, (squares / (count - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (case, values, percent, expected) in [
            ("median of a hundred", &hundred[..], 50, 50),
            ("p99 of a hundred", &hundred[..], 99, 99),
            ("p99 of three is the last", &[1, 2, 3][..], 99, 3),
            ("median of two is the first", &[1, 2][..], 50, 1),
            ("nothing", &[][..], 50, 0),
        ] {
            assert_eq!(quantile(values, percent), expected, "{case}");
        }
    }

    #[test]
    fn ratios_round_half_up_and_survive_nothing() {
        assert_eq!(ratio(1, 3), 0.333);
        assert_eq!(ratio(2, 3), 0.667);
        assert_eq!(ratio(5, 0), 0.0);
        assert_eq!(mean_and_deviation(&[2.0, 4.0]).0, 3.0);
    }
}
