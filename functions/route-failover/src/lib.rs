//! Alarms move the weights of routes off failing virtual nodes, and bring them back.
//!
//! ```text
//! alarm event ─┐
//! every minute ┼─▶ observe ─▶ decide (mesh::failover) ─▶ actuate ─▶ report
//! release ─────┘   alarms, routes,     pure               lease, tag,   journal, page,
//!                  state table                            weights       bus, answer
//! ```
//!
//! An event only wakes the function: what is decided rests on what is read afterwards. This crate never decides
//! anything itself, never writes a route without the version it was read at, and never touches anything of a route but
//! its weights and its restore tag.

mod account;
mod actuate;
mod alarms;
mod atlas;
mod handler;
mod journal;
mod memory;
mod messages;
mod observe;
mod origin;
mod pager;
mod route_facts;
mod tell;
mod wake;

use std::sync::Arc;

use ports::{AlarmReader, Clock, EventBus, MeshReader, Notifier, ReportStore, RouteWriter, StateStore};

pub use handler::RouteFailover;
pub use mesh::failover::Recipient;

/// The function's name, in reports and metrics.
pub const NAME: &str = "route-failover";

/// What the function needs of the outside.
#[derive(Clone, Debug)]
pub struct Ports {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Reads meshes.
    pub meshes: Arc<dyn MeshReader>,
    /// Writes routes.
    pub routes: Arc<dyn RouteWriter>,
    /// Reads alarms.
    pub alarms: Arc<dyn AlarmReader>,
    /// The state table.
    pub state: Arc<dyn StateStore>,
    /// Tells people.
    pub notifier: Arc<dyn Notifier>,
    /// Tells other programs.
    pub bus: Arc<dyn EventBus>,
    /// Keeps large observations.
    pub reports: Arc<dyn ReportStore>,
}
