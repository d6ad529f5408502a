//! Who changed what in a mesh, and what it broke.
//!
//! ```text
//! CloudTrail, control plane ─▶ queue ─┐
//! schedule ───────────────────────────┴▶ the mesh as last seen, and as it is ─▶ look (mesh::audit)
//!                                                                               │
//!   people, bus ◀─ what is owed to them ◀─ state table: last state, journal ◀───┘
//! ```
//!
//! An event tells who wrote; what was written is read, and only that. The schedule reads every mesh whole, and finds what
//! no event told: also that a mesh is gone.
//!
//! What is to be told is stored with the state that it speaks of, and taken off again once it was told. So of two
//! invocations that see the same change one tells it, and what a crash left untold is told by the next wake. A crash
//! between telling and taking off tells it twice.
//!
//! This crate never changes a mesh, so that modes mean nothing to it, and the kill switch doesn't stop it: while
//! everything else stands still, people are the ones who change things. Without the state table it does nothing but ask
//! for the event to come again: nobody could say what had changed.

mod handler;
mod observe;
mod remember;
mod tell;
mod wake;

use std::sync::Arc;

use ports::{Clock, EventBus, MeshReader, Notifier, ReportStore, StateStore};

pub use handler::ChangeAudit;

/// The function's name, in reports, metrics and the state table.
pub const NAME: &str = "change-audit";

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
    /// Keeps states that are too large for the table; `None` where no such place is set up.
    pub reports: Option<Arc<dyn ReportStore>>,
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_called_like_its_folder() {
        assert_eq!(super::NAME, env!("CARGO_PKG_NAME"));
    }
}
