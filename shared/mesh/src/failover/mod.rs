//! Fail-over: alarms move the weights of routes off failing virtual nodes, and bring them back.
//!
//! ```text
//! alarms ─▶ targets ─▶ health ┐
//! routes ─▶ standing ─────────┼─▶ transitions ─▶ guards ─▶ spread ─▶ what-if ─▶ Act | Hold | Keep
//! state table ─▶ records ─────┘
//! ```
//!
//! [`decide`] is the whole of it: a plain function of [`Facts`], the mesh, the policy and the time. What it returns is
//! data: a plan with its reason, a reason to hold, or nothing to do. The same facts give the same decisions, always;
//! that is what makes a recorded observation replayable.

mod cause;
mod decide;
mod draft;
mod facts;
mod health;
mod person;
mod phases;
mod reason;
mod record;
mod replay;
#[cfg(test)]
pub(crate) mod sample;
mod scene;
mod spread;
mod standing;
mod targets;
mod telling;

pub use decide::{Decision, Plan, TagChange, Verdict, decide};
pub use facts::{Facts, KillSwitchFact, Memory, RouteFacts};
pub use health::{Evidence, Health, Unknown};
pub use person::{Restoration, held, observed, restoration};
pub use phases::awaiting_proof;
pub use reason::{ActReason, HarmFact, HoldReason, Ineligible, KeepReason, Obstacle, Return, Subject, Told};
pub use record::{
    Edit, Intent, NodeRecord, OwedNote, Phase, RESTORE_TAG, RestorePoint, RestoreTag, RouteRecord, Shift,
};
pub(crate) use replay::read_recorded;
pub use replay::{Conclusion, Replay, ReplayError, replay};
pub use targets::{AlarmTargets, Muted, TargetAlarm, Unmapped, alarm_targets, needing_tags, unread_alarms};
pub use telling::{Telling, telling};
