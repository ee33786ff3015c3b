//! Opening a buffer, and what it is opened with.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use weft_actors::ports::BufferError;
use weft_core::scn::Scn;

use super::appender::Appender;
use super::catalog::Catalog;
use super::layout::{META_KIND, Meta, NAME_BYTES_MAX, read_archive};
use super::recover::{Recovered, recover};
use super::ring::{MmapBuffer, Ring, Synced};
use crate::data::files::{remove_unfinished, write_atomically};
use crate::data::records::{self, RecordReader};

/// What a buffer is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferOptions {
    /// Full name of the instance, at most 400 bytes.
    pub instance: String,
    /// Bytes that all segments together may take; overdrawn only where one transaction is larger.
    pub budget_bytes: u64,
    /// Bytes of a segment; a frame that is longer gets one of its own. At least 4096.
    pub segment_bytes: u64,
}

/// What opening found and lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// The history held afterwards, as `EventBuffer::oldest` and `newest` say it.
    pub oldest: Option<Scn>,
    pub newest: Option<Scn>,
    /// Bytes behind the last whole transaction that were cut off.
    pub cut_bytes: u64,
    /// Segments that were let go because they, or what leads to them, are damaged.
    pub dropped_segments: u64,
}

impl MmapBuffer {
    /// Opens the buffer in `directory`, which the caller holds locked, or creates it.
    ///
    /// # Errors
    /// `Damaged` if the directory holds another instance's buffer or a newer format, `Write` if it
    /// cannot be read or written.
    ///
    /// # Panics
    /// If the options are out of the ranges stated there: the configuration has been checked.
    pub fn open(
        directory: &Path,
        options: BufferOptions,
    ) -> Result<(MmapBuffer, RecoveryReport), BufferError> {
        assert!(options.segment_bytes >= 4096 && options.instance.len() <= NAME_BYTES_MAX);
        let ring = Ring {
            directory: directory.to_owned(),
            options,
            segments: RwLock::default(),
            newest: RwLock::new(None),
        };
        let failed = |error: io::Error| ring.write_error(&error);
        fs::create_dir_all(directory).and_then(|()| remove_unfinished(directory)).map_err(failed)?;
        check_meta(&ring)?;
        let catalog = Catalog::open(&directory.join("catalog")).map_err(failed)?;
        let recovered = recover(directory, &ring.options.instance, catalog.len()).map_err(failed)?;
        let Recovered { chain, segments, on_disk, cut_bytes, dropped_segments } = recovered;
        // Known from a segment's head too, where the transaction itself is gone: capture goes on there.
        if let (Some(newest), Some(_)) = (chain.whole, chain.last_frame) {
            ring.set_newest(newest);
        }
        let appender = Mutex::new(Appender::resume(chain, segments.last().cloned()));
        let first_number = segments.first().map_or(0, |segment| segment.head.number);
        let synced = Synced { segment: first_number + on_disk, offset: 0 };
        segments.into_iter().for_each(|segment| ring.push(segment));
        let (oldest, newest) = (ring.oldest(), ring.newest());
        let report = RecoveryReport { oldest, newest, cut_bytes, dropped_segments };
        if report.cut_bytes > 0 || report.dropped_segments > 0 {
            tracing::warn!(directory = %directory.display(), ?report, "the event buffer lost part of its history");
        }
        let synced = Mutex::new(synced);
        Ok((MmapBuffer { ring: Arc::new(ring), appender, catalog, synced }, report))
    }
}

/// Refuses another instance's buffer; writes the meta file where there is none.
fn check_meta(ring: &Ring) -> Result<(), BufferError> {
    let path = ring.directory.join("meta");
    let own = Meta { instance: ring.options.instance.clone() };
    let found = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let write = || {
                let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&own).map_err(io::Error::other)?;
                let mut file = META_KIND.head().to_vec();
                records::put(&mut file, &archive)?;
                write_atomically(&path, &file)
            };
            return write().map_err(|error| ring.write_error(&error));
        }
        Err(error) => return Err(ring.write_error(&error)),
    };
    let record = RecordReader::new(&found[..], META_KIND).ok().and_then(|mut records| records.next()?.ok());
    match record.and_then(|bytes| read_archive::<Meta>(&bytes)) {
        Some(meta) if meta == own => Ok(()),
        Some(meta) => {
            Err(ring.damaged(format!("it is the buffer of {}, not of {}", meta.instance, own.instance)))
        }
        None => Err(ring.damaged("its meta file is not of this release; move the directory away")),
    }
}
