//! What the ADS server is started with.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use xds::{ClientAddress, StatNames};

use super::allowed::CertificateRule;
use super::ports::ListenerMode;
use crate::certificates::CertificateFiles;
use crate::instances::{Instances, NoInstances};
use crate::secrets::{NoSecrets, Secrets};
use crate::tls::TlsFiles;

/// The streams that a proxy's resource may have at a time: App Mesh's quota of Envoys a virtual node.
const STREAMS_PER_PROXY: usize = 50;

/// The settings of the ADS server.
#[derive(Debug, Clone)]
pub struct XdsSettings {
    /// Where it listens, and who may connect there. Nowhere: no Envoy is served.
    pub listen: Vec<XdsListener>,
    /// The certificate that it shows on addresses; none, and it speaks no TLS. Sockets never have TLS.
    pub tls: Option<TlsFiles>,
    /// How traffic reaches the proxies.
    pub listeners: ListenerMode,
    /// What the statistics of the nodes that proxies call are named by.
    pub stat_names: StatNames,
    /// How virtual gateways find out the address of a client.
    pub client_address: ClientAddress,
    /// Streams that one resource may have at a time.
    pub streams_per_proxy: usize,
    /// Where certificates come from.
    pub secrets: Arc<dyn Secrets>,
    /// The names of secrets (`sds.secretName`) that are sent over ADS. Any other is left to the socket beside the proxy.
    pub bound: BTreeSet<String>,
    /// Where the endpoints of nodes come from that Cloud Map finds.
    pub instances: Arc<dyn Instances>,
    /// Which certificates and bundles each mesh may name. None: any mesh may name any.
    pub certificate_rules: Vec<CertificateRule>,
    /// The file of certificates that are revoked, of clients with `mtls`. Read again when it changes.
    pub client_crl: Option<PathBuf>,
    /// Where certificates in files beside proxies can be looked at.
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
            secrets: Arc::new(NoSecrets::default()),
            bound: BTreeSet::new(),
            instances: Arc::new(NoInstances::default()),
            certificate_rules: Vec::new(),
            client_crl: None,
            certificate_files: None,
        }
    }
}

/// A place to listen, and who may connect there and be which proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdsListener {
    /// Where.
    pub place: Listen,
    /// Who.
    pub auth: XdsAuth,
}

impl XdsListener {
    /// One for whoever is on this machine.
    #[must_use]
    pub const fn local(place: Listen) -> Self {
        Self { place, auth: XdsAuth::None }
    }
}

/// Who may connect, and be which proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XdsAuth {
    /// Whoever is on this machine may be any proxy: loopback addresses, and sockets for this user only.
    None,
    /// Whoever shows a certificate may be the proxy that it names.
    Mtls {
        /// The certificates that vouch for clients.
        client_ca: PathBuf,
    },
    /// Processes of these users may be any proxy: sockets only. None named is this process' own user.
    Unix {
        /// The users.
        uids: Vec<u32>,
    },
}

/// A place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address. Port 0 takes a free one.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = ListenParseError;

    fn from_str(text: &str) -> Result<Self, ListenParseError> {
        let error = || ListenParseError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            // Also as a URI: unix:///run/xds.sock.
            let path = path.strip_prefix("//").unwrap_or(path);
            // What comes after a comma elsewhere says who may connect: misspelt, it must not become part of a name.
            let is_path = !path.is_empty() && !path.contains(',');
            return if is_path { Ok(Self::Unix(PathBuf::from(path))) } else { Err(error()) };
        }
        let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        numeric.as_deref().unwrap_or(text).parse().map(Self::Tcp).map_err(|_| error())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is no place to listen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address with a port, such as 127.0.0.1:18000, nor a socket, such as unix:/run/xds.sock")]
pub struct ListenParseError(String);
