//! A transaction too large for memory: its chunks went to disk as they came, and pass twice. The
//! first pass finds the one time of its local rows, the second stamps and sends part after part.

use bytes::Bytes;
use weft_core::stamp::{self, Naming, Scanned};
use weft_core::time::Micros;
use weft_core::transaction::{Body, Part, SilentKey, Transaction};
use weft_core::version::Version;

use super::error::CaptureError;
use super::ledger::SharedLedger;
use super::pipe::{Head, Output, Pipe, note_marks};

impl Pipe {
    pub(super) async fn large<O: Output>(
        &mut self,
        head: &Head,
        rest: &Bytes,
        ledger: &SharedLedger,
        output: &mut O,
    ) -> Result<(), CaptureError> {
        if !rest.is_empty() {
            self.spill()?.push(rest)?;
        }
        let mut spill = self.spill.take().expect("only spilled transactions are large");
        let scn = head.scn;
        let mut naming = Naming::default();
        let mut greatest: Option<Micros> = None;
        let mut with_rows: Option<usize> = None;
        for (index, chunk) in spill.chunks()?.enumerate() {
            let_others_run().await;
            let scanned = self.scan(&chunk?.into(), scn, 0).await?;
            note_marks(&scanned, ledger);
            let Scanned { rows, marks, .. } = &scanned;
            greatest = greatest.max(stamp::max_known(rows, marks, &mut naming, &*ledger.read()));
            if !scanned.marks.is_empty() || !scanned.rows.rows.is_empty() {
                with_rows = Some(index);
            }
        }
        let Some(last) = with_rows else { return Ok(()) };
        let time = self.time_of(head, ledger, |_| greatest);
        if time.bumped {
            output.bumped(scn, time.time).await?;
        }
        let (mut naming, mut rows_before) = (Naming::default(), 0);
        // The frame that is ready but for one thing: whether it is the last.
        let mut pending: Option<Transaction> = None;
        let mut parts = 0;
        for (index, chunk) in spill.chunks()?.take(last + 1).enumerate() {
            let_others_run().await;
            let mut scanned = self.scan(&chunk?.into(), scn, rows_before).await?;
            let Scanned { rows, marks, .. } = &mut scanned;
            let local = Version::new(time.time, self.args.origin);
            ledger.write(|ledger| {
                stamp::stamp_rows(rows, marks, &mut naming, ledger, local);
                if index == last {
                    stamp::finish(rows, &mut naming, ledger);
                }
            });
            let count = rows.rows.len() as u32;
            // A part without rows would not rise above the one before: its keys go along with that.
            if count == 0
                && let Some(before) = &mut pending
            {
                add_silent(before, std::mem::take(&mut rows.silent));
                continue;
            }
            match pending.take() {
                // Nor would this one rise above a part that has the mark alone.
                Some(before) if rows_before == 0 => scanned.rows.silent.extend(silent_of(before)),
                Some(before) => {
                    output.frame(as_part(before, parts, false)).await?;
                    parts += 1;
                }
                None => {}
            }
            let mut header = self.header(head, Body::Rows(scanned.rows));
            header.scn = scn.with_row(rows_before);
            pending = Some(Transaction { header, raw: scanned.raw });
            rows_before += count;
        }
        let last = pending.expect("at least one chunk has rows or names keys");
        output.frame(if parts == 0 { last } else { as_part(last, parts, true) }).await
    }
}

/// Nothing in the loops over chunks ever waits: without this, a large transaction would keep its thread
/// to itself for many seconds, and with it every task that was woken there, the keep-alive of the
/// peer link among them.
async fn let_others_run() {
    tokio::task::yield_now().await;
}

fn as_part(mut transaction: Transaction, index: u32, last: bool) -> Transaction {
    if let Body::Rows(rows) = &mut transaction.header.body {
        rows.part = Some(Part { index, last });
    }
    transaction
}

fn silent_of(transaction: Transaction) -> Vec<SilentKey> {
    match transaction.header.body {
        Body::Rows(rows) => rows.silent,
        Body::Ddl(_) | Body::Heartbeat { .. } => Vec::new(),
    }
}

fn add_silent(transaction: &mut Transaction, silent: Vec<SilentKey>) {
    if let Body::Rows(rows) = &mut transaction.header.body {
        rows.silent.extend(silent);
    }
}
