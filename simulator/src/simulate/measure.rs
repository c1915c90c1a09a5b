//! What is going on over time: integrals over the window and its buckets, exact to the millisecond.
//! Owns no opinion about scheduling; is told the level that held until now.

use serde::Serialize;

use super::stats::ratio;

/// The most buckets a timeline has: about one per two pixels of a plot.
const BUCKETS_MAX: u64 = 400;

/// Lengths of buckets that people can name, seconds; beyond the last, whole days.
const STEPS_S: [u64; 18] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, DAY_S];
const DAY_S: u64 = 86_400;

/// What is the case between two instants.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Level {
    /// GPU held by pods, thousandths.
    pub(super) allocated_milli: u64,
    /// GPU asked for by waiting pods, thousandths. Pods that can never fit are not counted: they wait for nothing.
    pub(super) waiting_milli: u64,
    /// How many pods wait, without those that can never fit.
    pub(super) waiting_pods: u64,
}

/// Time integrals of a level: value times milliseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Integral {
    length_ms: u64,
    allocated: u128,
    waiting_milli: u128,
    waiting_pods: u128,
    stranded: u128,
}

impl Integral {
    fn add(&mut self, level: &Level, capacity_milli: u64, length_ms: u64) {
        let length = u128::from(length_ms);
        let idle = capacity_milli.saturating_sub(level.allocated_milli);
        self.length_ms += length_ms;
        self.allocated += u128::from(level.allocated_milli) * length;
        self.waiting_milli += u128::from(level.waiting_milli) * length;
        self.waiting_pods += u128::from(level.waiting_pods) * length;
        self.stranded += u128::from(idle.min(level.waiting_milli)) * length;
    }
}

/// The window in buckets of equal length (the last may be shorter); every number is a mean over its bucket.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// Start of the first bucket, seconds from the start of the trace.
    pub start_s: f64,
    /// Length of a bucket, seconds.
    pub step_s: f64,
    /// GPU held by pods, thousandths.
    pub allocated_milli: Vec<u64>,
    /// GPU asked for by waiting pods, thousandths.
    pub waiting_milli: Vec<u64>,
    /// How many pods wait.
    pub waiting_pods: Vec<f64>,
}

/// Integrates levels over a window.
#[derive(Debug)]
pub(super) struct Measure {
    start_ms: u64,
    end_ms: u64,
    step_ms: u64,
    seen_ms: u64,
    capacity_milli: u64,
    total: Integral,
    buckets: Vec<Integral>,
}

impl Measure {
    pub(super) fn new(start_ms: u64, end_ms: u64, capacity_milli: u64) -> Self {
        let length = end_ms.saturating_sub(start_ms);
        let least_s = length.div_ceil(1000 * BUCKETS_MAX);
        let step_s = STEPS_S.into_iter().find(|step_s| *step_s >= least_s);
        let step_ms = 1000 * step_s.unwrap_or_else(|| least_s.next_multiple_of(DAY_S));
        let buckets = vec![Integral::default(); length.div_ceil(step_ms) as usize];
        Measure { start_ms, end_ms, step_ms, seen_ms: start_ms, capacity_milli, total: Integral::default(), buckets }
    }

    /// `level` held from the last instant until now.
    pub(super) fn until(&mut self, now_ms: u64, level: &Level) {
        let now_ms = now_ms.min(self.end_ms);
        while self.seen_ms < now_ms {
            let index = (self.seen_ms - self.start_ms) / self.step_ms;
            let bucket_end_ms = self.start_ms + (index + 1) * self.step_ms;
            let until_ms = bucket_end_ms.min(now_ms);
            let length_ms = until_ms - self.seen_ms;
            self.total.add(level, self.capacity_milli, length_ms);
            if let Some(bucket) = self.buckets.get_mut(index as usize) {
                bucket.add(level, self.capacity_milli, length_ms);
            }
            self.seen_ms = until_ms;
        }
    }

    pub(super) fn window_s(&self) -> f64 {
        ratio(u128::from(self.end_ms - self.start_ms), 1000)
    }

    pub(super) fn allocated_percent(&self) -> f64 {
        ratio(self.total.allocated * 100, self.capacity_ms())
    }

    pub(super) fn stranded_percent(&self) -> f64 {
        ratio(self.total.stranded * 100, self.capacity_ms())
    }

    pub(super) fn waiting_gpus_mean(&self) -> f64 {
        ratio(self.total.waiting_milli, 1000 * u128::from(self.end_ms - self.start_ms))
    }

    pub(super) fn timeline(&self) -> Timeline {
        let mean = |sum: u128, bucket: &Integral| {
            let length = u128::from(bucket.length_ms).max(1);
            ((sum + length / 2) / length) as u64
        };
        Timeline {
            start_s: ratio(u128::from(self.start_ms), 1000),
            step_s: ratio(u128::from(self.step_ms), 1000),
            allocated_milli: self.buckets.iter().map(|bucket| mean(bucket.allocated, bucket)).collect(),
            waiting_milli: self.buckets.iter().map(|bucket| mean(bucket.waiting_milli, bucket)).collect(),
            waiting_pods: self.buckets.iter().map(|b| ratio(b.waiting_pods, u128::from(b.length_ms))).collect(),
        }
    }

    fn capacity_ms(&self) -> u128 {
        u128::from(self.capacity_milli) * u128::from(self.end_ms - self.start_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_means_not_samples_and_the_drain_is_left_out() {
        // 800 s in buckets of 2 s; half a bucket at 1000, the rest of the window at 0, then the drain.
        let mut measure = Measure::new(100_000, 900_000, 2000);
        let busy = Level { allocated_milli: 1000, waiting_milli: 4000, waiting_pods: 3 };
        measure.until(101_000, &busy);
        measure.until(900_000, &Level::default());
        measure.until(5_000_000, &busy);
        let timeline = measure.timeline();
        assert_eq!(timeline.allocated_milli.len(), 400);
        assert_eq!(timeline.allocated_milli[..2], [500, 0]);
        assert_eq!(timeline.waiting_pods[..2], [1.5, 0.0]);
        assert_eq!(measure.allocated_percent(), 0.063); // 1000 for 1 s of 2000 for 800 s
        assert_eq!(measure.stranded_percent(), 0.063); // only 1000 idled, though 4000 were asked for
        assert_eq!(measure.waiting_gpus_mean(), 0.005);
    }

    #[test]
    fn buckets_have_lengths_with_a_name() {
        for (window_s, step_s) in [(0, 1.0), (100, 1.0), (4 * DAY_S, 900.0), (1_000 * DAY_S, 259_200.0)] {
            assert_eq!(Measure::new(7, 7 + 1000 * window_s, 0).timeline().step_s, step_s, "{window_s}");
        }
    }
}
