//! Which database server group a change belongs to.

use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The identity of an instance on the wire, in marks and in the ledger: the low 32 bits of XXH3 of
/// its full name (`site.instance`). The same on every node without agreement; two instances of one
/// deployment whose names give equal ids are refused when the configuration is read.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    serde::Serialize,
    serde::Deserialize,
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
#[rkyv(derive(Debug, PartialEq, Eq))]
pub struct InstanceId(pub u32);

/// Source and target of a direction answer with one server id: the transactions of the two could not
/// be told apart in their binlogs, and servers pass over what carries their own id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{from} and {to} both have server_id {server_id}; give one of them another: SET GLOBAL server_id = N, and the \
     same in its option file; the channel goes on by itself then"
)]
pub struct SameServerId {
    /// Full names of the instances.
    pub from: String,
    pub to: String,
    pub server_id: u32,
}

/// Whether a direction may run between servers with these ids; 0: not known, which speaks for nothing.
///
/// # Errors
/// [`SameServerId`] if they are known and equal.
pub fn tell_apart(from: (&str, u32), to: (&str, u32)) -> Result<(), SameServerId> {
    if from.1 == 0 || from.1 != to.1 {
        return Ok(());
    }
    Err(SameServerId { from: from.0.to_owned(), to: to.0.to_owned(), server_id: from.1 })
}

impl InstanceId {
    /// The id of the instance with this full name, for example `sh.main`.
    pub fn of(full_name: &str) -> InstanceId {
        InstanceId(xxh3_64(full_name.as_bytes()) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_with_one_id_are_not_told_apart_and_unknown_ids_are_no_proof() {
        let verdict =
            |from, to| tell_apart(("sh.main", from), ("bj.main", to)).map_err(|same| same.to_string());
        assert_eq!(
            [verdict(1, 2), verdict(0, 0), verdict(0, 1), verdict(1, 0)],
            [Ok(()), Ok(()), Ok(()), Ok(())]
        );
        let said = verdict(7, 7).expect_err("equal");
        assert!(
            said.starts_with("sh.main and bj.main both have server_id 7; give one of them another"),
            "{said}"
        );
    }
}
