//! What a node says of the deployment: the JSON of `GET /v1/status`, and the parts of it that nodes
//! tell each other. Names and order of the fields are a contract with users' scripts.

use serde::{Deserialize, Serialize};

/// The whole deployment as one node knows it. What cannot be reached is there with its last known
/// state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    pub cluster: String,
    /// Site and id of the node that answers.
    pub site: String,
    pub node: String,
    /// Version of the program.
    pub version: String,
    /// The leader of this node's site; None while there is none.
    pub leader: Option<String>,
    pub nodes: Vec<NodeStatus>,
    pub sources: Vec<SourceStatus>,
    pub channels: Vec<ChannelStatus>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub id: String,
    pub site: String,
    /// It answered within the last few seconds.
    pub alive: bool,
    /// It leads its site.
    pub leader: bool,
}

/// One replicator: an instance's binlog and the event buffer behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Full name.
    pub instance: String,
    pub role: SourceRole,
    pub node: String,
    /// SCN of the newest change captured; None before the first. A text that sorts like the SCNs.
    pub scn: Option<String>,
    /// Oldest SCN in the buffer; None while it is empty.
    pub oldest_scn: Option<String>,
    /// GTID position captured, as the server prints it; empty where it has none.
    pub gtid: String,
    /// `file:position` in the source's binlog; None before the first connection.
    pub file: Option<String>,
    pub buffer_bytes: u64,
    pub buffer_transactions: u64,
    /// From the source's commit to the buffer; None while it was never known.
    pub lag_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceRole {
    /// Reads the instance's binlog.
    Master,
    /// Copies the master's buffer.
    Follower,
}

/// One direction of a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelStatus {
    pub name: String,
    /// Full names of the instances.
    pub from: String,
    pub to: String,
    /// The node that applies it.
    pub node: String,
    pub state: ChannelState,
    /// Why it is stopped and what to do; always there when it is stopped.
    pub reason: Option<String>,
    /// Everything up to this SCN is applied; None before the start is known.
    pub watermark: Option<String>,
    /// From the origin's commit to the target's, true also when idle or stopped; None while it was
    /// never known.
    pub lag_ms: Option<u64>,
    /// Bytes that the source's buffer is ahead of the watermark.
    pub lag_bytes: u64,
    pub transactions_applied: u64,
    pub rows_applied: u64,
    pub rows_skipped: u64,
    pub conflicts: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelState {
    Starting,
    Copying,
    Running,
    Paused,
    Stopped,
}

impl ChannelState {
    /// As the JSON spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ChannelState::Starting => "starting",
            ChannelState::Copying => "copying",
            ChannelState::Running => "running",
            ChannelState::Paused => "paused",
            ChannelState::Stopped => "stopped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_the_names_and_the_order_of_the_contract() {
        let report = StatusReport {
            cluster: "shop".to_owned(),
            site: "sh".to_owned(),
            node: "sh-1".to_owned(),
            version: "1".to_owned(),
            leader: None,
            nodes: vec![NodeStatus {
                id: "sh-1".to_owned(),
                site: "sh".to_owned(),
                alive: true,
                leader: true,
            }],
            sources: vec![SourceStatus {
                instance: "sh.main".to_owned(),
                role: SourceRole::Master,
                node: "sh-1".to_owned(),
                scn: Some("s".to_owned()),
                oldest_scn: None,
                gtid: "0-1-2".to_owned(),
                file: Some("binlog.000002:1234".to_owned()),
                buffer_bytes: 1,
                buffer_transactions: 2,
                lag_ms: Some(3),
            }],
            channels: vec![ChannelStatus {
                name: "orders".to_owned(),
                from: "sh.main".to_owned(),
                to: "bj.main".to_owned(),
                node: "bj-1".to_owned(),
                state: ChannelState::Running,
                reason: None,
                watermark: None,
                lag_ms: Some(0),
                lag_bytes: 0,
                transactions_applied: 0,
                rows_applied: 0,
                rows_skipped: 0,
                conflicts: 0,
            }],
        };
        let json = serde_json::to_string(&report).expect("plain data");
        assert_eq!(
            json,
            concat!(
                r#"{"cluster":"shop","site":"sh","node":"sh-1","version":"1","leader":null,"#,
                r#""nodes":[{"id":"sh-1","site":"sh","alive":true,"leader":true}],"#,
                r#""sources":[{"instance":"sh.main","role":"master","node":"sh-1","scn":"s","oldest_scn":null,"#,
                r#""gtid":"0-1-2","file":"binlog.000002:1234","buffer_bytes":1,"buffer_transactions":2,"lag_ms":3}],"#,
                r#""channels":[{"name":"orders","from":"sh.main","to":"bj.main","node":"bj-1","state":"running","#,
                r#""reason":null,"watermark":null,"lag_ms":0,"lag_bytes":0,"transactions_applied":0,"#,
                r#""rows_applied":0,"rows_skipped":0,"conflicts":0}]}"#
            )
        );
        assert_eq!(serde_json::from_str::<StatusReport>(&json).ok(), Some(report));
    }
}
