//! The identity of trust.

use std::fmt;

use serde::{Deserialize, Serialize};

use mesh::certificates::{FilePath, SecretName, SpecLocation};
use mesh::name::{ResourcePath, VirtualServiceName};

/// The id of a trust. Displayed as `policy:PLACE of RESOURCE`, `none:…`, `sds:NAME` or `file:PATH of RESOURCE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "trust", rename_all = "kebab-case")]
pub enum TrustId {
    /// A client policy.
    Policy {
        /// The virtual node or gateway with the policy.
        by: ResourcePath,
        /// The place of the policy in its spec.
        at: SpecLocation,
    },
    /// A missing client policy, towards one virtual service.
    Implicit {
        /// The virtual node or gateway without the policy.
        by: ResourcePath,
        /// The virtual service.
        service: VirtualServiceName,
    },
    /// A secret of a secret discovery service.
    Sds {
        /// Its name.
        name: SecretName,
    },
    /// A file in the proxy's container.
    File {
        /// The virtual node or gateway.
        by: ResourcePath,
        /// The path of the file.
        path: FilePath,
    },
}

impl TrustId {
    /// The place of the client policy, or the place where it would be created; a gateway has only its default.
    #[must_use]
    pub fn policy_place(&self) -> Option<(ResourcePath, SpecLocation)> {
        match self {
            Self::Policy { by, at } => Some((by.clone(), at.clone())),
            Self::Implicit { by: by @ ResourcePath::VirtualGateway(..), .. } => {
                Some((by.clone(), SpecLocation::BackendDefaults))
            }
            Self::Implicit { by, service } => Some((by.clone(), SpecLocation::Backend { service: service.clone() })),
            Self::Sds { .. } | Self::File { .. } => None,
        }
    }
}

impl fmt::Display for TrustId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy { by, at } => write!(f, "policy:{at} of {by}"),
            Self::Implicit { by, service } => write!(f, "none:{service} of {by}"),
            Self::Sds { name } => write!(f, "sds:{name}"),
            Self::File { by, path } => write!(f, "file:{path} of {by}"),
        }
    }
}
