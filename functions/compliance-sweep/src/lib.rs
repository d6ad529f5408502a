//! Applies the whole policy pack to every mesh, on a schedule.
//!
//! ```text
//! schedule ─▶ every mesh ─┬─▶ survey (all pages, tags, at the API's rate limits), certificates ─▶ judge (rules::pack)
//!                         └─▶ bus ─▶ queue, one message a mesh ─▶ as above                            │
//!                                                                                                     │
//!    metrics, journal, operators, bus, Security Hub ◀─ new and resolved findings ◀─ History in the state table
//!                                  reports: JSON, SARIF, ASFF, page ◀─┘
//! ```
//!
//! A resource, its tags or a certificate that can't be read is unknown. Its stored findings stay unchanged, and the
//! other resources are judged. A mesh that can't be listed is not judged: its resources would look deleted. A document
//! of the state table that can't be read holds the mesh and pages: its findings are not new. The findings of a deleted
//! mesh are closed.
//!
//! A repeated trigger does not sweep again; a new trigger does, however soon it arrives. This crate never changes a
//! mesh, never requests a private key, and never treats an unreadable mesh as a mesh without findings.

mod drill_facts;
mod handler;
mod history;
mod notifications;
mod observe;
mod outputs;
mod results;
mod settings;
mod sweep;
mod trigger;
mod unread_parts;

use std::sync::Arc;

use policy::{Policy, PolicyError};
use ports::certificates::{CertificateAuthority, CertificateStore, SecretBundles};
use ports::{Clock, EventBus, MeshReader, Notifier, ReportStore, SecurityHub, StateStore};
use runner::{EnginePorts, PolicyKeeper, Runner};

pub use handler::ComplianceSweep;
pub use settings::{FanOut, Settings, SettingsError};
pub use trigger::Trigger;

/// The function's name, in reports, metrics and the state table.
pub const NAME: &str = "compliance-sweep";

/// The services that the function needs.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Reads the current time.
    pub clock: Arc<dyn Clock>,
    /// Reads meshes.
    pub meshes: Arc<dyn MeshReader>,
    /// Reads the certificates that listeners name.
    pub certificates: Arc<dyn CertificateStore>,
    /// Reads the private CAs.
    pub authorities: Arc<dyn CertificateAuthority>,
    /// Reads the secrets that the policy binds.
    pub bundles: Arc<dyn SecretBundles>,
    /// Reads and writes the state table.
    pub state: Arc<dyn StateStore>,
    /// Sends notifications to operators.
    pub notifier: Arc<dyn Notifier>,
    /// Sends events to other programs.
    pub bus: Arc<dyn EventBus>,
    /// Stores the reports.
    pub reports: Arc<dyn ReportStore>,
    /// Imports the findings into Security Hub; `None` if the import is switched off.
    pub security_hub: Option<Arc<dyn SecurityHub>>,
}

/// Creates the function from its ports, its policy and the fan-out of its triggers.
#[must_use]
pub fn function(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>, fan_out: FanOut) -> Runner<ComplianceSweep> {
    let engine = EnginePorts {
        clock: Arc::clone(&ports.clock),
        state: Arc::clone(&ports.state),
        notifier: Arc::clone(&ports.notifier),
        bus: Arc::clone(&ports.bus),
        reports: Arc::clone(&ports.reports),
    };
    Runner::new(ComplianceSweep::new(ports, fan_out), engine, policy)
}

#[cfg(test)]
mod tests {
    #[test]
    fn name_is_the_name_of_the_package() {
        assert_eq!(super::NAME, env!("CARGO_PKG_NAME"));
    }
}
