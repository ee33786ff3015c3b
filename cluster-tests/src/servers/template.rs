//! The data directory that all servers are copied from: initialised once a machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Arguments that shape the files of a data directory, for quick copies and starts; the same when
/// the template is made and when a server runs on a copy.
pub const LAYOUT_ARGS: [&str; 2] =
    ["--innodb-log-file-size=16M", "--innodb-data-file-path=ibdata1:4M:autoextend"];

/// Copies the template to `data`, which must not be there yet; makes the template first if needed.
pub fn copy_to(data: &Path) {
    let template = ready_template();
    run(Command::new("cp").arg("-a").arg("--reflink=auto").arg(template).arg(data));
}

/// The directory of the template, made by whoever comes first, in any process.
fn ready_template() -> PathBuf {
    let cache = cache_directory();
    fs::create_dir_all(&cache).unwrap_or_else(|error| panic!("cannot create {}: {error}", cache.display()));
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", lock_path.display()));
    lock.lock().unwrap_or_else(|error| panic!("cannot lock {}: {error}", lock_path.display()));

    let template = cache.join(template_name());
    if !template.exists() {
        let unfinished = cache.join("unfinished");
        // Left by a process that died here.
        let _ = fs::remove_dir_all(&unfinished);
        run(Command::new("mariadb-install-db")
            .args(["--no-defaults", "--user=root", "--auth-root-authentication-method=normal"])
            .args(LAYOUT_ARGS)
            .arg(format!("--datadir={}", unfinished.display())));
        fs::rename(&unfinished, &template).expect("both names are in one directory");
    }
    template
}

/// Beside the build, so that `cargo clean` removes it.
fn cache_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/weft-test-cache")
}

/// Names the server version and the layout: another one gets another template.
fn template_name() -> String {
    let output = run(Command::new("mariadbd").args(["--no-defaults", "--version"]));
    let version = String::from_utf8_lossy(&output.stdout);
    let name = format!("mariadb-{}{}", version.trim(), LAYOUT_ARGS.concat());
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

fn run(command: &mut Command) -> Output {
    let what = format!("{command:?}");
    let output = command.output().unwrap_or_else(|error| {
        panic!("cannot run {what}: {error}; Debian's package mariadb-server has what the tests need")
    });
    assert!(
        output.status.success(),
        "{what} failed: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
