//! How resources stand by one group of the pack's rules, and what may be done about it.
//!
//! ```text
//!   mesh, tags ─▶ pack ─▶ findings of the topic ─▶ standing of each resource (what AWS Config is told)
//!                              └─▶ remedies ─▶ what-if, grace, mode, budget ─▶ keep, hold, or a plan a resource
//! ```
//!
//! Findings are the pack's own, so that they are the same here as in files, sweeps and admission. What nobody could
//! read is unknown: it never counts as compliant, and nothing is changed because of it.

mod decide;
mod facts;
mod reason;
mod reason_entries;
mod record;
mod remedy;
mod replay;
mod standing;
mod standstill;
mod topic;

pub use decide::{Decision, Plan, Scope, Verdict, decide};
pub use facts::{About, Facts, StateAccess, Unread, UnreadPart};
pub use reason::{HoldReason, KeepReason};
pub use record::{OwedEvent, OwedNotice, Record, digest, is_late, is_news};
pub use replay::{Conclusion, replay};
pub use standing::{Judged, Standing, judge};
pub use standstill::UNDONE_FOR;
pub use topic::Topic;
