//! Column values, borrowed from a row image.

/// One column's value. Numbers are decoded; character, binary and JSON values stay the bytes that
/// the image holds, without length prefixes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Null,
    /// Signed integers of every width.
    Int(i64),
    /// Unsigned integers of every width.
    UInt(u64),
    Float(f32),
    Double(f64),
    /// DECIMAL in the server's packed form.
    Decimal {
        packed: &'a [u8],
        precision: u8,
        scale: u8,
    },
    Date {
        year: u16,
        month: u8,
        day: u8,
    },
    /// `micros` is the fraction; `decimals` how many digits of it the column has (0 to 6).
    Time {
        negative: bool,
        hours: u16,
        minutes: u8,
        seconds: u8,
        micros: u32,
        decimals: u8,
    },
    DateTime {
        year: u16,
        month: u8,
        day: u8,
        hour: u8,
        minute: u8,
        second: u8,
        micros: u32,
        decimals: u8,
    },
    /// Seconds since the Unix epoch, UTC; 0 with 0 micros is the zero timestamp.
    Timestamp {
        seconds: u32,
        micros: u32,
        decimals: u8,
    },
    /// 0 for the zero year.
    Year(u16),
    /// Big-endian.
    Bit(&'a [u8]),
    /// 1-based index of the label; 0 for the empty error value.
    Enum(u16),
    Set(u64),
    /// CHAR, VARCHAR, TEXT, BINARY, VARBINARY, BLOB, GEOMETRY, and JSON of MariaDB (which is text).
    /// BINARY(n) comes without the zero bytes that the server cut off its end: the column knows n.
    Bytes(&'a [u8]),
}
