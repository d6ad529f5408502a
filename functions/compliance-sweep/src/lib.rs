//! The whole policy pack over every mesh, on a schedule.
//!
//! ```text
//! schedule ─▶ every mesh ─┬─▶ survey (all pages, tags, as fast as the API bears), certificates ─▶ judge (mesh::pack)
//!                         └─▶ bus ─▶ queue, one message a mesh ─▶ as above                            │
//!                                                                                                     │
//!       metrics, journal, people, bus, Security Hub ◀─ what is new, what is gone ◀─ History in the state table
//!                                  reports: JSON, SARIF, ASFF, page ◀─┘
//! ```
//!
//! A resource, its tags or a certificate that can't be read is unknown: what was found of it stays as it was, and what is
//! new of the others is found. A mesh that can't be listed is not judged: what is missing would look deleted. A document
//! of the state table that can't be read holds the mesh, and pages: its findings are not new. A mesh that was swept once and is gone has its findings closed. A wake
//! that comes again sweeps nothing again; another wake does, however soon it comes. This crate never changes a mesh, never asks for a private key, and
//! never takes an unreadable mesh for one without findings.

mod asked;
mod done;
mod handler;
mod history;
mod observe;
mod outputs;
mod settings;
mod sweep;
mod tell;
mod unread;

use std::sync::Arc;

use ports::certificates::{CertificateAuthority, CertificateStore, SecretBundles};
use ports::{Clock, EventBus, MeshReader, Notifier, ReportStore, SecurityHub, StateStore};

pub use handler::ComplianceSweep;
pub use settings::{FanOut, Settings, SettingsError};

/// The function's name, in reports, metrics and the state table.
pub const NAME: &str = "compliance-sweep";

/// What the function needs of the outside.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Reads meshes.
    pub meshes: Arc<dyn MeshReader>,
    /// The certificates that listeners name.
    pub certificates: Arc<dyn CertificateStore>,
    /// The private CAs.
    pub authorities: Arc<dyn CertificateAuthority>,
    /// The secrets that are bound.
    pub bundles: Arc<dyn SecretBundles>,
    /// The state table.
    pub state: Arc<dyn StateStore>,
    /// Tells people.
    pub notifier: Arc<dyn Notifier>,
    /// Tells other programs.
    pub bus: Arc<dyn EventBus>,
    /// Keeps the reports.
    pub reports: Arc<dyn ReportStore>,
    /// Takes the findings, where that is switched on.
    pub security_hub: Option<Arc<dyn SecurityHub>>,
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_called_like_its_folder() {
        assert_eq!(super::NAME, env!("CARGO_PKG_NAME"));
    }
}
