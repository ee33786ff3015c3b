//! Nodes: the processes that run Weft.

use std::path::{Path, PathBuf};

use super::address::Address;
use super::error::{ConfigError, Problem};
use super::raw::RawNode;
use super::template::{Template, process_environment};

/// A node, checked.
#[derive(Debug, Clone)]
pub struct Node {
    pub id: String,
    pub site: String,
    /// Where it listens for other nodes. Every node uses it, so its variables are resolved at once.
    pub peer: Address,
    file: PathBuf,
    admin: Template,
    data: Template,
}

impl Node {
    pub(super) fn check(file: &Path, site: &str, id: &str, raw: &RawNode) -> Result<Node, Problem> {
        let key = |name: &str| format!("sites.{site}.nodes.{id}.{name}");
        let peer_text = Template::parse(&key("peer"), &raw.peer)?.resolve(&process_environment)?;
        let peer = Address::parse(&key("peer"), &peer_text)?;
        if !peer.is_loopback() {
            return Err(Problem::NotBuiltHere {
                key: key("peer"),
                what: format!("{peer} is not a loopback address: that needs token_file or [tls], which"),
                fix: "use a loopback address, through a tunnel where nodes are on several machines"
                    .to_owned(),
            });
        }
        let node = Node {
            id: id.to_owned(),
            site: site.to_owned(),
            peer,
            file: file.to_owned(),
            admin: Template::parse(&key("admin"), &raw.admin)?,
            data: Template::parse(&key("data"), &raw.data)?,
        };
        if let Some(text) = node.admin.literal() {
            checked_admin(&key("admin"), text)?;
        }
        if node.data.literal() == Some("") {
            return Err(Problem::Malformed {
                key: key("data"),
                cause: "it is empty".to_owned(),
                allowed: "a directory's path".to_owned(),
            });
        }
        Ok(node)
    }

    /// Key of the peer address, for errors of those who bind it.
    pub fn peer_key(&self) -> String {
        format!("sites.{}.nodes.{}.peer", self.site, self.id)
    }

    /// Key of the admin address.
    pub fn admin_key(&self) -> String {
        self.admin.key().to_owned()
    }

    /// Key of the data directory.
    pub fn data_key(&self) -> String {
        self.data.key().to_owned()
    }

    /// Where it listens for admin HTTP.
    ///
    /// # Errors
    /// A variable that is not set, or holds no loopback address.
    pub fn admin(&self) -> Result<Address, ConfigError> {
        self.admin
            .resolve(&process_environment)
            .and_then(|text| checked_admin(self.admin.key(), &text))
            .map_err(|problem| self.error(problem))
    }

    /// Its data directory; a relative one begins at the configuration file's directory.
    ///
    /// # Errors
    /// A variable that is not set.
    pub fn data(&self) -> Result<PathBuf, ConfigError> {
        let path = self.data.resolve(&process_environment).map_err(|problem| self.error(problem))?;
        Ok(self.file.parent().unwrap_or(Path::new("")).join(path))
    }

    /// Admin address and data directory as the file has them, for comparison between nodes.
    pub(super) fn as_written(&self) -> (String, String) {
        (self.admin.to_string(), self.data.to_string())
    }

    fn error(&self, problem: Problem) -> ConfigError {
        ConfigError { file: self.file.clone(), problem }
    }
}

/// Without credentials, admin HTTP is for programs of the same machine only.
fn checked_admin(key: &str, text: &str) -> Result<Address, Problem> {
    let address = Address::parse(key, text)?;
    if address.is_loopback() {
        return Ok(address);
    }
    Err(Problem::NotBuiltHere {
        key: key.to_owned(),
        what: format!("{address} is not a loopback address: that needs admin.tokens, which"),
        fix: "use a loopback address".to_owned(),
    })
}
