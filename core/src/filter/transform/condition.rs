//! A predicate tied to a table version: evaluated over decoded values as the server would.
//!
//! Only comparisons whose result is known to be the server's own are taken; every other one is refused
//! by name when the predicate meets the table:
//!
//! | column | compared with | how |
//! |---|---|---|
//! | integers, DECIMAL | numbers | exactly |
//! | FLOAT, DOUBLE | numbers | as doubles |
//! | YEAR | whole numbers from 1000 to 9999 | by value |
//! | CHAR, VARCHAR, TEXT, ENUM | text, by `=`, `<>`, IN | by the collation's weights |
//! | BINARY, VARBINARY, BLOB | text | the bytes of its UTF-8 |
//! | DATE, DATETIME | `'YYYY-MM-DD'`, `'YYYY-MM-DD HH:MM:SS[.ffffff]'` | field by field |
//! | TIME | `'[-]HH:MM:SS[.ffffff]'` | by its length |
//! | every one | NULL | unknown |

use std::cmp::Ordering;

use super::compare::{Comparand, NotComparable};
use super::parse::{Expr, Literal, Sign};
use crate::binlog::Malformed;
use crate::binlog::value::Value;
use crate::catalog::{Column, TableVersion};

/// Why a predicate does not fit a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    #[error("there is no column {0} in it")]
    NoColumn(String),
    #[error("column {column} ({column_type}) cannot be compared so: {cause}")]
    NotComparable { column: String, column_type: String, cause: NotComparable },
}

/// A predicate over the rows of one table version.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    IsNull(usize),
    /// `None`: compared with NULL.
    Compare(usize, Sign, Option<Comparand>),
    /// Whether there is a NULL in the list, and the others.
    In(usize, bool, Vec<Comparand>),
}

impl Condition {
    /// Ties the predicate to a table.
    ///
    /// # Errors
    /// A column is not there, or cannot be compared exactly.
    pub fn new(expr: &Expr, table: &TableVersion) -> Result<Condition, ConditionError> {
        node(expr, table).map(Condition)
    }

    /// Whether the row is wanted: what the predicate says is true, neither false nor unknown.
    ///
    /// # Errors
    /// A value cannot be read.
    pub fn holds(&self, columns: &[Column], row: &[Value<'_>]) -> Result<bool, Malformed> {
        truth(&self.0, columns, row).map(|truth| truth == Some(true))
    }
}

/// The place of the column with this name: as the servers do, without regard to case.
pub(super) fn find_column(table: &TableVersion, name: &str) -> Option<usize> {
    table.columns.iter().position(|column| column.name.to_lowercase() == name.to_lowercase())
}

fn node(expr: &Expr, table: &TableVersion) -> Result<Node, ConditionError> {
    let place =
        |name: &String| find_column(table, name).ok_or_else(|| ConditionError::NoColumn(name.clone()));
    let nodes = |list: &[Expr]| list.iter().map(|one| node(one, table)).collect::<Result<Vec<_>, _>>();
    Ok(match expr {
        Expr::All(list) => Node::All(nodes(list)?),
        Expr::Any(list) => Node::Any(nodes(list)?),
        Expr::Not(inner) => Node::Not(Box::new(node(inner, table)?)),
        Expr::IsNull(name) => Node::IsNull(place(name)?),
        Expr::Compare(name, sign, literal) => {
            let at = place(name)?;
            let ordered = !matches!(sign, Sign::Equal | Sign::NotEqual);
            Node::Compare(at, *sign, comparand(&table.columns[at], literal, ordered)?)
        }
        Expr::In(name, list) => {
            let at = place(name)?;
            let of = |literal| comparand(&table.columns[at], literal, false);
            let all = list.iter().map(of).collect::<Result<Vec<_>, _>>()?;
            let nulls = all.iter().any(Option::is_none);
            Node::In(at, nulls, all.into_iter().flatten().collect())
        }
    })
}

fn comparand(column: &Column, literal: &Literal, ordered: bool) -> Result<Option<Comparand>, ConditionError> {
    Comparand::new(column, literal, ordered).map_err(|cause| ConditionError::NotComparable {
        column: column.name.clone(),
        column_type: column.column_type.clone().unwrap_or_else(|| format!("type {}", column.type_code)),
        cause,
    })
}

/// Three-valued: `None` is unknown.
fn truth(node: &Node, columns: &[Column], row: &[Value<'_>]) -> Result<Option<bool>, Malformed> {
    Ok(match node {
        Node::All(list) => combined(list, columns, row, false)?,
        Node::Any(list) => combined(list, columns, row, true)?,
        Node::Not(inner) => truth(inner, columns, row)?.map(|truth| !truth),
        Node::IsNull(at) => Some(matches!(value(row, *at)?, Value::Null)),
        Node::Compare(at, sign, comparand) => match comparand {
            Some(comparand) => {
                let order = comparand.order(&columns[*at], value(row, *at)?)?;
                order.map(|order| fits(*sign, order))
            }
            None => None,
        },
        Node::In(at, nulls, list) => {
            let mut unknown = *nulls;
            for comparand in list {
                match comparand.order(&columns[*at], value(row, *at)?)? {
                    Some(Ordering::Equal) => return Ok(Some(true)),
                    Some(_) => {}
                    None => unknown = true,
                }
            }
            // A list of nothing but NULLs leaves a NULL value unknown too.
            (!unknown).then_some(false)
        }
    })
}

/// AND (`decisive` false) and OR (`decisive` true): one decisive term decides, else unknown prevails.
fn combined(
    list: &[Node],
    columns: &[Column],
    row: &[Value<'_>],
    decisive: bool,
) -> Result<Option<bool>, Malformed> {
    let mut unknown = false;
    for one in list {
        match truth(one, columns, row)? {
            Some(truth) if truth == decisive => return Ok(Some(decisive)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok((!unknown).then_some(!decisive))
}

fn value<'a, 'v>(row: &'a [Value<'v>], at: usize) -> Result<&'a Value<'v>, Malformed> {
    row.get(at).ok_or(Malformed::Short { what: "row image" })
}

const fn fits(sign: Sign, order: Ordering) -> bool {
    match sign {
        Sign::Equal => order.is_eq(),
        Sign::NotEqual => order.is_ne(),
        Sign::Less => order.is_lt(),
        Sign::LessOrEqual => order.is_le(),
        Sign::Greater => order.is_gt(),
        Sign::GreaterOrEqual => order.is_ge(),
    }
}

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;
