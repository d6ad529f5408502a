//! Certificates and their chains.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::names::CertificateNames;

/// A certificate, without its encoded form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// SHA-256 over its encoded form; identifies the certificate.
    pub fingerprint: Fingerprint,
    /// The subject, as a distinguished name.
    pub subject: String,
    /// The issuer, as a distinguished name.
    pub issuer: String,
    /// The subject key identifier, if the extension is present.
    pub key_id: Option<String>,
    /// The authority key identifier, if the extension is present.
    pub issuer_key_id: Option<String>,
    /// SHA-256 over its public key, in lower-case hexadecimal.
    pub public_key: String,
    /// The type of its key.
    pub key: KeyKind,
    /// Its serial number, in lower-case hexadecimal.
    pub serial: String,
    /// Its names.
    pub names: CertificateNames,
    /// Whether it is a CA certificate.
    pub is_ca: bool,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
}

impl Certificate {
    /// Whether this certificate issued `other`, by names and key identifiers. The signature is not verified.
    #[must_use]
    pub fn issued(&self, other: &Self) -> bool {
        let same_key = match (&self.key_id, &other.issuer_key_id) {
            (Some(own), Some(wanted)) => own == wanted,
            // Without key identifiers, the names decide.
            (None, _) | (_, None) => true,
        };
        self.is_ca && self.subject == other.issuer && same_key
    }

    /// Whether it is self-signed, like a root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.issued(self)
    }
}

/// The type of a certificate's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyKind {
    /// RSA, with the size of its modulus in bits.
    Rsa(u32),
    /// An elliptic curve, with its size in bits: 256 for P-256.
    Ec(u32),
    /// Another type, by its object identifier.
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

/// A leaf with the certificates between it and an authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// The presented certificate.
    pub leaf: Certificate,
    /// The other certificates, in their order; a root may be among them.
    pub others: Vec<Certificate>,
}

impl Chain {
    /// The leaf, then the other certificates.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        std::iter::once(&self.leaf).chain(&self.others)
    }
}
