//! Decides about rollouts: the gradual move of a route's traffic from one virtual node to another.
//!
//! ```text
//! request ─▶ Rollout (all defaults filled in) ─▶ RolloutRecord in the state table
//!
//! record, routes, proxies, alarms, metrics, hook answer ─▶ decide ─▶ record, route changes, hook to invoke, reason
//! ```
//!
//! The states of a rollout, and the way through them:
//!
//! ```text
//! waiting ─▶ before ─▶ shifting ─▶ confirming ─▶ watching ─▶ (next step) shifting … ─▶ bake ─▶ after ─▶ promoting ─▶ promoted
//!    │          │          └────────────┴─────────┬─┴──── paused ────────────────────────┴────────┘
//!    └─refused ◀┘                                 └─▶ rolling-back ─▶ rolled-back, interrupted
//! ```
//!
//! [`decide`] is a pure function of [`Facts`], the harm check, the policy and the time. The weights are those of
//! [`decisions::weights`]: a rollout only adds, changes or removes its own layer. The percent rises only after the proxies
//! acknowledged the previous step and every gate passed with data; unknown never passes.
//!
//! This crate never makes a call.

mod command;
mod commands;
mod decide;
mod evidence;
mod facts;
mod gate;
mod gates;
mod hook;
mod hooks;
mod layers;
mod message;
mod news;
mod queries;
mod reason;
mod record;
mod rollout;

pub use command::{Command, CommandKind};
pub use commands::{CommandError, command};
pub use decide::{Decision, decide};
pub use facts::{Facts, HarmCheck, HookReading, MetricReading, ProxyFact, ProxyFacts};
pub use gate::{GateRecord, GateResult};
pub use hook::{HookAnswer, HookRecord, HookStatus};
pub use hooks::HookCall;
pub use layers::{RouteChange, RoutePlan, plan};
pub use message::RolloutMessage;
pub use news::{Attention, EVENT, News, news};
pub use queries::{Measure, SeriesCaller, SeriesId, series};
pub use reason::Reason;
pub use record::{Failure, Pause, ReportedReason, RolloutRecord, RolloutState, RouteStart};
pub use rollout::{Rollout, Step, resolve};
