//! The harms of a change to the edges of a mesh: edges before and after, compared.
//!
//! A harm is a working edge that fails or is less safe after the change. Existing failures are found by the policy
//! pack.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Edge;
use super::verdict::{Broken, TlsVerdict, UnknownEdgeFact};
use mesh::name::{ResourcePath, VirtualServiceName};
use mesh::spec::Port;

/// The identity of an edge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeName {
    /// The caller.
    pub from: ResourcePath,
    /// The called virtual service.
    pub service: VirtualServiceName,
    /// The called virtual node.
    pub to: ResourcePath,
    /// The port.
    pub port: Option<Port>,
}

/// A harm of a change to an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "harm", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum EdgeHarm {
    /// An encrypted call would become plain text.
    TlsLost {
        /// The edge.
        edge: EdgeName,
    },
    /// A call with mutual TLS would lose the client certificate.
    MtlsLost {
        /// The edge.
        edge: EdgeName,
    },
    /// A certificate would have none of the names that the other end requires.
    SanMismatch {
        /// The edge.
        edge: EdgeName,
        /// The failure.
        broken: Broken,
    },
    /// One end would not trust the other.
    Distrust {
        /// The edge.
        edge: EdgeName,
        /// The failure.
        broken: Broken,
    },
    /// The call would fail for another reason.
    EdgeBroken {
        /// The edge.
        edge: EdgeName,
        /// The failure.
        broken: Broken,
    },
    /// A call that is proven to work would be unproven.
    Unproven {
        /// The edge.
        edge: EdgeName,
        /// The unknown facts.
        unknown: Vec<UnknownEdgeFact>,
    },
}

impl EdgeHarm {
    /// The stable id of this kind of harm, used in policies and reports.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::TlsLost { .. } => "tls-lost",
            Self::MtlsLost { .. } => "mtls-lost",
            Self::SanMismatch { .. } => "san-mismatch",
            Self::Distrust { .. } => "distrust",
            Self::EdgeBroken { .. } => "edge-broken",
            Self::Unproven { .. } => "unproven",
        }
    }

    /// The harmed edge.
    #[must_use]
    pub const fn edge(&self) -> &EdgeName {
        match self {
            Self::TlsLost { edge }
            | Self::MtlsLost { edge }
            | Self::SanMismatch { edge, .. }
            | Self::Distrust { edge, .. }
            | Self::EdgeBroken { edge, .. }
            | Self::Unproven { edge, .. } => edge,
        }
    }

    fn between(edge: EdgeName, before: &Edge, after: &Edge) -> Option<Self> {
        let lost = match (&before.verdict, &after.verdict) {
            (TlsVerdict::Broken(_), _) => return None,
            (_, TlsVerdict::Broken(broken)) => {
                let broken = broken.clone();
                return Some(match broken {
                    Broken::NameMismatch { .. } => Self::SanMismatch { edge, broken },
                    Broken::Distrusted(_) => Self::Distrust { edge, broken },
                    Broken::NoNode
                    | Broken::NoListener { .. }
                    | Broken::AmbiguousPort
                    | Broken::NoDiscovery
                    | Broken::TlsNotServed
                    | Broken::NoClientCertificate => Self::EdgeBroken { edge, broken },
                });
            }
            (TlsVerdict::Tls | TlsVerdict::Mtls, TlsVerdict::Plaintext) => Some(Self::TlsLost { edge: edge.clone() }),
            (TlsVerdict::Mtls, TlsVerdict::Tls) => Some(Self::MtlsLost { edge: edge.clone() }),
            (TlsVerdict::Plaintext, TlsVerdict::Plaintext | TlsVerdict::Tls | TlsVerdict::Mtls)
            | (TlsVerdict::Tls, TlsVerdict::Tls | TlsVerdict::Mtls)
            | (TlsVerdict::Mtls, TlsVerdict::Mtls) => None,
        };
        let unproven = || Self::Unproven { edge, unknown: after.unknown.clone() };
        lost.or_else(|| (before.is_proven() && !after.is_proven()).then(unproven))
    }
}

impl Edge {
    /// The identity of the edge.
    #[must_use]
    pub fn name(&self) -> EdgeName {
        EdgeName { from: self.from.clone(), service: self.service.clone(), to: self.to.clone(), port: self.port }
    }
}

/// The harms between two states of a mesh. Removed and new edges are not harms: routing may change them on purpose.
#[must_use]
pub fn edge_harms(before: &[Edge], after: &[Edge]) -> Vec<EdgeHarm> {
    let before: BTreeMap<EdgeName, &Edge> = before.iter().map(|edge| (edge.name(), edge)).collect();
    let harm = |edge: &Edge| {
        let name = edge.name();
        let before = before.get(&name)?;
        EdgeHarm::between(name, before, edge)
    };
    after.iter().filter_map(harm).collect()
}

impl fmt::Display for EdgeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} for {}", self.from.name(), self.to.name(), self.service)
    }
}

impl fmt::Display for EdgeHarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TlsLost { edge } => write!(f, "calls from {edge} would be made in plain text"),
            Self::MtlsLost { edge } => write!(f, "calls from {edge} would show no client certificate"),
            Self::SanMismatch { edge, broken }
            | Self::Distrust { edge, broken }
            | Self::EdgeBroken { edge, broken } => {
                write!(f, "calls from {edge} would fail: {broken}")
            }
            Self::Unproven { edge, unknown } => {
                let unknown: Vec<String> = unknown.iter().map(ToString::to_string).collect();
                write!(f, "calls from {edge} would not be known to work: {}", unknown.join("; "))
            }
        }
    }
}
