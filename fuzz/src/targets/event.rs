//! Single events, by every reader of one.

use weft_core::binlog::classify::classify;
use weft_core::binlog::event::{EventHeader, EventType, HEADER_BYTES};
use weft_core::binlog::format::{Checksum, Checksums, Format};
use weft_core::binlog::group::{GtidEvent, Heartbeat, Rotate, annotation, parse_gtid_list, parse_xid};
use weft_core::binlog::mysql_gtid::MySqlGtidEvent;
use weft_core::binlog::query::Query;
use weft_core::binlog::rows::{RowsEvent, unpack};
use weft_core::binlog::table_map::TableMap;
use weft_core::sink::replay::delete_event;

use super::stream::formats;
use crate::pack;

pub fn run(data: &[u8]) {
    let _ = Checksums::new(Checksum::Crc32).strip(data.to_vec());
    if data.len() < HEADER_BYTES {
        return;
    }
    let event = pack::sized(data.to_vec());
    checksummed(&event);
    let header = EventHeader::parse(&event).expect("long enough");
    assert_eq!(header.to_bytes(), event[..HEADER_BYTES]);
    if let Ok(format) = Format::parse(&event) {
        let again = Format::parse(format.canonical()).expect("a canonical event is one");
        assert_eq!(again.canonical(), format.canonical());
        assert_eq!((again.flavour, again.server_version), (format.flavour, format.server_version));
    }
    let _ = (GtidEvent::parse(&event), MySqlGtidEvent::parse(&event), parse_gtid_list(&event));
    let _ = (Rotate::parse(&event), Heartbeat::parse(&event), parse_xid(&event), annotation(&event));
    for format in formats() {
        if let Ok(query) = Query::parse(&event, format) {
            classify(&query.schema, &query.statement);
        }
        if let Ok(map) = TableMap::parse(&event, format) {
            let _ = map.to_table_version(None);
            let _ = delete_event(&event, data);
        }
        if let Ok(plain) = unpack(&event) {
            let _ = RowsEvent::parse(&plain, format);
        }
    }
}

/// What has a checksum is read as what has none, and not at all when it is damaged.
fn checksummed(event: &[u8]) {
    if event[4] == EventType::FormatDescription.code() {
        let _ = Checksums::new(Checksum::None).strip(event.to_vec());
        return;
    }
    let mut sent = pack::with_checksum(event);
    assert_eq!(Checksums::new(Checksum::Crc32).strip(sent.clone()).as_deref(), Ok(event));
    let place = usize::from(event[0]) % event.len();
    sent[place] ^= 1;
    assert!(Checksums::new(Checksum::Crc32).strip(sent).is_err());
}
