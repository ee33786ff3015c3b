//! Which part of a transaction a reader wants: the tables of its channel, without the rows that
//! reach its target by another way.

use bytes::{Bytes, BytesMut};

use super::schema_glob::could_choose_in;
use crate::instance::InstanceId;
use crate::link::message::RowFilter;
use crate::tables::TableName;
use crate::transaction::{
    Body, Ddl, RowKind, RowStamp, Rows, Span, Transaction, TransactionHeader, UniqueStamp,
};

/// What is left of a transaction for a reader.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// All of it: the frame can be sent as it is.
    All,
    /// Nothing; only the position moves.
    None,
    /// The rows wanted, with the raw bytes cut down to them.
    Some(Transaction),
}

/// Applies the filter.
///
/// A row goes on if its table is chosen, it did not originate at the target, and no direct channel
/// from its origin covers its table. Evictions of chosen tables always go on, to their origin too.
///
/// The last part of a large transaction always goes on, if need be without rows, so that a reader
/// learns that the transaction is whole; parts before it may be left out, so the indexes of the
/// parts that a reader sees rise but may skip.
///
/// A statement goes on if it names a table that is chosen, or (table `*`) a schema that could have
/// one. Heartbeats always go on.
pub fn select(transaction: &Transaction, filter: &RowFilter) -> Selection {
    match &transaction.header.body {
        Body::Heartbeat { .. } => Selection::All,
        Body::Ddl(ddl) if names_chosen_table(ddl, filter) => Selection::All,
        Body::Ddl(_) => Selection::None,
        Body::Rows(rows) => select_rows(transaction, rows, filter),
    }
}

fn names_chosen_table(ddl: &Ddl, filter: &RowFilter) -> bool {
    ddl.tables.iter().any(|name| match name.table.as_str() {
        "*" => could_choose_in(&filter.tables, &name.schema),
        _ => filter.tables.chooses(name),
    })
}

fn select_rows(transaction: &Transaction, rows: &Rows, filter: &RowFilter) -> Selection {
    let tables: Vec<TableRule> = rows.tables.iter().map(|table| TableRule::of(&table.name, filter)).collect();
    let wanted = |row: &RowStamp| tables[usize::from(row.table)].wants(row, filter.target);
    let count = rows.rows.iter().filter(|row| wanted(row)).count();
    let closes = rows.part.is_some_and(|part| part.last);
    if count == 0 && !closes {
        Selection::None
    } else if count == rows.rows.len() {
        Selection::All
    } else {
        Selection::Some(cut_down(transaction, rows, wanted))
    }
}

/// The filter's say on one table, found once for all of its rows.
struct TableRule {
    chosen: bool,
    /// Origins whose rows of this table reach the target directly.
    direct: Vec<InstanceId>,
}

impl TableRule {
    fn of(name: &TableName, filter: &RowFilter) -> TableRule {
        let chosen = filter.tables.chooses(name);
        let covering = filter.direct.iter().filter(|(_, tables)| chosen && tables.chooses(name));
        TableRule { chosen, direct: covering.map(|(origin, _)| *origin).collect() }
    }

    fn wants(&self, row: &RowStamp, target: InstanceId) -> bool {
        let origin = row.version.origin;
        self.chosen && (row.kind == RowKind::Evict || (origin != target && !self.direct.contains(&origin)))
    }
}

/// A new place for what was kept of the raw bytes.
struct Compaction<'a> {
    from: &'a Transaction,
    raw: BytesMut,
}

impl Compaction<'_> {
    fn keep(&mut self, span: Span) -> Span {
        if span.len == 0 {
            return Span::NONE;
        }
        // Fits: the whole is not longer than the raw bytes that it came from.
        let at = self.raw.len() as u32;
        self.raw.extend_from_slice(self.from.bytes(span));
        Span { at, len: span.len }
    }
}

