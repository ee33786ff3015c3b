//! Table names and the globs that choose them.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

/// The schema in which Weft keeps everything of its own in an instance.
pub const WEFT_SCHEMA: &str = "weft";

/// A table of an instance.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    serde::Serialize,
    serde::Deserialize,
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
#[rkyv(derive(Debug))]
pub struct TableName {
    pub schema: String,
    pub table: String,
}

impl TableName {
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> TableName {
        TableName { schema: schema.into(), table: table.into() }
    }

    /// Whether the table belongs to the server or to Weft itself and is never replicated.
    pub fn is_internal(&self) -> bool {
        matches!(
            self.schema.as_str(),
            "mysql" | "information_schema" | "performance_schema" | "sys" | WEFT_SCHEMA
        )
    }

    /// The name as SQL, each part in backticks.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.table))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// An identifier as SQL: in backticks, its own backticks doubled.
pub fn quote(identifier: &str) -> String {
    format!("`{}`", identifier.replace('`', "``"))
}

/// Chooses tables by globs over `schema.table`: `*` stands for any run of characters and `?` for
/// one; a leading `!` takes out. A table is chosen when some glob takes it in and none takes it out.
/// Tables of the server and of Weft are never chosen.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    serde::Serialize,
    serde::Deserialize,
    Debug,
    Clone,
    PartialEq,
    Eq,
    Default,
)]
#[rkyv(derive(Debug))]
pub struct TableFilter {
    pub globs: Vec<String>,
}

impl TableFilter {
    pub fn new<S: Into<String>>(globs: impl IntoIterator<Item = S>) -> TableFilter {
        TableFilter { globs: globs.into_iter().map(Into::into).collect() }
    }

    /// Whether the table is chosen.
    pub fn chooses(&self, name: &TableName) -> bool {
        if name.is_internal() {
            return false;
        }
        let text = name.to_string();
        let hit = |glob: &str| glob_matches(glob.as_bytes(), text.as_bytes());
        self.globs.iter().any(|glob| !glob.starts_with('!') && hit(glob))
            && !self.globs.iter().any(|glob| glob.strip_prefix('!').is_some_and(hit))
    }
}

/// Matches without backtracking over more than the last star, so that no pattern is slow.
fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if g < glob.len() && glob[g] == b'*' {
            star = Some((g, t));
            g += 1;
        } else if g < glob.len() && (glob[g] == b'?' || glob[g] == text[t]) {
            g += 1;
            t += 1;
        } else if let Some((star_at, taken)) = star {
            star = Some((star_at, taken + 1));
            g = star_at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_take_in_and_take_out() {
        let filter = TableFilter::new(["shop.*", "!shop.audit_*"]);
        assert!(filter.chooses(&TableName::new("shop", "orders")));
        assert!(!filter.chooses(&TableName::new("shop", "audit_2024")));
        assert!(!filter.chooses(&TableName::new("shops", "orders")));
        assert!(!TableFilter::new(["*"]).chooses(&TableName::new("weft", "mark")));
        assert!(!TableFilter::new(["!shop.a"]).chooses(&TableName::new("shop", "b")));
        assert!(TableFilter::new(["s?op.*_x*"]).chooses(&TableName::new("shop", "a_b_x")));
    }

    #[test]
    fn identifiers_are_quoted_so_that_they_cannot_escape() {
        assert_eq!(TableName::new("a`b", "c").quoted(), "`a``b`.`c`");
    }
}
