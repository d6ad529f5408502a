use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use mesh::name::ResourcePath;

use crate::PortError;

/// Tells what proxies have really taken.
///
/// Only streams that are open are told of: a proxy that is not among them is not connected to the control plane that was
/// asked, and what it holds is unknown.
#[async_trait]
pub trait ProxyEvidence: Send + Sync + std::fmt::Debug {
    /// Every open stream. A proxy that several machines run has several.
    async fn proxies(&self) -> Result<Vec<ProxyStream>, PortError>;
}

/// An open stream of a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyStream {
    /// The virtual node or virtual gateway that the proxy is for.
    pub proxy: ResourcePath,
    /// Where it connects from.
    pub peer: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether it has acknowledged all that it is to have now.
    pub up_to_date: bool,
    /// Its secrets.
    pub secrets: AcknowledgedSecrets,
}

/// What is known of the secrets of a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcknowledgedSecrets {
    /// Nothing yet: the control plane has not told what the proxy is to have.
    Unknown,
    /// Each secret that it is to have, by its name.
    Known(BTreeMap<String, SeenSecret>),
}

/// A secret as one proxy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenSecret {
    /// The proxy has acknowledged it as it is now.
    Acknowledged {
        /// The leaf, or the roots.
        certificates: Vec<SeenCertificate>,
    },
    /// It was sent or is about to be; the proxy may still serve what it had before.
    Outstanding {
        /// What it is to have.
        certificates: Vec<SeenCertificate>,
    },
    /// The proxy takes it from files or a socket beside it, so what it serves is not known here.
    BesideProxy,
    /// The control plane itself does not have it yet.
    Missing,
    /// Told in a way that is not known here.
    Unrecognised(String),
}

/// A certificate that a proxy serves or trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCertificate {
    /// SHA-256 over its DER, in lower-case hexadecimal.
    pub fingerprint: String,
    /// The end of its validity.
    pub not_after: Timestamp,
}
