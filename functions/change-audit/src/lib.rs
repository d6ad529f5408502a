//! Audits the changes of a mesh: the author, the change, and the findings that it causes.
//!
//! ```text
//! CloudTrail, control plane ─▶ queue ─┐
//! schedule ───────────────────────────┴▶ stored and current state of the mesh ─▶ audit (rules::audit)
//!                                                                                │
//!   operators, bus ◀─ owed notifications ◀─ state table: last state, journal ◀───┘
//! ```
//!
//! An event names the writer; the function reads only the resources that were written. The schedule reads every mesh as
//! a whole. It finds the changes without an event, including the deletion of a mesh.
//!
//! A notification is stored with the state that it describes, and removed once it is sent. If two invocations find the
//! same change, only one sends the notification. The next run sends the notifications that a crash left unsent. A crash
//! between sending and removing leads to a second notification.
//!
//! This crate never changes a mesh, so modes have no effect on it. The kill switch does not stop it: operators make
//! changes while the other functions are stopped. Without the state table, it only requests that the event be delivered
//! again: the function has no stored state to compare with.

mod handler;
mod observe;
mod remember;
mod report;
mod trigger;

use std::sync::Arc;

use policy::{Policy, PolicyError};
use ports::{Clock, EventBus, MeshReader, Notifier, ReportStore, StateStore};
use runner::{EnginePorts, NoReports, PolicyKeeper, Runner};

pub use handler::ChangeAudit;
pub use trigger::Trigger;

/// The function's name, in reports, metrics and the state table.
pub const NAME: &str = "change-audit";

/// The services that the function needs.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Reads the current time.
    pub clock: Arc<dyn Clock>,
    /// Reads meshes.
    pub meshes: Arc<dyn MeshReader>,
    /// Reads and writes the state table.
    pub state: Arc<dyn StateStore>,
    /// Sends notifications to operators.
    pub notifier: Arc<dyn Notifier>,
    /// Sends events to other programs.
    pub bus: Arc<dyn EventBus>,
    /// Stores states that are too large for the table; `None` without a configured reports store.
    pub reports: Option<Arc<dyn ReportStore>>,
}

/// Creates the function from its ports and its policy.
#[must_use]
pub fn function(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Runner<ChangeAudit> {
    let engine = EnginePorts {
        clock: Arc::clone(&ports.clock),
        state: Arc::clone(&ports.state),
        notifier: Arc::clone(&ports.notifier),
        bus: Arc::clone(&ports.bus),
        reports: ports.reports.clone().unwrap_or_else(|| Arc::new(NoReports)),
    };
    Runner::new(ChangeAudit::new(ports), engine, policy)
}

#[cfg(test)]
mod tests {
    #[test]
    fn name_is_the_name_of_the_package() {
        assert_eq!(super::NAME, env!("CARGO_PKG_NAME"));
    }
}
