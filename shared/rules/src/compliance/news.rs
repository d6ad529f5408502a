//! Whether a decision was reported before.

use sha2::{Digest as _, Sha256};

use super::decide::{ComplianceDecision, ComplianceVerdict};
use super::reason::ComplianceHoldReason;
use super::record::ComplianceRecord;

/// The maximum number of resources with a stored notification: a document is limited to 400 KB, and an entry has up to
/// a hundred bytes. Decisions about further resources are reported in every invocation.
const MOST_REPORTED: usize = 3000;

/// The digest of a decision, to recognise a repetition; `None` for a decision that is not reported.
#[must_use]
pub fn digest(decision: &ComplianceDecision) -> Option<String> {
    let (code, said) = match &decision.verdict {
        ComplianceVerdict::Keep(_) => return None,
        ComplianceVerdict::Hold(reason) => reason.parts(),
        // Each repair is reported; the next repair of the same resource has another plan.
        ComplianceVerdict::Act(plan) => ("Act".to_owned(), serde_json::json!([plan.apply, plan.would])),
    };
    let messages: Vec<&str> = decision.judged.findings.iter().map(|finding| finding.message.as_str()).collect();
    let text = format!("{code}\0{said}\0{}", messages.join("\0"));
    let first = Sha256::digest(text).iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Some(format!("{first:016x}"))
}

/// Whether a decision was not reported before: a new finding, a resolved finding, or an unreported repair that
/// is in place.
#[must_use]
pub fn is_news(decision: &ComplianceDecision, record: &ComplianceRecord) -> bool {
    if is_late(decision, record) {
        return true;
    }
    let known = record.reported.get(&decision.resource);
    match lasts(decision) {
        Durability::Yes => digest(decision).as_ref() != known,
        Durability::Findings => known.is_none(),
        Durability::No => false,
    }
}

/// Whether a repair of an earlier invocation is in place but was not reported: that invocation ended early, or could
/// neither notify nor store.
#[must_use]
pub fn is_late(decision: &ComplianceDecision, record: &ComplianceRecord) -> bool {
    matches!(decision.verdict, ComplianceVerdict::Keep(_)) && record.intents.contains_key(&decision.resource)
}

/// The part of a decision that is independent of a failed call. Lasting failures of calls are reported separately.
enum Durability {
    /// The whole decision.
    Yes,
    /// The findings; only the reason to hold results from a failed call.
    Findings,
    /// None: the compliance of the resource is unknown.
    No,
}

fn lasts(decision: &ComplianceDecision) -> Durability {
    match &decision.verdict {
        ComplianceVerdict::Hold(ComplianceHoldReason::TagsUnknown | ComplianceHoldReason::ResourceUnread) => {
            Durability::No
        }
        ComplianceVerdict::Hold(
            ComplianceHoldReason::SourceTagsUnknown { .. }
            | ComplianceHoldReason::PartlyRead { .. }
            | ComplianceHoldReason::StateUnreachable
            | ComplianceHoldReason::RecordUnreadable { .. }
            | ComplianceHoldReason::NewerFormat { .. },
        ) => Durability::Findings,
        ComplianceVerdict::Hold(
            ComplianceHoldReason::TagConflict { .. }
            | ComplianceHoldReason::InsideGrace { .. }
            | ComplianceHoldReason::AgeUnknown
            | ComplianceHoldReason::WouldCut { .. }
            | ComplianceHoldReason::WouldHarm { .. }
            | ComplianceHoldReason::FilterOpen { .. }
            | ComplianceHoldReason::FilterUnknown { .. }
            | ComplianceHoldReason::RemovalNotAllowed { .. }
            | ComplianceHoldReason::NoSafeRepair { .. }
            | ComplianceHoldReason::KillSwitchOn { .. }
            | ComplianceHoldReason::BudgetSpent { .. },
        )
        | ComplianceVerdict::Keep(_)
        | ComplianceVerdict::Act(_) => Durability::Yes,
    }
}

impl ComplianceRecord {
    /// Records that a decision was reported.
    pub fn mark_reported(&mut self, decision: &ComplianceDecision) {
        if !is_news(decision, self) {
            return;
        }
        match digest(decision) {
            Some(digest) if self.reported.len() < MOST_REPORTED || self.reported.contains_key(&decision.resource) => {
                self.reported.insert(decision.resource.clone(), digest);
            }
            Some(_) => {}
            None => {
                self.reported.remove(&decision.resource);
            }
        }
    }
}
