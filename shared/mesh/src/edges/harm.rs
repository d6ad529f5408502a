//! What a change would break between two ends: edges before and after, compared.
//!
//! A harm is created where an edge that worked works less well afterwards. Trouble that was there already is for the
//! rules of the policy pack.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Edge;
use super::verdict::{Broken, Unknown, Verdict};
use crate::name::{ResourcePath, VirtualServiceName};
use crate::spec::Port;

/// Which edge is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeName {
    /// Who calls.
    pub from: ResourcePath,
    /// What is called.
    pub service: VirtualServiceName,
    /// Who answers.
    pub to: ResourcePath,
    /// On which port.
    pub port: Option<Port>,
}

/// Something that a change would break on an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "harm", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum EdgeHarm {
    /// What was encrypted is not any more.
    TlsLost {
        /// Where.
        edge: EdgeName,
    },
    /// What was encrypted with a certificate of both ends has one of the server only.
    MtlsLost {
        /// Where.
        edge: EdgeName,
    },
    /// A certificate would be for none of the names that the other end wants.
    SanMismatch {
        /// Where.
        edge: EdgeName,
        /// What is wrong.
        broken: Broken,
    },
    /// One end would not trust the other.
    Distrust {
        /// Where.
        edge: EdgeName,
        /// What is wrong.
        broken: Broken,
    },
    /// The call would fail for another reason.
    EdgeBroken {
        /// Where.
        edge: EdgeName,
        /// What is wrong.
        broken: Broken,
    },
    /// What was known to work would not be known to.
    Unproven {
        /// Where.
        edge: EdgeName,
        /// What would not be known.
        unknown: Vec<Unknown>,
    },
}

impl EdgeHarm {
    /// The stable id of this kind of harm, as policies and reports name it.
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

    /// The edge that is harmed.
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

    fn of(edge: EdgeName, before: &Edge, after: &Edge) -> Option<Self> {
        let lost = match (&before.verdict, &after.verdict) {
            (Verdict::Broken(_), _) => return None,
            (_, Verdict::Broken(broken)) => {
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
            (Verdict::Tls | Verdict::Mtls, Verdict::Plaintext) => Some(Self::TlsLost { edge: edge.clone() }),
            (Verdict::Mtls, Verdict::Tls) => Some(Self::MtlsLost { edge: edge.clone() }),
            (Verdict::Plaintext, Verdict::Plaintext | Verdict::Tls | Verdict::Mtls)
            | (Verdict::Tls, Verdict::Tls | Verdict::Mtls)
            | (Verdict::Mtls, Verdict::Mtls) => None,
        };
        let unproven = || Self::Unproven { edge, unknown: after.unknown.clone() };
        lost.or_else(|| (before.is_proven() && !after.is_proven()).then(unproven))
    }
}

impl Edge {
    /// Which edge it is.
    #[must_use]
    pub fn name(&self) -> EdgeName {
        EdgeName { from: self.from.clone(), service: self.service.clone(), to: self.to.clone(), port: self.port }
    }
}

/// The harms between two states of a mesh. Edges that are gone, or new, are none: those are what routing is for.
#[must_use]
pub fn edge_harms(before: &[Edge], after: &[Edge]) -> Vec<EdgeHarm> {
    let before: BTreeMap<EdgeName, &Edge> = before.iter().map(|edge| (edge.name(), edge)).collect();
    let harm = |edge: &Edge| {
        let name = edge.name();
        let before = before.get(&name)?;
        EdgeHarm::of(name, before, edge)
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
