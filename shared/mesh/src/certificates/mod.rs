//! Certificates: their contents, sources, trust anchors and renewal times.
//!
//! ```text
//!   specs ──▶ CertificateSource, Anchor: the sources of each end's certificate and trust
//!   PEM ────▶ Certificate, Chain ──▶ names, path to an anchor
//!                   └──▶ Readings: the contents of each source, or the error
//! ```
//!
//! Signatures are not verified here: issuer, key identifiers, validity and names are compared. That is sufficient for
//! remediation; the proxies verify signatures.

mod certificate;
mod expiry;
mod fingerprint;
mod inventory;
mod names;
mod parse;
mod path;
mod readings;
mod source;

pub use certificate::{Certificate, Chain, KeyKind};
pub use expiry::{Ending, Forecast, Jitter, RenewalRule, first_ending, forecast, outlived};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use inventory::{CertificateUse, Inventory, SpecLocation};
pub use names::{CertificateNames, discovery_name};
pub use parse::ParseError;
pub use path::{ChainFault, ChainLink, leads_to};
pub use readings::{KeyLocation, Readings, ServiceInstances, SourceReading};
pub use source::{Anchor, AuthorityArn, CertificateArn, CertificateSource, FilePath, SecretName, SourceError};
