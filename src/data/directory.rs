//! The directory itself.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::files::{remove_unfinished, write_atomically};
use super::spill::SpillFile;

/// Version of the directory's layout.
const DIRECTORY_FORMAT: u16 = 1;

/// Why a data directory cannot be used. Each is for a person to mend.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(
        "data directory {path} cannot be used: {cause}; create it and give the node's user the right to write there"
    )]
    NotWritable { path: String, cause: io::Error },
    #[error(
        "data directory {path} is in use by another process; stop that node or give this one a directory of its own"
    )]
    InUse { path: String },
    #[error(
        "data directory {path} belongs to node {node} of cluster {cluster}; give this node a directory of its own"
    )]
    OtherNode { path: String, cluster: String, node: String },
    #[error(
        "data directory {path} was written by another release, or its identity file is damaged ({cause}); use that release, or a new directory"
    )]
    NotReadable { path: String, cause: String },
}

/// A node's data directory, locked by this process until it is dropped or the process ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    format: u16,
    cluster: String,
    node: String,
}

impl DataDir {
    /// Opens the directory of this node, or makes it; locks it for this process.
    ///
    /// # Errors
    /// One line that says what is wrong, where, and how to mend it.
    pub fn open(path: &Path, node: &str, cluster: &str) -> Result<DataDir, DataError> {
        let shown = || path.display().to_string();
        let not_writable = |cause| DataError::NotWritable { path: shown(), cause };
        let lock = lock_file(path).map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataError::InUse { path: shown() }),
            Err(TryLockError::Error(cause)) => return Err(not_writable(cause)),
        }
        let own = Identity { format: DIRECTORY_FORMAT, cluster: cluster.to_owned(), node: node.to_owned() };
        match read_identity(path)? {
            Some(found) if found == own => {}
            Some(Identity { cluster, node, .. }) => {
                return Err(DataError::OtherNode { path: shown(), cluster, node });
            }
            None => {
                let text = serde_json::to_vec(&own).expect("plain strings become JSON");
                write_atomically(&path.join("identity"), &text).map_err(not_writable)?;
            }
        }
        for room in ["buffer", "ledger", "stamps", "binlogs", "spill"] {
            fs::create_dir_all(path.join(room)).map_err(not_writable)?;
            remove_unfinished(&path.join(room)).map_err(not_writable)?;
        }
        remove_unfinished(path).map_err(not_writable)?;
        Ok(DataDir { path: path.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Directory of the event buffer of the instance with this full name.
    pub fn buffer(&self, instance: &str) -> PathBuf {
        self.path.join("buffer").join(file_name(instance))
    }

    /// The ledger checkpoint of the instance.
    pub fn ledger(&self, instance: &str) -> PathBuf {
        self.path.join("ledger").join(file_name(instance))
    }

    /// The list of the instance's binlog files.
    pub fn binlogs(&self, instance: &str) -> PathBuf {
        self.path.join("binlogs").join(file_name(instance))
    }

    /// The stamp log of the instance.
    pub fn stamps(&self, instance: &str) -> PathBuf {
        self.path.join("stamps").join(file_name(instance))
    }

    /// The channels' watermarks.
    pub fn watermarks(&self) -> PathBuf {
        self.path.join("watermarks")
    }

    /// A new spill file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn spill(&self) -> io::Result<SpillFile> {
        SpillFile::create(&self.path.join("spill"))
    }
}

fn lock_file(path: &Path) -> io::Result<File> {
    fs::create_dir_all(path)?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join("lock"))
}

fn read_identity(path: &Path) -> Result<Option<Identity>, DataError> {
    let shown = || path.display().to_string();
    match fs::read(path.join("identity")) {
        Ok(text) => match serde_json::from_slice::<Identity>(&text) {
            Ok(found) if found.format == DIRECTORY_FORMAT => Ok(Some(found)),
            Ok(found) => {
                Err(DataError::NotReadable { path: shown(), cause: format!("format {}", found.format) })
            }
            Err(error) => Err(DataError::NotReadable { path: shown(), cause: error.to_string() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(DataError::NotWritable { path: shown(), cause }),
    }
}

/// A name as one plain component of a path: other bytes than letters, digits, `_`, `-` and inner
/// dots become `%` and two hex digits.
fn file_name(name: &str) -> String {
    let mut safe = String::new();
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => safe.push(char::from(byte)),
            b'.' if at > 0 => safe.push('.'),
            _ => safe.push_str(&format!("%{byte:02x}")),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_another_node_or_in_use_is_refused_in_one_line() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let path = parent.path().join("data");
        let held = DataDir::open(&path, "sh-1", "shop").expect("new");
        let refused = DataDir::open(&path, "sh-1", "shop").expect_err("locked").to_string();
        assert!(refused.contains("in use by another process") && !refused.contains('\n'), "{refused}");
        drop(held);
        let refused = DataDir::open(&path, "sh-2", "shop").expect_err("another node's").to_string();
        assert!(refused.contains("belongs to node sh-1 of cluster shop"), "{refused}");
        assert!(matches!(DataDir::open(&path, "sh-1", "crm"), Err(DataError::OtherNode { .. })));
        DataDir::open(&path, "sh-1", "shop").expect("its own again");
    }

    #[test]
    fn a_path_that_is_no_directory_is_refused() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let path = parent.path().join("file");
        fs::write(&path, b"").expect("writable");
        let refused = DataDir::open(&path, "sh-1", "shop").expect_err("a file");
        assert!(matches!(refused, DataError::NotWritable { .. }), "{refused}");
    }

    #[test]
    fn a_damaged_or_newer_identity_is_refused() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        for text in ["", "{\"format\":1", "{\"format\":2,\"cluster\":\"shop\",\"node\":\"sh-1\"}"] {
            fs::write(parent.path().join("identity"), text).expect("writable");
            let refused = DataDir::open(parent.path(), "sh-1", "shop").expect_err("not readable");
            assert!(matches!(refused, DataError::NotReadable { .. }), "{text}: {refused}");
        }
    }

    #[test]
    fn names_become_single_components_of_a_path() {
        assert_eq!(file_name("sh.main"), "sh.main");
        assert_eq!(file_name("../x/y"), "%2e.%2fx%2fy");
        assert_ne!(file_name("a/b"), file_name("a%2fb"));
    }
}
