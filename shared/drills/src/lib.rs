//! Drills: practice runs of failovers. A drill drains one virtual node as a failover would, for a bounded time, and
//! restores the weights.
//!
//! ```text
//! command, schedule ─▶ checking ─▶ draining ─▶ confirming ─▶ running ─▶ restoring ─▶ result
//!                         │            └────────────┴── anything red ──────▲
//!                         └─▶ not started: a reason, and no change
//! ```
//!
//! [`decide`] is the entry point: a pure function of an [`Observation`], the policy and the time. It returns the record
//! to store, the writes of weights, and the news. A recorded observation gives the same decision again.
//!
//! The deadline of the restore stands in the record and on each drained route before the first write, so that another
//! function restores the weights if this one never runs again. A restore waits for nothing but the kill switch and a
//! write under way.
//!
//! This crate never makes a call, never reads a clock, and chooses no weights: they are the weights of a
//! failover.

mod answer;
mod calendar;
mod capacity;
mod checks;
mod decide;
mod decision;
mod drill_plan;
mod findings;
#[cfg(test)]
mod fixtures;
mod observation;
mod outcome;
mod plan;
mod reason;
mod record;
mod red;
mod requests;
mod traffic;

pub use answer::{Answer, AnswerState, answer};
pub use capacity::{Load, ReceiverLoad};
pub use decide::decide;
pub use decision::{Decision, DrillNews, RouteStep, Step, Urgency};
pub use drill_plan::DrillPlan;
pub use findings::{DrillFinding, findings};
pub use observation::{
    AlarmReading, DrainedSplit, DrillFacts, Observation, Occupied, Proxies, RouteLayer, RouteObservation,
};
pub use outcome::DrillOutcome;
pub use plan::{PlanError, candidate, resolve};
pub use reason::Reason;
pub use record::{
    Drill, DrillEnd, DrillPhase, DrillVerdict, DrilledRoute, MeshDrills, PlanHistory, Request, RequestAction, Stop,
};
pub use traffic::{DrillTraffic, Measured, ReceiverTraffic};
