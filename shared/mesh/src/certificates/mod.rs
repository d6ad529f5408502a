//! Certificates: what they are, where they come from, who trusts them, and when they have to be renewed.
//!
//! ```text
//!   specs ──▶ Source, Anchor: where each end takes its certificate and its trust from
//!   PEM ────▶ Certificate, Chain ──▶ names, path to an anchor
//!                   └──▶ Readings: what was read of each source, or why it was not
//! ```
//!
//! Signatures are not verified here: issuer, key identifiers, validity and names are compared. Who wants to mend a mesh
//! by that is not fooled by it; the proxies verify.

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
pub use inventory::{Inventory, Place, Use};
pub use names::{Names, discovery_name};
pub use parse::ParseError;
pub use path::{ChainFault, ChainLink, leads_to};
pub use readings::{KeyPlace, Reading, Readings, ServiceInstances};
pub use source::{Anchor, AuthorityArn, CertificateArn, FilePath, SecretName, Source, SourceError};
