//! System change numbers: the position of a change in one instance's history.
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 0..4 | epoch | raised by one whenever capture moves to another server of the instance |
//! | 4..8 | log_index | number of the binlog file |
//! | 8..16 | log_pos | position after the transaction in that file, in bytes |
//! | 16..20 | row | 0 for the transaction as a whole; `n` for its n-th row, counted from 1 |
//!
//! All fields are big-endian, so that the bytes compare like the SCNs.

use std::fmt;
use std::str::FromStr;

use rkyv::{Archive, Deserialize, Serialize};

/// Length of an encoded [`Scn`] in bytes.
pub const SCN_BYTES: usize = 20;

/// The position of a change in one instance's history: unique, totally ordered, the same on every
/// node. `row` is 0 for a whole transaction and counts its rows from 1.
#[derive(
    Archive, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default,
)]
#[rkyv(derive(Debug, PartialEq, Eq, PartialOrd, Ord))]
pub struct Scn {
    pub epoch: u32,
    pub log_index: u32,
    pub log_pos: u64,
    pub row: u32,
}

impl Scn {
    /// Before every change of every instance.
    pub const ZERO: Scn = Scn { epoch: 0, log_index: 0, log_pos: 0, row: 0 };
    /// Greatest epoch: what five decimal digits hold, so that SCNs sort as text too.
    pub const EPOCH_MAX: u32 = 99_999;
    /// Greatest binlog position in bytes: what fifteen decimal digits hold.
    pub const LOG_POS_MAX: u64 = 999_999_999_999_999;

    /// The SCN of a whole transaction that ends at `log_pos` of binlog file number `log_index`.
    pub const fn of_transaction(epoch: u32, log_index: u32, log_pos: u64) -> Scn {
        assert!(epoch <= Scn::EPOCH_MAX && log_pos <= Scn::LOG_POS_MAX);
        Scn { epoch, log_index, log_pos, row: 0 }
    }

    /// The SCN of the whole transaction that this change is part of.
    pub const fn transaction(self) -> Scn {
        Scn { row: 0, ..self }
    }

    /// The SCN of the transaction's `row`-th row, counted from 1.
    pub const fn with_row(self, row: u32) -> Scn {
        Scn { row, ..self }
    }

    /// Big-endian bytes that compare like the SCNs.
    pub fn to_bytes(self) -> [u8; SCN_BYTES] {
        let mut bytes = [0; SCN_BYTES];
        bytes[0..4].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.log_index.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.log_pos.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.row.to_be_bytes());
        bytes
    }

    /// The inverse of [`Scn::to_bytes`].
    pub fn from_bytes(bytes: &[u8; SCN_BYTES]) -> Scn {
        let u32_at = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Scn {
            epoch: u32_at(0),
            log_index: u32_at(4),
            log_pos: (u64::from(u32_at(8)) << 32) | u64::from(u32_at(12)),
            row: u32_at(16),
        }
    }
}

/// Decimal, of fixed width, so that the texts sort like the SCNs:
/// `epoch-log_index-log_pos-row` with 5, 10, 15 and 10 digits.
impl fmt::Display for Scn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:05}-{:010}-{:015}-{:010}", self.epoch, self.log_index, self.log_pos, self.row)
    }
}

/// The text is not an SCN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not an SCN; write epoch-log_index-log_pos-row, for example 00001-0000000002-000000000001234-0000000000"
)]
pub struct NotAnScn(pub String);

/// Reads the text form; leading zeros may be left out, and so may the row.
impl FromStr for Scn {
    type Err = NotAnScn;

    fn from_str(text: &str) -> Result<Scn, NotAnScn> {
        let bad = || NotAnScn(text.to_owned());
        let parts: Vec<&str> = text.split('-').collect();
        if !(3..=4).contains(&parts.len()) {
            return Err(bad());
        }
        let number = |part: &str| -> Result<u64, NotAnScn> {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad());
            }
            part.parse().map_err(|_| bad())
        };
        let small = |part: &str| number(part).and_then(|n| u32::try_from(n).map_err(|_| bad()));
        let scn = Scn {
            epoch: small(parts[0])?,
            log_index: small(parts[1])?,
            log_pos: number(parts[2])?,
            row: parts.get(3).map_or(Ok(0), |part| small(part))?,
        };
        if scn.epoch > Scn::EPOCH_MAX || scn.log_pos > Scn::LOG_POS_MAX {
            return Err(bad());
        }
        Ok(scn)
    }
}

impl serde::Serialize for Scn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Scn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Scn, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_scn() -> impl Strategy<Value = Scn> {
        (0..=Scn::EPOCH_MAX, any::<u32>(), 0..=Scn::LOG_POS_MAX, any::<u32>())
            .prop_map(|(epoch, log_index, log_pos, row)| Scn { epoch, log_index, log_pos, row })
    }

    proptest! {
        #[test]
        fn bytes_and_text_compare_like_scns_and_come_back(a in any_scn(), b in any_scn()) {
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(Scn::from_bytes(&a.to_bytes()), a);
            prop_assert_eq!(a.to_string().parse::<Scn>(), Ok(a));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,60}") {
            let _ = text.parse::<Scn>();
        }
    }

    #[test]
    fn short_forms_are_read_and_nonsense_is_refused() {
        assert_eq!("1-2-1234".parse(), Ok(Scn::of_transaction(1, 2, 1234)));
        for bad in ["", "1-2", "1-2-3-4-5", "a-2-3", "1--3", "1-2-+3", "100000-1-1", "1-2-1000000000000000"] {
            assert_eq!(bad.parse::<Scn>(), Err(NotAnScn(bad.to_owned())), "{bad}");
        }
    }
}
