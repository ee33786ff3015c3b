//! Whether a filter of table globs may choose, or surely takes out, tables of one schema. Needed
//! for statements that name a schema as a whole.

use crate::tables::{TableFilter, TableName};

/// Whether the filter could choose some table of the schema, whatever its name. Says yes in doubt:
/// a glob that takes out only part of a schema does not count.
pub fn could_choose_in(filter: &TableFilter, schema: &str) -> bool {
    if TableName::new(schema, "").is_internal() {
        return false;
    }
    let prefix = format!("{schema}.");
    let taken_out = filter
        .globs
        .iter()
        .filter_map(|glob| glob.strip_prefix('!'))
        .any(|glob| after_prefix(glob, &prefix).any(takes_all));
    let taken_in = filter
        .globs
        .iter()
        .filter(|glob| !glob.starts_with('!'))
        .any(|glob| after_prefix(glob, &prefix).any(takes_some));
    taken_in && !taken_out
}

/// What is left of the glob after it has matched the prefix, in every way that it can.
fn after_prefix<'a>(glob: &'a str, prefix: &str) -> impl Iterator<Item = &'a [u8]> {
    let glob = glob.as_bytes();
    // `at[i]`: the glob's first i bytes can have matched what was read so far.
    let mut at = vec![false; glob.len() + 1];
    at[0] = true;
    pass_stars(glob, &mut at);
    for byte in prefix.bytes() {
        let mut next = vec![false; glob.len() + 1];
        for i in (0..glob.len()).filter(|&i| at[i]) {
            match glob[i] {
                b'*' => next[i] = true,
                b'?' => next[i + 1] = true,
                literal => next[i + 1] |= literal == byte,
            }
        }
        at = next;
        pass_stars(glob, &mut at);
    }
    at.into_iter().enumerate().filter(|(_, here)| *here).map(move |(i, _)| &glob[i..])
}

/// A star may match nothing.
fn pass_stars(glob: &[u8], at: &mut [bool]) {
    for i in 0..glob.len() {
        at[i + 1] |= at[i] && glob[i] == b'*';
    }
}

/// Some name that is not empty matches: every rest but the empty one can be satisfied.
fn takes_some(rest: &[u8]) -> bool {
    !rest.is_empty()
}

/// Every name that is not empty matches.
fn takes_all(rest: &[u8]) -> bool {
    let questions = rest.iter().filter(|&&byte| byte == b'?').count();
    rest.contains(&b'*') && questions <= 1 && rest.iter().all(|byte| matches!(byte, b'*' | b'?'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_schema_is_chosen_if_a_table_of_it_could_be() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&["shop.*"], "shop", true),
            (&["shop.*"], "shops", false),
            (&["shop.orders"], "shop", true),
            (&["sh*"], "shop", true),
            (&["*"], "crm", true),
            (&["*", "!crm.*"], "crm", false),
            (&["*", "!crm.?*"], "crm", false),
            (&["*", "!crm.a*"], "crm", true),
            (&["*", "!c*"], "crm", false),
            (&["!crm.*"], "shop", false),
            (&["shop"], "shop", false),
            (&["shop."], "shop", false),
            (&["*"], "weft", false),
            (&["?hop.x"], "shop", true),
        ];
        for (globs, schema, expected) in cases {
            let filter = TableFilter::new(globs.iter().copied());
            assert_eq!(could_choose_in(&filter, schema), *expected, "{globs:?} {schema}");
        }
    }

    proptest! {
        /// Never says no where a table would be chosen.
        #[test]
        fn a_chosen_table_makes_its_schema_possible(
            globs in prop::collection::vec("!?[ab.?*]{1,6}", 1..4),
            schema in "[ab]{1,3}",
            table in "[ab]{1,3}",
        ) {
            let filter = TableFilter::new(globs);
            if filter.chooses(&TableName::new(schema.as_str(), table)) {
                prop_assert!(could_choose_in(&filter, &schema));
            }
        }
    }
}
