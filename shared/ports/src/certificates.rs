//! The external services of certificate rotation.
//!
//! ```text
//! CertificateStore      certificates of listeners               ACM
//! CertificateAuthority  issuers, with their roots               ACM Private CA
//! SecretBundles         secrets of local SDS sockets            Secrets Manager
//! KeyMaker              new keys, and certificate requests      this process
//! ProxyEvidence         acknowledged secrets of proxies         the control plane's `GET /proxies`
//! HandshakeProbe        presented certificates of servers       a TLS handshake
//! ```
//!
//! No private key is ever printed: the `Debug` form of [`PrivateKey`] hides it, it has no `Display`, and it is
//! serialised only into the text of a secret.

mod acm;
mod authority;
mod bundles;
mod identifiers;
mod keys;
mod material;
mod probe;
mod proxies;
mod readings;
#[cfg(feature = "keys")]
mod system_keys;
#[cfg(feature = "probe")]
mod system_probe;

pub use acm::{
    CertificateKind, CertificateListed, CertificateStatus, CertificateStore, Eligibility, ExportedCertificate, Import,
    PrivateRequest, Renewal, RenewalState, StoredCertificate,
};
pub use authority::{
    Authority, AuthorityKind, AuthorityStatus, AuthorityUsage, CertificateAuthority, Issuance, Order, SigningAlgorithm,
    Template,
};
pub use bundles::{Bundle, BundleError, SecretBundles, SecretVersions, Stage, StoredBundle};
pub use identifiers::{
    AuthorityArn, CertificateArn, IdempotencyToken, IdentifierError, IssuedArn, SecretId, VersionId,
};
pub use keys::{FreshKey, KeyMaker, SubjectNames};
pub use material::{Chain, KeyAlgorithm, PrivateKey};
pub use probe::HandshakeProbe;
pub use proxies::{
    AcknowledgedSecrets, ProxyEvidence, ProxyReport, ProxyStream, SeenCertificate, SeenSecret, UnknownProxies,
};
pub use readings::CertificateReader;
#[cfg(feature = "keys")]
pub use system_keys::{SystemKeys, certificate_request, key_pair, private_key};
#[cfg(feature = "probe")]
pub use system_probe::SystemProbe;
