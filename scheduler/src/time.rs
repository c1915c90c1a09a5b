//! Times as objects have them (RFC 3339). Owns reading them; asks no clock.

use berth_engine::Timestamp;

/// Milliseconds since 1970, of `2026-11-21T18:00:00Z`, with or without a fraction and an offset; finer parts are cut off.
/// `None` for anything else, and for times before 1970.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let mut date = date.split('-').map(digits);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.split(':').map(digits);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let sound = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !sound || date.next().is_some() || clock.next().is_some() || !(1970..10_000).contains(&year) {
        return None;
    }
    digits(fraction.get(..fraction.len().min(9))?)?;
    let ms = digits(&format!("{fraction:0<3}")[..3])?;
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset(zone)?;
    u64::try_from(seconds * 1000 + ms).ok().map(Timestamp)
}

/// A number without sign.
fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.as_bytes().first()? {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return (zone.len() == 1).then_some(0),
    };
    let (hours, minutes) = rest.split_once(':')?;
    Some(sign * (digits(hours)? * 3_600 + digits(minutes)? * 60))
}

/// Days from 1970-01-01 to a date, in the calendar of Gregory.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years from March on, so that the leap day is the last of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_millisecond() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2026-11-21T18:00:00Z", 1_795_284_000_000),
            ("2026-11-21T18:00:00.123456Z", 1_795_284_000_123),
            ("2026-11-21T20:00:00+02:00", 1_795_284_000_000),
            ("2026-11-21T12:30:00-05:30", 1_795_284_000_000),
        ] {
            assert_eq!(timestamp(text), Some(Timestamp(ms)), "{text}");
        }
        for text in ["", "now", "2026-11-21", "2026-13-01T00:00:00Z", "2026-11-21T18:00Z", "1969-12-31T23:59:59Z", "é"]
        {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }
}
