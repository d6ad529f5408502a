use super::{KeyAlgorithm, PrivateKey};
use crate::PortError;

/// Creates keys. This takes CPU time: RSA of 4096 bits may take seconds.
pub trait KeyMaker: Send + Sync + std::fmt::Debug {
    /// A new key, with a certificate request for a subject. Returns [`Other`](crate::PortErrorKind::Other) for an
    /// unsupported key type.
    fn make(&self, algorithm: &KeyAlgorithm, names: &SubjectNames) -> Result<FreshKey, PortError>;

    /// The public half of a key, as the DER form of a `SubjectPublicKeyInfo`, for comparison with a certificate.
    /// Returns [`Other`](crate::PortErrorKind::Other) for a key that is not unencrypted PKCS#8, or of an unsupported
    /// type; the error contains no part of the key.
    fn public_key(&self, key: &PrivateKey) -> Result<Vec<u8>, PortError>;
}

/// The subject of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectNames {
    /// The subject's common name, at most 64 characters.
    pub common_name: Option<String>,
    /// DNS names; a wildcard is allowed in the first label.
    pub dns: Vec<String>,
    /// URIs, for example `spiffe://shop/orders`.
    pub uris: Vec<String>,
}

/// A key without a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshKey {
    /// The key.
    pub key: PrivateKey,
    /// The certificate request that it signed, in PEM form.
    pub request: String,
}
