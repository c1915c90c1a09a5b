//! Times as objects have them (RFC 3339). Owns reading and writing them; asks no clock.

use berth_engine::Timestamp;

/// Milliseconds since 1970, of `2026-11-21T18:00:00Z`, with or without a fraction and an offset; finer parts are cut off.
/// `None` for anything else, and for times before 1970.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Timestamp)
}

/// `2026-11-21T18:00:00Z`, as objects and messages have it.
pub(crate) fn written(time: Timestamp) -> String {
    let ms = i64::try_from(time.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_string()
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
        for text in ["", "now", "2026-11-21", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "é"] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let time = Timestamp(1_795_284_000_123);
        assert_eq!(written(time), "2026-11-21T18:00:00.123Z");
        assert_eq!(timestamp(&written(time)), Some(time));
        assert_eq!(written(Timestamp(u64::MAX)), jiff::Timestamp::MAX.to_string(), "no panic");
    }
}
