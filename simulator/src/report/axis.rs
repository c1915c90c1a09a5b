//! Axes with round numbers at their ticks.

/// One axis of a plot, in the plot's own unit.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// What is shown, with the unit.
    pub(super) title: String,
    /// The values at the two ends.
    pub(super) range: (f64, f64),
    /// Values with their labels.
    pub(super) ticks: Vec<(f64, String)>,
}

/// Aim for about this many intervals between ticks.
const INTERVALS: f64 = 5.0;

/// Lengths of time that make round steps: the step, its unit and the unit's name, seconds.
const TIME_STEPS: [(f64, f64, &str); 17] = [
    (1.0, 1.0, "seconds"),
    (10.0, 1.0, "seconds"),
    (60.0, 60.0, "minutes"),
    (300.0, 60.0, "minutes"),
    (600.0, 60.0, "minutes"),
    (1_800.0, 60.0, "minutes"),
    (3_600.0, 3_600.0, "hours"),
    (7_200.0, 3_600.0, "hours"),
    (14_400.0, 3_600.0, "hours"),
    (21_600.0, 3_600.0, "hours"),
    (43_200.0, 3_600.0, "hours"),
    (86_400.0, 86_400.0, "days"),
    (172_800.0, 86_400.0, "days"),
    (432_000.0, 86_400.0, "days"),
    (864_000.0, 86_400.0, "days"),
    (2_592_000.0, 86_400.0, "days"),
    (8_640_000.0, 86_400.0, "days"),
];

/// Ticks of a logarithmic axis of waiting times, seconds.
const WAIT_TICKS: [(f64, &str); 11] = [
    (1.0, "1 s"),
    (10.0, "10 s"),
    (60.0, "1 min"),
    (600.0, "10 min"),
    (3_600.0, "1 h"),
    (21_600.0, "6 h"),
    (86_400.0, "1 d"),
    (604_800.0, "7 d"),
    (2_592_000.0, "30 d"),
    (31_536_000.0, "1 y"),
    (315_360_000.0, "10 y"),
];

impl Axis {
    /// A linear axis that covers the values and begins and ends on a tick, but passes neither limit.
    pub(super) fn linear(title: &str, values: (f64, f64), limits: (f64, f64), suffix: &str) -> Axis {
        let step = round_step((values.1 - values.0) / INTERVALS);
        let low = ((values.0 / step).floor() * step).max(limits.0);
        let high = ((values.1 / step).ceil() * step).max(low + step).min(limits.1);
        let decimals = if step < 0.1 { 2 } else { usize::from(step < 1.0) };
        let mut ticks = Vec::new();
        let first = (low / step).ceil();
        while (first + ticks.len() as f64) * step <= high + step * 1e-9 {
            let value = (first + ticks.len() as f64) * step;
            ticks.push((value, format!("{}{suffix}", grouped(value, decimals))));
        }
        Axis { title: title.to_owned(), range: (low, high), ticks }
    }

    /// Time since the first arrival, from 0 to `length_s`; the title names the unit of the labels.
    pub(super) fn elapsed(length_s: f64) -> Axis {
        let enough = |(step, _, _): &&(f64, f64, &str)| length_s / step <= INTERVALS + 2.0;
        let (step, unit, name) = TIME_STEPS.iter().find(enough).copied().unwrap_or_else(|| {
            let days = round_step(length_s / 86_400.0 / INTERVALS);
            (days * 86_400.0, 86_400.0, "days")
        });
        let count = (length_s / step + 1e-9).floor() as usize;
        let ticks = (0..=count).map(|index| index as f64 * step);
        let ticks = ticks.map(|at| (at, grouped(at / unit, 0))).collect();
        Axis { title: format!("time since the first arrival, {name}"), range: (0.0, length_s), ticks }
    }

    /// Waiting times from one second to `max_s`; values on this axis are decadic logarithms of seconds.
    pub(super) fn log_wait(max_s: f64) -> Axis {
        let high = libm::log10(max_s.max(60.0));
        let ticks = WAIT_TICKS.iter().map(|(seconds, label)| (libm::log10(*seconds), (*label).to_owned()));
        let ticks = ticks.filter(|(at, _)| *at <= high).collect();
        Axis { title: "waiting time (logarithmic)".to_owned(), range: (0.0, high), ticks }
    }

    /// Where a value lies between the ends, 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        let length = self.range.1 - self.range.0;
        if length > 0.0 { ((value - self.range.0) / length).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// The least of 1, 2, 5 times a power of ten that is not below `rough`.
fn round_step(rough: f64) -> f64 {
    let mut step = 0.01;
    loop {
        for factor in [1.0, 2.0, 5.0] {
            if step * factor >= rough || step > 1e18 {
                return step * factor;
            }
        }
        step *= 10.0;
    }
}

/// A number with its thousands in groups.
fn grouped(value: f64, decimals: usize) -> String {
    if decimals == 0 {
        return crate::simulate::units::count(value.max(0.0).round() as u64);
    }
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        let everything = (f64::MIN, f64::MAX);
        for (case, axis, expected) in [
            ("percent", Axis::linear("", (71.0, 99.5), (0.0, 100.0), " %"), vec!["70 %", "80 %", "90 %", "100 %"]),
            ("from zero", Axis::linear("", (0.0, 1234.0), everything, ""), vec!["0", "500", "1,000", "1,500"]),
            ("all the same", Axis::linear("", (0.0, 0.0), everything, ""), vec!["0.00", "0.01"]),
            ("three days", Axis::elapsed(3.0 * 86_400.0), vec!["0", "12", "24", "36", "48", "60", "72"]),
            ("six days", Axis::elapsed(6.4 * 86_400.0), vec!["0", "1", "2", "3", "4", "5", "6"]),
            ("waits", Axis::log_wait(4_000.0), vec!["1 s", "10 s", "1 min", "10 min", "1 h"]),
        ] {
            assert_eq!(labels(&axis), expected, "{case}");
        }
    }

    #[test]
    fn extreme_values_end() {
        for length in [0.0, 1e-9, 1e17] {
            assert!(Axis::elapsed(length).ticks.len() < 20);
            assert!(Axis::linear("", (0.0, length), (0.0, f64::MAX), "").ticks.len() < 20);
        }
    }
}
