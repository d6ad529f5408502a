//! A certificate and the chain that it comes with.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::names::Names;

/// A certificate, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// What tells it from every other.
    pub fingerprint: Fingerprint,
    /// Who it is, as a distinguished name.
    pub subject: String,
    /// Who signed it, as a distinguished name.
    pub issuer: String,
    /// Its key's identifier (extension), if it says.
    pub key_id: Option<String>,
    /// The identifier of the key that signed it (extension), if it says.
    pub issuer_key_id: Option<String>,
    /// SHA-256 over its public key, in lower-case hexadecimal.
    pub public_key: String,
    /// What kind of key it is for.
    pub key: KeyKind,
    /// Its serial number, in lower-case hexadecimal.
    pub serial: String,
    /// The names that it is for.
    pub names: Names,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

impl Certificate {
    /// Whether this is the certificate of who signed `other`, by names and key identifiers.
    #[must_use]
    pub fn issued(&self, other: &Self) -> bool {
        let same_key = match (&self.key_id, &other.issuer_key_id) {
            (Some(own), Some(wanted)) => own == wanted,
            // Who says nothing of keys is told by its name.
            (None, _) | (_, None) => true,
        };
        self.is_ca && self.subject == other.issuer && same_key
    }

    /// Whether it signed itself, as roots do.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.issued(self)
    }
}

/// What kind of key a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyKind {
    /// RSA, with its modulus in bits.
    Rsa(u32),
    /// An elliptic curve, with its size in bits: 256 for P-256.
    Ec(u32),
    /// Something else, by its object identifier.
    Other(String),
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA_{bits}"),
            Self::Ec(bits) => write!(f, "EC_{bits}"),
            Self::Other(oid) => f.write_str(oid),
        }
    }
}

impl From<String> for KeyKind {
    fn from(text: String) -> Self {
        let bits = |text: &str| text.parse().ok();
        match text.split_once('_') {
            Some(("RSA", size)) => bits(size).map(Self::Rsa),
            Some(("EC", size)) => bits(size).map(Self::Ec),
            Some(_) | None => None,
        }
        .unwrap_or(Self::Other(text))
    }
}

impl From<KeyKind> for String {
    fn from(kind: KeyKind) -> Self {
        kind.to_string()
    }
}

/// A certificate with those that lead from it towards an authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// The certificate that is presented for itself.
    pub leaf: Certificate,
    /// Those that come with it, in their order; a root may be among them.
    pub others: Vec<Certificate>,
}

impl Chain {
    /// The leaf, then the others.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.leaf).chain(&self.others)
    }
}
