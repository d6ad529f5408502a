//! Certificates for proxies: fetched from their source, validated, and served until newer ones arrive.
//!
//! ```text
//!   proxy snapshots ──── find ──▶ cache: last valid version, its problem, when it is due
//!            ▲                        │ due, requested by an operator, or never fetched
//!            └── changes ── judge ◀───┴── sources ──▶ ports: ACM, private CAs, Secrets Manager
//! ```
//!
//! - `sources` fetches each secret from its source, `material` validates it.
//! - `cache` holds the served secrets. It requests the secrets that proxies need, and no others.
//! - `bindings` binds secret names of a mesh to bundles, `files` reads the certificate files of proxies on this machine.
//!
//! A private key is kept in memory that is wiped after use, and is sent only to the proxy that needs it. It is never
//! written to disk, logged or reported.

mod bindings;
mod cache;
mod files;
mod material;
mod sources;

pub use bindings::{Binding, BindingError, Bindings, BundlePart};
pub use cache::{SecretCache, SecretCacheSettings};
pub use files::CertificateFiles;
pub use sources::Sources;
