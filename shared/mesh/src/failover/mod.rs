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
mod failure_metric;
mod health;
mod label;
mod person;
mod phases;
mod proof;
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
mod unanswered;
mod unmapped_entries;

pub use decide::{Decision, Plan, TagChange, Verdict, decide};
pub use facts::{Facts, KillSwitchFact, Memory, RouteFacts};
pub use failure_metric::FailureEntry;
pub use health::{Evidence, Health, Unknown};
pub use person::{Restoration, held, observed, restoration};
pub use phases::awaiting_proof;
pub use proof::{
    AlarmData, CountedMetric, MetricData, MetricUse, MissingProof, ProofGap, StuckInAlarm, counted_metrics,
    metric_name, proven, stuck_in_alarm,
};
pub use reason::{
    ActReason, HarmFact, HoldReason, Ineligible, KeepReason, Obstacle, Return, StuckAlarm, Subject, Told,
};
pub use record::{
    Edit, FORMAT, FunctionRecord, HeldAlarm, Intent, NodeRecord, OwedNote, Phase, RESTORE_TAG, RecordError,
    RestorePoint, RestoreTag, RouteRecord, Shift,
};
pub(crate) use replay::read_recorded;
pub use replay::{Conclusion, Replay, ReplayError, replay};
pub use targets::{
    AlarmTags, AlarmTargets, Caller, CallerAlarm, Muted, ReportedTarget, TargetAlarm, TargetRule, Unmapped,
    alarm_targets, muted_by, needing_tags, related, reported_targets, unread_alarms,
};
pub use telling::{Telling, expected_end, telling};
pub use unanswered::{AlarmInput, ForeignAlarm, NoAnswer, Recipient, UnansweredAlarm, Wiring, unanswered_alarms};
