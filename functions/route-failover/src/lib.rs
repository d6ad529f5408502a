//! Alarms trigger this function: it moves the weights of routes off failing virtual nodes, and brings them back.
//!
//! ```text
//! alarm event ─┐
//! every minute ┼─▶ observe ─▶ decide (decisions::failover) ─▶ actuate ─▶ report
//! release ─────┘   alarms, routes,     pure               lease, tag,   journal, page,
//!                  state table                            weights       bus, answer
//! ```
//!
//! An event only triggers the function: each decision uses the data that is read afterwards. This crate decides nothing
//! itself, and never writes a route without the version that was read. It changes only the weights and the restore tag of
//! a route.

mod actuate;
mod alarms;
mod function;
mod journal;
mod memory;
mod mesh_cache;
mod notifications;
mod observe;
mod origin;
mod pager;
mod read_context;
mod reason;
mod report;
mod route_facts;
mod trigger;

use std::sync::Arc;

use policy::{Policy, PolicyError};
use ports::{AlarmReader, Clock, EventBus, MeshReader, Notifier, ReportStore, RouteWriter, StateStore};
use runner::{EnginePorts, PolicyKeeper, Runner};

pub use decisions::failover::Recipient;
pub use function::RouteFailover;
pub use trigger::Trigger;

/// The function's name, in reports and metrics.
pub const NAME: &str = "route-failover";

/// The services that the function needs.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Reads the current time.
    pub clock: Arc<dyn Clock>,
    /// Reads meshes.
    pub meshes: Arc<dyn MeshReader>,
    /// Writes routes.
    pub routes: Arc<dyn RouteWriter>,
    /// Reads alarms.
    pub alarms: Arc<dyn AlarmReader>,
    /// Reads and writes the state table.
    pub state: Arc<dyn StateStore>,
    /// Sends notifications to operators.
    pub notifier: Arc<dyn Notifier>,
    /// Sends events to other programs.
    pub bus: Arc<dyn EventBus>,
    /// Stores large observations.
    pub reports: Arc<dyn ReportStore>,
}

/// Creates the function from its ports, its policy, and its name, topics and region, by which it finds the alarms that
/// are wired to it.
#[must_use]
pub fn function(
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    recipient: Recipient,
) -> Runner<RouteFailover> {
    let engine = EnginePorts {
        clock: Arc::clone(&ports.clock),
        state: Arc::clone(&ports.state),
        notifier: Arc::clone(&ports.notifier),
        bus: Arc::clone(&ports.bus),
        reports: Arc::clone(&ports.reports),
    };
    Runner::new(RouteFailover::new(ports, recipient), engine, policy)
}
