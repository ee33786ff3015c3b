//! Any damage to any file: what is left is a stretch of the history, without a hole.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Harm {
    Flip {
        at: prop::sample::Index,
        by: u8,
    },
    /// A page that never reached the disk.
    LostPage(prop::sample::Index),
    Truncate(prop::sample::Index),
    Delete,
}

fn any_harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        4 => (any::<prop::sample::Index>(), 1_u8..).prop_map(|(at, by)| Harm::Flip { at, by }),
        3 => any::<prop::sample::Index>().prop_map(Harm::LostPage),
        1 => any::<prop::sample::Index>().prop_map(Harm::Truncate),
        1 => Just(Harm::Delete),
    ]
}

fn inflict(path: &Path, harm: &Harm) {
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len();
    match harm {
        Harm::Delete => return fs::remove_file(path).unwrap(),
        _ if bytes.is_empty() => {}
        Harm::Flip { at, by } => bytes[at.index(length)] ^= by,
        Harm::LostPage(at) => {
            let page = at.index(length) / 4096 * 4096;
            let end = length.min(page + 4096);
            bytes[page..end].fill(0);
        }
        Harm::Truncate(at) => bytes.truncate(at.index(length)),
    }
    fs::write(path, bytes).unwrap();
}

/// Everything that can be read, over as many beginnings as the reader is sent to.
fn read_what_is_left(buffer: &MmapBuffer) -> Vec<Transaction> {
    loop {
        let Some(oldest) = buffer.oldest() else { return Vec::new() };
        match read_after(buffer, oldest) {
            Ok(read) => return read,
            Err(BufferError::TooOld { oldest: moved, .. }) => assert!(moved > oldest, "no way on"),
            Err(error) => panic!("{error}"),
        }
    }
}

fn whole_history(upto: u64) -> Vec<Transaction> {
    let at = |pos: u64| match pos % 6 {
        0 => (0..5).map(|i| part(pos, 2500, Some((i, i == 4)))).collect(),
        _ => vec![sized(pos, (pos * 911 % 3000) as usize)],
    };
    (1..=upto).flat_map(at).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn damage_leaves_a_stretch_without_holes_that_goes_on(
        upto in 1..30_u64,
        synced in 0..30_u64,
        harms in prop::collection::vec((any::<prop::sample::Index>(), any_harm()), 1..4),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (buffer, _) = open(directory.path(), roomy());
        buffer.begin(scn(0)).unwrap();
        for transaction in &whole_history(upto) {
            buffer.append(transaction).unwrap();
            if transaction.completes() == Some(scn(synced)) {
                buffer.sync().unwrap();
            }
        }
        drop(buffer);
        for (which, harm) in &harms {
            let mut paths: Vec<PathBuf> = fs::read_dir(directory.path())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| !path.ends_with("catalog") && !path.ends_with("meta"))
                .collect();
            paths.sort();
            if !paths.is_empty() {
                inflict(&paths[which.index(paths.len())], harm);
            }
        }
        let (buffer, _) = open(directory.path(), roomy());
        let left = read_what_is_left(&buffer);
        let (oldest, newest) = (buffer.oldest(), buffer.newest());
        let between = |transaction: &Transaction| {
            let scn = transaction.header.scn.transaction();
            oldest.is_some_and(|oldest| scn > oldest) && newest.is_some_and(|newest| scn <= newest)
        };
        prop_assert_eq!(&left, &whole_history(upto).into_iter().filter(between).collect::<Vec<_>>());
        // Capture goes on after the newest, and all of it is there at the next start.
        buffer.begin(scn(0)).unwrap();
        let from = newest.unwrap_or(scn(0));
        let missing = |transaction: &Transaction| transaction.header.scn.transaction() > from;
        for transaction in whole_history(upto + 3).iter().filter(|transaction| missing(transaction)) {
            buffer.append(transaction).unwrap();
        }
        let oldest = buffer.oldest().unwrap();
        drop(buffer);
        let (buffer, report) = open(directory.path(), roomy());
        prop_assert_eq!((report.oldest, report.newest, report.cut_bytes), (Some(oldest), Some(scn(upto + 3)), 0));
        let held = |transaction: &Transaction| transaction.header.scn.transaction() > oldest;
        let held: Vec<Transaction> = whole_history(upto + 3).into_iter().filter(held).collect();
        prop_assert_eq!(read_after(&buffer, oldest), Ok(held));
    }
}
