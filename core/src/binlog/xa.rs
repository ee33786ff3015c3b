//! XA transactions in the stream: rows come with XA PREPARE, and whether they count comes later, in a
//! group of its own that has nothing but a statement.
//!
//! MariaDB: a GTID event, the rows, a query `XA END`, an XA prepare event. MySQL: a GTID event, a query
//! `XA START`, the rows, `XA END`, an XA prepare event, which also ends a transaction that is committed
//! in one phase. Both: a GTID event and a query `XA COMMIT` or `XA ROLLBACK`. Servers write the name of
//! the transaction as two hexadecimal strings and a number, whatever the client wrote. Sources: MariaDB
//! Knowledge Base, "XA_PREPARE_LOG_EVENT"; MySQL source documentation, `XA_prepare_event`.

use std::fmt;

use super::cursor::{Cursor, Malformed};
use super::event;

/// Greatest length of each half of a name, in bytes (X/Open XA).
const PART_BYTES_MAX: usize = 64;

/// Name of an XA transaction: unique among those that are prepared on one server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Xid {
    format: u32,
    /// Names the global transaction.
    global: Vec<u8>,
    /// Names its branch.
    branch: Vec<u8>,
}

impl Xid {
    /// None: a half is longer than XA allows.
    pub fn new(format: u32, global: &[u8], branch: &[u8]) -> Option<Xid> {
        let fits = global.len() <= PART_BYTES_MAX && branch.len() <= PART_BYTES_MAX;
        fits.then(|| Xid { format, global: global.to_vec(), branch: branch.to_vec() })
    }

    /// Reads what [`Display`](fmt::Display) writes.
    fn read(text: &str) -> Option<Xid> {
        let mut parts = text.split(',');
        let (global, branch) = (unhex(parts.next()?)?, unhex(parts.next()?)?);
        let format = parts.next()?.parse().ok()?;
        if parts.next().is_some() { None } else { Xid::new(format, &global, &branch) }
    }
}

/// As servers write it: `X'6162',X'',1`.
impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.global, &self.branch] {
            f.write_str("X'")?;
            part.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_str("',")?;
        }
        write!(f, "{}", self.format)
    }
}

/// The bytes of `X'6162'`.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(['X', 'x'])?.strip_prefix('\'')?.strip_suffix('\'')?;
    let nibbles: Option<Vec<u8>> = digits.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let nibbles = nibbles.filter(|nibbles| nibbles.len() % 2 == 0)?;
    Some(nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// A statement on an XA transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XaStatement {
    Start,
    End,
    Prepare(Xid),
    /// In one phase: it was not prepared, its rows are in the same group.
    Commit {
        xid: Xid,
        one_phase: bool,
    },
    Rollback(Xid),
}

impl XaStatement {
    /// Reads a statement that begins with the word XA, as servers write it; None: it is none of these.
    pub fn parse(statement: &str) -> Option<XaStatement> {
        let mut words = statement.split_ascii_whitespace().skip(1);
        let verb = words.next()?.to_ascii_uppercase();
        let xid = Xid::read(words.next()?)?;
        let rest: Vec<String> = words.map(str::to_ascii_uppercase).collect();
        match (verb.as_str(), rest.as_slice()) {
            ("START" | "BEGIN", _) => Some(XaStatement::Start),
            ("END", _) => Some(XaStatement::End),
            ("PREPARE", []) => Some(XaStatement::Prepare(xid)),
            ("COMMIT", []) => Some(XaStatement::Commit { xid, one_phase: false }),
            ("COMMIT", [one, phase]) if one == "ONE" && phase == "PHASE" => {
                Some(XaStatement::Commit { xid, one_phase: true })
            }
            ("ROLLBACK", []) => Some(XaStatement::Rollback(xid)),
            _ => None,
        }
    }
}

/// The event behind the rows of an XA transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XaPrepareEvent {
    /// Committed at once (MySQL).
    pub one_phase: bool,
    pub xid: Xid,
}

impl XaPrepareEvent {
    /// Reads a canonical XA prepare event: one phase 1 byte, format 4, lengths of the two halves of the
    /// name 4 each, the halves.
    ///
    /// # Errors
    /// It ends early, or a half is longer than XA allows.
    pub fn parse(event: &[u8]) -> Result<XaPrepareEvent, Malformed> {
        let mut cursor = Cursor::new(event::body(event), "XA prepare event");
        let one_phase = cursor.u8()? != 0;
        let format = cursor.u32()?;
        let lengths = [cursor.u32()? as usize, cursor.u32()? as usize];
        let (global, branch) = (cursor.take(lengths[0])?, cursor.take(lengths[1])?);
        let longest = lengths[0].max(lengths[1]) as u64;
        let xid = Xid::new(format, global, branch).ok_or(cursor.invalid(longest))?;
        Ok(XaPrepareEvent { one_phase, xid })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn xid() -> Xid {
        Xid::new(7, b"ab", b"").expect("short")
    }

    #[test]
    fn statements_are_read_as_servers_write_them() {
        let read = |text: &str| XaStatement::parse(text);
        assert_eq!(read("XA START X'6162',X'',7"), Some(XaStatement::Start));
        assert_eq!(read("XA END X'6162',X'',7"), Some(XaStatement::End));
        assert_eq!(read("XA PREPARE X'6162',X'',7"), Some(XaStatement::Prepare(xid())));
        let commit = |one_phase| Some(XaStatement::Commit { xid: xid(), one_phase });
        assert_eq!(read("XA COMMIT X'6162',X'',7"), commit(false));
        assert_eq!(read("xa commit x'6162',x'',7 one phase"), commit(true));
        assert_eq!(read("XA ROLLBACK X'6162',X'',7"), Some(XaStatement::Rollback(xid())));
        for unclear in ["XA", "XA COMMIT", "XA COMMIT 'ab'", "XA COMMIT X'616',X'',7", "XA RECOVER X'',X'',1"]
        {
            assert_eq!(read(unclear), None, "{unclear}");
        }
    }

    proptest! {
        #[test]
        fn names_come_back_from_their_text(
            format in any::<u32>(),
            global in proptest::collection::vec(any::<u8>(), 0..65),
            branch in proptest::collection::vec(any::<u8>(), 0..65),
        ) {
            let xid = Xid::new(format, &global, &branch).expect("short");
            prop_assert_eq!(Xid::read(&xid.to_string()), Some(xid));
        }

        #[test]
        fn neither_bytes_nor_texts_make_the_parsers_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "XA( COMMIT| START|ONE PHASE| X'[0-9a-f]*'|,|'|\\PC){0,9}",
        ) {
            let _ = XaPrepareEvent::parse(&bytes);
            let _ = XaStatement::parse(&text);
        }
    }
}
