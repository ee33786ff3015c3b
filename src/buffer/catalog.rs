//! The schema history on disk and in memory.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

use weft_actors::ports::BufferError;
use weft_core::catalog::{CatalogEntry, CatalogId, CatalogItem, TableVersion};
use weft_core::tables::TableName;

use super::layout::{CATALOG_KIND, read_archive};
use crate::data::records::{self, HEAD_BYTES, RecordReader};

/// The catalog of one instance.
pub struct Catalog {
    path: PathBuf,
    file: Mutex<LogFile>,
    entries: RwLock<Entries>,
}

struct LogFile {
    file: File,
    /// Bytes of the head and whole records.
    bytes: u64,
    dirty: bool,
}

#[derive(Default)]
struct Entries {
    all: Vec<Arc<CatalogEntry>>,
    newest: HashMap<TableName, (CatalogId, Arc<TableVersion>)>,
}

impl Entries {
    fn add(&mut self, entry: CatalogEntry) {
        if let CatalogItem::Table(table) = &entry.what {
            self.newest.insert(table.name.clone(), (entry.id, Arc::new(table.clone())));
        }
        self.all.push(Arc::new(entry));
    }
}

impl Catalog {
    /// Reads the file at `path` and cuts a torn end off, or creates it.
    ///
    /// # Errors
    /// Those of the file system; `InvalidData` for a file of another kind.
    pub fn open(path: &Path) -> io::Result<Catalog> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut entries = Entries::default();
        let bytes = if file.metadata()?.len() < HEAD_BYTES as u64 {
            file.set_len(0)?;
            file.write_all(&CATALOG_KIND.head())?;
            HEAD_BYTES as u64
        } else {
            read_entries(&file, &mut entries)?
        };
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        let file = Mutex::new(LogFile { file, bytes, dirty: true });
        Ok(Catalog { path: path.to_owned(), file, entries: RwLock::new(entries) })
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// `Damaged` if its id is not the next one, `Write` if it cannot be stored.
    pub fn add(&self, entry: CatalogEntry) -> Result<(), BufferError> {
        let path = || self.path.display().to_string();
        let mut log = self.file.lock().expect("nothing panics while it holds the catalog's file");
        let next = self.len();
        if entry.id != CatalogId(next) {
            let cause = format!("entry {} was given where {next} is the next", entry.id.0);
            return Err(BufferError::Damaged { path: path(), cause });
        }
        let archive = rkyv::to_bytes::<rkyv::rancor::Error>(&entry)
            .map_err(|error| BufferError::Damaged { path: path(), cause: error.to_string() })?;
        log.append(&archive)
            .map_err(|error| BufferError::Write { path: path(), cause: error.to_string() })?;
        self.entries.write().expect("nothing panics while it holds the entries").add(entry);
        Ok(())
    }

    fn entries(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().expect("nothing panics while it holds the entries")
    }

    /// How many entries there are: ids below it are taken.
    pub fn len(&self) -> u32 {
        self.entries().all.len() as u32
    }

    pub fn all(&self) -> Vec<Arc<CatalogEntry>> {
        self.entries().all.clone()
    }

    pub fn entry(&self, id: CatalogId) -> Option<Arc<CatalogEntry>> {
        self.entries().all.get(id.0 as usize).cloned()
    }

    pub fn newest_table(&self, name: &TableName) -> Option<(CatalogId, Arc<TableVersion>)> {
        self.entries().newest.get(name).cloned()
    }

    /// Puts everything on disk; how many entries are there then at least.
    pub fn sync(&self) -> io::Result<u32> {
        let mut log = self.file.lock().expect("nothing panics while it holds the catalog's file");
        if log.dirty {
            log.file.sync_data()?;
            log.dirty = false;
        }
        Ok(self.len())
    }
}

impl LogFile {
    fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut record = Vec::with_capacity(records::RECORD_HEAD_BYTES + payload.len());
        records::put(&mut record, payload)?;
        if let Err(error) = self.file.write_all(&record) {
            // Half a record would hide the ones after it.
            self.file.set_len(self.bytes)?;
            self.file.seek(SeekFrom::Start(self.bytes))?;
            return Err(error);
        }
        self.bytes += record.len() as u64;
        self.dirty = true;
        Ok(())
    }
}

/// Reads entries up to the first that is not whole or not the next; the bytes up to there.
fn read_entries(file: &File, entries: &mut Entries) -> io::Result<u64> {
    let mut reader = RecordReader::new(BufReader::new(file), CATALOG_KIND)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    loop {
        let whole = reader.whole_bytes();
        let payload = match reader.next() {
            Some(Ok(payload)) => payload,
            Some(Err(records::RecordError::Io(error))) => return Err(error),
            Some(Err(_)) | None => return Ok(whole),
        };
        match read_archive::<CatalogEntry>(&payload) {
            Some(entry) if entry.id.0 as usize == entries.all.len() => entries.add(entry),
            _ => return Ok(whole),
        }
    }
}
