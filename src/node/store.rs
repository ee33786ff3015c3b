//! What is kept in the data directory, as the ports want it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use weft_actors::ports::{CaptureStore, Clock, Spill, SpilledChunks, StoreError, WatermarkStore};
use weft_core::binlog::log_file::LogFiles;
use weft_core::channel::recovery::StoredWatermark;
use weft_core::mark::Epoch;
use weft_core::scn::Scn;
use weft_core::time::Micros;

use super::{NodeError, WallClock};
use crate::data::spill::SpillFile;
use crate::data::stamps::{RaisedStamp, StampLog};
use crate::data::watermarks::{self, Watermark};
use crate::data::{DataDir, ledger_file, log_files};

fn store_error(path: impl Into<PathBuf>, cause: impl std::fmt::Display) -> StoreError {
    StoreError { path: path.into().display().to_string(), cause: cause.to_string() }
}

/// What is kept of one instance besides its event buffer.
pub struct InstanceStore {
    data: Arc<DataDir>,
    ledger: PathBuf,
    binlogs: PathBuf,
    stamps: Mutex<StampLog>,
}

impl InstanceStore {
    /// Opens the files of the instance with this full name.
    ///
    /// # Errors
    /// They cannot be read or written.
    pub fn open(data: Arc<DataDir>, instance: &str) -> Result<InstanceStore, NodeError> {
        let path = data.stamps(instance);
        let stamps = StampLog::open(&path)
            .map_err(|error| NodeError::NotReady(format!("{}: {error}", path.display())))?;
        let (ledger, binlogs) = (data.ledger(instance), data.binlogs(instance));
        Ok(InstanceStore { ledger, binlogs, data, stamps: Mutex::new(stamps) })
    }
}

impl InstanceStore {
    fn stamps(&self) -> std::sync::MutexGuard<'_, StampLog> {
        self.stamps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CaptureStore for InstanceStore {
    fn load_ledger(&self) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let failed = |error| store_error(&self.ledger, error);
        let Some(chunks) = ledger_file::load(&self.ledger).map_err(failed)? else { return Ok(None) };
        chunks.collect::<Result<Vec<_>, _>>().map(Some).map_err(failed)
    }

    fn save_ledger(&self, chunks: &mut dyn Iterator<Item = Vec<u8>>) -> Result<(), StoreError> {
        self.stamps().sync().map_err(|error| store_error(self.data.path(), error))?;
        ledger_file::save(&self.ledger, chunks).map_err(|error| store_error(&self.ledger, error))
    }

    fn spill(&self) -> Result<Box<dyn Spill>, StoreError> {
        let file = self.data.spill().map_err(|error| store_error(self.data.path(), error))?;
        Ok(Box::new(Spilled { file, path: self.data.path().to_owned() }))
    }

    fn record_stamp(&self, scn: Scn, time: Micros) -> Result<(), StoreError> {
        let mut stamps = self.stamps();
        // What is captured again was remembered the first time, with the same stamp.
        if stamps.newest().is_some_and(|newest| scn <= newest) {
            return Ok(());
        }
        stamps.append(&[RaisedStamp { scn, time }]).map_err(|error| store_error(self.data.path(), error))
    }

    fn stamps_after(&self, after: Scn) -> Result<Vec<(Scn, Micros)>, StoreError> {
        let newest = Scn { epoch: u32::MAX, log_index: u32::MAX, log_pos: u64::MAX, row: u32::MAX };
        let found =
            self.stamps().range(after, newest).map_err(|error| store_error(self.data.path(), error))?;
        Ok(found.into_iter().map(|stamp| (stamp.scn, stamp.time)).collect())
    }

    fn log_files(&self) -> Result<LogFiles, StoreError> {
        log_files::load(&self.binlogs).map_err(|error| store_error(&self.binlogs, error))
    }

    fn save_log_files(&self, files: &LogFiles) -> Result<(), StoreError> {
        log_files::save(&self.binlogs, files).map_err(|error| store_error(&self.binlogs, error))
    }
}

/// One large transaction on disk.
struct Spilled {
    file: SpillFile,
    path: PathBuf,
}

impl Spill for Spilled {
    fn push(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        self.file.append(chunk).map_err(|error| store_error(&self.path, error))
    }

    fn chunks(&mut self) -> Result<SpilledChunks<'_>, StoreError> {
        let path = self.path.clone();
        let chunks = self.file.chunks().map_err(|error| store_error(&path, error))?;
        Ok(Box::new(chunks.map(move |chunk| chunk.map_err(|error| store_error(&path, error)))))
    }
}

/// How far the directions came, as the channels store it.
pub struct Watermarks(Mutex<watermarks::Watermarks>);

impl Watermarks {
    /// Opens the file in the data directory.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(data: &DataDir) -> Result<Arc<Watermarks>, NodeError> {
        let path = data.watermarks();
        let file = watermarks::Watermarks::open(&path)
            .map_err(|error| NodeError::NotReady(format!("{}: {error}", path.display())))?;
        Ok(Arc::new(Watermarks(Mutex::new(file))))
    }

    /// Writes what was stored last.
    pub fn flush(&self) {
        self.write(watermarks::Watermarks::save);
    }

    /// Losing the file costs reading transactions again, so that a failure is only told.
    fn write<T>(&self, how: impl FnOnce(&mut watermarks::Watermarks) -> std::io::Result<T>) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = how(&mut file) {
            tracing::warn!(%error, "the watermarks were not written");
        }
    }
}

impl WatermarkStore for Watermarks {
    fn load(&self, direction: &str) -> Option<StoredWatermark> {
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Watermark { scn, time, epoch, committed } = file.get(direction)?.clone();
        Some(StoredWatermark { watermark: scn, time, epoch: Epoch(epoch), committed })
    }

    fn save(&self, direction: &str, stored: StoredWatermark) {
        let StoredWatermark { watermark: scn, time, epoch: Epoch(epoch), committed } = stored;
        self.write(|file| {
            // A recovery makes what was stored before it void.
            let recovered = file.get(direction).is_none_or(|known| known.epoch != epoch);
            file.set(direction, Watermark { scn, time, epoch, committed });
            if recovered { file.save().map(|()| true) } else { file.save_if_due(WallClock.now()) }
        });
    }
}
