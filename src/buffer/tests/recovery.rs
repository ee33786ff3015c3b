//! What a crash can leave.

use std::os::unix::fs::FileExt;

use super::super::layout::DATA_AT;
use super::*;

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

fn positions(read: &[Transaction]) -> Vec<u64> {
    read.iter().map(|transaction| transaction.header.scn.log_pos).collect()
}

#[test]
fn a_last_frame_torn_at_any_byte_is_cut_and_can_be_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.begin(scn(0)).unwrap();
    (1..=3).for_each(|pos| buffer.append(&sized(pos, 40)).unwrap());
    drop(buffer);
    let path = segment_files(directory.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let length = frame::encode(&sized(3, 40)).unwrap().len();
    let last_at = DATA_AT as usize + 2 * length;
    for torn_at in last_at..last_at + length {
        let mut torn = whole.clone();
        torn[torn_at..].fill(0);
        fs::write(&path, &torn).unwrap();
        let (buffer, report) = open(directory.path(), roomy());
        if torn == whole {
            assert_eq!(report.newest, Some(scn(3)));
            continue;
        }
        assert_eq!(report.newest, Some(scn(2)), "torn at {torn_at}");
        let cut = torn.iter().rposition(|byte| *byte != 0).unwrap().saturating_sub(last_at - 1);
        assert_eq!(report.cut_bytes, cut as u64, "torn at {torn_at}");
        buffer.append(&sized(3, 40)).unwrap();
        drop(buffer);
        assert_eq!(fs::read(&path).unwrap(), whole, "torn at {torn_at}");
    }
}

#[test]
fn what_lies_behind_a_damaged_frame_of_the_newest_segment_is_cut_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.begin(scn(0)).unwrap();
    (1..=5).for_each(|pos| buffer.append(&sized(pos, 40)).unwrap());
    drop(buffer);
    let length = frame::encode(&sized(3, 40)).unwrap().len() as u64;
    overwrite(&segment_files(directory.path())[0], DATA_AT + 2 * length + 60, b"?");
    let (buffer, report) = open(directory.path(), roomy());
    assert_eq!((report.newest, report.cut_bytes > 2 * length), (Some(scn(2)), true));
    buffer.append(&sized(3, 40)).unwrap();
    drop(buffer);
    let (buffer, report) = open(directory.path(), roomy());
    assert_eq!((report.newest, report.cut_bytes), (Some(scn(3)), 0), "the old 4 and 5 do not come back");
    assert_eq!(positions(&read_after(&buffer, scn(0)).unwrap()), [1, 2, 3]);
}

#[test]
fn damage_behind_the_synced_segments_costs_what_comes_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.begin(scn(0)).unwrap();
    (1..=7).for_each(|pos| buffer.append(&sized(pos, 3000)).unwrap());
    buffer.sync().unwrap();
    (8..=20).for_each(|pos| buffer.append(&sized(pos, 3000)).unwrap());
    drop(buffer);
    let files = segment_files(directory.path());
    assert_eq!(files.len(), 10);
    overwrite(&files[6], DATA_AT + 100, b"damage");
    let (buffer, report) = open(directory.path(), roomy());
    assert_eq!((report.oldest, report.newest, report.dropped_segments), (Some(scn(0)), Some(scn(12)), 3));
    assert_eq!(positions(&read_after(&buffer, scn(0)).unwrap()), (1..=12).collect::<Vec<u64>>());
    (13..=30).for_each(|pos| buffer.append(&sized(pos, 3000)).unwrap());
    assert_eq!(read_after(&buffer, scn(0)).unwrap().len(), 30);
}

#[test]
fn a_damaged_frame_of_a_synced_segment_is_found_by_its_reader_who_is_sent_to_the_source() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.begin(scn(0)).unwrap();
    (1..=20).for_each(|pos| buffer.append(&sized(pos, 3000)).unwrap());
    buffer.sync().unwrap();
    drop(buffer);
    let files = segment_files(directory.path());
    overwrite(&files[2], DATA_AT + 1000, b"damage");
    let (buffer, report) = open(directory.path(), roomy());
    assert_eq!((report.oldest, report.newest), (Some(scn(0)), Some(scn(20))));
    let mut reader = buffer.reader(scn(0)).unwrap();
    for pos in 1..=4 {
        assert_eq!(frame::decode(&reader.next().unwrap().unwrap()), Ok(sized(pos, 3000)));
    }
    assert_eq!(reader.next(), Err(BufferError::TooOld { after: scn(4), oldest: scn(6) }));
    assert_eq!(buffer.oldest(), Some(scn(6)));
    assert_eq!(read_after(&buffer, scn(6)).unwrap().len(), 14);
    assert_eq!(segment_files(directory.path()).len(), files.len() - 3);
}

#[test]
fn a_lost_segment_costs_the_older_ones_if_later_ones_are_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.begin(scn(0)).unwrap();
    (1..=20).for_each(|pos| buffer.append(&sized(pos, 3000)).unwrap());
    buffer.sync().unwrap();
    drop(buffer);
    fs::remove_file(&segment_files(directory.path())[3]).unwrap();
    let (buffer, report) = open(directory.path(), roomy());
    assert_eq!((report.oldest, report.newest, report.dropped_segments), (Some(scn(8)), Some(scn(20)), 3));
    assert_eq!(read_after(&buffer, scn(8)).unwrap().len(), 12);
    assert!(buffer.reader(scn(7)).is_err());
}

