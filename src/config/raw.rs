//! The file as it is written. Every key of the contract has its field, also those whose feature is
//! not built yet: they are refused by name later, not as unknown.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use weft_core::channel::delivery::Consistency;

use super::error::Problem;
use super::units::{ByteSize, Count, Span};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDeployment {
    pub cluster: String,
    pub token_file: Option<String>,
    pub tls: Option<RawPeerTls>,
    #[serde(default)]
    pub admin: RawAdmin,
    #[serde(default)]
    pub sites: BTreeMap<String, RawSite>,
    #[serde(default)]
    pub channels: BTreeMap<String, RawChannel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPeerTls {
    pub ca: String,
    pub cert: String,
    pub key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAdmin {
    pub bind_without_credentials: Option<RawBind>,
    pub tls: Option<RawAdminTls>,
    pub tokens: Option<Vec<RawToken>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawBind {
    Loopback,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAdminTls {
    pub cert: String,
    pub key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawToken {
    pub name: String,
    pub role: RawRole,
    pub hash: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawRole {
    Viewer,
    Operator,
    Admin,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSite {
    pub zone: Option<String>,
    #[serde(default)]
    pub instances: BTreeMap<String, RawInstance>,
    #[serde(default)]
    pub nodes: BTreeMap<String, RawNode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawInstance {
    pub url: Option<String>,
    pub urls: Option<Vec<String>>,
    pub password_file: Option<String>,
    pub apply: Option<RawApply>,
    pub tls: Option<RawInstanceTls>,
    pub buffer: Option<ByteSize>,
    pub segment: Option<ByteSize>,
    pub conflict_window: Option<Span>,
    pub heartbeat: Option<RawHeartbeat>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawApply {
    pub user: String,
    pub password_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawInstanceTls {
    pub mode: RawTlsMode,
    pub ca: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawTlsMode {
    Off,
    Required,
    VerifyCa,
    VerifyIdentity,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawNode {
    pub peer: String,
    pub advertise: Option<String>,
    pub admin: String,
    pub data: String,
    pub zone: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawChannel {
    pub between: Option<Vec<String>>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub tables: Vec<String>,
    pub start: Option<RawStart>,
    pub consistency: Option<Consistency>,
    pub conflict: Option<RawConflict>,
    pub column: Option<String>,
    pub site_priority: Option<Vec<String>>,
    pub webhook: Option<RawWebhook>,
    pub decides: Option<String>,
    pub shards: Option<Count>,
    pub in_flight: Option<ByteSize>,
    pub batch_rows_max: Option<Count>,
    pub batch_wait_max: Option<Span>,
    pub fence_timeout: Option<Span>,
    pub ddl: Option<RawDdl>,
    pub transform: Option<Vec<RawTransform>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawConflict {
    LastWriteWins,
    Column,
    SitePriority,
    Webhook,
    None,
}

/// Without `Debug`: there may be a password in the url.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawWebhook {
    pub url: String,
    pub timeout: Option<Span>,
    pub retries: Option<Count>,
    pub concurrency: Option<Count>,
    pub fallback: Option<RawFallback>,
}

impl fmt::Debug for RawWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawWebhook").finish_non_exhaustive()
    }
}

/// What decides where a webhook does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawFallback {
    LastWriteWins,
    Column,
    SitePriority,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawDdl {
    Replicate,
    Ignore,
    Stop,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTransform {
    pub table: String,
    pub rename_table: Option<String>,
    #[serde(default)]
    pub rename_columns: BTreeMap<String, String>,
    #[serde(rename = "where")]
    pub condition: Option<String>,
    #[serde(default)]
    pub mask: BTreeMap<String, String>,
}

/// How often the heartbeat row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawHeartbeat {
    Off,
    Every(Span),
}

impl<'de> Deserialize<'de> for RawHeartbeat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawHeartbeat, D::Error> {
        struct Heartbeat;
        impl Visitor<'_> for Heartbeat {
            type Value = RawHeartbeat;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"off\" or a time in quotes, such as \"1s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawHeartbeat, E> {
                match text {
                    "off" => Ok(RawHeartbeat::Off),
                    _ => text.parse().map(RawHeartbeat::Every).map_err(E::custom),
                }
            }
        }
        deserializer.deserialize_str(Heartbeat)
    }
}

/// Where a channel begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawStart {
    Now,
    Copy,
    /// By full instance name: `gtid:…` or `file:binlog.000007:1234`.
    Positions(BTreeMap<String, String>),
}

impl<'de> Deserialize<'de> for RawStart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawStart, D::Error> {
        struct Start;
        impl<'de> Visitor<'de> for Start {
            type Value = RawStart;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"now\", \"copy\" or a table of positions by instance")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawStart, E> {
                match text {
                    "now" => Ok(RawStart::Now),
                    "copy" => Ok(RawStart::Copy),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawStart, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(RawStart::Positions)
            }
        }
        deserializer.deserialize_any(Start)
    }
}

impl RawDeployment {
    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// Text that is not TOML, unknown keys, wrong types. Never quotes a line of the file: there may
    /// be a password in it.
    pub fn parse(text: &str) -> Result<RawDeployment, Problem> {
        let syntax = |error: toml::de::Error| {
            let offset = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = 1 + text.as_bytes()[..offset].iter().filter(|&&b| b == b'\n').count();
            Problem::Syntax { line, cause: one_line(error.message()) }
        };
        let deserializer = toml::Deserializer::parse(text).map_err(syntax)?;
        serde_path_to_error::deserialize(deserializer)
            .map_err(|error| shape_problem(&error.path().to_string(), error.inner().message()))
    }
}

/// Turns serde's message about the element at `path` into the problem that it is.
fn shape_problem(path: &str, message: &str) -> Problem {
    let path = if path == "." { "" } else { path };
    let message = one_line(message);
    if let Some(rest) = message.strip_prefix("missing field `") {
        let field = rest.trim_end_matches('`');
        let key = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
        return Problem::Missing { key };
    }
    if message.starts_with("unknown field `") {
        let allowed = message.split_once(", expected ").map_or("nothing", |(_, allowed)| allowed);
        let allowed = allowed.trim_start_matches("one of ").replace('`', "");
        return Problem::UnknownKey { key: path.to_owned(), allowed };
    }
    Problem::WrongType { key: path.to_owned(), cause: without_urls(&message).replace('`', "\"") }
}

/// serde quotes the value that it cannot use, and there may be a password in a url.
fn without_urls(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(start), Some(end)) if message[start..end].contains("://") => {
            format!("{}\"…\"{}", &message[..start], &message[end + 1..])
        }
        _ => message.to_owned(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
