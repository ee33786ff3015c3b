//! The data directories that all servers are copied from: initialised once a machine and flavour.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::flavour::{Flavour, installed};

/// Copies the template to `data`, which must not be there yet; makes the template first if needed.
pub fn copy_to(flavour: Flavour, data: &Path) {
    let template = ready_template(flavour);
    run(flavour, Command::new("cp").arg("-a").arg("--reflink=auto").arg(template).arg(data));
    // Without it the server makes itself a UUID of its own.
    let uuid = data.join("auto.cnf");
    if uuid.exists() {
        fs::remove_file(&uuid).unwrap_or_else(|error| panic!("cannot remove {}: {error}", uuid.display()));
    }
}

/// The directory of the template, made by whoever comes first, in any process.
fn ready_template(flavour: Flavour) -> PathBuf {
    let cache = cache_directory();
    fs::create_dir_all(&cache).unwrap_or_else(|error| panic!("cannot create {}: {error}", cache.display()));
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", lock_path.display()));
    lock.lock().unwrap_or_else(|error| panic!("cannot lock {}: {error}", lock_path.display()));

    let template = cache.join(template_name(flavour));
    if !template.exists() {
        let unfinished = cache.join("unfinished");
        // Left by a process that died here.
        let _ = fs::remove_dir_all(&unfinished);
        run(flavour, initialise(flavour).arg(format!("--datadir={}", unfinished.display())));
        fs::rename(&unfinished, &template).expect("both names are in one directory");
    }
    template
}

/// Makes a data directory whose root has no password.
fn initialise(flavour: Flavour) -> Command {
    let mut command = match flavour {
        Flavour::MariaDb => {
            let mut command = installed("mariadb-install-db");
            // Forced: else it wants the name of the machine to resolve.
            command.args([
                "--no-defaults",
                "--force",
                "--user=root",
                "--auth-root-authentication-method=normal",
            ]);
            command
        }
        Flavour::MySql => {
            let mut command = flavour.server();
            command.arg("--initialize-insecure");
            command
        }
    };
    command.args(flavour.layout_args());
    command
}

/// Beside the build, so that `cargo clean` removes it.
fn cache_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/weft-test-cache")
}

/// Names the server version and the layout: another one gets another template.
fn template_name(flavour: Flavour) -> String {
    let output = run(flavour, flavour.server().arg("--version"));
    let version = String::from_utf8_lossy(&output.stdout);
    // Its first word is the program's path.
    let version = version.trim().split_once(' ').map_or("", |(_, version)| version);
    let name = format!("{}-{version}{}", flavour.program(), flavour.layout_args().concat());
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

fn run(flavour: Flavour, command: &mut Command) -> Output {
    let what = format!("{command:?}");
    let output =
        command.output().unwrap_or_else(|error| panic!("cannot run {what}: {error}; {}", flavour.package()));
    assert!(
        output.status.success(),
        "{what} failed: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
