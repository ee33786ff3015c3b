//! Which of the two servers wrote something.

use std::fmt;

/// The two servers share most of the binlog's format. Where they differ, bytes are read by flavour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    MariaDb,
    MySql,
}

impl Flavour {
    /// The flavour of a server whose `VERSION()`, or format description event, says this.
    pub fn of_version(version: &str) -> Flavour {
        if version.contains("MariaDB") { Flavour::MariaDb } else { Flavour::MySql }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flavour::MariaDb => "MariaDB",
            Flavour::MySql => "MySQL",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mariadb_says_so() {
        for version in ["10.11.19-MariaDB-log", "5.5.5-10.11.6-MariaDB-0+deb12u1"] {
            assert_eq!(Flavour::of_version(version), Flavour::MariaDb);
        }
        for version in ["9.7.0", "8.0.36-28", "8.4.3-commercial"] {
            assert_eq!(Flavour::of_version(version), Flavour::MySql);
        }
    }
}
