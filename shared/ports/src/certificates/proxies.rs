use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use mesh::name::ResourcePath;

use crate::PortError;

/// Reads the secrets that proxies have acknowledged.
///
/// Only open streams are returned: a proxy without one is not connected to this control plane, and its
/// state is unknown.
#[async_trait]
pub trait ProxyEvidence: Send + Sync + std::fmt::Debug {
    /// Every open stream. A proxy on several machines has several streams.
    async fn proxies(&self) -> Result<Vec<ProxyStream>, PortError>;
}

/// An open stream of a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyStream {
    /// The virtual node or virtual gateway of the proxy.
    pub proxy: ResourcePath,
    /// Its remote address.
    pub peer: String,
    /// When it was opened.
    pub since: Timestamp,
    /// Whether it has acknowledged its present snapshot.
    pub up_to_date: bool,
    /// The message with which it rejected a part of its present snapshot; `None` if it rejected none.
    pub rejected: Option<String>,
    /// Its secrets.
    pub secrets: AcknowledgedSecrets,
}

/// The secrets of a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcknowledgedSecrets {
    /// Unknown: the control plane has no snapshot for the proxy yet.
    Unknown,
    /// The secrets of its snapshot, by name.
    Known(BTreeMap<String, SeenSecret>),
}

/// A secret, as one proxy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenSecret {
    /// The proxy has acknowledged the present version.
    Acknowledged {
        /// The leaf, or the roots.
        certificates: Vec<SeenCertificate>,
    },
    /// The present version is not acknowledged; the proxy may still use the previous one.
    Outstanding {
        /// The leaf, or the roots, of the present version.
        certificates: Vec<SeenCertificate>,
    },
    /// The proxy reads it from files or a local socket, so its state is unknown.
    BesideProxy,
    /// The control plane does not have the secret yet.
    Missing,
    /// A state that this version does not know.
    Unrecognised(String),
}

/// A certificate that a proxy presents or trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCertificate {
    /// SHA-256 over its DER form, in lower-case hexadecimal.
    pub fingerprint: String,
    /// The end of its validity.
    pub not_after: Timestamp,
}
