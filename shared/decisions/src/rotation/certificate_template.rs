//! The names and the key type of a certificate to request.

use serde::Serialize;

use mesh::certificates::{CertificateNames, KeyKind};

/// The properties that a new certificate takes from the certificate that it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateTemplate {
    /// Its names.
    pub names: CertificateNames,
    /// The kind of its key.
    pub key: KeyKind,
}
