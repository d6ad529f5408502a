//! The certificate, trust or mesh that a decision is about.

use std::fmt;

use serde::Serialize;

use super::trust_id::TrustId;
use mesh::certificates::CertificateSource;
use mesh::name::MeshName;

/// The certificate, trust or mesh that a decision is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RotationSubject {
    /// A certificate, by its source.
    Certificate(CertificateSource),
    /// Trust, by its id.
    Trust(TrustId),
    /// A mesh as a whole.
    Mesh(MeshName),
}

impl RotationSubject {
    /// The name of the subject in the keys of the state table.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Certificate(source) => source.to_string(),
            Self::Trust(id) => id.to_string(),
            Self::Mesh(name) => format!("mesh/{name}"),
        }
    }

    /// Whether several meshes may use the same subject: certificates in ACM and secrets.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        match self {
            Self::Certificate(CertificateSource::Acm(_) | CertificateSource::Sds(_))
            | Self::Trust(TrustId::Sds { .. }) => true,
            Self::Certificate(CertificateSource::File(..))
            | Self::Trust(TrustId::Policy { .. } | TrustId::Implicit { .. } | TrustId::File { .. })
            | Self::Mesh(_) => false,
        }
    }
}

impl fmt::Display for RotationSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(source) => source.fmt(f),
            Self::Trust(id) => write!(f, "trust {id}"),
            Self::Mesh(name) => write!(f, "mesh/{name}"),
        }
    }
}
