//! What the rotation of certificates needs of the outside.
//!
//! ```text
//! CertificateStore      what listeners present                  ACM
//! CertificateAuthority  who issues it, and what it leads to     ACM Private CA
//! SecretBundles         what local SDS sockets serve            Secrets Manager
//! KeyMaker              fresh keys, and the requests for them   this process
//! ProxyEvidence         what proxies have really taken          the control plane's `GET /proxies`
//! HandshakeProbe        what listeners present                  a TLS handshake
//! ```
//!
//! No private key is ever printed: [`PrivateKey`] says so in its `Debug`, has no `Display` and is not serialised but into
//! a secret's own text.

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
pub(crate) mod system_keys;
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
pub use proxies::{AcknowledgedSecrets, ProxyEvidence, ProxyStream, SeenCertificate, SeenSecret};
pub use readings::CertificateReader;
#[cfg(feature = "keys")]
pub use system_keys::SystemKeys;
#[cfg(feature = "probe")]
pub use system_probe::SystemProbe;
