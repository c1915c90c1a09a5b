//! Values with a unit, as users write them: lengths of time, sizes, factors. Owns how each is written and read; knows no
//! field and no range.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::quantity::Quantity;

/// A length of time in whole milliseconds, written as Kubernetes does: `15s`, `1m30s`, `100ms`, `1.5h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    ms: u64,
}

/// A length of time, or `forever`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lasting {
    /// So long.
    For(Duration),
    /// Without end.
    Forever,
}

/// A number of bytes, written as a quantity: `64Mi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// A factor in thousandths, written as a quantity: `1`, `1.5`, `500m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Factor {
    /// Thousandths; 1000 = one.
    pub milli: u32,
}

/// Units of a duration, the longest first, in ms.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Duration {
    /// So many milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Duration { ms }
    }

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Duration { ms: seconds * 1000 }
    }

    /// In milliseconds.
    pub const fn ms(self) -> u64 {
        self.ms
    }

    /// As the standard library has it.
    pub const fn std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.ms)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return out.write_str("0s");
        }
        let mut rest = self.ms;
        for (unit, size) in UNITS {
            if rest >= size {
                write!(out, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Duration { ms: 0 });
        }
        let expected = || "expected a duration with units, such as `15s`, `1m30s` or `100ms`".to_owned();
        let (mut ms, mut rest) = (0_u64, text);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(expected)?;
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            let (_, size) = UNITS.into_iter().find(|(known, _)| *known == unit).ok_or_else(expected)?;
            let part = times(number, size).ok_or_else(expected)?;
            ms = ms.checked_add(part).ok_or("too long: more than 2^64 ms")?;
            rest = after;
        }
        if text.is_empty() { Err(expected()) } else { Ok(Duration { ms }) }
    }
}

/// A decimal number times a unit; `None` if it is none, or not a whole number of milliseconds.
fn times(number: &str, size: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let ten = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u64>().ok()?.checked_mul(size)?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(size)?;
    if part % ten == 0 { whole.checked_add(part / ten) } else { None }
}

impl Lasting {
    /// The length in ms; `None` is for ever.
    pub fn ms(self) -> Option<u64> {
        match self {
            Lasting::For(duration) => Some(duration.ms()),
            Lasting::Forever => None,
        }
    }
}

impl fmt::Display for Lasting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lasting::For(duration) => duration.fmt(out),
            Lasting::Forever => out.write_str("forever"),
        }
    }
}

impl FromStr for Lasting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Lasting::Forever);
        }
        text.parse().map(Lasting::For).map_err(|expected: String| format!("{expected}, or `forever`"))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("Ei", 60), ("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
        let fitting = units.into_iter().find(|(_, bits)| self.0 > 0 && self.0.trailing_zeros() >= *bits);
        match fitting {
            Some((unit, bits)) => write!(out, "{}{unit}", self.0 >> bits),
            None => write!(out, "{}", self.0),
        }
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let quantity: Quantity = text.parse()?;
        let bytes = u64::try_from(quantity.whole()).ok().filter(|_| quantity.is_whole());
        bytes.map(Bytes).ok_or_else(|| "expected a whole number of bytes, such as `64Mi`".to_owned())
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milli.is_multiple_of(1000) {
            write!(out, "{}", self.milli / 1000)
        } else {
            write!(out, "{}m", self.milli)
        }
    }
}

impl FromStr for Factor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let quantity: Quantity = text.parse()?;
        let milli = u32::try_from(quantity.milli()).ok().filter(|_| quantity.is_milli());
        milli.map(|milli| Factor { milli }).ok_or_else(|| "expected a factor in thousandths, such as `500m`".to_owned())
    }
}

/// Read and written as text, and known to the schema by a name under [`KIND`].
macro_rules! written {
    ($type:ident, $kind:literal, $types:tt, $pattern:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": $types, "pattern": $pattern, "x-kind": $kind })
            }
        }
    };
}

/// The keyword under which a schema says how a value is written, where its type does not say it all.
pub(crate) const KIND: &str = "x-kind";

written!(Duration, "duration", "string", r"^(0|([0-9]+(\.[0-9]+)?(h|m|s|ms))+)$");
written!(Lasting, "duration-or-forever", "string", r"^(forever|0|([0-9]+(\.[0-9]+)?(h|m|s|ms))+)$");
written!(Bytes, "bytes", ["string", "integer"], r"^[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i|[eE][0-9]+)?$");
written!(Factor, "factor", ["string", "number"], r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(m|k|[eE]-?[0-9]+)?$");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_written_as_kubernetes_does() {
        for (text, ms) in [
            ("15s", 15_000),
            ("1m30s", 90_000),
            ("100ms", 100),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("0s", 0),
            ("0.001s", 1),
        ] {
            assert_eq!(text.parse::<Duration>().map(Duration::ms), Ok(ms), "{text}");
        }
        for text in
            ["", "15", "s", "15 s", "-1s", "1d", "1us", "0.0001s", "1..5s", ".", "99999999999999999999s", "é", "1µs"]
        {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
        assert_eq!("forever".parse(), Ok(Lasting::Forever));
    }

    #[test]
    fn sizes_and_factors_are_quantities() {
        for (text, bytes) in [("64Mi", 64 << 20), ("1k", 1000), ("0.5Ki", 512), ("7", 7)] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for (text, milli) in [("1", 1000), ("1.5", 1500), ("500m", 500), ("0", 0)] {
            assert_eq!(text.parse(), Ok(Factor { milli }), "{text}");
        }
        for text in ["-1", "1m", "1.5", ""] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
        for text in ["-1", "1u", "5M", ""] {
            assert!(text.parse::<Factor>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(ms in 0..u64::MAX, bytes in 0..u64::MAX / 2, milli in 0..u32::MAX) {
            prop_assert_eq!(Duration::from_ms(ms).to_string().parse(), Ok(Duration::from_ms(ms)));
            prop_assert_eq!(Bytes(bytes).to_string().parse(), Ok(Bytes(bytes)));
            prop_assert_eq!(Factor { milli }.to_string().parse(), Ok(Factor { milli }));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _ = (text.parse::<Lasting>(), text.parse::<Bytes>(), text.parse::<Factor>());
        }
    }
}
