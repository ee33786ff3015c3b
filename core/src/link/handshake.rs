//! Who may connect to whom: decided from the first message alone.

use super::message::{Hello, PROTOCOL};

/// The first protocol that was ever released.
const PROTOCOL_FIRST: u16 = 1;

/// The side that is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    pub cluster: String,
    pub node: String,
    /// The protocol of this release; [`PROTOCOL`] outside tests.
    pub protocol: u16,
}

impl Own {
    /// This release's node.
    pub fn new(cluster: impl Into<String>, node: impl Into<String>) -> Own {
        Own { cluster: cluster.into(), node: node.into(), protocol: PROTOCOL }
    }
}

/// Why a connection is refused. None of these passes by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "node {own} speaks peer protocols {oldest} to {newest} and was offered {offered}; upgrade one release at a time"
    )]
    Protocol { own: String, oldest: u16, newest: u16, offered: u16 },
    #[error(
        "node {own} belongs to cluster '{cluster}' and was called by cluster '{offered}'; check the peer address"
    )]
    Cluster { own: String, cluster: String, offered: String },
    #[error(
        "node {own} was called by a node of its own name; give every node its own id and check the peer address"
    )]
    SameNode { own: String },
}

/// Whether the protocol is this release's or the previous one's.
///
/// # Errors
/// [`Refusal::Protocol`] if it is neither.
pub fn accept_protocol(offered: u16, own: &Own) -> Result<(), Refusal> {
    let oldest = own.protocol.saturating_sub(1).max(PROTOCOL_FIRST);
    if (oldest..=own.protocol).contains(&offered) {
        return Ok(());
    }
    Err(Refusal::Protocol { own: own.node.clone(), oldest, newest: own.protocol, offered })
}

/// Whether the connection is accepted. The protocol is looked at first: the other fields of a
/// protocol that is not spoken may not mean what they seem to.
///
/// # Errors
/// The first reason that stands against it.
pub fn accept(hello: &Hello, own: &Own) -> Result<(), Refusal> {
    accept_protocol(hello.protocol, own)?;
    if hello.cluster != own.cluster {
        return Err(Refusal::Cluster {
            own: own.node.clone(),
            cluster: own.cluster.clone(),
            offered: hello.cluster.clone(),
        });
    }
    if hello.node == own.node {
        return Err(Refusal::SameNode { own: own.node.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::message::Purpose;

    fn hello(protocol: u16, cluster: &str, node: &str) -> Hello {
        Hello { protocol, cluster: cluster.into(), node: node.into(), purpose: Purpose::Status }
    }

    #[test]
    fn another_node_of_the_same_cluster_is_accepted() {
        assert_eq!(accept(&hello(PROTOCOL, "shop", "bj-1"), &Own::new("shop", "sh-1")), Ok(()));
    }

    #[test]
    fn this_and_the_previous_protocol_are_accepted_and_no_other() {
        let own = Own { protocol: 3, ..Own::new("shop", "sh-1") };
        let verdicts: Vec<bool> =
            (0..=5).map(|protocol| accept(&hello(protocol, "shop", "bj-1"), &own).is_ok()).collect();
        assert_eq!(verdicts, [false, false, true, true, false, false]);
        let first = Own { protocol: 1, ..own };
        assert!(accept(&hello(0, "shop", "bj-1"), &first).is_err());
    }

    #[test]
    fn another_cluster_and_the_own_name_are_refused_with_the_reason() {
        let own = Own::new("shop", "sh-1");
        let refused = accept(&hello(PROTOCOL, "bank", "bj-1"), &own).expect_err("another cluster");
        assert!(refused.to_string().contains("cluster 'bank'"), "{refused}");
        let refused = accept(&hello(PROTOCOL, "shop", "sh-1"), &own).expect_err("own name");
        assert_eq!(refused, Refusal::SameNode { own: "sh-1".into() });
    }

    #[test]
    fn an_unknown_protocol_is_named_before_anything_else() {
        let refused = accept(&hello(9, "bank", "sh-1"), &Own::new("shop", "sh-1"));
        assert!(matches!(refused, Err(Refusal::Protocol { offered: 9, .. })), "{refused:?}");
    }
}