#[test]
fn a_newest_segment_without_a_whole_head_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.begin(scn(0)).unwrap();
    (1..=5).for_each(|pos| buffer.append(&sized(pos, 3000)).unwrap());
    drop(buffer);
    overwrite(&segment_files(directory.path())[2], 20, b"damage");
    fs::write(directory.path().join("segment-3.weft.unfinished"), b"half").unwrap();
    let (buffer, report) = open(directory.path(), roomy());
    assert_eq!((report.newest, report.dropped_segments), (Some(scn(4)), 1));
    buffer.append(&sized(5, 3000)).unwrap();
    assert_eq!(read_after(&buffer, scn(0)).unwrap().len(), 5);
}

#[test]
fn frames_that_name_lost_catalog_entries_are_cut() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.append(&sized(1, 40)).unwrap();
    drop(buffer);
    fs::write(directory.path().join("catalog"), b"").unwrap();
    let (buffer, report) = MmapBuffer::open(directory.path(), roomy()).unwrap();
    assert_eq!((buffer.newest(), report.cut_bytes > 0), (None, true));
}

#[test]
fn capture_goes_on_after_the_last_whole_transaction_even_if_its_frames_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    (1..=2).for_each(|pos| buffer.append(&sized(pos, 3000)).unwrap());
    (0..7).for_each(|i| buffer.append(&part(3, 3000, Some((i, false)))).unwrap());
    drop(buffer);
    let files = segment_files(directory.path());
    assert_eq!(files.len(), 5);
    files[..3].iter().for_each(|path| fs::remove_file(path).unwrap());
    for _ in 0..2 {
        let (buffer, report) = open(directory.path(), roomy());
        assert_eq!((report.oldest, report.newest), (Some(scn(2)), Some(scn(2))));
        assert_eq!(buffer.reader(scn(1)).err(), Some(BufferError::TooOld { after: scn(1), oldest: scn(2) }));
        assert_eq!(read_after(&buffer, scn(2)), Ok(Vec::new()));
    }
    let (buffer, _) = open(directory.path(), roomy());
    // Too large for the empty segment that is left.
    buffer.append(&sized(3, 9000)).unwrap();
    buffer.append(&sized(4, 10)).unwrap();
    drop(buffer);
    let (buffer, report) = open(directory.path(), roomy());
    assert_eq!((report.oldest, report.newest), (Some(scn(2)), Some(scn(4))));
    assert_eq!(positions(&read_after(&buffer, scn(2)).unwrap()), [3, 4]);
}

#[test]
fn an_unfinished_first_transaction_leaves_the_beginning_open() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let (buffer, report) = open(directory.path(), roomy());
        assert_eq!(report.newest, None);
        buffer.begin(scn(1)).unwrap();
        (0..5).for_each(|i| buffer.append(&part(3, 3000, Some((i, false)))).unwrap());
    }
    let (buffer, _) = open(directory.path(), roomy());
    buffer.begin(scn(2)).unwrap();
    buffer.append(&sized(3, 10)).unwrap();
    assert_eq!(buffer.oldest(), Some(scn(2)));
}

#[test]
fn a_segment_that_is_written_on_after_it_was_full_is_not_believed_for_its_old_index() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.begin(scn(0)).unwrap();
    (1..=5).for_each(|pos| buffer.append(&sized(pos, 3000)).unwrap());
    buffer.sync().unwrap();
    drop(buffer);
    fs::remove_file(&segment_files(directory.path())[2]).unwrap();
    let (buffer, report) = open(directory.path(), roomy());
    assert_eq!(report.newest, Some(scn(4)));
    (5..=20).for_each(|pos| buffer.append(&sized(pos, 100)).unwrap());
    assert!(segment_files(directory.path()).len() > 2);
    drop(buffer);
    let (buffer, report) = open(directory.path(), roomy());
    assert_eq!((report.dropped_segments, report.newest), (0, Some(scn(20))));
    assert_eq!(positions(&read_after(&buffer, scn(0)).unwrap()), (1..=20).collect::<Vec<u64>>());
}

/// The newest segment is lost, which makes the one before it the newest, and that one was believed
/// for its index file although a frame in it is damaged.
#[test]
fn a_synced_segment_is_read_after_all_when_it_becomes_the_newest() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.begin(scn(0)).unwrap();
    (1..=5).for_each(|pos| buffer.append(&sized(pos, 3000)).unwrap());
    buffer.sync().unwrap();
    drop(buffer);
    let files = segment_files(directory.path());
    overwrite(&files[1], DATA_AT + 1000, b"damage");
    overwrite(&files[2], 20, b"damage");
    let (buffer, report) = open(directory.path(), roomy());
    assert_eq!((report.oldest, report.newest), (Some(scn(0)), Some(scn(2))));
    (3..=6).for_each(|pos| buffer.append(&sized(pos, 3000)).unwrap());
    assert_eq!(positions(&read_after(&buffer, scn(0)).unwrap()), (1..=6).collect::<Vec<u64>>());
}
