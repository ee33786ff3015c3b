//! Where a server lives, and the sweeping up after test processes that were killed.

use std::fs;
use std::path::Path;
use std::sync::Once;

use tempfile::TempDir;

const PREFIX: &str = "weft-server-";

/// A fresh directory, named after this process and removed when dropped.
pub(super) fn fresh() -> TempDir {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(sweep);
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .tempdir()
        .expect("the directory for temporary files can be written")
}

/// Removes what killed processes left: about 100 MiB a server. Their servers died with them.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        let Some((owner, _)) = owner else { continue };
        let is_pid = owner.parse::<u32>().is_ok();
        if is_pid && !Path::new("/proc").join(owner).exists() {
            // Another process may be sweeping the same one.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
