//! How the two ends of an edge get on.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::certificates::{Anchor, ChainFault, Source};
use crate::spec::Port;

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It is made in plain text.
    Plaintext,
    /// It is made by TLS; the client shows no certificate.
    Tls,
    /// It is made by TLS, and both ends show a certificate.
    Mtls,
    /// It fails.
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

/// Why a call fails. `of` is whose certificate is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Broken {
    /// The node isn't in the mesh.
    NoNode,
    /// The node doesn't listen there.
    NoListener {
        /// Where it is called; `None` where no port is named.
        port: Option<Port>,
    },
    /// The node has several listeners, and no port is named.
    AmbiguousPort,
    /// Nobody can find the node: it has no service discovery.
    NoDiscovery,
    /// The client refuses plain text, and the listener has no TLS.
    TlsNotServed,
    /// The listener asks for a client certificate, and the client has none.
    NoClientCertificate,
    /// A certificate is for none of the names that the other end wants.
    NameMismatch {
        /// Whose.
        of: End,
        /// The names that are wanted.
        wanted: Vec<String>,
        /// The names that it has.
        has: Vec<String>,
    },
    /// The other end doesn't trust a certificate.
    Distrusted(Box<Distrust>),
}

/// Why one end doesn't trust the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Distrust {
    /// Whose certificate is at fault.
    pub of: End,
    /// Where it comes from.
    pub source: Source,
    /// Whom the other end trusts.
    pub trusted: Vec<Anchor>,
    /// What is wrong.
    #[serde(flatten)]
    pub fault: ChainFault,
}

/// Something that a verdict depends on and that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "unknown", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Unknown {
    /// A certificate was not read.
    Certificate {
        /// Whose.
        of: End,
        /// Where it comes from.
        source: Source,
        /// Why not.
        why: String,
    },
    /// Who is trusted was not read.
    Trust {
        /// Who trusts.
        by: End,
        /// Where that comes from.
        anchor: Anchor,
        /// Why not.
        why: String,
    },
    /// A member of a spec is of a kind that isn't known.
    Kind {
        /// Whose.
        of: End,
        /// Which member: `mode`, `certificate`, `trust` or `serviceDiscovery`.
        member: String,
    },
    /// The node stands for a host outside the mesh: no proxy runs there, and what the host does is not in the model.
    OutsideMesh {
        /// Its name.
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

impl fmt::Display for Verdict {
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
            Self::NoDiscovery => f.write_str("the virtual node has no service discovery, so nobody finds it"),
            Self::TlsNotServed => f.write_str("the client refuses plain text, and the listener has no TLS"),
            Self::NoClientCertificate => {
                f.write_str("the listener asks for a client certificate, and the client has none")
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

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { of, source, why } => write!(f, "the {of}'s certificate {source} is not known: {why}"),
            Self::Trust { by, anchor, why } => write!(f, "whom the {by} trusts by {anchor} is not known: {why}"),
            Self::Kind { of, member } => write!(f, "the {of}'s {member} is of a kind that isn't known"),
            Self::OutsideMesh { host } => {
                write!(f, "{host} is outside the mesh, and what it does with TLS is not known")
            }
        }
    }
}
