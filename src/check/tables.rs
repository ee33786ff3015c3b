//! Reads the facts of the replicated tables.

use std::collections::{BTreeMap, HashMap};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use weft_core::tables::{TableFilter, TableName};

use super::facts::{Cascade, Collation, ColumnFacts, KeyColumn, TableFacts};
use crate::mysql::dialect::Dialect;

/// Schemas that are never replicated, as a list for `NOT IN`.
const INTERNAL: &str = "('mysql', 'information_schema', 'performance_schema', 'sys', 'weft')";

/// Facts of the tables that one of `filters` chooses, by name.
pub(super) async fn read(conn: &mut Conn, filters: &[TableFilter]) -> Result<Vec<TableFacts>, Error> {
    let mut tables = base_tables(conn, filters).await?;
    if !tables.is_empty() {
        read_columns(conn, &mut tables).await?;
        read_keys(conn, &mut tables).await?;
        read_triggers(conn, &mut tables).await?;
        read_cascades(conn, &mut tables).await?;
    }
    Ok(tables.into_values().collect())
}

type Tables = BTreeMap<TableName, TableFacts>;

async fn base_tables(conn: &mut Conn, filters: &[TableFilter]) -> Result<Tables, Error> {
    let engines: Vec<(String, Option<String>)> =
        conn.query("SELECT engine, transactions FROM information_schema.engines").await?;
    let transactional: HashMap<String, bool> =
        engines.into_iter().map(|(name, yes)| (name, yes.as_deref() == Some("YES"))).collect();
    let query = format!(
        "SELECT table_schema, table_name, engine FROM information_schema.tables \
         WHERE table_type = 'BASE TABLE' AND table_schema NOT IN {INTERNAL}"
    );
    let rows: Vec<(String, String, Option<String>)> = conn.query(query).await?;
    let mut tables = BTreeMap::new();
    for (schema, table, engine) in rows {
        let name = TableName::new(schema, table);
        if !filters.iter().any(|filter| filter.chooses(&name)) {
            continue;
        }
        let engine = engine.unwrap_or_default();
        let facts = TableFacts {
            name: name.clone(),
            transactional: transactional.get(&engine).copied().unwrap_or(false),
            engine,
            columns: Vec::new(),
            keys: Vec::new(),
            triggers: Vec::new(),
            cascades: Vec::new(),
        };
        tables.insert(name, facts);
    }
    Ok(tables)
}

/// Schema, table, column, its type and collation, nullable, extra.
type ColumnRow = (String, String, String, String, Option<String>, String, String);

async fn read_columns(conn: &mut Conn, tables: &mut Tables) -> Result<(), Error> {
    let query = format!(
        "SELECT table_schema, table_name, column_name, column_type, collation_name, is_nullable, extra \
         FROM information_schema.columns WHERE table_schema NOT IN {INTERNAL} \
         ORDER BY table_schema, table_name, ordinal_position"
    );
    let rows: Vec<ColumnRow> = conn.query(query).await?;
    for (schema, table, name, column_type, collation, nullable, extra) in rows {
        if let Some(facts) = tables.get_mut(&TableName::new(schema, table)) {
            facts.columns.push(ColumnFacts {
                name,
                column_type,
                collation,
                nullable: nullable == "YES",
                auto_increment: extra.contains("auto_increment"),
            });
        }
    }
    Ok(())
}

async fn read_keys(conn: &mut Conn, tables: &mut Tables) -> Result<(), Error> {
    let ids: Vec<(String, u64)> = conn.query(Dialect::of(conn).collations()).await?;
    let ids: HashMap<String, u16> =
        ids.into_iter().filter_map(|(name, id)| Some((name, u16::try_from(id).ok()?))).collect();
    let query = format!(
        "SELECT table_schema, table_name, index_name, column_name, \
         sub_part IS NOT NULL FROM information_schema.statistics \
         WHERE non_unique = 0 AND table_schema NOT IN {INTERNAL} \
         ORDER BY table_schema, table_name, index_name, seq_in_index"
    );
    let rows: Vec<(String, String, String, Option<String>, bool)> = conn.query(query).await?;
    for (schema, table, key, column, prefix) in rows {
        let Some(facts) = tables.get_mut(&TableName::new(schema, table)) else { continue };
        let column = column.unwrap_or_default();
        let of_column = facts.columns.iter().find(|own| own.name == column);
        let collation = of_column.and_then(|own| own.collation.clone());
        let collation = collation.map(|name| Collation { id: ids.get(&name).copied().unwrap_or(0), name });
        facts.keys.push(KeyColumn { key, column, prefix, collation });
    }
    Ok(())
}

async fn read_triggers(conn: &mut Conn, tables: &mut Tables) -> Result<(), Error> {
    let query =
        "SELECT event_object_schema, event_object_table, trigger_name FROM information_schema.triggers";
    let rows: Vec<(String, String, String)> = conn.query(query).await?;
    for (schema, table, trigger) in rows {
        if let Some(facts) = tables.get_mut(&TableName::new(schema, table)) {
            facts.triggers.push(trigger);
        }
    }
    Ok(())
}

async fn read_cascades(conn: &mut Conn, tables: &mut Tables) -> Result<(), Error> {
    let query = "SELECT constraint_schema, table_name, constraint_name, update_rule, delete_rule \
                 FROM information_schema.referential_constraints";
    let rows: Vec<(String, String, String, String, String)> = conn.query(query).await?;
    let changes_rows = |rule: &str| matches!(rule, "CASCADE" | "SET NULL" | "SET DEFAULT");
    for (schema, table, constraint, on_update, on_delete) in rows {
        let Some(facts) = tables.get_mut(&TableName::new(schema, table)) else { continue };
        for (event, rule) in [("DELETE", on_delete), ("UPDATE", on_update)] {
            if changes_rows(&rule) {
                let rule = format!("ON {event} {rule}");
                facts.cascades.push(Cascade { constraint: constraint.clone(), rule });
            }
        }
    }
    Ok(())
}
