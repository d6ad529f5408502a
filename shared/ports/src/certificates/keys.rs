use super::{KeyAlgorithm, PrivateKey};
use crate::PortError;

/// Makes keys. Not a wait but work: RSA of 4096 bits may take seconds.
pub trait KeyMaker: Send + Sync + std::fmt::Debug {
    /// A fresh key, and a request for a certificate that says whom it is for. Refused
    /// ([`Other`](crate::PortErrorKind::Other)) for a key that is not made here.
    fn make(&self, algorithm: &KeyAlgorithm, names: &SubjectNames) -> Result<FreshKey, PortError>;

    /// The public half of a key, as the DER of a `SubjectPublicKeyInfo`: what a certificate for it holds. Refused
    /// ([`Other`](crate::PortErrorKind::Other)) for a key that is not unencrypted PKCS#8, or of a kind that is not known
    /// here; the error says nothing of the key.
    fn public_key(&self, key: &PrivateKey) -> Result<Vec<u8>, PortError>;
}

/// Whom a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectNames {
    /// The subject's common name, at most 64 characters.
    pub common_name: Option<String>,
    /// DNS names, a wildcard in the first label allowed.
    pub dns: Vec<String>,
    /// URIs, as in `spiffe://shop/orders`.
    pub uris: Vec<String>,
}

/// A key that nothing was issued for yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshKey {
    /// The key.
    pub key: PrivateKey,
    /// The request that it signed, PEM.
    pub request: String,
}
