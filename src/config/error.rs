//! Why a configuration is refused. Each in one line: what, where, how to fix it.

use std::path::PathBuf;

/// A refused configuration file. None of them is worth a retry: a person must change something.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct ConfigError {
    /// The file as it was named on the command line.
    pub file: PathBuf,
    #[source]
    pub problem: Problem,
}

/// What is wrong, by cause. `key` is the full path of the key, for example
/// `sites.sh.instances.main.buffer`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("the configuration cannot be read: {cause}; name a readable file with --config")]
    Unreadable { cause: String },
    #[error("line {line}: not TOML: {cause}")]
    Syntax { line: usize, cause: String },
    #[error("unknown config key {key}; allowed there: {allowed}")]
    UnknownKey { key: String, allowed: String },
    #[error("config key {key} is missing; add it")]
    Missing { key: String },
    #[error("config key {key}: {cause}")]
    WrongType { key: String, cause: String },
    #[error("config key {key} = {value} is out of range; allowed: {allowed}")]
    OutOfRange { key: String, value: String, allowed: String },
    #[error("config key {key} is not valid: {cause}; write {allowed}")]
    Malformed { key: String, cause: String, allowed: String },
    #[error("config key{} {} not built yet; remove {}", if keys.len() == 1 { "" } else { "s" }, list_are(keys),
        if keys.len() == 1 { "it" } else { "them" })]
    NotBuilt { keys: Vec<String> },
    #[error("config key {key}: {what} is not built yet; {fix}")]
    NotBuiltHere { key: String, what: String, fix: String },
    #[error("config key {key} needs the environment variable {name}, which is not set; set it")]
    VariableNotSet { key: String, name: String },
    #[error("config key {key} names {}, which cannot be read: {cause}; make it readable", path.display())]
    FileUnreadable { key: String, path: PathBuf, cause: String },
    #[error("config key {key} names {name}, which is not there; known: {known}")]
    NoSuch { key: String, name: String, known: String },
    #[error("config keys {key} and {other} clash: {what}; {fix}")]
    Clash { key: String, other: String, what: String, fix: String },
    #[error("there is no node {name} in it; known: {known}")]
    NoSuchNode { name: String, known: String },
}

fn list_are(keys: &[String]) -> String {
    format!("{} {}", keys.join(", "), if keys.len() == 1 { "is" } else { "are" })
}

/// Names for an error text, or `none`.
pub(super) fn known<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
