//! `mysql://user:password@host:port`, in parts that may hold `${NAME}`.

use percent_encoding::percent_decode_str;

use super::error::Problem;
use super::template::{Lookup, Secret, Template};

/// The port of the server where the url has none.
const DEFAULT_PORT: &str = "3306";

/// A url's parts. User and password are percent-decoded; what a variable brings is taken as it is,
/// so that a password in the environment needs no encoding.
#[derive(Debug, Clone)]
pub(super) struct ServerUrl {
    pub user: Template,
    pub password: Option<Secret<Template>>,
    pub host: Template,
    pub port: Template,
}

impl ServerUrl {
    /// Reads the value of `key`. Errors never quote it: there may be a password in it.
    pub fn parse(key: &str, text: &str) -> Result<ServerUrl, Problem> {
        let malformed = |cause: &str| Problem::Malformed {
            key: key.to_owned(),
            cause: cause.to_owned(),
            allowed: "mysql://user:password@host:port, user and password percent-encoded".to_owned(),
        };
        let rest =
            text.strip_prefix("mysql://").ok_or_else(|| malformed("it does not begin with mysql://"))?;
        let (login, place) = rest.rsplit_once('@').ok_or_else(|| malformed("it names no user"))?;
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?', '#']) {
            return Err(malformed("something follows host and port"));
        }
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let (host, port) = split_port(place).ok_or_else(|| malformed("its host or port is odd"))?;
        if user.is_empty() || host.is_empty() {
            return Err(malformed("user or host is empty"));
        }
        let decode = |part: &str| {
            let decoded = percent_decode_str(part).decode_utf8();
            decoded
                .map(|text| text.into_owned())
                .map_err(|_| malformed("a percent-encoded part is not UTF-8"))
        };
        let url = ServerUrl {
            user: Template::parse(key, user)?.map_literals(decode)?,
            password: match password {
                Some(password) => Some(Secret::new(Template::parse(key, password)?.map_literals(decode)?)),
                None => None,
            },
            host: Template::parse(key, host)?.map_literals(|text| Ok(text.to_ascii_lowercase()))?,
            port: Template::parse(key, port)?,
        };
        if let Some(literal) = url.port.literal() {
            parse_port(literal).ok_or_else(|| malformed("its port is not from 1 to 65535"))?;
        }
        Ok(url)
    }

    /// `host:port` as it stands in the file; equal for two urls of one server.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The port with its variables' values.
    pub fn resolve_port(&self, lookup: Lookup<'_>) -> Result<u16, Problem> {
        let text = self.port.resolve(lookup)?;
        parse_port(&text).ok_or_else(|| Problem::Malformed {
            key: self.port.key().to_owned(),
            cause: "its port is not from 1 to 65535".to_owned(),
            allowed: "a port number in the variable".to_owned(),
        })
    }
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|&port| port != 0)
}

/// Splits `host:port`, `host` and `[ipv6]:port`.
fn split_port(place: &str) -> Option<(&str, &str)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, port)),
            None if after.is_empty() => Some((host, DEFAULT_PORT)),
            None => None,
        };
    }
    match place.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some(parts) => Some(parts),
        None => Some((place, DEFAULT_PORT)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ServerUrl, Problem> {
        ServerUrl::parse("k.url", text)
    }

    #[test]
    fn parts_are_found_and_the_password_is_decoded() {
        let url = parse("mysql://we%40ft:p%3Aa%2Fs%40s@DB1.sh:3307").unwrap();
        assert_eq!(url.user.to_string(), "we@ft");
        assert_eq!(url.password.as_ref().unwrap().reveal().to_string(), "p:a/s@s");
        assert_eq!(url.place(), "db1.sh:3307");
        assert!(!format!("{url:?}").contains("p:a"));
    }

    #[test]
    fn port_and_password_may_be_left_out() {
        let url = parse("mysql://root@[::1]/").unwrap();
        assert_eq!((url.place().as_str(), url.password.is_none()), ("::1:3306", true));
        assert_eq!(url.resolve_port(&|_| None), Ok(3306));
    }

    #[test]
    fn a_variable_is_taken_as_it_is() {
        let url = parse("mysql://weft:${PW}@db:${PORT}").unwrap();
        let lookup = |name: &str| Some(if name == "PW" { "a%41@:".to_owned() } else { "70000".to_owned() });
        assert_eq!(url.password.as_ref().unwrap().reveal().resolve(&lookup).unwrap(), "a%41@:");
        assert!(url.resolve_port(&lookup).is_err());
    }

    #[test]
    fn odd_urls_are_refused_without_quoting_them() {
        for text in [
            "mariadb://weft:secret@db",
            "mysql://db:3306",
            "mysql://:secret@db",
            "mysql://weft:secret@",
            "mysql://weft:secret@db:0",
            "mysql://weft:secret@db:x",
            "mysql://weft:secret@db/shop",
            "mysql://weft:secret@::1:3306",
            "mysql://weft:secret%ff@db",
        ] {
            let refused = parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(
                refused.starts_with("config key k.url is not valid") && !refused.contains("secret"),
                "{text}"
            );
        }
    }
}
