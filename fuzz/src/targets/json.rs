//! MySQL's binary JSON: what is printed is JSON.

use weft_core::binlog::json;

pub fn run(data: &[u8]) {
    if let Ok(text) = json::text(data) {
        let read: Result<serde_json::Value, _> = serde_json::from_str(&text);
        assert!(read.is_ok(), "{text:?} is not JSON: {read:?}");
    }
}
