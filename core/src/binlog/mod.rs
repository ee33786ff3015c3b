//! The binlog stage: events as the server wrote them, decoded without copying, and the transactions they form.

pub mod resume;
pub mod value;
