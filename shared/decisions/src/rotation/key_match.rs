//! Whether a key and a certificate belong together.

use serde::{Deserialize, Serialize};

/// Whether the private key stored with a certificate matches it, by the public key (SPKI) of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "match", rename_all = "kebab-case")]
pub enum KeyMatch {
    /// The keys were not compared, as in observations of earlier versions.
    #[default]
    NotCompared,
    /// The private key matches.
    Same,
    /// The private key belongs to another certificate.
    Other,
    /// The private key is missing.
    Missing,
    /// The private key could not be read.
    Unreadable {
        /// The error; contains no part of the secret.
        why: String,
    },
}

impl KeyMatch {
    /// Whether the keys were not compared.
    #[must_use]
    pub const fn is_not_compared(&self) -> bool {
        matches!(self, Self::NotCompared)
    }
}
