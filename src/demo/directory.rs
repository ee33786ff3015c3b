//! Where the demo keeps its files.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::DemoError;

const PREFIX: &str = "weft-demo-";

/// A directory of the user's, which stays, or a temporary one, removed when dropped.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    temporary: bool,
}

impl Directory {
    /// Opens the directory that the user named, which must be empty or not be there yet, or makes a
    /// temporary one.
    pub fn open(named: Option<PathBuf>) -> Result<Directory, DemoError> {
        match named {
            Some(path) => {
                let failed = |cause| DemoError::Files { path: path.clone(), cause };
                fs::create_dir_all(&path).map_err(failed)?;
                if fs::read_dir(&path).map_err(failed)?.next().is_some() {
                    return Err(DemoError::NotEmpty(path));
                }
                // Children run elsewhere than here.
                let path = path.canonicalize().map_err(failed)?;
                Ok(Directory { path, temporary: false })
            }
            None => {
                sweep();
                let path = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
                fs::create_dir(&path).map_err(|cause| DemoError::Files { path: path.clone(), cause })?;
                Ok(Directory { path, temporary: true })
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory, if it stays.
    pub fn kept(&self) -> Option<&Path> {
        (!self.temporary).then_some(&self.path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed is swept by the next demo.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes what killed demos left; their servers died with them.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner.to_string()).exists()) {
            // Another demo may be sweeping the same one.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_files_in_it_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("precious");
        fs::write(&file, "x").expect("it is ours to write to");
        let refused = Directory::open(Some(directory.path().to_owned()));
        assert!(matches!(refused, Err(DemoError::NotEmpty(_))), "{refused:?}");
        assert!(file.exists());
    }

    #[test]
    fn a_named_directory_stays_and_a_temporary_one_goes() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let named = Directory::open(Some(parent.path().join("new"))).expect("it can be made");
        let stays = named.kept().expect("it is named").to_owned();
        drop(named);
        assert!(stays.exists());
        let temporary = Directory::open(None).expect("it can be made");
        let goes = temporary.path().to_owned();
        assert!(goes.exists() && temporary.kept().is_none());
        drop(temporary);
        assert!(!goes.exists());
    }
}
