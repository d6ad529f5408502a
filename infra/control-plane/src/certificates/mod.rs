//! Certificates on their way to proxies: fetched from where they are kept, judged, and served until better ones come.
//!
//! ```text
//!   pictures of proxies ── find ──▶ keeper: last good one, what is wrong, when it is due
//!            ▲                        │ due, asked for, or never tried
//!            └── changes ── judge ◀───┴── sources ──▶ ports: ACM, private CAs, Secrets Manager
//! ```
//!
//! - `sources` knows where each secret comes from, `material` what can be served.
//! - `keeper` holds what is served. It asks for what proxies need, and for nothing else.
//! - `bindings` are the secrets that a mesh calls by names of its own, `files` those beside proxies on this machine.
//!
//! A private key lives here in memory that is wiped, and goes into the secret of the proxy that needs it. It is never
//! written, logged or told.

mod bindings;
mod files;
mod keeper;
mod material;
mod sources;

pub use bindings::{Binding, BindingError, Bindings, Part};
pub use files::CertificateFiles;
pub use keeper::{Keeper, KeeperSettings};
pub use sources::Sources;
