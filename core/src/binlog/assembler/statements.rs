//! What the statements in the stream do to the transaction that is being read.

use super::{AssembleError, Assembled, Assembler, Ending, RawDdl};
use crate::binlog::classify::{Statement, classify};
use crate::binlog::event::EventHeader;
use crate::binlog::open::{Open, OpenError};
use crate::binlog::query::Query;
use crate::tables::TableName;

impl Assembler {
    pub(super) fn query(
        &mut self,
        event: &[u8],
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        let format = self.format.as_ref().ok_or(AssembleError::NoFormat { kind: header.kind })?;
        let query = Query::parse(event, format)?;
        let statement = classify(&query.schema, &query.statement);
        if let Statement::DataChange(table) = &statement {
            let table = table.clone().unwrap_or_else(|| TableName::new(query.schema.clone(), ""));
            if !table.is_internal() {
                let statement = query.statement.chars().take(80).collect();
                return Err(AssembleError::StatementFormat { statement });
            }
        }
        if let Statement::Xa(xa) = statement {
            let unclear = || AssembleError::Xa { statement: query.statement.chars().take(80).collect() };
            let xa = xa.ok_or_else(unclear)?;
            return self.xa_statement(xa, header, out);
        }
        if self.open.as_ref().is_some_and(|open| open.begun) {
            return self.statement_inside(statement, header, out);
        }
        if statement == Statement::Begin {
            self.open.get_or_insert_with(|| Open::at(header)).begun = true;
            return Ok(());
        }
        // A statement without a GTID event before it stands alone.
        if self.open.is_none() {
            self.begin(Open::at(header))?;
        }
        self.statement_alone(statement, header, out)
    }

    fn statement_inside(
        &mut self,
        statement: Statement,
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        let Some(open) = self.open.as_mut() else { return Err(AssembleError::NotEnded) };
        match statement {
            Statement::Commit => return self.close(header, Ending::Commit, out),
            Statement::Rollback => return self.close(header, Ending::Rollback, out),
            Statement::Savepoint(name) => open.savepoint(name),
            Statement::RollbackTo(name) => match open.roll_back_to(&name) {
                Ok(()) => {}
                Err(OpenError::NoSavepoint | OpenError::TooManyTables) => {
                    return Err(AssembleError::Savepoint(name));
                }
            },
            // Temporary tables have no recognised name and concern nobody else.
            Statement::Ddl(ddl) if !ddl.tables.is_empty() => open.statements.push(ddl),
            Statement::Ddl(_)
            | Statement::Begin
            | Statement::ReleaseSavepoint
            | Statement::Xa(_)
            | Statement::DataChange(_) => {}
        }
        Ok(())
    }

    fn statement_alone(
        &mut self,
        statement: Statement,
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        let idle_alter = self.open.as_ref().is_some_and(|open| open.idle_alter);
        match statement {
            Statement::Ddl(ddl) if !idle_alter => {
                // Rows do not come before a statement that stands alone: they would be dropped with it.
                let alone = |open: &mut Open| !open.has_rows && open.chunks == 0;
                let open = self.open.take_if(alone).ok_or(AssembleError::NotEnded)?;
                out.push(Assembled::Ddl(RawDdl {
                    log_index: self.log_index,
                    log_pos: self.log_pos,
                    gtid: open.gtid,
                    server_id: open.server_id,
                    commit_time: open.time,
                    ddl,
                }));
                Ok(())
            }
            _ => self.close(header, Ending::Statement, out),
        }
    }
}
