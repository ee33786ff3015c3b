//! What a statement in the binlog means for replication: the end of a transaction, a change of rows
//! that came as text, or a DDL, and whether that takes rows away.
//!
//! Names and keywords are recognised, not parsed in full: whatever is not recognised is recorded as
//! an ordinary DDL and stops nothing.

use super::sql::{Token, Tokens};
use super::xa::XaStatement;
use crate::tables::TableName;
use crate::transaction::{Ddl, DdlKind};

/// A table name that stands for all tables of its schema (DROP DATABASE).
pub const ALL_TABLES: &str = "*";

/// A statement of the binlog.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    RollbackTo(String),
    ReleaseSavepoint,
    /// None: a statement on an XA transaction that is not understood.
    Xa(Option<XaStatement>),
    /// Rows changed by a statement, as text; the table, where it was recognised.
    DataChange(Option<TableName>),
    Ddl(Ddl),
}

/// Says what a statement is; `schema` is the session's default schema.
pub fn classify(schema: &str, statement: &str) -> Statement {
    let mut tokens = Tokens::new(statement);
    skip_set_statement(&mut tokens, statement);
    let Some(Token::Word(verb)) = tokens.next() else { return ddl(schema, statement, None) };
    match verb.to_ascii_uppercase().as_str() {
        "BEGIN" => Statement::Begin,
        "START" if tokens.accept("TRANSACTION") => Statement::Begin,
        "COMMIT" => Statement::Commit,
        "ROLLBACK" => rollback(&mut tokens),
        "SAVEPOINT" => Statement::Savepoint(tokens.name().unwrap_or_default()),
        "RELEASE" => Statement::ReleaseSavepoint,
        "XA" => Statement::Xa(XaStatement::parse(statement)),
        "INSERT" | "REPLACE" | "UPDATE" | "DELETE" => changed_table(&mut tokens, schema),
        "LOAD" if !tokens.accept("INDEX") => Statement::DataChange(None),
        // Functions and procedures with side effects are logged so in STATEMENT format.
        "SELECT" | "CALL" | "WITH" => Statement::DataChange(None),
        "TRUNCATE" => ddl(schema, statement, truncate(&mut tokens, schema)),
        "DROP" => ddl(schema, statement, drop(&mut tokens, schema)),
        "RENAME" => ddl(schema, statement, rename(&mut tokens, schema)),
        "ALTER" => ddl(schema, statement, alter(&mut tokens, schema)),
        "CREATE" => ddl(schema, statement, create(&mut tokens, schema)),
        _ => ddl(schema, statement, None),
    }
}

type Recognised = Option<(DdlKind, Vec<TableName>)>;

fn ddl(schema: &str, statement: &str, recognised: Recognised) -> Statement {
    let (kind, tables) = recognised.unwrap_or((DdlKind::Other, Vec::new()));
    Statement::Ddl(Ddl { kind, schema: schema.to_owned(), statement: statement.to_owned(), tables })
}

/// `SET STATEMENT variable = value, … FOR statement` is the statement behind FOR.
fn skip_set_statement<'a>(tokens: &mut Tokens<'a>, statement: &'a str) {
    if tokens.accept("SET") {
        if tokens.accept("STATEMENT") {
            tokens.find(|token| token.is("FOR"));
        } else {
            *tokens = Tokens::new(statement);
        }
    }
}

fn rollback(tokens: &mut Tokens<'_>) -> Statement {
    tokens.accept("WORK");
    if !tokens.accept("TO") {
        return Statement::Rollback;
    }
    tokens.accept("SAVEPOINT");
    Statement::RollbackTo(tokens.name().unwrap_or_default())
}

fn changed_table(tokens: &mut Tokens<'_>, schema: &str) -> Statement {
    tokens.skip_any(&["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE", "INTO", "FROM"]);
    Statement::DataChange(tokens.table(schema))
}

fn if_exists(tokens: &mut Tokens<'_>) {
    if tokens.accept("IF") {
        tokens.skip_any(&["NOT", "EXISTS"]);
    }
}

fn truncate(tokens: &mut Tokens<'_>, schema: &str) -> Recognised {
    tokens.accept("TABLE");
    Some((DdlKind::Destructive, vec![tokens.table(schema)?]))
}

