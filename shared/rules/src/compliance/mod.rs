//! The compliance of resources with one group of the pack's rules, and the remediation of findings.
//!
//! ```text
//!   mesh, tags ─▶ pack ─▶ findings of the topic ─▶ compliance of each resource (the answer to AWS Config)
//!                              └─▶ remediations ─▶ harm, grace, mode, budget ─▶ keep, hold, or a plan a resource
//! ```
//!
//! Findings come from the pack, so they are the same here as in files, sweeps and admission. An unread part is unknown:
//! it never counts as compliant, and no change is based on it.

mod decide;
mod facts;
mod news;
mod reason;
mod reason_entries;
mod record;
mod remedy;
mod standstill;
mod status;
mod topic;

pub use decide::{ComplianceDecision, CompliancePlan, ComplianceVerdict, DecisionScope, decide};
pub use facts::{ResourceDetails, ResourceFacts, StateAccess, UnreadPart, UnreadResource};
pub use news::{digest, is_late, is_news};
pub use reason::{ComplianceHoldReason, ComplianceKeepReason};
pub use record::{ComplianceRecord, OwedEvent, OwedNotice};
pub use standstill::UNDONE_FOR;
pub use status::{ComplianceStatus, ResourceCompliance, judge};
pub use topic::Topic;
