//! Moves a route's traffic to a new version step by step, and back as soon as a gate fails.
//!
//! ```text
//! request, schedule, alarm ─▶ observe ─▶ decide (rollouts) ─▶ begin, write, finish ─▶ report
//!                             records,   pure                 one route each
//!                             routes, proxies, alarms, metrics, hooks
//! ```
//!
//! An event only triggers the function: each decision uses the data that is read afterwards. A rollout is one document in
//! the state table, and its part of a route's weights is a layer in the route's document, which all writers of weights
//! share. A run that is killed between any two calls is continued by the next one.
//!
//! This crate decides nothing about a rollout, and never writes a split that `decisions::weights` did not compute.

mod function;
mod index;
mod lines;
mod mesh_reading;
mod metrics;
mod observe;
mod readings;
mod requests;
mod shift_record;
mod shifts;
mod steps;
mod trigger;

use std::sync::Arc;

use policy::{Policy, PolicyError};
use ports::certificates::ProxyEvidence;
use ports::{
    AlarmReader, Clock, EventBus, FunctionInvoker, MeshReader, MetricReader, Notifier, ReportStore, RouteWriter,
    StateStore,
};
use runner::{EnginePorts, PolicyKeeper, Runner};

pub use function::TrafficShift;
pub use trigger::Trigger;

/// The name in reports, metrics, budgets and the state table.
pub const NAME: &str = "traffic-shift";

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
    /// Reads metrics.
    pub metrics: Arc<dyn MetricReader>,
    /// Reads the connected proxies.
    pub proxies: Arc<dyn ProxyEvidence>,
    /// Invokes hooks.
    pub functions: Arc<dyn FunctionInvoker>,
    /// Reads and writes the state table.
    pub state: Arc<dyn StateStore>,
    /// Sends notices to operators.
    pub notifier: Arc<dyn Notifier>,
    /// Publishes events for other programs.
    pub bus: Arc<dyn EventBus>,
    /// Stores observations that are too large for the journal.
    pub reports: Arc<dyn ReportStore>,
}

/// Creates the function from its ports and its policy.
#[must_use]
pub fn function(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Runner<TrafficShift> {
    let engine = EnginePorts {
        clock: Arc::clone(&ports.clock),
        state: Arc::clone(&ports.state),
        notifier: Arc::clone(&ports.notifier),
        bus: Arc::clone(&ports.bus),
        reports: Arc::clone(&ports.reports),
    };
    Runner::new(TrafficShift::new(ports), engine, policy)
}
