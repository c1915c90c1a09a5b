//! Kubernetes quantities (`500m`, `1.5`, `64Mi`, `2e3`), exactly. Owns their grammar; knows no resource.

use std::str::FromStr;

/// An amount in billionths, the finest step Kubernetes knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nano: i128,
}

/// One, in billionths.
const ONE: i128 = 1_000_000_000;

/// Kubernetes holds no more than this, in whole units.
const WHOLE_MAX: i128 = i64::MAX as i128;

const EXPECTED: &str = "expected a Kubernetes quantity such as `2`, `500m`, `1.5` or `64Mi`";

impl Quantity {
    /// In whole units (bytes, GPUs, cores), rounded down.
    pub fn whole(self) -> i64 {
        i64::try_from(self.nano.div_euclid(ONE)).unwrap_or(i64::MAX)
    }

    /// In thousandths, rounded down; as many as fit for the largest amounts.
    pub fn milli(self) -> i64 {
        i64::try_from(self.nano.div_euclid(ONE / 1000)).unwrap_or(i64::MAX)
    }

    /// In thousandths, rounded up, as Kubernetes counts the requests of pods; as many as fit for the largest amounts.
    pub fn milli_up(self) -> i64 {
        i64::try_from(-(-self.nano).div_euclid(ONE / 1000)).unwrap_or(i64::MAX)
    }

    /// In billionths, exactly: what is added up before it is rounded.
    pub fn nano(self) -> i128 {
        self.nano
    }

    /// Is it a whole number of units?
    pub fn is_whole(self) -> bool {
        self.nano % ONE == 0
    }

    /// Is it a whole number of thousandths?
    pub fn is_milli(self) -> bool {
        self.nano % (ONE / 1000) == 0
    }
}

/// What a suffix multiplies by, as a fraction.
fn suffix(text: &str) -> Option<(i128, i128)> {
    Some(match text {
        "" => (1, 1),
        "n" => (1, ONE),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (ONE, 1),
        "T" => (1_000 * ONE, 1),
        "P" => (1_000_000 * ONE, 1),
        "E" => (ONE * ONE, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => return exponent(text),
    })
}

/// `e3` or `E-3`.
fn exponent(text: &str) -> Option<(i128, i128)> {
    let exponent: i32 = text.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs()).filter(|power| *power <= ONE * ONE)?;
    Some(if exponent < 0 { (1, power) } else { (power, 1) })
}

impl FromStr for Quantity {
    type Err = String;

    /// Finer than a billionth is rounded up, as Kubernetes does.
    fn from_str(text: &str) -> Result<Self, String> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, rest) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(EXPECTED.to_owned());
        }
        let (times, by) = suffix(rest).ok_or(EXPECTED)?;
        let size = scaled(whole, fraction, times, by).filter(|nano| *nano <= WHOLE_MAX * ONE);
        let size = size.ok_or("too large or too long; Kubernetes holds at most 2^63 - 1")?;
        Ok(Quantity { nano: if negative { -size } else { size } })
    }
}

/// The number in billionths, times a fraction, rounded up.
fn scaled(whole: &str, fraction: &str, times: i128, by: i128) -> Option<i128> {
    let mut digits: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        digits = digits.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let decimals = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?.checked_mul(by)?;
    // Whole part and rest apart, so that long fractions do not overflow.
    let unit = times.checked_mul(ONE)?;
    let rest = (digits % decimals).checked_mul(unit)?;
    let up = rest / decimals + i128::from(rest % decimals != 0);
    (digits / decimals).checked_mul(unit)?.checked_add(up)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_mean_what_kubernetes_says() {
        for (text, nano) in [
            ("0", 0),
            ("2", 2 * ONE),
            ("+2", 2 * ONE),
            ("-2", -2 * ONE),
            ("500m", ONE / 2),
            ("1.5", ONE + ONE / 2),
            (".5", ONE / 2),
            ("1.", ONE),
            ("64Mi", 64 * 1024 * 1024 * ONE),
            ("1.5Ki", 1536 * ONE),
            ("1k", 1000 * ONE),
            ("1e3", 1000 * ONE),
            ("1E", ONE * ONE * ONE),
            ("1E-3", ONE / 1000),
            ("5n", 5),
            ("0.1n", 1),
            ("7Ei", 7 * (1 << 60) * ONE),
        ] {
            assert_eq!(text.parse::<Quantity>().map(|quantity| quantity.nano), Ok(nano), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in
            ["", ".", "-", "m", "1 Mi", "1mi", "1KI", "1e", "1.2.3", "0x10", "1e99", "9E19", "8Ei", "1,5", "é", "１"]
        {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
        assert!("9".repeat(60).parse::<Quantity>().is_err());
        assert!(format!("1.{}", "3".repeat(60)).parse::<Quantity>().is_err());
    }

    #[test]
    fn amounts_in_thousandths_are_rounded_the_way_asked_for() {
        let quantity: Quantity = "1500u".parse().expect("a quantity");
        assert_eq!((quantity.milli(), quantity.milli_up(), quantity.whole()), (1, 2, 0));
        assert!(!quantity.is_milli() && !quantity.is_whole());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn thousandths_written_in_any_way_are_the_same(milli in 0_i64..1_000_000_000) {
            let decimal = format!("{}.{:03}", milli / 1000, milli % 1000);
            for text in [format!("{milli}m"), format!("{milli}e-3"), decimal] {
                prop_assert_eq!(text.parse::<Quantity>().map(Quantity::milli), Ok(milli));
            }
        }
    }
}
