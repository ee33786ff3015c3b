//! How two values of one column compare, given as the server prints them: numbers by value, dates and
//! times in time.

use std::cmp::Ordering;

/// Whether values of this type (as `SHOW COLUMNS` writes it) can be compared here: numbers, dates
/// and times. Text has no order that two sites would agree on without its collation.
pub fn is_comparable(column_type: &str) -> bool {
    const TYPES: [&str; 16] = [
        "tinyint",
        "smallint",
        "mediumint",
        "int",
        "bigint",
        "integer",
        "decimal",
        "numeric",
        "float",
        "double",
        "real",
        "date",
        "datetime",
        "timestamp",
        "time",
        "year",
    ];
    let name = column_type.split(['(', ' ']).next().unwrap_or_default();
    TYPES.contains(&name.to_ascii_lowercase().as_str())
}

/// Compares two values of one column. None: they are no such values.
pub(super) fn compare(a: &str, b: &str) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (Clock::parse(a), Clock::parse(b)) {
        return Some(a.cmp(&b));
    }
    if let (Some(a), Some(b)) = (Number::parse(a), Number::parse(b)) {
        return Some(a.cmp(&b));
    }
    let (a, b): (f64, f64) = (a.parse().ok()?, b.parse().ok()?);
    a.partial_cmp(&b)
}

/// A decimal number without exponent, of any length.
#[derive(PartialEq, Eq)]
struct Number<'a> {
    negative: bool,
    /// Without leading zeros.
    whole: &'a str,
    /// Without trailing zeros.
    fraction: &'a str,
}

impl<'a> Number<'a> {
    fn parse(text: &'a str) -> Option<Number<'a>> {
        let (signed, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        // Zero has no sign.
        Some(Number { negative: signed && !(whole.is_empty() && fraction.is_empty()), whole, fraction })
    }

    fn magnitude(&self) -> (usize, &str, &str) {
        (self.whole.len(), self.whole, self.fraction)
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.magnitude().cmp(&other.magnitude()),
            (true, true) => other.magnitude().cmp(&self.magnitude()),
        }
    }
}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A date, a time of day or span, or both.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Clock {
    /// Year, month and day as one number; 0 where there is no date.
    date: u32,
    /// Negative for spans before zero.
    micros: i64,
}

impl Clock {
    fn parse(text: &str) -> Option<Clock> {
        let (date, time) = match text.split_once(' ') {
            Some((date, time)) => (date, time),
            None if text.contains(':') => ("", text),
            None => (text, ""),
        };
        let date = if date.is_empty() { 0 } else { Clock::date(date)? };
        let micros = if time.is_empty() { 0 } else { Clock::time(time)? };
        Some(Clock { date, micros })
    }

    fn date(text: &str) -> Option<u32> {
        let mut parts = text.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = year.len() == 4 && month.len() == 2 && day.len() == 2 && parts.next().is_none();
        let number = |part: &str| part.parse::<u32>().ok();
        fits.then_some(())?;
        Some(number(year)? * 10_000 + number(month)? * 100 + number(day)?)
    }

    fn time(text: &str) -> Option<i64> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text),
        };
        let (clock, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let mut parts = clock.split(':').map(|part| part.parse::<u32>().ok().map(i64::from));
        let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
        if parts.next().is_some() || fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let micros = format!("{fraction:0<6}").parse::<i64>().ok()?;
        Some(sign * (((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_compare_by_value_and_not_by_text() {
        let rising = [
            vec!["-10.5", "-9", "-0.001", "0", "0.10", "0.11", "2", "10", "18446744073709551616"],
            vec!["0000-00-00", "1999-12-31", "2000-01-01"],
            vec![
                "2024-01-02 03:04:05",
                "2024-01-02 03:04:05.000001",
                "2024-01-02 03:04:05.5",
                "2024-01-02 10:00:00",
            ],
            vec!["-838:59:59", "-01:00:00", "00:00:00", "00:00:00.5", "09:00:00", "100:00:00"],
            vec!["-1e300", "-2.5e-7", "1e-7", "0.5", "1e20", "3e20"],
        ];
        for values in rising {
            for pair in values.windows(2) {
                assert_eq!(compare(pair[0], pair[1]), Some(Ordering::Less), "{pair:?}");
                assert_eq!(compare(pair[1], pair[0]), Some(Ordering::Greater), "{pair:?}");
            }
        }
        for (a, b) in
            [("1.50", "1.5"), ("-0", "0"), ("007", "7"), ("2024-01-02 03:04:05.500", "2024-01-02 03:04:05.5")]
        {
            assert_eq!(compare(a, b), Some(Ordering::Equal), "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_number_and_no_time_does_not_compare() {
        for (a, b) in
            [("a", "b"), ("", "1"), ("1", "x"), ("1.2.3", "1"), ("NaN", "1"), ("99999999999:1:1", "x")]
        {
            assert_eq!(compare(a, b), None, "{a} {b}");
        }
    }

    #[test]
    fn only_types_with_an_order_of_their_own_are_comparable() {
        for kind in ["int(11)", "bigint(20) unsigned", "decimal(10,2)", "timestamp(6)", "DATETIME", "year(4)"]
        {
            assert!(is_comparable(kind), "{kind}");
        }
        for kind in ["varchar(20)", "enum('a')", "point", "json", "uuid", "", "bit(8)"] {
            assert!(!is_comparable(kind), "{kind}");
        }
    }
}