fn drop(tokens: &mut Tokens<'_>, schema: &str) -> Recognised {
    if tokens.accept("DATABASE") || tokens.accept("SCHEMA") {
        if_exists(tokens);
        return Some((DdlKind::Destructive, vec![TableName::new(tokens.name()?, ALL_TABLES)]));
    }
    let temporary = tokens.accept("TEMPORARY");
    if !tokens.accept("TABLE") && !tokens.accept("TABLES") {
        return None;
    }
    if_exists(tokens);
    if temporary {
        return None;
    }
    let mut tables = vec![tokens.table(schema)?];
    while tokens.accept_mark(',') {
        tables.extend(tokens.table(schema));
    }
    Some((DdlKind::Destructive, tables))
}

fn rename(tokens: &mut Tokens<'_>, schema: &str) -> Recognised {
    if !tokens.accept("TABLE") && !tokens.accept("TABLES") {
        return None;
    }
    if_exists(tokens);
    let mut tables = Vec::new();
    loop {
        tables.push(tokens.table(schema)?);
        while tokens.peek().is_some_and(|token| !token.is("TO")) {
            tokens.next();
        }
        if tokens.accept("TO") {
            tables.extend(tokens.table(schema));
        }
        if !tokens.accept_mark(',') {
            return Some((DdlKind::Destructive, tables));
        }
    }
}

fn create(tokens: &mut Tokens<'_>, schema: &str) -> Recognised {
    let replaces = tokens.accept("OR") && tokens.accept("REPLACE");
    let temporary = tokens.accept("TEMPORARY");
    if temporary || !tokens.accept("TABLE") {
        return None;
    }
    if_exists(tokens);
    let kind = if replaces { DdlKind::Destructive } else { DdlKind::Other };
    Some((kind, vec![tokens.table(schema)?]))
}

fn alter(tokens: &mut Tokens<'_>, schema: &str) -> Recognised {
    tokens.skip_any(&["ONLINE", "OFFLINE", "IGNORE"]);
    if !tokens.accept("TABLE") {
        return None;
    }
    if_exists(tokens);
    let mut tables = vec![tokens.table(schema)?];
    let mut kind = DdlKind::Other;
    let mut depth = 0u32;
    // Only at the start of a clause is a word a verb: elsewhere it may be a column's name.
    let mut clause_starts = true;
    while let Some(token) = tokens.next() {
        match token {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') => depth = depth.saturating_sub(1),
            Token::Mark(',') if depth == 0 => {
                clause_starts = true;
                continue;
            }
            Token::Word(verb) if depth == 0 && clause_starts => {
                // NOWAIT and WAIT n stand before the first clause.
                if verb.eq_ignore_ascii_case("NOWAIT") {
                    continue;
                }
                if verb.eq_ignore_ascii_case("WAIT") {
                    tokens.next();
                    continue;
                }
                if let Some(other) = destructive_clause(&verb.to_ascii_uppercase(), tokens, schema) {
                    kind = DdlKind::Destructive;
                    tables.extend(other);
                }
            }
            _ => {}
        }
        clause_starts = false;
        // Partition clauses follow the others without a comma.
        if depth == 0 && tokens.peek().is_some_and(partition_verb) {
            clause_starts = true;
        }
    }
    Some((kind, tables))
}

fn partition_verb(token: &Token) -> bool {
    ["EXCHANGE", "TRUNCATE", "CONVERT"].iter().any(|verb| token.is(verb))
}

/// The other table of a clause that takes rows or the name away; the outer None: it does not.
fn destructive_clause(verb: &str, tokens: &mut Tokens<'_>, schema: &str) -> Option<Option<TableName>> {
    match verb {
        "RENAME" => {
            let kept = ["COLUMN", "INDEX", "KEY", "PARTITION"];
            if kept.iter().any(|kept| tokens.peek().is_some_and(|token| token.is(kept))) {
                return None;
            }
            tokens.skip_any(&["TO", "AS"]);
            tokens.accept_mark('=');
            Some(tokens.table(schema))
        }
        "DROP" | "TRUNCATE" => tokens.accept("PARTITION").then_some(None),
        "DISCARD" | "IMPORT" => Some(None),
        "EXCHANGE" => Some(table_behind(tokens, "WITH", schema)),
        "CONVERT" if tokens.accept("TABLE") => Some(tokens.table(schema)),
        "CONVERT" if tokens.accept("PARTITION") => Some(table_behind(tokens, "TO", schema)),
        _ => None,
    }
}

fn table_behind(tokens: &mut Tokens<'_>, keyword: &str, schema: &str) -> Option<TableName> {
    tokens.find(|token| token.is(keyword))?;
    tokens.accept("TABLE");
    tokens.table(schema)
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