fn cut_down(transaction: &Transaction, rows: &Rows, wanted: impl Fn(&RowStamp) -> bool) -> Transaction {
    let mut kept = keep_stamps(rows, wanted);
    let spans = kept.tables.iter().map(|table| table.table_map);
    let spans = spans.chain(kept.rows.iter().flat_map(|row| [row.before, row.after]));
    let bytes: u64 = spans.map(|span| u64::from(span.len)).sum();
    // Spans that overlap could grow without bound when each is copied; the old bytes serve them.
    let raw = if bytes <= transaction.raw.len() as u64 {
        let mut compaction = Compaction { from: transaction, raw: BytesMut::with_capacity(bytes as usize) };
        for table in &mut kept.tables {
            table.table_map = compaction.keep(table.table_map);
        }
        for row in &mut kept.rows {
            row.before = compaction.keep(row.before);
            row.after = compaction.keep(row.after);
        }
        compaction.raw.freeze()
    } else {
        Bytes::clone(&transaction.raw)
    };
    let TransactionHeader { scn, server_id, ref gtid, commit_time, format, .. } = transaction.header;
    let (gtid, body) = (gtid.clone(), Body::Rows(kept));
    Transaction { header: TransactionHeader { scn, server_id, gtid, commit_time, format, body }, raw }
}

