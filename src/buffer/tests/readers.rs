//! Readers beside the appender.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;

const TRANSACTIONS: u64 = 3000;
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn three_readers_see_everything_in_order_while_it_is_appended() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), options(256 << 20, 65_536));
    let buffer = Arc::new(buffer);
    buffer.begin(scn(0)).unwrap();
    let large = |pos: u64| pos.is_multiple_of(50);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut reader = buffer.reader(scn(0)).unwrap();
            std::thread::spawn(move || {
                let since = Instant::now();
                let mut read = Vec::new();
                while read.last() != Some(&(TRANSACTIONS, 4)) {
                    match reader.next().unwrap() {
                        Some(bytes) => {
                            let transaction = frame::decode(&bytes).unwrap();
                            let part = transaction.rows().unwrap().part.map_or(0, |part| part.index);
                            read.push((transaction.header.scn.log_pos, part));
                        }
                        None => std::thread::yield_now(),
                    }
                    assert!(since.elapsed() < DEADLINE, "stuck after {:?}", read.last());
                }
                read
            })
        })
        .collect();
    let mut expected = Vec::new();
    for pos in 1..=TRANSACTIONS {
        if large(pos) {
            for index in 0..5 {
                buffer.append(&part(pos, 20_000, Some((index, index == 4)))).unwrap();
                expected.push((pos, index));
            }
        } else {
            buffer.append(&sized(pos, (pos % 700) as usize)).unwrap();
            expected.push((pos, 0));
        }
        if pos % 500 == 0 {
            buffer.sync().unwrap();
        }
    }
    for reader in readers {
        assert_eq!(reader.join().unwrap(), expected);
    }
}

#[test]
fn a_reader_of_an_empty_buffer_sees_the_first_frame_if_history_begins_at_or_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.begin(scn(10)).unwrap();
    let mut right = buffer.reader(scn(10)).unwrap();
    let mut early = buffer.reader(scn(9)).unwrap();
    let mut ahead = buffer.reader(scn(30)).unwrap();
    assert_eq!((right.next(), early.next(), ahead.next()), (Ok(None), Ok(None), Ok(None)));
    assert_eq!((buffer.oldest(), buffer.newest()), (None, None));
    buffer.append(&sized(20, 5)).unwrap();
    assert_eq!(drain(right.as_mut()), Ok(vec![sized(20, 5)]));
    assert_eq!(early.next(), Err(BufferError::TooOld { after: scn(9), oldest: scn(10) }));
    assert_eq!(ahead.next(), Ok(None));
    buffer.append(&sized(40, 5)).unwrap();
    assert_eq!(drain(ahead.as_mut()), Ok(vec![sized(40, 5)]));
}

#[test]
fn without_a_known_beginning_readers_start_after_the_first_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.append(&sized(20, 5)).unwrap();
    buffer.append(&sized(30, 5)).unwrap();
    assert_eq!(buffer.oldest(), Some(scn(20)));
    assert!(buffer.reader(scn(19)).is_err());
    assert_eq!(read_after(&buffer, scn(20)), Ok(vec![sized(30, 5)]));
}
