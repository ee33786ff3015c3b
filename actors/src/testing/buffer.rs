//! An event buffer in memory.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::watch;
use weft_core::buffer::frame;
use weft_core::catalog::{CatalogEntry, CatalogId, CatalogItem, TableVersion};
use weft_core::scn::Scn;
use weft_core::tables::TableName;
use weft_core::transaction::Transaction;

use crate::ports::{BufferError, EventBuffer, FrameReader, FrameRef};

/// Keeps every frame until [`ModelBuffer::forget_up_to`]. Clones share the content.
#[derive(Debug, Clone)]
pub struct ModelBuffer {
    shared: Arc<Mutex<Held>>,
    newest: Arc<watch::Sender<Scn>>,
}

#[derive(Debug, Default)]
struct Held {
    /// Rising; parts of large transactions among them.
    frames: Vec<(Scn, Bytes)>,
    /// How many of `frames` belong to whole transactions.
    whole: usize,
    /// The last SCN whose frames were forgotten, or where the buffer began.
    oldest: Option<Scn>,
    newest: Option<Scn>,
    catalog: Vec<Arc<CatalogEntry>>,
}

impl Default for ModelBuffer {
    fn default() -> ModelBuffer {
        ModelBuffer { shared: Arc::default(), newest: Arc::new(watch::channel(Scn::ZERO).0) }
    }
}

impl ModelBuffer {
    /// Raised after each append of a whole transaction.
    pub fn watch(&self) -> watch::Receiver<Scn> {
        self.newest.subscribe()
    }

    /// Gives up the frames up to this transaction (inclusive), as a ring does; returns them.
    pub fn forget_up_to(&self, scn: Scn) -> Vec<FrameRef> {
        let mut held = self.held();
        let count = held.frames.partition_point(|(at, _)| at.transaction() <= scn);
        held.whole = held.whole.saturating_sub(count);
        held.oldest = Some(scn);
        held.frames.drain(..count).map(|(_, frame)| frame).collect()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.shared.lock().expect("no holder of the lock panics")
    }
}

impl EventBuffer for ModelBuffer {
    fn append(&self, transaction: &Transaction) -> Result<(), BufferError> {
        let new = transaction.header.scn;
        let mut held = self.held();
        if let Some((newest, _)) = held.frames.last()
            && new <= *newest
        {
            return Err(BufferError::NotRising { new, newest: *newest });
        }
        let bytes = frame::encode(transaction)
            .map_err(|cause| BufferError::Write { path: "memory".into(), cause: cause.to_string() })?;
        held.frames.push((new, bytes.into()));
        held.oldest.get_or_insert(Scn::ZERO);
        if let Some(completed) = transaction.completes() {
            held.whole = held.frames.len();
            held.newest = Some(completed);
            drop(held);
            self.newest.send_replace(completed);
        }
        Ok(())
    }

    fn add_catalog(&self, entry: CatalogEntry) -> Result<(), BufferError> {
        let mut held = self.held();
        assert_eq!(entry.id.0 as usize, held.catalog.len(), "catalog ids have no gaps");
        held.catalog.push(Arc::new(entry));
        Ok(())
    }

    fn catalog(&self) -> Vec<Arc<CatalogEntry>> {
        self.held().catalog.clone()
    }

    fn catalog_entry(&self, id: CatalogId) -> Option<Arc<CatalogEntry>> {
        self.held().catalog.get(id.0 as usize).cloned()
    }

    fn newest_table(&self, name: &TableName) -> Option<(CatalogId, Arc<TableVersion>)> {
        self.held().catalog.iter().rev().find_map(|entry| match &entry.what {
            CatalogItem::Table(version) if version.name == *name => {
                Some((entry.id, Arc::new(version.clone())))
            }
            CatalogItem::Table(_)
            | CatalogItem::Format(_)
            | CatalogItem::Ddl { .. }
            | CatalogItem::Server { .. } => None,
        })
    }

    fn newest(&self) -> Option<Scn> {
        self.held().newest
    }

    fn oldest(&self) -> Option<Scn> {
        self.held().oldest
    }

    fn size(&self) -> (u64, u64) {
        let held = self.held();
        let frames = &held.frames[..held.whole];
        (frames.iter().map(|(_, frame)| frame.len() as u64).sum(), frames.len() as u64)
    }

    fn reader(&self, after: Scn) -> Result<Box<dyn FrameReader>, BufferError> {
        let mut reader = ModelReader { buffer: self.clone(), after };
        reader.next_at()?;
        Ok(Box::new(reader))
    }

    fn sync(&self) -> Result<(), BufferError> {
        Ok(())
    }
}

struct ModelReader {
    buffer: ModelBuffer,
    after: Scn,
}

impl ModelReader {
    fn next_at(&mut self) -> Result<Option<(Scn, Bytes)>, BufferError> {
        let held = self.buffer.held();
        if let Some(oldest) = held.oldest
            && self.after < oldest
        {
            return Err(BufferError::TooOld { after: self.after, oldest });
        }
        let at = held.frames.partition_point(|(scn, _)| *scn <= self.after);
        Ok(held.frames[..held.whole].get(at).cloned())
    }
}

impl FrameReader for ModelReader {
    fn next(&mut self) -> Result<Option<FrameRef>, BufferError> {
        Ok(self.next_at()?.map(|(scn, frame)| {
            self.after = scn;
            frame
        }))
    }
}
