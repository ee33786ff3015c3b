//! Messages of the peer link. Version 1.
//!
//! A connection serves one purpose, named in its first message. All messages are archived with rkyv
//! behind a `u32` little-endian length (of the archive alone, at most [`MESSAGE_BYTES_MAX`]).
//! [`codec`](super::codec) has the layout.

use rkyv::{Archive, Deserialize, Serialize};

use crate::catalog::CatalogEntry;
use crate::instance::InstanceId;
use crate::scn::Scn;
use crate::tables::TableFilter;
use crate::time::Micros;

/// The protocol that this release speaks.
pub const PROTOCOL: u16 = 1;
/// Longest message in bytes. Frames of large transactions are cut into parts well below.
pub const MESSAGE_BYTES_MAX: u32 = 256 << 20;

/// First message of the side that connects.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Hello {
    pub protocol: u16,
    pub cluster: String,
    pub node: String,
    pub purpose: Purpose,
}

#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub enum Purpose {
    Pull(Pull),
    /// Ask for the node's own part of `/v1/status`, once per `StatusRequest`.
    Status,
}

/// What a channel wants from a replicator of its source.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct Pull {
    /// Full name of the source instance, `site.instance`.
    pub source: String,
    pub channel: String,
    pub filter: RowFilter,
    /// Everything after this (exclusive). None: from the position that the source's node stored for
    /// this channel when it was first started.
    pub after: Option<Scn>,
    /// Bytes of frames that may be sent before more credit comes.
    pub credit_bytes: u64,
}

/// Which rows travel: of the channel's tables, and not those that the target gets directly from
/// their origin.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub struct RowFilter {
    pub tables: TableFilter,
    /// The target of the channel.
    pub target: InstanceId,
    /// Rows of these origins reach the target by a direct channel, for the tables chosen. Evictions
    /// go on all the same.
    pub direct: Vec<(InstanceId, TableFilter)>,
}

/// Answers to `Hello`, and what follows on a pull.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub enum FromServer {
    /// The connection is accepted.
    Welcome { protocol: u16, node: String },
    /// Refused, in one line.
    Refused { reason: String, retry: bool },
    /// First answer to a pull: where it begins (exclusive), and the server id of the source's server
    /// now, as its node knows it; 0: not known yet.
    Begins { after: Scn, server_id: u32 },
    /// Catalog entries that the next frames name.
    Catalog(Vec<CatalogEntry>),
    /// One frame as the event buffer holds it, or cut down to the rows wanted. The parts of a large
    /// transaction that are sent are numbered from 0 without gaps, and its last part is sent, without
    /// rows if need be, when any part was.
    Frame(Vec<u8>),
    /// Everything up to here (inclusive) was read, and what was wanted of it sent; the source's
    /// time there and the server's clock now; bytes that the source's buffer is ahead of it.
    Progress { scn: Scn, source_time: Micros, sent_at: Micros, behind_bytes: u64 },
    /// Answer to a `StatusRequest`: JSON.
    Status(String),
}

/// What the connecting side says after `Hello`.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq)]
pub enum FromClient {
    /// More credit, in bytes of frames; 0 says only that the client is there.
    Credit {
        bytes: u64,
    },
    StatusRequest,
}
