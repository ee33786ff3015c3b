//! Instances: the database servers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weft_core::instance::InstanceId;

use super::error::{ConfigError, Problem};
use super::raw::{RawHeartbeat, RawInstance, RawInstanceTls, RawTlsMode};
use super::template::{Lookup, Secret, Template, process_environment};
use super::units::{ByteSize, Span, within};
use super::url::ServerUrl;
use crate::mysql::connect::Endpoint;
use crate::mysql::tls::{Tls, TlsMode};

/// An instance, checked.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Full name, for example `sh.main`.
    pub name: String,
    pub site: String,
    pub id: InstanceId,
    /// Size of the event buffer on each node that holds it.
    pub buffer: ByteSize,
    pub segment: ByteSize,
    /// How long the ledger remembers a key's version.
    pub conflict_window: Duration,
    /// How often the heartbeat row is written; None: never.
    pub heartbeat: Option<Duration>,
    file: PathBuf,
    /// In the file's order; at least one.
    urls: Vec<ServerUrl>,
    /// Key and path; relative paths begin at the configuration file's directory.
    password_file: Option<(String, Template)>,
    tls: InstanceTls,
}

/// TLS of an instance's sessions, before its variables are resolved.
#[derive(Debug, Clone)]
struct InstanceTls {
    mode: TlsMode,
    /// Relative paths begin at the configuration file's directory.
    ca: Option<Template>,
}

impl InstanceTls {
    fn check(key: &str, raw: Option<&RawInstanceTls>) -> Result<InstanceTls, Problem> {
        let Some(raw) = raw else { return Ok(InstanceTls { mode: TlsMode::Off, ca: None }) };
        let mode = match raw.mode {
            RawTlsMode::Off => TlsMode::Off,
            RawTlsMode::Required => TlsMode::Required,
            RawTlsMode::VerifyCa => return Err(Problem::NotBuilt { keys: vec![format!("{key}.mode")] }),
            RawTlsMode::VerifyIdentity => TlsMode::VerifyIdentity,
        };
        if raw.ca.is_some() && matches!(mode, TlsMode::Off | TlsMode::Required) {
            return Err(Problem::Clash {
                key: format!("{key}.ca"),
                other: format!("{key}.mode"),
                what: "a certificate is given that this mode does not look at".to_owned(),
                fix: "set mode to verify-identity, or take ca out".to_owned(),
            });
        }
        let ca = raw.ca.as_ref().map(|path| Template::parse(&format!("{key}.ca"), path)).transpose()?;
        Ok(InstanceTls { mode, ca })
    }
}

/// How to reach an instance: the values of its url, variables and files resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub user: String,
    /// Empty: none.
    pub password: Secret<String>,
    pub tls: Tls,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}

impl Server {
    /// The same, as sessions are opened with it.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            password: self.password.reveal().clone(),
            tls: self.tls.clone(),
        }
    }
}

impl Instance {
    pub(super) fn check(
        file: &Path,
        site: &str,
        short: &str,
        raw: &RawInstance,
    ) -> Result<Instance, Problem> {
        let key = format!("sites.{site}.instances.{short}");
        let urls = the_urls(&key, raw)?;
        let of = |name: &str| format!("{key}.{name}");
        let buffer =
            within(&of("buffer"), raw.buffer, ByteSize::gib(64), ByteSize::mib(256), ByteSize::gib(1 << 20))?;
        let segment =
            within(&of("segment"), raw.segment, ByteSize::mib(64), ByteSize::mib(1), ByteSize::gib(1))?;
        if segment.0 > buffer.0 / 4 {
            return Err(Problem::Clash {
                key: of("segment"),
                other: of("buffer"),
                what: format!("a segment of {segment} is more than a quarter of the buffer of {buffer}"),
                fix: "make the segment smaller or the buffer larger".to_owned(),
            });
        }
        let window = (raw.conflict_window, Span::secs(7 * 86_400), Span::secs(1), Span::secs(365 * 86_400));
        let conflict_window = within(&of("conflict_window"), window.0, window.1, window.2, window.3)?;
        let heartbeat = match raw.heartbeat {
            Some(RawHeartbeat::Off) => None,
            None => Some(Duration::from_secs(1)),
            Some(RawHeartbeat::Every(span)) => {
                let most = Span::secs(3_600);
                Some(within(&of("heartbeat"), Some(span), span, Span::ms(100), most)?.0)
            }
        };
        let password_file = match &raw.password_file {
            Some(path) => Some((of("password_file"), Template::parse(&of("password_file"), path)?)),
            None => None,
        };
        let name = format!("{site}.{short}");
        Ok(Instance {
            id: InstanceId::of(&name),
            name,
            site: site.to_owned(),
            buffer,
            segment,
            conflict_window: conflict_window.0,
            heartbeat,
            file: file.to_owned(),
            urls,
            password_file,
            tls: InstanceTls::check(&of("tls"), raw.tls.as_ref())?,
        })
    }

