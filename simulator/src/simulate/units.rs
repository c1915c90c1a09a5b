//! Quantities as people read them: three significant digits and the unit that suits the size.

use super::Spread;

/// A unit of time: its length in seconds and its sign. Largest first.
const TIME_UNITS: [(f64, &str); 4] = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s")];

/// A length of time.
pub fn duration(seconds: f64) -> String {
    let (length, sign) = unit_for(seconds);
    format!("{}\u{a0}{sign}", significant(seconds / length))
}

/// A length of time with its deviation over seeds, in one unit; the deviation is left out where there is none.
pub fn duration_spread(spread: Spread, runs: usize) -> String {
    if runs < 2 || spread.deviation == 0.0 {
        return duration(spread.mean);
    }
    let (length, sign) = unit_for(spread.mean);
    let (mean, deviation) = (significant(spread.mean / length), significant(spread.deviation / length));
    format!("{mean}\u{a0}\u{b1}\u{a0}{deviation}\u{a0}{sign}")
}

/// A share in percent with its deviation over seeds.
pub fn percent_spread(spread: Spread, runs: usize) -> String {
    if runs < 2 || spread.deviation == 0.0 {
        return format!("{:.1}\u{a0}%", spread.mean);
    }
    format!("{:.1}\u{a0}\u{b1}\u{a0}{:.1}\u{a0}%", spread.mean, spread.deviation)
}

/// A count, in groups of three digits.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// At most three significant digits, without an exponent: `0.25`, `3.4`, `12.3`, `456`, `1,234`.
pub fn significant(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        0.0..0.995 => format!("{value:.2}"),
        0.995..99.95 => format!("{value:.1}"),
        _ => count(value.abs().round() as u64),
    }
}

fn unit_for(seconds: f64) -> (f64, &'static str) {
    TIME_UNITS.iter().find(|(length, _)| seconds >= *length).copied().unwrap_or((1.0, "s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_suits() {
        for (seconds, expected) in
            [(0.0, "0 s"), (0.25, "0.25 s"), (59.0, "59.0 s"), (90.0, "1.5 min"), (7200.0, "2.0 h"), (1e7, "116 d")]
        {
            assert_eq!(duration(seconds).replace('\u{a0}', " "), expected);
        }
        assert_eq!(count(1_234_567), "1,234,567");
        let spread = Spread { mean: 120.0, deviation: 30.0 };
        assert_eq!(duration_spread(spread, 3).replace('\u{a0}', " "), "2.0 ± 0.50 min");
    }
}
