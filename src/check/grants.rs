//! What `SHOW GRANTS` says.

use weft_core::tables::TableName;

/// The privileges of the user that Weft logs in as.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// The account as statements name it, for example `'weft'@'%'`.
    pub account: String,
    grants: Vec<Grant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Grant {
    privileges: Vec<String>,
    scope: Scope,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    Global,
    /// A pattern with `%`, `_` and `\` before either.
    Schema(String),
    Table(TableName),
}

/// What SUPER includes, of all that Weft needs (tried on MariaDB 10.11 and MySQL 9.7).
const SUPER_INCLUDES: [&str; 6] = [
    "BINLOG ADMIN",
    "BINLOG REPLAY",
    "CONNECTION ADMIN",
    "READ_ONLY ADMIN",
    // MySQL's.
    "BINLOG_ADMIN",
    "SESSION_VARIABLES_ADMIN",
];

impl Grants {
    /// Reads the lines of `SHOW GRANTS`; `current_user` as `CURRENT_USER()` gives it. Lines of another
    /// shape (roles, proxies, routines) give nothing.
    pub fn parse<'a>(current_user: &str, lines: impl IntoIterator<Item = &'a str>) -> Grants {
        let (user, host) = current_user.rsplit_once('@').unwrap_or((current_user, "%"));
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
        Grants {
            account: format!("'{}'@'{}'", quoted(user), quoted(host)),
            grants: lines.into_iter().filter_map(parse_line).collect(),
        }
    }

    /// Whether the user has the privilege everywhere.
    pub fn everywhere(&self, privilege: &str) -> bool {
        self.grants.iter().any(|grant| grant.scope == Scope::Global && grant.gives(privilege))
    }

    /// Whether the user has the privilege on every table of the schema.
    pub fn on_schema(&self, privilege: &str, schema: &str) -> bool {
        let on = |grant: &Grant| match &grant.scope {
            Scope::Global => true,
            Scope::Schema(pattern) => like(pattern.as_bytes(), schema.as_bytes()),
            Scope::Table(_) => false,
        };
        self.grants.iter().any(|grant| on(grant) && grant.gives(privilege))
    }

    /// Whether the user has the privilege on the table.
    pub fn on_table(&self, privilege: &str, table: &TableName) -> bool {
        let on = |grant: &Grant| matches!(&grant.scope, Scope::Table(name) if name == table);
        self.on_schema(privilege, &table.schema)
            || self.grants.iter().any(|grant| on(grant) && grant.gives(privilege))
    }

    /// Whether the user has the privilege on some table of the schema.
    pub fn somewhere_in(&self, privilege: &str, schema: &str) -> bool {
        let on = |grant: &Grant| matches!(&grant.scope, Scope::Table(name) if name.schema == schema);
        self.on_schema(privilege, schema)
            || self.grants.iter().any(|grant| on(grant) && grant.gives(privilege))
    }
}

impl Grant {
    fn gives(&self, privilege: &str) -> bool {
        self.privileges.iter().any(|own| {
            own == privilege
                || own == "ALL PRIVILEGES"
                || own == "ALL"
                || (own == "SUPER" && SUPER_INCLUDES.contains(&privilege))
                || (own == "REPLICATION CLIENT" && privilege == "BINLOG MONITOR")
                // MySQL: each of the two may replay.
                || (own == "REPLICATION_APPLIER" && privilege == "BINLOG_ADMIN")
                || (own == "SYSTEM_VARIABLES_ADMIN" && privilege == "SESSION_VARIABLES_ADMIN")
        })
    }
}

/// Reads `GRANT SELECT, INSERT (a, b) ON `shop`.* TO …`.
fn parse_line(line: &str) -> Option<Grant> {
    let rest = line.strip_prefix("GRANT ")?;
    let (privileges, rest) = rest.split_once(" ON ")?;
    let (scope, _) = parse_scope(rest)?;
    Some(Grant { privileges: split_privileges(privileges), scope })
}

/// Privileges on some columns only are no privilege for Weft.
fn split_privileges(text: &str) -> Vec<String> {
    let mut depth = 0;
    let pieces = text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    pieces.map(|piece| piece.trim().to_ascii_uppercase()).filter(|piece| !piece.contains('(')).collect()
}

