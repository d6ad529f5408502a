//! Changes that operators and other controllers moved back: versions of a secret, and listeners.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use mesh::certificates::{CertificateArn, Fingerprint};
use mesh::name::ResourcePath;
use mesh::spec::Port;

/// A listener that was changed to the replacement of a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repointed {
    /// The virtual node or gateway.
    pub resource: ResourcePath,
    /// The listener's port.
    pub port: Port,
    /// The replacement.
    pub to: CertificateArn,
    /// When it was changed.
    pub at: Timestamp,
}

/// A leaf that was replaced and is current again without a rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MovedBack {
    /// The leaf that was current in between.
    pub from: Fingerprint,
    /// When this was first observed.
    pub seen: Timestamp,
    /// When an operator released it; it is renewed like any other since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Timestamp>,
}
