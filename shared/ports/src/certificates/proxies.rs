use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use mesh::name::{MeshName, ResourcePath};

use crate::{PortError, PortErrorKind};

/// Reads the secrets that proxies have acknowledged.
///
/// Only open streams are returned: a proxy without one is not connected to this control plane, and its
/// state is unknown.
#[async_trait]
pub trait ProxyEvidence: Send + Sync + std::fmt::Debug {
    /// Every open stream. A proxy on several machines has several streams. Fails if the state of a proxy is unknown.
    async fn proxies(&self) -> Result<Vec<ProxyStream>, PortError>;

    /// Every known open stream, and the unknown proxies.
    async fn report(&self) -> Result<ProxyReport, PortError> {
        Ok(ProxyReport { streams: self.proxies().await?, unknown: Vec::new() })
    }
}

/// The streams of all replicas of the control plane, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyReport {
    /// The open streams.
    pub streams: Vec<ProxyStream>,
    /// The unknown proxies. The streams of these proxies show nothing: another one may exist.
    pub unknown: Vec<UnknownProxies>,
}

/// Proxies with a state that the control plane does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProxies {
    /// The virtual nodes and virtual gateways; `None` for all.
    pub proxies: Option<Vec<ResourcePath>>,
    /// Whether an instance of them disconnected, and may return with its earlier configuration. Otherwise a replica of
    /// the control plane may serve an instance that it does not report.
    pub disconnected: bool,
    /// The reason, for people.
    pub reason: String,
}

impl UnknownProxies {
    /// Whether the state of this proxy is unknown.
    #[must_use]
    pub fn includes(&self, proxy: &ResourcePath) -> bool {
        self.proxies.as_ref().is_none_or(|proxies| proxies.contains(proxy))
    }
}

impl ProxyReport {
    /// The streams of a virtual node or virtual gateway, which are all that it has. The error is the reason why that is
    /// not known.
    pub fn streams_of(&self, proxy: &ResourcePath) -> Result<Vec<&ProxyStream>, String> {
        match self.unknown.iter().find(|unknown| unknown.includes(proxy)) {
            Some(unknown) => Err(unknown.reason.clone()),
            None => Ok(self.streams.iter().filter(|stream| stream.proxy == *proxy).collect()),
        }
    }

    /// The reason why a replica of the control plane may serve a proxy of this mesh that the streams do not include, if
    /// there is one. A disconnected instance is no such reason: it gets the present weights when it returns.
    #[must_use]
    pub fn unreported_in(&self, mesh: &MeshName) -> Option<&str> {
        let is_in_mesh = |proxies: &Vec<ResourcePath>| proxies.iter().any(|proxy| proxy.mesh() == mesh);
        let about =
            |unknown: &&UnknownProxies| !unknown.disconnected && unknown.proxies.as_ref().is_none_or(is_in_mesh);
        self.unknown.iter().find(about).map(|unknown| unknown.reason.as_str())
    }

    /// All streams. Fails if anything is unknown.
    pub fn complete(self) -> Result<Vec<ProxyStream>, PortError> {
        match self.unknown.first() {
            Some(unknown) => {
                Err(PortError::new("list the proxies", PortErrorKind::Unavailable, unknown.reason.clone()))
            }
            None => Ok(self.streams),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ResourcePath {
        ResourcePath::parse(text).unwrap()
    }

    fn unknown(proxies: Option<&[&str]>, disconnected: bool) -> UnknownProxies {
        let proxies = proxies.map(|proxies| proxies.iter().map(|proxy| path(proxy)).collect());
        UnknownProxies { proxies, disconnected, reason: "why".to_owned() }
    }

    #[test]
    fn unknown_proxies_show_nothing() {
        let (front, other) = (path("mesh/shop/virtualNode/front"), path("mesh/other/virtualNode/front"));
        for (found, about_front, about_other, in_shop) in [
            (unknown(None, false), true, true, true),
            (unknown(Some(&["mesh/shop/virtualNode/front"]), false), true, false, true),
            (unknown(Some(&["mesh/shop/virtualNode/back"]), false), false, false, true),
            (unknown(Some(&["mesh/other/virtualNode/front"]), false), false, true, false),
            // A proxy that returns gets the present weights, but may still present what it had.
            (unknown(Some(&["mesh/shop/virtualNode/front"]), true), true, false, false),
        ] {
            let report = ProxyReport { streams: Vec::new(), unknown: vec![found.clone()] };
            assert_eq!(report.streams_of(&front).is_err(), about_front, "{found:?}");
            assert_eq!(report.streams_of(&other).is_err(), about_other, "{found:?}");
            assert_eq!(report.unreported_in(front.mesh()).is_some(), in_shop, "{found:?}");
            assert!(report.complete().is_err());
        }
        let known = ProxyReport::default();
        assert_eq!((known.streams_of(&front), known.unreported_in(front.mesh())), (Ok(Vec::new()), None));
        assert_eq!(known.complete().unwrap(), []);
    }
}
