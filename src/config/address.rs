//! Where a node listens: `host:port`.

use std::fmt;
use std::net::IpAddr;

use super::error::Problem;

/// A host (name or IP address, IPv6 without brackets) and a TCP port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Reads `host:port` or `[ipv6]:port`, the value of `key`.
    pub(super) fn parse(key: &str, text: &str) -> Result<Address, Problem> {
        let malformed = |cause: &str| Problem::Malformed {
            key: key.to_owned(),
            cause: format!("{text:?} {cause}"),
            allowed: "host:port, such as \"10.1.0.11:7400\"".to_owned(),
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| malformed("has no port"))?;
        let port: u16 = port.parse().map_err(|_| malformed("has no port from 1 to 65535"))?;
        let host = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(ipv6) => ipv6,
            None if host.contains(':') => return Err(malformed("has an IPv6 address without brackets")),
            None => host,
        };
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/@?#[]".contains(c);
        if host.is_empty() || host.contains(odd) || port == 0 {
            return Err(malformed("has no host or port"));
        }
        Ok(Address { host: host.to_ascii_lowercase(), port })
    }

    /// Whether only programs of the same machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_printed_alike() {
        for text in ["127.0.0.1:7400", "[::1]:1", "db.example:65535"] {
            assert_eq!(Address::parse("k", text).map(|address| address.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "host", ":1", "host:", "host:0", "host:65536", "::1:80", "a b:1", "u@h:1"] {
            assert!(Address::parse("k", text).is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_known_by_address_and_by_name() {
        let loopback = |text| Address::parse("k", text).is_ok_and(|address| address.is_loopback());
        assert!(loopback("127.9.9.9:1") && loopback("[::1]:1") && loopback("localhost:1"));
        assert!(!loopback("0.0.0.0:1") && !loopback("10.0.0.1:1") && !loopback("[::]:1"));
    }
}