    /// `host:port` of each server, as the file has it.
    pub fn places(&self) -> impl Iterator<Item = String> + '_ {
        self.urls.iter().map(ServerUrl::place)
    }

    /// How to reach the instance's servers, in the file's order; at least one.
    ///
    /// # Errors
    /// A variable that is not set, a password file that cannot be read.
    pub fn servers(&self) -> Result<Vec<Server>, ConfigError> {
        self.servers_with(&process_environment)
            .map_err(|problem| ConfigError { file: self.file.clone(), problem })
    }

    pub(super) fn servers_with(&self, lookup: Lookup<'_>) -> Result<Vec<Server>, Problem> {
        let from_file = match &self.password_file {
            Some((key, path)) => read_secret(key, &self.beside(&path.resolve(lookup)?))?,
            None => String::new(),
        };
        let ca =
            self.tls.ca.as_ref().map(|path| path.resolve(lookup)).transpose()?.map(|path| self.beside(&path));
        let server = |url: &ServerUrl| {
            let password = match &url.password {
                Some(password) => password.reveal().resolve(lookup)?,
                None => from_file.clone(),
            };
            Ok(Server {
                host: url.host.resolve(lookup)?,
                port: url.resolve_port(lookup)?,
                user: url.user.resolve(lookup)?,
                password: Secret::new(password),
                tls: Tls { mode: self.tls.mode, ca: ca.clone() },
            })
        };
        self.urls.iter().map(server).collect()
    }

    fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// The urls of the instance, none twice.
fn the_urls(key: &str, raw: &RawInstance) -> Result<Vec<ServerUrl>, Problem> {
    let (url_key, texts) = match (&raw.url, raw.urls.as_deref()) {
        (Some(url), None) => (format!("{key}.url"), std::slice::from_ref(url)),
        (None, Some(urls)) if !urls.is_empty() => (format!("{key}.urls"), urls),
        (None, _) => return Err(Problem::Missing { key: format!("{key}.url") }),
        (Some(_), Some(_)) => {
            return Err(Problem::Clash {
                key: format!("{key}.url"),
                other: format!("{key}.urls"),
                what: "both say where the instance is".to_owned(),
                fix: "keep one of them".to_owned(),
            });
        }
    };
    let mut urls: Vec<ServerUrl> = Vec::new();
    for text in texts {
        let url = ServerUrl::parse(&url_key, text)?;
        if raw.password_file.is_some() && url.password.is_some() {
            return Err(Problem::Clash {
                key: url_key,
                other: format!("{key}.password_file"),
                what: "both give a password".to_owned(),
                fix: "keep one of them".to_owned(),
            });
        }
        if urls.iter().any(|other| other.place() == url.place()) {
            return Err(Problem::Malformed {
                key: url_key,
                cause: format!("it names {} twice", url.place()),
                allowed: "each server of the instance once".to_owned(),
            });
        }
        urls.push(url);
    }
    Ok(urls)
}

/// Longest secret file in bytes; more is not a password.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The file's text without the line end that editors put behind it.
fn read_secret(key: &str, path: &Path) -> Result<String, Problem> {
    use std::io::Read;
    let unreadable =
        |cause: String| Problem::FileUnreadable { key: key.to_owned(), path: path.to_owned(), cause };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
