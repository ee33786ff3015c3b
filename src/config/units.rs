//! Sizes, spans of time and counts as the configuration writes them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};

use super::error::Problem;

/// A number of bytes. Written as a whole number with `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A span of time. Written as a whole number with `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub i64);

const SIZE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
const SPAN_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_SHAPE: &str = "a size in quotes with KiB, MiB or GiB, such as \"64MiB\"";
const SPAN_SHAPE: &str = "a time in quotes with ms, s, m, h or d, such as \"200ms\"";

impl ByteSize {
    pub const fn mib(count: u64) -> ByteSize {
        ByteSize(count << 20)
    }

    pub const fn gib(count: u64) -> ByteSize {
        ByteSize(count << 30)
    }
}

impl Span {
    pub const fn ms(count: u64) -> Span {
        Span(Duration::from_millis(count))
    }

    pub const fn secs(count: u64) -> Span {
        Span(Duration::from_secs(count))
    }
}

/// Splits `64MiB` into number and unit. No sign, no fraction, no space.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

fn in_units(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// The greatest unit that divides the number.
fn with_unit(number: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().find(|(_, factor)| number >= *factor && number.is_multiple_of(*factor));
    let (name, factor) = fitting.copied().unwrap_or(units[units.len() - 1]);
    format!("{}{name}", number / factor)
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteSize, String> {
        in_units(text, &SIZE_UNITS)
            .map(ByteSize)
            .ok_or_else(|| format!("{text:?} is not a size; write {SIZE_SHAPE}"))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        in_units(text, &SPAN_UNITS)
            .map(Span::ms)
            .ok_or_else(|| format!("{text:?} is not a time; write {SPAN_SHAPE}"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_unit(self.0, &SIZE_UNITS))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_unit(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &SPAN_UNITS))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads a string through `FromStr`, saying `shape` when it is something else than a string.
struct Quoted<T> {
    shape: &'static str,
    of: std::marker::PhantomData<T>,
}

impl<T: FromStr<Err = String>> Visitor<'_> for Quoted<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shape)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> de::Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        deserializer.deserialize_str(Quoted { shape: SIZE_SHAPE, of: std::marker::PhantomData })
    }
}

impl<'de> de::Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        deserializer.deserialize_str(Quoted { shape: SPAN_SHAPE, of: std::marker::PhantomData })
    }
}

struct WholeNumber;

impl Visitor<'_> for WholeNumber {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number without quotes")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Count, E> {
        Ok(Count(number))
    }
}

impl<'de> de::Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        deserializer.deserialize_i64(WholeNumber)
    }
}

/// The value if it is set, else the default; refused outside of `least..=most`, never clamped.
pub(super) fn within<T: Copy + PartialOrd + fmt::Display>(
    key: &str,
    value: Option<T>,
    default: T,
    least: T,
    most: T,
) -> Result<T, Problem> {
    let value = value.unwrap_or(default);
    if value >= least && value <= most {
        return Ok(value);
    }
    Err(Problem::OutOfRange {
        key: key.to_owned(),
        value: value.to_string(),
        allowed: format!("{least} to {most}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_and_printed_in_their_greatest_unit() {
        assert_eq!("64MiB".parse(), Ok(ByteSize::mib(64)));
        assert_eq!(ByteSize::mib(2048).to_string(), "2GiB");
        assert_eq!("0ms".parse(), Ok(Span::ms(0)));
        assert_eq!("7d".parse(), Ok(Span::secs(7 * 86_400)));
        assert_eq!(Span::ms(1500).to_string(), "1500ms");
        assert_eq!(Span::secs(120).to_string(), "2m");
        assert_eq!(Span::ms(0).to_string(), "0ms");
    }

    #[test]
    fn sizes_and_times_of_another_shape_are_refused() {
        for text in ["", "64", "MiB", "64MB", "64 MiB", "-1MiB", "1.5GiB", "99999999999999999GiB", "٣MiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        for text in ["", "1", "s", "1 s", "1sec", "-1s", "1.5s", "999999999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_outside_its_range_is_refused_with_the_range() {
        let refused = within("a.b", Some(Count(0)), Count(8), Count(1), Count(256));
        assert_eq!(
            refused.map_err(|problem| problem.to_string()),
            Err("config key a.b = 0 is out of range; allowed: 1 to 256".to_owned())
        );
    }
}
