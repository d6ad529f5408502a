//! Failover: moves route weights off failing virtual nodes when alarms report them, and returns the weights in steps.
//!
//! ```text
//! alarms ─▶ targets ─▶ health ────┐
//! routes ─▶ route state ──────────┼─▶ transitions ─▶ guards ─▶ spread ─▶ harm check ─▶ Act | Hold | Keep
//! state table ─▶ route records ───┘
//! ```
//!
//! [`decide`] is the entry point: a pure function of [`Facts`], the harm check, the policy and the time. It returns one
//! [`Decision`] per route: a plan with its reason, a hold with its reason, or no change. The same input always gives
//! the same decisions, so a recorded observation can be replayed.
//!
//! Where to read first: `decide` holds the ordered list of checks, `reason` all reason codes, `record` the stored
//! documents.

mod candidate;
mod cause;
mod decide;
mod decision;
mod eligible;
mod facts;
mod failure_metric;
#[cfg(test)]
pub(crate) mod fixtures;
mod health;
mod input;
mod label;
mod layer_verdict;
mod layer_write;
mod notification;
mod operator;
mod phases;
mod proof;
mod reason;
mod record;
mod rehearsal;
mod restore_tag;
mod route_state;
mod targets;
mod unanswered;
mod unmapped_entries;

pub use crate::decision::{HarmFact, KillSwitchFact, LastNotification};
pub use candidate::plan_id;
pub use decide::decide;
pub use decision::{Decision, Plan, TagChange, Verdict};
pub use eligible::{EligibleTargets, eligible_targets};
pub use facts::{Facts, Memory, RouteFacts};
pub use failure_metric::FailureEntry;
pub use health::{Evidence, Health, Unknown};
pub use layer_write::{ComeBack, LayerChange, LayerRefusal, LayerWrite, layer_write, renewed};
pub use notification::{RouteNotification, expected_end, route_notification};
pub use operator::{Restoration, current_record, restoration, with_accepted_declaration, with_hold};
pub use phases::awaiting_proof;
pub use proof::{
    AlarmData, MissingProof, ProofGap, ProofTarget, StuckInAlarm, counted_metrics, has_published_metric, proven,
    stuck_in_alarm,
};
pub use reason::{ActReason, HoldReason, Ineligible, KeepReason, Obstacle, Return, StuckAlarm, Subject};
pub use record::{
    Edit, FORMAT, FunctionRecord, HeldAlarm, Intent, NodeRecord, OwedNote, Phase, RestorePoint, RouteRecord, Shift,
};
pub use rehearsal::{NotDrained, Rehearsal, RehearsedRoute, rehearse};
pub use restore_tag::{RESTORE_TAG, RestoreTag, restore_tag};
pub use targets::{
    AlarmTags, AlarmTargets, Caller, CallerAlarm, Muted, ReportedTarget, TargetAlarm, TargetRule, Unmapped,
    alarm_targets, muted_by, needing_tags, related, reported_targets, unread_alarms,
};
pub use unanswered::{AlarmInput, ForeignAlarm, NoAnswer, Recipient, UnansweredAlarm, Wiring, unanswered_alarms};
