//! One side of a comparison: a session that answers its questions.

use std::collections::BTreeSet;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Row};
use weft_core::tables::{TableFilter, TableName};
use weft_core::verify::{KeyRange, RangeDigest, RowHash, RowKey, Side as Which};

use super::tables::{ColumnFacts, Plan, TableFacts};
use super::{VerifyError, sql};
use crate::mysql::connect::{Endpoint, Role, connect};
use crate::mysql::dialect::Dialect;

pub(super) struct Side {
    /// Full name of the instance.
    pub name: String,
    channel: String,
    conn: Conn,
    dialect: Dialect,
    /// Digest of the channel's marks when they were looked at last.
    marks: Option<String>,
}

impl Side {
    pub(super) async fn connect(
        (name, endpoint): &(String, Endpoint),
        channel: &str,
    ) -> Result<Side, VerifyError> {
        let conn = connect(endpoint, Role::Control).await?;
        let dialect = Dialect::of(&conn);
        Ok(Side { name: name.clone(), channel: channel.to_owned(), conn, dialect, marks: None })
    }

    async fn query<T: FromRow + Send + 'static>(
        &mut self,
        doing: &str,
        sql: String,
    ) -> Result<Vec<T>, VerifyError> {
        let side = &self.name;
        self.conn.query(sql).await.map_err(|error| VerifyError::Query {
            side: side.clone(),
            doing: doing.to_owned(),
            error,
        })
    }

    async fn ask<T: FromRow + Send + 'static>(
        &mut self,
        doing: &str,
        sql: &str,
        params: (&str, &str),
    ) -> Result<Vec<T>, VerifyError> {
        let side = &self.name;
        self.conn.exec(sql, params).await.map_err(|error| VerifyError::Query {
            side: side.clone(),
            doing: doing.to_owned(),
            error,
        })
    }

    /// The base tables that the filter chooses.
    pub(super) async fn tables(&mut self, filter: &TableFilter) -> Result<BTreeSet<TableName>, VerifyError> {
        let sql =
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE'";
        let rows: Vec<(String, String)> = self.query("listing tables", sql.to_owned()).await?;
        let names = rows.into_iter().map(|(schema, table)| TableName { schema, table });
        Ok(names.filter(|name| filter.chooses(name)).collect())
    }

    /// Columns and primary key of the table.
    pub(super) async fn facts(&mut self, table: &TableName) -> Result<TableFacts, VerifyError> {
        let name = (table.schema.as_str(), table.table.as_str());
        let doing = format!("describing {table}");
        type Fields = (String, String, Option<String>, bool);
        let words = self.dialect.columns();
        let query = format!(
            "SELECT c.COLUMN_NAME, c.DATA_TYPE, {}, {} FROM information_schema.COLUMNS c {} \
             WHERE c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ? ORDER BY c.ORDINAL_POSITION",
            words.collation_name, words.generated, words.join
        );
        let columns: Vec<Fields> = self.ask(&doing, &query, name).await?;
        let primary_key: Vec<String> = self
            .ask(
                &doing,
                "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND \
                 INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX",
                name,
            )
            .await?;
        let columns = columns
            .into_iter()
            .map(|(name, data_type, collation, generated)| ColumnFacts {
                known_as: name.clone(),
                name,
                mask: None,
                data_type,
                collation,
                generated,
            })
            .collect();
        Ok(TableFacts { columns, primary_key })
    }

    pub(super) async fn boundary(
        &mut self,
        plan: &Plan,
        which: Which,
        after: Option<&RowKey>,
        rows: u32,
    ) -> Result<Option<RowKey>, VerifyError> {
        let doing = format!("reading keys of {}", plan.table(which));
        let found: Vec<Row> = self.query(&doing, sql::boundary(plan, which, after, rows)).await?;
        Ok(found.into_iter().next().map(|row| key_of(&row, 0, plan)))
    }

    pub(super) async fn digest(
        &mut self,
        plan: &Plan,
        which: Which,
        range: &KeyRange,
    ) -> Result<RangeDigest, VerifyError> {
        let doing = format!("hashing {}", plan.table(which));
        let found: Vec<(u64, u64, u64, u64)> = self.query(&doing, sql::digest(plan, which, range)).await?;
        let (rows, hashed, high, low) = found.into_iter().next().unwrap_or_default();
        if rows != hashed {
            return Err(self.too_long(plan));
        }
        Ok(RangeDigest { rows, hashes: u128::from(high) << 64 | u128::from(low) })
    }

    pub(super) async fn hashes(
        &mut self,
        plan: &Plan,
        which: Which,
        range: &KeyRange,
    ) -> Result<Vec<(RowKey, RowHash)>, VerifyError> {
        let doing = format!("hashing rows of {}", plan.table(which));
        let rows: Vec<Row> = self.query(&doing, sql::hashes(plan, which, range)).await?;
        rows.iter().map(|row| Ok((key_of(row, 1, plan), self.hash_of(row, 0, plan)?))).collect()
    }

    /// The hashes of the rows with these keys; keys that are not there are left out.
    pub(super) async fn hashes_of(
        &mut self,
        plan: &Plan,
        which: Which,
        keys: &[RowKey],
    ) -> Result<Vec<(RowKey, RowHash)>, VerifyError> {
        let doing = format!("hashing rows of {} again", plan.table(which));
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(sql::KEYS_MAX) {
            let rows: Vec<Row> = self
                .query(&doing, sql::by_keys(self.dialect, plan, which, &plan.row_hash(which), keys))
                .await?;
            for row in rows {
                let number: usize = row.get_opt(0).and_then(Result::ok).unwrap_or(usize::MAX);
                if let Some(key) = keys.get(number) {
                    found.push((key.clone(), self.hash_of(&row, 1, plan)?));
                }
            }
        }
        Ok(found)
    }

    /// One hash per compared column; none if the row went meanwhile.
    pub(super) async fn column_hashes(
        &mut self,
        plan: &Plan,
        which: Which,
        key: &RowKey,
    ) -> Result<Vec<Option<String>>, VerifyError> {
        let doing = format!("comparing columns of {}", plan.table(which));
        let statement =
            sql::by_keys(self.dialect, plan, which, &plan.column_hashes(which), std::slice::from_ref(key));
        let rows: Vec<Row> = self.query(&doing, statement).await?;
        let Some(row) = rows.first() else { return Ok(vec![None; plan.columns.len()]) };
        Ok((0..plan.columns.len()).map(|at| row.get_opt(at + 1).and_then(Result::ok)).collect())
    }

    /// Whether the channel wrote a mark here since the last look.
    pub(super) async fn applied_anything(&mut self) -> Result<bool, VerifyError> {
        let channel = self.channel.clone();
        let there: Vec<u8> = self
            .ask(
                "looking at the marks",
                "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
                ("weft", "mark"),
            )
            .await?;
        if there.is_empty() {
            return Ok(false);
        }
        let digests: Vec<Option<String>> = self
            .ask(
                "looking at the marks",
                "SELECT SHA2(GROUP_CONCAT(SHA2(body, 256) ORDER BY source, shard), 256) FROM weft.mark WHERE channel = ? AND '' = ?",
                (&channel, ""),
            )
            .await?;
        let now = digests.into_iter().next().flatten().unwrap_or_default();
        Ok(self.marks.replace(now.clone()).is_some_and(|before| before != now))
    }

    fn hash_of(&self, row: &Row, at: usize, plan: &Plan) -> Result<RowHash, VerifyError> {
        let text: Option<String> = row.get_opt(at).and_then(Result::ok);
        text.and_then(|text| u128::from_str_radix(&text, 16).ok())
            .map(RowHash)
            .ok_or_else(|| self.too_long(plan))
    }

    fn too_long(&self, plan: &Plan) -> VerifyError {
        VerifyError::TooLong { side: self.name.clone(), table: plan.table(Which::Right).clone() }
    }
}

fn key_of(row: &Row, from: usize, plan: &Plan) -> RowKey {
    RowKey(
        (from..from + plan.key_width())
            .map(|at| row.get_opt(at).and_then(Result::ok).unwrap_or_default())
            .collect(),
    )
}
