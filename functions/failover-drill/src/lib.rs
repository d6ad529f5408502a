//! Practises failovers: drains a virtual node as a failover would, for a bounded time, and restores the weights.
//!
//! ```text
//! every minute ┐
//! command ─────┼─▶ observe ─▶ decide (drills) ─▶ lease, weights, tag ─▶ journal, event, notice, answer
//! FIS, ARC ────┘   record, alarms, routes,
//!                  proxies, request rates
//! ```
//!
//! The deadline of the restore is stored in the function's record and on each drained route before the first write.
//! route-failover restores a route after its deadline, so that the weights return also if this function never runs again.
//!
//! This crate makes no decisions. It writes weights only through the layers of `decisions::weights`, and never a
//! route without the version that was read.

mod alarms;
mod answers;
mod document;
mod facts;
mod function;
mod mesh_drills;
mod metrics;
mod news;
mod observe;
mod rates;
mod steps;
mod trigger;

use std::sync::Arc;

use policy::{Policy, PolicyError};
use ports::certificates::ProxyEvidence;
use ports::{AlarmReader, Clock, EventBus, MeshReader, MetricReader, Notifier, ReportStore, RouteWriter, StateStore};
use runner::{EnginePorts, PolicyKeeper, Runner};

pub use function::FailoverDrill;
pub use trigger::{ArcAction, ArcActionError, Trigger};

/// The function's name, in reports and metrics.
pub const NAME: &str = "failover-drill";

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
    /// Reads request rates.
    pub metrics: Arc<dyn MetricReader>,
    /// Reports whether proxies have acknowledged their snapshots.
    pub proxies: Arc<dyn ProxyEvidence>,
    /// Reads and writes the state table.
    pub state: Arc<dyn StateStore>,
    /// Sends notices to operators.
    pub notifier: Arc<dyn Notifier>,
    /// Sends events to other programs.
    pub bus: Arc<dyn EventBus>,
    /// Stores large observations.
    pub reports: Arc<dyn ReportStore>,
}

/// Creates the function from its ports and its policy. With `arc`, each event is an execution of the custom action of a
/// plan of ARC Region switch.
#[must_use]
pub fn function(
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    arc: Option<ArcAction>,
) -> Runner<FailoverDrill> {
    let engine = EnginePorts {
        clock: Arc::clone(&ports.clock),
        state: Arc::clone(&ports.state),
        notifier: Arc::clone(&ports.notifier),
        bus: Arc::clone(&ports.bus),
        reports: Arc::clone(&ports.reports),
    };
    Runner::new(FailoverDrill::new(ports, arc), engine, policy)
}
