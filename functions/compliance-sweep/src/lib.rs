//! The whole policy pack over every mesh, on a schedule.
//!
//! ```text
//! schedule ─▶ every mesh ─▶ survey (all pages, tags, as fast as the API bears) ─▶ judge (mesh::pack)
//!                                                                                    │
//!               metrics, journal, people, bus ◀─ what is new, what is gone ◀─ History in the state table
//!                                  reports: JSON, SARIF, ASFF, page ◀─┘
//! ```
//!
//! A mesh is judged whole or not at all: what could not be read would look deleted. This crate never changes a mesh,
//! and never takes an unreadable mesh for one without findings.

mod handler;
mod observe;
mod outputs;
mod remember;

use std::sync::Arc;

use ports::{Clock, EventBus, MeshReader, Notifier, ReportStore, StateStore};

pub use handler::ComplianceSweep;

/// The function's name, in reports, metrics and the state table.
pub const NAME: &str = "compliance-sweep";

/// What the function needs of the outside.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Reads meshes.
    pub meshes: Arc<dyn MeshReader>,
    /// The state table.
    pub state: Arc<dyn StateStore>,
    /// Tells people.
    pub notifier: Arc<dyn Notifier>,
    /// Tells other programs.
    pub bus: Arc<dyn EventBus>,
    /// Keeps the reports.
    pub reports: Arc<dyn ReportStore>,
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_called_like_its_folder() {
        assert_eq!(super::NAME, env!("CARGO_PKG_NAME"));
    }
}
