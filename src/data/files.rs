//! Writing files so that a crash leaves the old or the new one, never a mixture.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Ending of files that are being written and may be deleted at any start.
pub const UNFINISHED: &str = "unfinished";

/// Replaces the file at `path` by `bytes`; durable when it returns.
///
/// # Errors
/// Those of the file system; the old file is then still there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, |file| file.write_all(bytes))
}

/// Replaces the file at `path` by what `fill` writes; durable when it returns. One writer a path.
///
/// # Errors
/// Those of `fill` and of the file system; the old file is then still there.
pub fn replace_with(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let unfinished = unfinished_name(path);
    let mut writer = BufWriter::new(File::create(&unfinished)?);
    let written = fill(&mut writer)
        .and_then(|()| writer.into_inner().map_err(io::IntoInnerError::into_error))
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&unfinished, path));
    if let Err(error) = written {
        // What is left would only take space; the first error is the one to tell.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    sync_directory_of(path)
}

/// Where the next content of `path` is gathered.
pub fn unfinished_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Makes the creation, renaming and deletion of files beside `path` durable.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Deletes what a crash left unfinished in a directory.
pub fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == UNFINISHED) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("state");
        write_atomically(&path, b"old").expect("writable");
        let failed = replace_with(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).expect("readable"), b"old");
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
        write_atomically(&path, b"new").expect("writable");
        assert_eq!(fs::read(&path).expect("readable"), b"new");
    }

    #[test]
    fn what_a_crash_left_unfinished_is_deleted() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("state");
        fs::write(unfinished_name(&path), b"half").expect("writable");
        fs::write(&path, b"whole").expect("writable");
        remove_unfinished(directory.path()).expect("readable");
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
        assert_eq!(fs::read(&path).expect("readable"), b"whole");
    }
}
