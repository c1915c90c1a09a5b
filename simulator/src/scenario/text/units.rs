//! Amounts as people write them, and back: `0.5` GPUs, `500m`, `16Gi`, `10m`. Every amount read is whole in its own unit.
//! Owns the spelling of amounts. Knows no objects.

use super::super::format::UNLIMITED;

const MIB_PER_GIB: u64 = 1024;
const SECONDS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// What an amount must look like, for messages.
pub(super) const THOUSANDTHS: &str = "a number such as 2, 0.5 or 500m (thousandths)";
pub(super) const MEMORY: &str = "an amount such as 512Mi or 16Gi";
pub(super) const TIME: &str = "a time such as 90s, 10m, 5h or 2d";

/// `2`, `0.5` or `500m` as thousandths.
pub(super) fn thousandths(text: &str) -> Option<u64> {
    if let Some(milli) = text.strip_suffix('m') {
        return digits(milli);
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() || part.len() > 3 {
        return None;
    }
    let part = digits::<u64>(part)? * 10u64.pow(3 - part.len() as u32);
    digits::<u64>(whole)?.checked_mul(1000)?.checked_add(part)
}

/// Thousandths as they are written: whole where they are.
pub(crate) fn show_thousandths(milli: u64) -> String {
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// `512Mi` or `16Gi` as MiB; `0` needs no unit.
pub(super) fn mib(text: &str) -> Option<u64> {
    match (text.strip_suffix("Mi"), text.strip_suffix("Gi")) {
        (Some(mib), _) => digits(mib),
        (_, Some(gib)) => digits::<u64>(gib)?.checked_mul(MIB_PER_GIB),
        _ => digits(text).filter(|zero| *zero == 0),
    }
}

/// MiB as they are written.
pub(crate) fn show_mib(mib: u64) -> String {
    if mib.is_multiple_of(MIB_PER_GIB) { format!("{}Gi", mib / MIB_PER_GIB) } else { format!("{mib}Mi") }
}

/// `90s`, `10m`, `5h` or `2d` as seconds; `0` needs no unit.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let unit = SECONDS.iter().find_map(|(suffix, seconds)| Some((text.strip_suffix(suffix)?, seconds)));
    match unit {
        Some((number, seconds)) => digits::<u64>(number)?.checked_mul(*seconds),
        None => digits(text).filter(|zero| *zero == 0),
    }
}

/// Seconds as they are written, in the largest unit that divides them.
pub(crate) fn show_seconds(seconds: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| seconds >= *unit && seconds.is_multiple_of(*unit);
    SECONDS.iter().find(fits).map_or_else(|| "0s".to_owned(), |(suffix, unit)| format!("{}{suffix}", seconds / unit))
}

/// An amount of a queue, or `unlimited`.
pub(super) fn bound(text: &str, amount: impl Fn(&str) -> Option<u64>) -> Option<i64> {
    if text == "unlimited" { Some(UNLIMITED) } else { amount(text).and_then(|amount| i64::try_from(amount).ok()) }
}

/// A plain number: digits only, so no sign and no spaces.
pub(super) fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_written_and_refused_where_they_are_not_exact() {
        let cases: [(&str, Option<u64>); 9] = [
            ("2", Some(2000)),
            ("0.5", Some(500)),
            ("1.125", Some(1125)),
            ("500m", Some(500)),
            ("0.1234", None),
            ("1.", None),
            (".5", None),
            ("-1", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(thousandths(text), expected, "{text}");
        }
        for (text, expected) in [("5Mi", Some(5)), ("2Gi", Some(2048)), ("0", Some(0)), ("5", None), ("Gi", None)] {
            assert_eq!(mib(text), expected, "{text}");
        }
        for (text, expected) in [("90s", Some(90)), ("2d", Some(172_800)), ("0", Some(0)), ("5", None), ("+5s", None)] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn amounts_read_back_as_shown() {
        for amount in [0, 1, 59, 60, 61, 500, 1000, 1024, 1500, 3600, 86_400, 90_061, 1 << 30] {
            assert_eq!(seconds(&show_seconds(amount)), Some(amount));
            assert_eq!(mib(&show_mib(amount)), Some(amount));
            assert_eq!(thousandths(&show_thousandths(amount)), Some(amount));
        }
    }
}
