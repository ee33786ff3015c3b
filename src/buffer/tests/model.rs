//! Any sequence of appends, reopenings and syncs against a plain list.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Append(usize),
    /// Parts of a large transaction; the last one comes only if `whole`.
    Parts {
        count: u32,
        raw_bytes: usize,
        whole: bool,
    },
    Reopen,
    Sync,
    Read(prop::sample::Index),
}

fn any_action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..3000_usize).prop_map(Action::Append),
        1 => (9000..20_000_usize).prop_map(Action::Append),
        3 => (1..6_u32, 0..4000_usize, any::<bool>())
            .prop_map(|(count, raw_bytes, whole)| Action::Parts { count, raw_bytes, whole }),
        2 => Just(Action::Reopen),
        2 => Just(Action::Sync),
        2 => any::<prop::sample::Index>().prop_map(Action::Read),
    ]
}

/// What a reader after `after` must see.
fn expected(model: &[Transaction], after: Scn) -> Vec<Transaction> {
    model.iter().filter(|transaction| transaction.header.scn.transaction() > after).cloned().collect()
}

fn check(buffer: &MmapBuffer, model: &[Transaction]) -> Result<(), TestCaseError> {
    let whole: Vec<Scn> = model.iter().filter_map(Transaction::completes).collect();
    prop_assert_eq!(buffer.newest(), whole.last().copied());
    prop_assert_eq!(buffer.oldest(), whole.first().map(|_| scn(0)));
    prop_assert_eq!(buffer.size().1, whole.len() as u64);
    prop_assert_eq!(read_after(buffer, scn(0)), Ok(model.to_vec()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_buffer_holds_what_was_appended_in_order(actions in prop::collection::vec(any_action(), 1..30)) {
        let directory = tempfile::tempdir().unwrap();
        let (mut buffer, _) = open(directory.path(), roomy());
        buffer.begin(scn(0)).unwrap();
        let mut model: Vec<Transaction> = Vec::new();
        let mut pos = 0;
        for action in actions {
            match action {
                Action::Append(raw_bytes) => {
                    pos += 10;
                    model.push(sized(pos, raw_bytes));
                    buffer.append(&model[model.len() - 1]).unwrap();
                }
                Action::Parts { count, raw_bytes, whole } => {
                    pos += 10;
                    let parts = (0..count).map(|i| part(pos, raw_bytes, Some((i, whole && i + 1 == count))));
                    let parts: Vec<Transaction> = parts.collect();
                    parts.iter().for_each(|part| buffer.append(part).unwrap());
                    if whole {
                        model.extend(parts);
                    }
                }
                Action::Reopen => {
                    drop(buffer);
                    let (reopened, report) = open(directory.path(), roomy());
                    buffer = reopened;
                    prop_assert_eq!(report.newest, buffer.newest());
                    buffer.begin(scn(0)).unwrap();
                }
                Action::Sync => buffer.sync().unwrap(),
                Action::Read(at) if !model.is_empty() => {
                    let after = model[at.index(model.len())].header.scn.transaction();
                    prop_assert_eq!(read_after(&buffer, after), Ok(expected(&model, after)));
                    let inside = after.with_row(3);
                    let again = Scn { log_pos: after.log_pos - 1, ..after };
                    prop_assert_eq!(read_after(&buffer, inside), Ok(expected(&model, again)));
                }
                Action::Read(_) => {}
            }
            check(&buffer, &model)?;
        }
    }
}

#[test]
fn an_scn_that_does_not_rise_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    buffer.begin(scn(5)).unwrap();
    assert_eq!(buffer.append(&sized(5, 0)), Err(BufferError::NotRising { new: scn(5), newest: scn(5) }));
    buffer.append(&sized(20, 10)).unwrap();
    for pos in [10, 20] {
        let refused = Err(BufferError::NotRising { new: scn(pos), newest: scn(20) });
        assert_eq!(buffer.append(&sized(pos, 10)), refused);
    }
    assert!(buffer.append(&part(30, 10, Some((1, true)))).is_err(), "a part without those before it");
    buffer.append(&part(30, 10, Some((0, false)))).unwrap();
    assert!(buffer.append(&part(30, 10, Some((2, true)))).is_err(), "a part is missing");
    assert_eq!(buffer.newest(), Some(scn(20)));
}

#[test]
fn the_schema_history_comes_back_without_its_torn_end() {
    let directory = tempfile::tempdir().unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    let ddl = CatalogItem::Ddl { schema: "shop".into(), statement: "create table t (a int)".into() };
    let entry = CatalogEntry { id: CatalogId(1), began: scn(3), what: ddl };
    buffer.add_catalog(entry.clone()).unwrap();
    assert!(buffer.add_catalog(entry.clone()).is_err(), "its id is taken");
    drop(buffer);
    let path = directory.path().join("catalog");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let (buffer, _) = open(directory.path(), roomy());
    assert_eq!(buffer.catalog().len(), 1);
    buffer.add_catalog(entry.clone()).unwrap();
    drop(buffer);
    let (buffer, _) = open(directory.path(), roomy());
    assert_eq!(buffer.catalog_entry(CatalogId(1)).as_deref(), Some(&entry));
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn the_buffer_of_another_instance_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), roomy()));
    let other = BufferOptions { instance: "bj.main".into(), ..roomy() };
    let refused = MmapBuffer::open(directory.path(), other).err().expect("refused");
    assert!(refused.to_string().contains("sh.main"), "{refused}");
}
