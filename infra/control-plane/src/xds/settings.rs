//! The settings of the ADS server.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use xds::{ClientAddress, StatNames};

use super::allowed::CertificateRule;
use super::ports::ListenerMode;
use crate::certificates::CertificateFiles;
use crate::identity::NodeTokens;
use crate::instances::{Instances, NoInstances};
use crate::secrets::{NoSecrets, Secrets};
use crate::tls::TlsFiles;

/// The default number of concurrent streams of one resource: App Mesh's quota of Envoys for each virtual node.
const STREAMS_PER_PROXY: usize = 50;

/// The settings of the ADS server.
#[derive(Debug, Clone)]
pub struct XdsSettings {
    /// The listeners and their authentication. Without one, no Envoy is served.
    pub listen: Vec<XdsListener>,
    /// The TLS certificate on addresses; `None` serves them without TLS. Sockets never use TLS.
    pub tls: Option<TlsFiles>,
    /// How traffic reaches the proxies.
    pub listeners: ListenerMode,
    /// How proxies name the statistics of the nodes that they call.
    pub stat_names: StatNames,
    /// How virtual gateways determine the address of a client.
    pub client_address: ClientAddress,
    /// The most concurrent streams of one resource. Default: 50.
    pub streams_per_proxy: usize,
    /// How long a stream stays open, give or take a tenth; `None` never ends it. With several replicas, streams that end
    /// spread over the ones that started later. Default: 30 minutes with a shared store.
    pub stream_age: Option<Duration>,
    /// The source of certificates.
    pub secrets: Arc<dyn Secrets>,
    /// The secret names (`sds.secretName`) that are sent over ADS. All others are left to the proxy's local socket.
    pub bound: BTreeSet<String>,
    /// The source of the endpoints of nodes with Cloud Map service discovery.
    pub instances: Arc<dyn Instances>,
    /// The certificates and bundles that each mesh may use. Empty: any mesh may use any of them.
    pub certificate_rules: Vec<CertificateRule>,
    /// The revocation lists of client certificates, with `mtls`. Reloaded when the file changes.
    pub client_crl: Option<PathBuf>,
    /// Verifies the tokens of proxies, with [`XdsAuth::Token`].
    pub tokens: Option<Arc<NodeTokens>>,
    /// Reads the certificate files of proxies on this machine, for reports.
    pub certificate_files: Option<CertificateFiles>,
}

impl Default for XdsSettings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            tls: None,
            listeners: ListenerMode::default(),
            stat_names: StatNames::default(),
            client_address: ClientAddress::default(),
            streams_per_proxy: STREAMS_PER_PROXY,
            stream_age: None,
            secrets: Arc::new(NoSecrets::default()),
            bound: BTreeSet::new(),
            instances: Arc::new(NoInstances::default()),
            certificate_rules: Vec::new(),
            client_crl: None,
            tokens: None,
            certificate_files: None,
        }
    }
}

/// The address of a listener, and its authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdsListener {
    /// The address.
    pub address: ListenAddress,
    /// The authentication.
    pub auth: XdsAuth,
}

impl XdsListener {
    /// A listener without authentication, for clients on this machine.
    #[must_use]
    pub const fn local(address: ListenAddress) -> Self {
        Self { address, auth: XdsAuth::None }
    }
}

/// The authentication of proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XdsAuth {
    /// Any client on this machine may be any proxy: loopback addresses, and sockets for the user of this
    /// process only.
    None,
    /// A client with a certificate may be the proxy that the certificate names.
    Mtls {
        /// The CA certificates of clients.
        client_ca: PathBuf,
    },
    /// A client with a node token may be the proxy that the token names: addresses with TLS only.
    Token,
    /// Processes of these users may be any proxy: sockets only. An empty list is the user of this process.
    Unix {
        /// The UIDs.
        uids: Vec<u32>,
    },
}

/// The address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address. Port 0 selects a free port.
    Tcp(SocketAddr),
    /// A Unix socket in the file system.
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        let error = || ListenAddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            // The URI form is accepted too: unix:///run/xds.sock.
            let path = path.strip_prefix("//").unwrap_or(path);
            // On the command line, options follow a comma. A misspelt option must not become part of the path.
            let is_path = !path.is_empty() && !path.contains(',');
            return if is_path { Ok(Self::Unix(PathBuf::from(path))) } else { Err(error()) };
        }
        let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        numeric.as_deref().unwrap_or(text).parse().map(Self::Tcp).map_err(|_| error())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The text is not the address of a listener.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid listen address {0:?}: expected an address with a port, such as 127.0.0.1:18000, or a socket, such as unix:/run/xds.sock"
)]
pub struct ListenAddressError(String);
