//! What the functions tag-compliance and egress-compliance share: everything but their topic.
//!
//! ```text
//! AWS Config ──┐                                  ┌─▶ evaluations, before anything is changed
//! CloudTrail ──┼─▶ observe ─▶ judge (mesh::pack) ─┤
//! schedule ────┘   whole mesh, once a burst       └─▶ decide (mesh::compliance) ─▶ actuate ─▶ report
//!                                                     pure                         lease, tags or spec, journal
//! ```
//!
//! An event only triggers the function: the answers to AWS Config and the changes rest on the mesh as it is read
//! afterwards. A resource that cannot be read, or not with its tags, is unknown and says nothing of the others. Of a
//! queue's messages only those come again that a failure concerns. A notice that cannot be sent waits in the state table.
//!
//! This crate never decides anything itself, never writes a spec without the version it was read at, never sets a tag
//! that another writer has set in the meantime, and never answers AWS Config about what could not be read.

mod account;
mod actuate;
mod agenda;
mod answer;
mod handler;
mod journal;
mod observe;
mod tell;
mod trigger;

use std::sync::Arc;

use mesh::compliance::Topic;
use ports::{Clock, ConfigRules, EventBus, MeshReader, MeshWriter, Notifier, ReportStore, StateStore, TagWriter};

pub use handler::Compliance;

/// What a function is called in reports, metrics, budgets and the state table.
#[must_use]
pub const fn name(topic: Topic) -> &'static str {
    match topic {
        Topic::Tags => "tag-compliance",
        Topic::Egress => "egress-compliance",
    }
}

/// What a function needs of the outside.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Reads meshes.
    pub meshes: Arc<dyn MeshReader>,
    /// Writes tags.
    pub tags: Arc<dyn TagWriter>,
    /// Writes specs.
    pub specs: Arc<dyn MeshWriter>,
    /// AWS Config.
    pub config: Arc<dyn ConfigRules>,
    /// The state table.
    pub state: Arc<dyn StateStore>,
    /// Tells people.
    pub notifier: Arc<dyn Notifier>,
    /// Tells other programs.
    pub bus: Arc<dyn EventBus>,
    /// Keeps large observations.
    pub reports: Arc<dyn ReportStore>,
}
