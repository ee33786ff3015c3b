//! What becomes of the group that is being read where it belongs to an XA transaction.

use super::{AssembleError, Assembled, Assembler, Ending};
use crate::binlog::event::EventHeader;
use crate::binlog::open::Open;
use crate::binlog::xa::{XaPrepareEvent, XaStatement, Xid};

impl Assembler {
    pub(super) fn xa_prepare(
        &mut self,
        event: &[u8],
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        let XaPrepareEvent { one_phase, xid } = XaPrepareEvent::parse(event)?;
        if one_phase { self.close(header, Ending::Commit, out) } else { self.prepared(xid, header, out) }
    }

    pub(super) fn xa_statement(
        &mut self,
        statement: XaStatement,
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        // Without GTIDs nothing comes before the statement.
        let open = self.open.get_or_insert_with(|| Open::at(header));
        match statement {
            XaStatement::Start => open.begun = true,
            XaStatement::End => {}
            XaStatement::Prepare(xid) => return self.prepared(xid, header, out),
            XaStatement::Commit { xid, one_phase } => {
                // Rows of its own: it is not about those that were prepared.
                if one_phase || open.has_rows || open.chunks > 0 {
                    return self.close(header, Ending::Commit, out);
                }
                let transaction = self.ended(header, Ending::Commit, out)?;
                out.push(Assembled::Decided { xid, committed: true, transaction });
            }
            XaStatement::Rollback(xid) => {
                let transaction = self.ended(header, Ending::Rollback, out)?;
                out.push(Assembled::Decided { xid, committed: false, transaction });
            }
        }
        Ok(())
    }

    fn prepared(
        &mut self,
        xid: Xid,
        header: EventHeader,
        out: &mut Vec<Assembled>,
    ) -> Result<(), AssembleError> {
        let transaction = self.ended(header, Ending::Prepare, out)?;
        out.push(Assembled::Prepared { xid, transaction });
        Ok(())
    }
}
