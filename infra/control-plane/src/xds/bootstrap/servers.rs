//! The ADS servers of an Envoy.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::xds::settings::ListenAddress;

/// The ADS servers that an Envoy connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XdsServers {
    /// A socket on this machine.
    Socket(PathBuf),
    /// Numeric addresses.
    Addresses(Vec<SocketAddr>),
    /// Names with a port, which Envoy resolves again at intervals. Addresses may be among them.
    Names(Vec<(String, u16)>),
}

/// The text does not name servers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid xDS server {0:?}: expected addresses or names with a port, separated by commas, such as 127.0.0.1:18000 or a.local:18000,b.local:18000, or a socket, such as unix:/run/xds.sock"
)]
pub struct XdsServersError(String);

impl FromStr for XdsServers {
    type Err = XdsServersError;

    fn from_str(text: &str) -> Result<Self, XdsServersError> {
        let error = || XdsServersError(text.to_owned());
        if text.starts_with("unix:") {
            return match text.parse() {
                Ok(ListenAddress::Unix(path)) => Ok(Self::Socket(path)),
                Ok(ListenAddress::Tcp(_)) | Err(_) => Err(error()),
            };
        }
        let address = |server: &str| match server.parse() {
            Ok(ListenAddress::Tcp(address)) => Some(address),
            Ok(ListenAddress::Unix(_)) | Err(_) => None,
        };
        if let Some(addresses) = text.split(',').map(address).collect() {
            return Ok(Self::Addresses(addresses));
        }
        let named = |server: &str| match address(server) {
            Some(address) => Some((address.ip().to_string(), address.port())),
            None => named(server),
        };
        text.split(',').map(named).collect::<Option<_>>().map(Self::Names).ok_or_else(error)
    }
}

/// A host name with a port.
fn named(server: &str) -> Option<(String, u16)> {
    let (host, port) = server.rsplit_once(':')?;
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() < 64
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let port = port.parse().ok().filter(|port| *port > 0)?;
    // A full stop at the end says that the name is complete.
    let labels = host.strip_suffix('.').unwrap_or(host);
    let is_name = host.len() < 254 && labels.split('.').all(is_label);
    // A number at the end is a misspelt address.
    let has_letter = labels.rsplit('.').next().is_some_and(|label| label.bytes().any(|b| b.is_ascii_alphabetic()));
    (is_name && has_letter).then(|| (host.to_owned(), port))
}

impl XdsServers {
    /// Whether Envoy has to resolve names.
    pub(super) const fn has_names(&self) -> bool {
        match self {
            Self::Socket(_) | Self::Addresses(_) => false,
            Self::Names(_) => true,
        }
    }

    /// The type of Envoy's cluster. A name such as `localhost` is not resolved: it could lead to an address that the
    /// server does not listen on.
    pub(super) const fn cluster_type(&self) -> &'static str {
        if self.has_names() { "STRICT_DNS" } else { "STATIC" }
    }

    /// The addresses as Envoy's JSON.
    pub(super) fn addresses(&self) -> Vec<Value> {
        let address = |host: &str, port: u16| json!({"socket_address": {"address": host, "port_value": port}});
        match self {
            Self::Socket(path) => vec![json!({"pipe": {"path": path}})],
            Self::Addresses(addresses) => {
                addresses.iter().map(|server| address(&server.ip().to_string(), server.port())).collect()
            }
            Self::Names(names) => names.iter().map(|(host, port)| address(host, *port)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_parsed() {
        let names = |names: &[(&str, u16)]| {
            XdsServers::Names(names.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect())
        };
        for (text, expected) in [
            ("127.0.0.1:18000", XdsServers::Addresses(vec!["127.0.0.1:18000".parse().unwrap()])),
            ("localhost:1", XdsServers::Addresses(vec!["127.0.0.1:1".parse().unwrap()])),
            (
                "[::1]:1,10.0.0.1:2",
                XdsServers::Addresses(vec!["[::1]:1".parse().unwrap(), "10.0.0.1:2".parse().unwrap()]),
            ),
            ("unix:/run/xds.sock", XdsServers::Socket("/run/xds.sock".into())),
            ("plane.mesh.local:18000", names(&[("plane.mesh.local", 18000)])),
            ("a.local:1,b-2.local.:2,10.0.0.1:3", names(&[("a.local", 1), ("b-2.local.", 2), ("10.0.0.1", 3)])),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "a",
            "a.local",
            "a.local:0",
            "a.local:70000",
            "a.local:1,",
            "10.0.0.256:1",
            "a b:1",
            "http://a:1",
            "unix:",
        ] {
            assert_eq!(text.parse::<XdsServers>(), Err(XdsServersError(text.to_owned())));
        }
    }

    #[test]
    fn names_are_resolved_by_the_envoy() {
        let servers: XdsServers = "a.local:1,b.local:2".parse().unwrap();
        assert_eq!(servers.cluster_type(), "STRICT_DNS");
        let expected = json!([
            {"socket_address": {"address": "a.local", "port_value": 1}},
            {"socket_address": {"address": "b.local", "port_value": 2}},
        ]);
        assert_eq!(Value::from(servers.addresses()), expected);
    }
}
