//! The user's transforms: a table goes under another name, with columns under other names, some rows
//! of it stay behind, some values are masked.
//!
//! A [`Transformer`] turns each delivery into what the source would have sent, had it been made like the
//! target: the target's names and keys, only the rows that are wanted, masked values in the images.
//! Everything behind it, the scheduler, the marks and the ledger included, knows nothing of transforms.
//!
//! What becomes of a change under a condition (`where`), by whether it holds for the row before and after:
//!
//! | change | before | after | becomes |
//! |---|---|---|---|
//! | insert | | yes | insert |
//! | delete | yes | | delete |
//! | update | yes | yes | update |
//! | update | no | yes | insert: the row moves in |
//! | update | yes | no | delete: the row moves out |
//! | every other | | | nothing |
//!
//! A condition that is unknown does not hold.

mod compare;
pub mod condition;
mod fit;
pub mod mask;
pub mod parse;
mod rewrite;

use std::collections::BTreeMap;

pub use fit::{Fitted, TransformError};
pub use rewrite::Transformer;

use crate::tables::{TableFilter, TableName};
use mask::Mask;
use parse::Expr;

/// What is done to the rows of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableTransform {
    /// At the source.
    pub table: TableName,
    /// At the target; None: the same name.
    pub rename_table: Option<TableName>,
    /// Names at the source to names at the target.
    pub rename_columns: BTreeMap<String, String>,
    /// Over the source's columns.
    pub condition: Option<Condition>,
    /// By the column's name at the target.
    pub masks: BTreeMap<String, Mask>,
}

/// A condition, as it was written and as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub text: String,
    pub expr: Expr,
}

impl TableTransform {
    /// The table's name at the target.
    pub fn target(&self) -> &TableName {
        self.rename_table.as_ref().unwrap_or(&self.table)
    }

    /// A column's name at the target.
    pub fn target_column<'a>(&'a self, name: &'a str) -> &'a str {
        let renamed = self.rename_columns.iter().find(|(from, _)| from.eq_ignore_ascii_case(name));
        renamed.map_or(name, |(_, to)| to.as_str())
    }

    /// The way back: the target's names become the source's.
    fn inverted(&self) -> TableTransform {
        TableTransform {
            table: self.target().clone(),
            rename_table: self.rename_table.is_some().then(|| self.table.clone()),
            rename_columns: self.rename_columns.iter().map(|(from, to)| (to.clone(), from.clone())).collect(),
            condition: None,
            masks: BTreeMap::new(),
        }
    }

    /// How the column of this name at the target is masked.
    pub fn mask(&self, target_column: &str) -> Option<Mask> {
        let masked = self.masks.iter().find(|(name, _)| name.eq_ignore_ascii_case(target_column));
        masked.map(|(_, mask)| *mask)
    }
}

/// The transforms of one direction: at most one a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transforms {
    pub list: Vec<TableTransform>,
}

impl Transforms {
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The transforms of the other direction of a channel that goes both ways: names alone can be
    /// turned back.
    pub fn inverted(&self) -> Transforms {
        Transforms { list: self.list.iter().map(TableTransform::inverted).collect() }
    }

    /// The tables as the target calls them, where the source's are chosen by `tables`. A target's own
    /// table of a renamed one's old name is none of them.
    pub fn at_target(&self, tables: &TableFilter) -> TableFilter {
        let renamed = || self.list.iter().filter(|transform| transform.rename_table.is_some());
        let (taken_out, taken_in): (Vec<String>, Vec<String>) = renamed()
            .map(|transform| (format!("!{}", transform.target()), transform.target().to_string()))
            .unzip();
        let kept = tables.globs.iter().filter(|glob| !taken_out.contains(glob)).cloned();
        let old = renamed().map(|transform| format!("!{}", transform.table));
        TableFilter { globs: kept.chain(taken_in).chain(old).collect() }
    }

    /// The tables that go out of the source: not those that have a renamed one's new name there, or
    /// two tables would become one.
    pub fn at_source(&self, tables: &TableFilter) -> TableFilter {
        let taken = self.list.iter().filter_map(|transform| transform.rename_table.as_ref());
        let out = taken.map(|name| format!("!{name}")).filter(|glob| !tables.globs.contains(glob));
        TableFilter { globs: tables.globs.iter().cloned().chain(out).collect() }
    }

    /// What is done to the table of this name at the source.
    pub fn of(&self, table: &TableName) -> Option<&TableTransform> {
        self.list.iter().find(|transform| transform.table == *table)
    }

    /// What is done to the table that has this name at the target.
    pub fn into_target(&self, table: &TableName) -> Option<&TableTransform> {
        self.list.iter().find(|transform| transform.target() == table)
    }
}