/// Reads `*.*`, `schema`.* or `schema`.`table`; also what follows it.
fn parse_scope(text: &str) -> Option<(Scope, &str)> {
    let text = text.strip_prefix("TABLE ").unwrap_or(text);
    if let Some(rest) = text.strip_prefix("*.*") {
        return Some((Scope::Global, rest));
    }
    let (schema, rest) = parse_quoted(text)?;
    let rest = rest.strip_prefix('.')?;
    if let Some(rest) = rest.strip_prefix('*') {
        return Some((Scope::Schema(schema), rest));
    }
    let (table, rest) = parse_quoted(rest)?;
    Some((Scope::Table(TableName::new(schema, table)), rest))
}

/// Reads an identifier in backticks, its own doubled.
fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('`')?;
    let mut name = String::new();
    loop {
        let end = rest.find('`')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('`') {
            Some(more) => {
                name.push('`');
                rest = more;
            }
            None => return Some((name, rest)),
        }
    }
}

/// SQL's LIKE with backslash as its escape, in time of pattern times text.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    // reached[n]: what was read of the pattern matches the first n bytes of the text.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut rest = pattern;
    while let [first, others @ ..] = rest {
        let (literal, after) = match (first, others) {
            (b'\\', [escaped, after @ ..]) => (Some(*escaped), after),
            (b'_', after) => (None, after),
            (b'%', after) => {
                for n in 1..reached.len() {
                    reached[n] |= reached[n - 1];
                }
                rest = after;
                continue;
            }
            (byte, after) => (Some(*byte), after),
        };
        for n in (1..reached.len()).rev() {
            reached[n] = reached[n - 1] && literal.is_none_or(|byte| byte == text[n - 1]);
        }
        reached[0] = false;
        rest = after;
    }
    reached[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(lines: &[&str]) -> Grants {
        Grants::parse("weft@%", lines.iter().copied())
    }

    #[test]
    fn privileges_are_found_in_their_scope() {
        let grants = grants(&[
            "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `weft`@`%` IDENTIFIED BY PASSWORD '*3F'",
            "GRANT SELECT, INSERT (`a`, `b`), DELETE ON `shop`.* TO `weft`@`%`",
            "GRANT ALL PRIVILEGES ON `test\\_%`.* TO `weft`@`%`",
            "GRANT UPDATE ON `o``dd`.`ta.ble` TO `weft`@`%`",
            "GRANT `role` TO `weft`@`%`",
            "GRANT PROXY ON ``@`%` TO `root`@`localhost` WITH GRANT OPTION",
        ]);
        assert_eq!(grants.account, "'weft'@'%'");
        assert!(grants.everywhere("REPLICATION SLAVE") && !grants.everywhere("SELECT"));
        assert!(grants.on_schema("DELETE", "shop") && !grants.on_schema("INSERT", "shop"));
        assert!(grants.on_schema("CREATE", "test_a") && !grants.on_schema("CREATE", "testxa"));
        assert!(grants.on_table("UPDATE", &TableName::new("o`dd", "ta.ble")));
        assert!(!grants.on_schema("UPDATE", "o`dd") && grants.somewhere_in("UPDATE", "o`dd"));
    }

    #[test]
    fn all_and_super_include_what_they_include() {
        assert!(
            grants(&["GRANT ALL PRIVILEGES ON *.* TO `r`@`h` WITH GRANT OPTION"]).everywhere("BINLOG REPLAY")
        );
        let owner = grants(&["GRANT SUPER ON *.* TO `r`@`h`"]);
        assert!(owner.everywhere("BINLOG REPLAY") && !owner.on_schema("SELECT", "shop"));
    }

    #[test]
    fn patterns_match_as_like_does() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("%", "", true),
            ("a%c_", "abbcd", true),
            ("a%c_", "abbc", false),
            ("%b%b", "abab", true),
            ("\\%", "%", true),
            ("\\%", "a", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(like(pattern.as_bytes(), text.as_bytes()), matches, "{pattern} {text}");
        }
        let slow = "%a".repeat(32);
        assert!(!like(slow.as_bytes(), "a".repeat(31).as_bytes()));
    }

    #[test]
    fn odd_lines_give_nothing() {
        for line in
            ["", "GRANT", "GRANT SELECT ON", "GRANT SELECT ON `a", "GRANT SELECT ON `a`.", "GRANT X ON a.b"]
        {
            assert!(parse_line(line).is_none(), "{line}");
        }
    }
}
