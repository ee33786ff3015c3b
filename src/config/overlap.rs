//! Whether two table filters provably choose a same table.

use weft_core::tables::{TableFilter, TableName};

/// A glob that shows it, if there is one: the same glob in both, or a table named in full by one and
/// chosen by the other. Filters may overlap without that being seen; they never are disjoint when
/// it is.
pub(super) fn shared_glob<'a>(a: &'a TableFilter, b: &'a TableFilter) -> Option<&'a str> {
    let same = taking_in(a).find(|glob| {
        let wild = glob.contains(['*', '?']);
        wild && b.globs.iter().any(|other| other == glob) && !takes_out(a, glob) && !takes_out(b, glob)
    });
    same.or_else(|| named_and_chosen(a, b)).or_else(|| named_and_chosen(b, a))
}

fn taking_in(filter: &TableFilter) -> impl Iterator<Item = &str> {
    filter.globs.iter().map(String::as_str).filter(|glob| !glob.starts_with('!'))
}

/// Whether what the glob takes in may all be taken out again. It surely is not where every glob that
/// takes out needs longer names than `glob` does: then the shortest names stay.
fn takes_out(filter: &TableFilter, glob: &str) -> bool {
    let shortest = |text: &str| text.chars().filter(|&c| c != '*').count();
    let mut out = filter.globs.iter().filter_map(|other| other.strip_prefix('!'));
    out.any(|other| shortest(other) <= shortest(glob))
}

fn named_and_chosen<'a>(a: &'a TableFilter, b: &TableFilter) -> Option<&'a str> {
    taking_in(a).find(|glob| {
        let Some((schema, table)) = glob.split_once('.') else { return false };
        let name = TableName::new(schema, table);
        !glob.contains(['*', '?']) && a.chooses(&name) && b.chooses(&name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(a: &[&str], b: &[&str]) -> bool {
        let (a, b) = (TableFilter::new(a.iter().copied()), TableFilter::new(b.iter().copied()));
        assert_eq!(shared_glob(&a, &b).is_some(), shared_glob(&b, &a).is_some());
        shared_glob(&a, &b).is_some()
    }

    #[test]
    fn provable_overlaps_are_found() {
        assert!(overlap(&["shop.*"], &["shop.*", "crm.*"]));
        assert!(overlap(&["shop.*", "!shop.audit_*"], &["shop.*", "!shop.log_*"]));
        assert!(overlap(&["shop.orders"], &["shop.*"]));
        assert!(overlap(&["shop.orders"], &["shop.orders"]));
    }

    #[test]
    fn disjoint_filters_are_let_be() {
        assert!(!overlap(&["shop.*"], &["crm.*"]));
        assert!(!overlap(&["shop.*", "!shop.orders"], &["shop.orders"]));
        assert!(!overlap(&["shop.orders"], &["shop.users"]));
        assert!(!overlap(&["shop.*", "!shop.*"], &["shop.*"]));
        assert!(!overlap(&["shop.*", "!*"], &["shop.*"]));
    }
}
