//! The budget.

use super::*;

#[test]
fn the_oldest_segments_go_and_their_readers_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), options(40_960, 8192));
    buffer.begin(scn(0)).unwrap();
    let mut early = buffer.reader(scn(0)).unwrap();
    for pos in 1..=5 {
        buffer.append(&sized(pos, 3000)).unwrap();
    }
    let first = early.next().unwrap().unwrap();
    for pos in 6..=200 {
        buffer.append(&sized(pos, 3000)).unwrap();
    }
    let oldest = buffer.oldest().unwrap();
    assert_eq!(segment_files(directory.path()).len(), 5);
    assert!(oldest > scn(180), "{oldest}");
    assert_eq!(
        buffer.reader(scn(oldest.log_pos - 1)).err(),
        Some(BufferError::TooOld { after: scn(oldest.log_pos - 1), oldest })
    );
    let held: Vec<u64> = read_after(&buffer, oldest).unwrap().iter().map(|t| t.header.scn.log_pos).collect();
    assert_eq!(held, (oldest.log_pos + 1..=200).collect::<Vec<u64>>());
    // What the early reader has mapped it may still read, what is gone it is told of.
    assert_eq!(frame::decode(&first), Ok(sized(1, 3000)));
    assert_eq!(frame::decode(&early.next().unwrap().unwrap()), Ok(sized(2, 3000)));
    assert_eq!(early.next(), Err(BufferError::TooOld { after: scn(2), oldest }));
    drop(buffer);
    let (buffer, report) = open(directory.path(), options(40_960, 8192));
    assert_eq!((report.oldest, report.newest, report.cut_bytes), (Some(oldest), Some(scn(200)), 0));
    assert_eq!(read_after(&buffer, oldest).unwrap().len() as u64, 200 - oldest.log_pos);
}

#[test]
fn a_transaction_larger_than_the_budget_is_kept_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), options(24_576, 8192));
    buffer.append(&sized(1, 100)).unwrap();
    let parts: Vec<Transaction> = (0..20).map(|i| part(2, 3000, Some((i, i == 19)))).collect();
    let mut reader = buffer.reader(scn(1)).unwrap();
    for part in &parts[..19] {
        buffer.append(part).unwrap();
        assert_eq!(reader.next(), Ok(None));
    }
    buffer.append(&parts[19]).unwrap();
    assert_eq!(drain(reader.as_mut()), Ok(parts.clone()));
    for pos in 3..30 {
        buffer.append(&sized(pos, 3000)).unwrap();
    }
    assert_eq!(segment_files(directory.path()).len(), 3);
    // No reader is sent into the middle of the large transaction.
    assert!(buffer.oldest() > Some(scn(2)));
}

#[test]
fn a_reclaimed_head_takes_the_rest_of_its_transaction_along() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), options(32_768, 8192));
    buffer.begin(scn(0)).unwrap();
    (0..6).for_each(|i| buffer.append(&part(1, 3000, Some((i, i == 5)))).unwrap());
    assert_eq!(segment_files(directory.path()).len(), 3);
    (2..6).for_each(|pos| buffer.append(&sized(pos, 3000)).unwrap());
    assert_eq!(buffer.oldest(), Some(scn(1)), "its last part lies in the oldest segment left");
    assert_eq!(read_after(&buffer, scn(1)).unwrap().len(), 4);
    drop(buffer);
    let (buffer, _) = open(directory.path(), options(32_768, 8192));
    assert_eq!(buffer.oldest(), Some(scn(1)));
    assert_eq!(read_after(&buffer, scn(1)).unwrap().len(), 4);
}

#[test]
fn parts_that_are_read_again_replace_those_that_waited() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.append(&sized(1, 5000)).unwrap();
    (0..7).for_each(|i| buffer.append(&part(2, 3000, Some((i, false)))).unwrap());
    let parts: Vec<Transaction> = (0..3).map(|i| part(2, 2000, Some((i, i == 2)))).collect();
    parts.iter().for_each(|part| buffer.append(part).unwrap());
    assert_eq!(read_after(&buffer, scn(1)), Ok(parts.clone()));
    drop(buffer);
    let (buffer, report) = open(directory.path(), roomy());
    assert_eq!(report.cut_bytes, 0, "nothing of the first attempt is left");
    assert_eq!(read_after(&buffer, scn(1)), Ok(parts));
}
