//! The servers that tests run on, and where their programs are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Debian's own `mariadb-server`.
    MariaDb,
    /// MySQL 9 as `scripts/install-mysql` unpacks it.
    MySql,
}

impl Flavour {
    /// The server's name, for messages.
    pub(super) fn program(self) -> &'static str {
        match self {
            Flavour::MariaDb => "mariadbd",
            Flavour::MySql => "mysqld",
        }
    }

    /// How to get it, for messages.
    pub(super) fn package(self) -> &'static str {
        match self {
            Flavour::MariaDb => "Debian's package mariadb-server has what the tests need",
            Flavour::MySql => "scripts/install-mysql unpacks it",
        }
    }

    /// The server's program with the arguments that come first.
    pub(super) fn server(self) -> Command {
        match self {
            Flavour::MariaDb => {
                let mut command = installed("mariadbd");
                command.args(["--no-defaults", "--user=root"]);
                command
            }
            Flavour::MySql => {
                let root = mysql_root();
                let mut command = unpacked("usr/sbin/mysqld");
                command.args(["--no-defaults", "--user=root"]);
                for (key, place) in [
                    ("basedir", "usr"),
                    ("lc-messages-dir", "usr/share/mysql"),
                    ("character-sets-dir", "usr/share/mysql/charsets"),
                    ("plugin-dir", "usr/lib/mysql/plugin"),
                ] {
                    command.arg(format!("--{key}={}", root.join(place).display()));
                }
                command
            }
        }
    }

    /// Arguments that shape the files of a data directory, for quick copies and starts; the same when
    /// the template is made and when a server runs on a copy.
    pub(super) fn layout_args(self) -> &'static [&'static str] {
        match self {
            Flavour::MariaDb => {
                &["--innodb-log-file-size=16M", "--innodb-data-file-path=ibdata1:4M:autoextend"]
            }
            Flavour::MySql => {
                &["--innodb-redo-log-capacity=32M", "--innodb-data-file-path=ibdata1:5M:autoextend"]
            }
        }
    }

    /// The statement that tells the binlog file being written and the position in it.
    pub(super) fn position_statement(self) -> &'static str {
        match self {
            Flavour::MariaDb => "SHOW MASTER STATUS",
            Flavour::MySql => "SHOW BINARY LOG STATUS",
        }
    }

    /// The program that dumps tables as SQL.
    pub fn dump_program(self) -> Command {
        match self {
            Flavour::MariaDb => installed("mariadb-dump"),
            Flavour::MySql => unpacked("usr/bin/mysqldump"),
        }
    }

    /// The command line client.
    pub fn client_program(self) -> Command {
        match self {
            Flavour::MariaDb => installed("mariadb"),
            Flavour::MySql => unpacked("usr/bin/mysql"),
        }
    }

    /// The program that prints binlog files.
    pub fn binlog_printer(self) -> Command {
        match self {
            Flavour::MariaDb => installed("mariadb-binlog"),
            Flavour::MySql => unpacked("usr/bin/mysqlbinlog"),
        }
    }
}

/// Whether MySQL is there to run `test` on. Says that the test is skipped where it is not; where the
/// tests decide about a change (`CI=true`) that is an error instead.
///
/// # Panics
/// With `CI=true` and no MySQL.
pub fn has_mysql(test: &str) -> bool {
    let root = mysql_root();
    if root.join("usr/sbin/mysqld").exists() {
        return true;
    }
    let what = format!("there is no MySQL in {}: run scripts/install-mysql", root.display());
    assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "{test} cannot run: {what}");
    eprintln!("skipped: {test}: {what}");
    false
}

/// Where `scripts/install-mysql` puts it.
fn mysql_root() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    variable("WEFT_MYSQL").unwrap_or_else(|| {
        let cache = variable("XDG_CACHE_HOME")
            .unwrap_or_else(|| variable("HOME").unwrap_or_else(|| PathBuf::from("/root")).join(".cache"));
        cache.join("weft/servers/mysql-9")
    })
}

/// A program of Debian's packages, wherever it is.
pub(super) fn installed(program: &str) -> Command {
    // Where it is nowhere, starting it by its name says so.
    Command::new(weft::process::find(program).unwrap_or_else(|| program.into()))
}

/// An unpacked program, run by the loader and the libraries that it was built for.
fn unpacked(program: &str) -> Command {
    let root = mysql_root();
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let path = |place: &Path| place.display().to_string();
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    command.args([
        "--library-path",
        &format!("{}:{}", path(&libraries), path(&root.join("usr/lib/mysql"))),
        &path(&root.join(program)),
    ]);
    command
}

/// Makes a test on each flavour of each of these functions, which take the [`Flavour`]. Those on MySQL
/// are in a module `mysql` and skipped by name where there is none.
#[macro_export]
macro_rules! on_both_flavours {
    ($($body:ident)*) => {
        mod mariadb {
            $(#[tokio::test]
            async fn $body() {
                super::$body($crate::servers::Flavour::MariaDb).await;
            })*
        }
        mod mysql {
            $(#[tokio::test]
            async fn $body() {
                if $crate::servers::has_mysql(stringify!($body)) {
                    super::$body($crate::servers::Flavour::MySql).await;
                }
            })*
        }
    };
}