/// The wanted rows with their unique stamps and tables, renumbered; spans still as they were.
fn keep_stamps(rows: &Rows, wanted: impl Fn(&RowStamp) -> bool) -> Rows {
    let mut kept = Rows { part: rows.part, ..Rows::default() };
    let mut new_table: Vec<Option<u16>> = vec![None; rows.tables.len()];
    let mut unique = rows.unique.iter().peekable();
    for (old_row, row) in rows.rows.iter().enumerate() {
        let wanted = wanted(row);
        let new_row = kept.rows.len() as u32;
        while let Some(stamp) = unique.next_if(|stamp| stamp.row as usize <= old_row) {
            if wanted && stamp.row as usize == old_row {
                kept.unique.push(UniqueStamp { row: new_row, ..*stamp });
            }
        }
        if wanted {
            let table = *new_table[usize::from(row.table)].get_or_insert_with(|| {
                kept.tables.push(rows.tables[usize::from(row.table)].clone());
                (kept.tables.len() - 1) as u16
            });
            kept.rows.push(RowStamp { table, ..*row });
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;

    use super::super::frame::{decode, encode};
    use super::super::sample::{ORIGINS, TABLES, any_transaction};
    use super::*;
    use crate::key::KeyHash;
    use crate::tables::TableFilter;
    use crate::transaction::DdlKind;

    /// A row with all that belongs to it, free of places and numbers.
    #[derive(Debug, PartialEq)]
    struct WholeRow {
        stamp: RowStamp,
        name: TableName,
        table_map: Vec<u8>,
        before: Vec<u8>,
        after: Vec<u8>,
        unique: Vec<(KeyHash, bool, bool)>,
    }

    fn whole_rows(transaction: &Transaction) -> Vec<WholeRow> {
        let rows = transaction.rows().expect("rows");
        let whole = |(index, row): (usize, &RowStamp)| {
            let table = &rows.tables[usize::from(row.table)];
            let unique = rows.unique.iter().filter(|stamp| stamp.row as usize == index);
            WholeRow {
                stamp: RowStamp { table: 0, before: Span::NONE, after: Span::NONE, ..*row },
                name: table.name.clone(),
                table_map: transaction.bytes(table.table_map).to_vec(),
                before: transaction.bytes(row.before).to_vec(),
                after: transaction.bytes(row.after).to_vec(),
                unique: unique.map(|stamp| (stamp.hash, stamp.after, stamp.changed)).collect(),
            }
        };
        rows.rows.iter().enumerate().map(whole).collect()
    }

    fn any_filter() -> impl Strategy<Value = RowFilter> {
        let globs = || {
            let choices = vec!["*", "shop.*", "crm.*", "!shop.audit*", "shop.orders", "none.x"];
            prop::collection::vec(prop::sample::select(choices), 0..3).prop_map(TableFilter::new)
        };
        let direct = prop::collection::vec((prop::sample::select(ORIGINS.to_vec()), globs()), 0..3);
        (globs(), prop::sample::select(ORIGINS.to_vec()), direct)
            .prop_map(|(tables, target, direct)| RowFilter { tables, target, direct })
    }

    /// The rule row by row, as the peer link states it.
    fn goes_on(row: &WholeRow, filter: &RowFilter) -> bool {
        let origin = row.stamp.version.origin;
        let direct = filter.direct.iter().any(|(from, tables)| *from == origin && tables.chooses(&row.name));
        filter.tables.chooses(&row.name)
            && (row.stamp.kind == RowKind::Evict || (origin != filter.target && !direct))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn exactly_the_wanted_rows_go_on(transaction in any_transaction(), filter in any_filter()) {
            let Some(rows) = transaction.rows() else { return Ok(()) };
            let all = whole_rows(&transaction);
            let count = all.len();
            let wanted: Vec<WholeRow> = all.into_iter().filter(|row| goes_on(row, &filter)).collect();
            let last = rows.part.is_some_and(|part| part.last);
            match select(&transaction, &filter) {
                Selection::All => prop_assert_eq!(wanted.len(), count),
                Selection::None => prop_assert!(wanted.is_empty() && !last),
                Selection::Some(cut) => {
                    prop_assert!(wanted.len() < count);
                    prop_assert!(!wanted.is_empty() || last);
                    prop_assert_eq!(whole_rows(&cut), wanted);
                    prop_assert!(cut.raw.len() < transaction.raw.len());
                    prop_assert_eq!(cut.completes(), transaction.completes());
                    prop_assert_eq!(&cut.header.gtid, &transaction.header.gtid);
                    prop_assert_eq!(decode(&encode(&cut).expect("sound").into()), Ok(cut));
                }
            }
        }
    }

    #[test]
    fn overlapping_images_do_not_make_the_raw_bytes_grow() {
        let strategy =
            any_transaction().prop_filter("two tables", |t| t.rows().is_some_and(|r| r.rows.len() > 4));
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let tree = strategy.new_tree(&mut runner).expect("a sample");
        let mut transaction = tree.current();
        let whole = Span { at: 0, len: transaction.raw.len() as u32 };
        let Body::Rows(rows) = &mut transaction.header.body else { panic!("rows were asked for") };
        for (index, row) in rows.rows.iter_mut().enumerate() {
            (row.before, row.after) = (whole, whole);
            (row.table, row.version.origin) = (0, ORIGINS[index % 2]);
            row.kind = RowKind::Update;
        }
        let filter = RowFilter { tables: TableFilter::new(["*"]), target: ORIGINS[0], direct: Vec::new() };
        let Selection::Some(cut) = select(&transaction, &filter) else { panic!("some rows are wanted") };
        assert_eq!(cut.raw, transaction.raw);
        assert!(cut.rows().is_some_and(|rows| rows.rows.iter().all(|row| row.after == whole)));
    }

    #[test]
    fn a_statement_goes_on_if_it_names_a_chosen_table_or_a_schema_of_one() {
        let filter = RowFilter {
            tables: TableFilter::new(["shop.*"]),
            target: ORIGINS[0],
            direct: vec![(ORIGINS[1], TableFilter::new(["*"]))],
        };
        let named = |names: &[(&str, &str)]| Ddl {
            kind: DdlKind::Destructive,
            schema: "shop".into(),
            statement: String::new(),
            tables: names.iter().map(|(schema, table)| TableName::new(*schema, *table)).collect(),
        };
        assert!(names_chosen_table(&named(&[("crm", "people"), ("shop", "orders")]), &filter));
        assert!(names_chosen_table(&named(&[("shop", "*")]), &filter));
        assert!(!names_chosen_table(&named(&[("crm", "*")]), &filter));
        assert!(!names_chosen_table(&named(&[]), &filter));
        assert!(!names_chosen_table(&named(&[TABLES[2]]), &filter));
    }
}
