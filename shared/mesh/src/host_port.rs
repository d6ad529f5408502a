//! The addresses of listeners for TLS probes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A host and a port, for example `pay.shop.local:8080` or `[::1]:8080`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The host: a name or an address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl TryFrom<String> for HostPort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("invalid address `{text}`: expected HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_host = bare.parse::<std::net::IpAddr>().is_ok() || (bare == host && bare.bytes().all(is_name));
        if bare.is_empty() || port == 0 || !is_host || (bare.contains(':') && bare == host) {
            return Err(wrong());
        }
        Ok(Self { host: bare.to_owned(), port })
    }
}

impl From<HostPort> for String {
    fn from(address: HostPort) -> Self {
        address.to_string()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HostPort;

    #[test]
    fn addresses_are_hosts_with_ports() {
        for text in ["pay.shop.local:8080", "127.0.0.1:1", "[::1]:443"] {
            assert_eq!(HostPort::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["", "pay", "pay:", ":80", "pay:0", "pay:70000", "::1:80", "a b:80", "[pay]:80", "http://pay:80"] {
            assert!(HostPort::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
