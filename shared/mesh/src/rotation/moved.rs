//! What operators and other controllers have moved back: versions of a secret, and listeners.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificates::{CertificateArn, Fingerprint};
use crate::name::ResourcePath;
use crate::spec::Port;

/// A listener that was given a replacement for a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repointed {
    /// The virtual node or gateway.
    pub resource: ResourcePath,
    /// The listener's port.
    pub port: Port,
    /// The replacement.
    pub to: CertificateArn,
    /// When that was written.
    pub at: Timestamp,
}

/// A leaf that had been replaced and is current again, although no rotation made it so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MovedBack {
    /// The leaf that was current before.
    pub from: Fingerprint,
    /// When that was seen.
    pub seen: Timestamp,
    /// When an operator released it: from then on it is renewed as any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Timestamp>,
}
