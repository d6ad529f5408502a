//! The shared code of the functions tag-compliance and egress-compliance; only their topic differs.
//!
//! ```text
//! AWS Config ──┐                                  ┌─▶ evaluations, before anything is changed
//! CloudTrail ──┼─▶ observe ─▶ judge (rules::pack) ─┤
//! schedule ────┘   whole mesh, once a burst       └─▶ decide (rules::compliance) ─▶ execute ─▶ report
//!                                                     pure                         lease, tags or spec, journal
//! ```
//!
//! An event only triggers the function: answers to AWS Config and changes are based on the mesh as it is read
//! afterwards. A resource that cannot be read completely is unknown, and does not affect other resources. Only the
//! queue messages that a failure affects are retried. Unsent notices are stored in the state table.
//!
//! This crate decides nothing itself. It never writes a spec without the version it was read at, never sets a tag that
//! another writer has set in the meantime, and never answers AWS Config about unread resources.

mod agenda;
mod answer;
mod function;
mod invocation;
mod lines;
mod news;
mod observe;
mod record;
mod repairs;
mod steps;
mod trigger;

use std::sync::Arc;

use policy::{Policy, PolicyError};
use ports::{Clock, ConfigRules, EventBus, MeshReader, MeshWriter, Notifier, ReportStore, StateStore, TagWriter};
use rules::compliance::Topic;
use runner::{EnginePorts, PolicyKeeper, Runner};
use tokio::sync::Mutex;

pub use function::Compliance;
pub use trigger::Trigger;

/// The name of a function in reports, metrics, budgets and the state table.
#[must_use]
pub const fn name(topic: Topic) -> &'static str {
    match topic {
        Topic::Tags => "tag-compliance",
        Topic::Egress => "egress-compliance",
    }
}

/// The external services of a function.
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
    /// Sends notices to operators.
    pub notifier: Arc<dyn Notifier>,
    /// Publishes events for other programs.
    pub bus: Arc<dyn EventBus>,
    /// Stores large observations.
    pub reports: Arc<dyn ReportStore>,
}

/// Creates the function of a topic from its ports and its policy.
#[must_use]
pub fn function(topic: Topic, ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Runner<Compliance> {
    let engine = EnginePorts {
        clock: Arc::clone(&ports.clock),
        state: Arc::clone(&ports.state),
        notifier: Arc::clone(&ports.notifier),
        bus: Arc::clone(&ports.bus),
        reports: Arc::clone(&ports.reports),
    };
    Runner::new(Compliance { topic, ports, warm: Mutex::default() }, engine, policy)
}
