//! The verdict on the handshake of an edge.

use std::fmt;

use serde::{Deserialize, Serialize};

use mesh::certificates::{Anchor, CertificateSource, ChainFault};
use mesh::spec::Port;

/// The verdict on a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum TlsVerdict {
    /// The call is in plain text.
    Plaintext,
    /// The call uses TLS; the client presents no certificate.
    Tls,
    /// The call uses mutual TLS: both ends present a certificate.
    Mtls,
    /// The call fails.
    Broken(Broken),
}

/// One end of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The caller.
    Client,
    /// The listener.
    Server,
}

/// The reason why a call fails. `of` is the end with the rejected certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Broken {
    /// The node does not exist in the mesh.
    NoNode,
    /// The node has no listener on the called port.
    NoListener {
        /// The called port; `None` if no port is named.
        port: Option<Port>,
    },
    /// The node has several listeners, and no port is named.
    AmbiguousPort,
    /// The node has no service discovery, so callers cannot find it.
    NoDiscovery,
    /// The client enforces TLS, and the listener has no TLS.
    TlsNotServed,
    /// The listener requires a client certificate, and the client has none.
    NoClientCertificate,
    /// A certificate has none of the names that the other end requires.
    NameMismatch {
        /// The end with the certificate.
        of: End,
        /// The required names.
        wanted: Vec<String>,
        /// The names of the certificate.
        has: Vec<String>,
    },
    /// The other end does not trust a certificate.
    Distrusted(Box<Distrust>),
}

/// The reason why one end does not trust the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Distrust {
    /// The end with the certificate.
    pub of: End,
    /// The source of the certificate.
    pub source: CertificateSource,
    /// The trust anchors of the other end.
    pub trusted: Vec<Anchor>,
    /// The failure.
    #[serde(flatten)]
    pub fault: ChainFault,
}

/// An unknown fact that a verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "unknown", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum UnknownEdgeFact {
    /// A certificate was not read.
    Certificate {
        /// The end with the certificate.
        of: End,
        /// The source of the certificate.
        source: CertificateSource,
        /// The error.
        why: String,
    },
    /// A trust anchor was not read.
    Trust {
        /// The end with the trust anchor.
        by: End,
        /// The trust anchor.
        anchor: Anchor,
        /// The error.
        why: String,
    },
    /// A member of a spec has an unknown type.
    Kind {
        /// The end with the member.
        of: End,
        /// The member: `mode`, `certificate`, `trust` or `serviceDiscovery`.
        member: String,
    },
    /// The node represents a host outside the mesh: it has no proxy, and the host's TLS is not part of the model.
    OutsideMesh {
        /// The host name.
        host: String,
    },
}

impl Broken {
    /// The stable id of this reason.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::NoNode => "no-node",
            Self::NoListener { .. } => "no-listener",
            Self::AmbiguousPort => "ambiguous-port",
            Self::NoDiscovery => "no-discovery",
            Self::TlsNotServed => "tls-not-served",
            Self::NoClientCertificate => "no-client-certificate",
            Self::NameMismatch { .. } => "name-mismatch",
            Self::Distrusted(_) => "distrusted",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

impl fmt::Display for TlsVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plaintext => f.write_str("plain text"),
            Self::Tls => f.write_str("TLS"),
            Self::Mtls => f.write_str("mTLS"),
            Self::Broken(broken) => write!(f, "broken: {broken}"),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode => f.write_str("the virtual node doesn't exist"),
            Self::NoListener { port: Some(port) } => write!(f, "the virtual node doesn't listen on port {port}"),
            Self::NoListener { port: None } => f.write_str("the virtual node has no listener"),
            Self::AmbiguousPort => f.write_str("the virtual node has several listeners, and no port is named"),
            Self::NoDiscovery => f.write_str("the virtual node has no service discovery, so callers cannot find it"),
            Self::TlsNotServed => f.write_str("the client refuses plain text, and the listener has no TLS"),
            Self::NoClientCertificate => {
                f.write_str("the listener requires a client certificate, and the client has none")
            }
            Self::NameMismatch { of, wanted, has } => {
                let has = if has.is_empty() { "no name at all".to_owned() } else { has.join(", ") };
                write!(f, "the {of}'s certificate is for {has}, wanted is {}", wanted.join(" or "))
            }
            Self::Distrusted(distrust) => {
                let Distrust { of, source, fault, .. } = &**distrust;
                write!(f, "the {of}'s certificate {source} is not accepted: {fault}")
            }
        }
    }
}

impl fmt::Display for UnknownEdgeFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { of, source, why } => write!(f, "the {of}'s certificate {source} is unknown: {why}"),
            Self::Trust { by, anchor, why } => write!(f, "the {by}'s trust anchor {anchor} is unknown: {why}"),
            Self::Kind { of, member } => write!(f, "the {of}'s {member} has an unknown type"),
            Self::OutsideMesh { host } => {
                write!(f, "{host} is outside the mesh, and what it does with TLS is not known")
            }
        }
    }
}
