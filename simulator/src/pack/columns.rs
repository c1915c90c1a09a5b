//! Per-cent columns: what the cluster held when a given share of its GPU capacity had been asked for.
//! Source of the rule: fgd-protocol, section 1, "Sampling".

use std::ops::RangeBounds;

use super::run::Sample;

/// The samples of one column, boiled down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Column {
    /// Mean of the samples' allocation, per cent of all GPUs.
    pub allocated_percent: f64,
    /// Pods rejected up to the column's last sample.
    pub rejected_pods: u32,
}

/// The column at `percent` arrived, over a run's samples.
///
/// A sample belongs to the column its arrived per cent rounds to, half to even. A column without samples takes those of
/// its two neighbours. In a cluster so small that there are none either, it is what held when the per cent was passed.
pub fn column(samples: &[Sample], capacity_milli: u64, percent: u32) -> Column {
    let column = i64::from(percent);
    over(samples, capacity_milli, column..=column)
        .or_else(|| over(samples, capacity_milli, column - 1..=column + 1))
        .or_else(|| {
            over(samples.get(..before(samples, capacity_milli, percent))?.last_chunk::<1>()?, capacity_milli, ..)
        })
        .unwrap_or(Column { allocated_percent: 0.0, rejected_pods: 0 })
}

/// How many samples lie below the per cent.
fn before(samples: &[Sample], capacity_milli: u64, percent: u32) -> usize {
    samples.partition_point(|sample| 100 * sample.arrived_milli < u64::from(percent) * capacity_milli)
}

fn over(samples: &[Sample], capacity_milli: u64, columns: impl RangeBounds<i64>) -> Option<Column> {
    let of_capacity = |milli: u64| 100.0 * milli as f64 / capacity_milli as f64;
    let inside = |sample: &&Sample| columns.contains(&(of_capacity(sample.arrived_milli).round_ties_even() as i64));
    let (mut sum, mut count, mut last) = (0.0, 0_u32, None);
    for sample in samples.iter().filter(inside) {
        // Published samples were rounded to two decimals before they were averaged.
        sum += (100.0 * of_capacity(sample.allocated_milli)).round() / 100.0;
        count += 1;
        last = Some(sample);
    }
    last.map(|last| Column { allocated_percent: sum / f64::from(count), rejected_pods: last.rejected_pods })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_round_half_to_even_and_empty_columns_borrow_from_their_neighbours() {
        let sample = |arrived_milli, allocated_milli| Sample { arrived_milli, allocated_milli, rejected_pods: 7 };
        let samples = [sample(105, 100), sample(115, 110), sample(120, 115), sample(140, 130)];
        let at = |percent| column(&samples, 1000, percent).allocated_percent;
        assert_eq!(at(10), 10.0, "10.5 rounds to 10");
        assert_eq!(at(12), 11.25, "11.5 and 12 round to 12");
        assert_eq!(at(13), (11.0 + 11.5 + 13.0) / 3.0, "13 is empty and takes 12 to 14");
        assert_eq!(at(20), 13.0, "nothing near: what held when 20 was passed");
        assert_eq!(at(5), 0.0, "before the first arrival");
    }
}
