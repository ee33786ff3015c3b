//! Statements of the binlog, recognised by their words.

use weft_core::binlog::classify::{Statement, classify};

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Statement::Ddl(ddl) = classify("shop", &text) {
        assert_eq!(ddl.statement, text, "a statement is kept as it came");
    }
}
