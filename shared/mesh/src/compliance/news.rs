//! Whether a decision was reported before.

use sha2::{Digest as _, Sha256};

use super::decide::{Decision, Verdict};
use super::reason::HoldReason;
use super::record::Record;

/// The maximum number of resources with a stored notification: a document is limited to 400 KB, and an entry has up to
/// a hundred bytes. Decisions about further resources are reported in every invocation.
const MOST_TOLD: usize = 3000;

/// The digest of a decision, to recognise a repetition; `None` for a decision that is not reported.
#[must_use]
pub fn digest(decision: &Decision) -> Option<String> {
    let (code, said) = match &decision.verdict {
        Verdict::Keep(_) => return None,
        Verdict::Hold(reason) => reason.parts(),
        // Each repair is reported; the next repair of the same resource has another plan.
        Verdict::Act(plan) => ("Act".to_owned(), serde_json::json!([plan.apply, plan.would])),
    };
    let messages: Vec<&str> = decision.judged.findings.iter().map(|finding| finding.message.as_str()).collect();
    let text = format!("{code}\0{said}\0{}", messages.join("\0"));
    let first = Sha256::digest(text).iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Some(format!("{first:016x}"))
}

/// Whether a decision was not reported before: a new finding, a resolved finding, or an unreported repair that is in
/// place.
#[must_use]
pub fn is_news(decision: &Decision, record: &Record) -> bool {
    if is_late(decision, record) {
        return true;
    }
    let known = record.told.get(&decision.resource);
    match lasts(decision) {
        Durability::Yes => digest(decision).as_ref() != known,
        Durability::Findings => known.is_none(),
        Durability::No => false,
    }
}

/// Whether a repair of an earlier invocation is in place but was not reported: that invocation ended early, or could
/// neither notify nor store.
#[must_use]
pub fn is_late(decision: &Decision, record: &Record) -> bool {
    matches!(decision.verdict, Verdict::Keep(_)) && record.intents.contains_key(&decision.resource)
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

fn lasts(decision: &Decision) -> Durability {
    match &decision.verdict {
        Verdict::Hold(HoldReason::TagsUnknown | HoldReason::ResourceUnread) => Durability::No,
        Verdict::Hold(
            HoldReason::SourceTagsUnknown { .. }
            | HoldReason::PartlyRead { .. }
            | HoldReason::StateUnreachable
            | HoldReason::RecordUnreadable { .. }
            | HoldReason::NewerFormat { .. },
        ) => Durability::Findings,
        Verdict::Hold(
            HoldReason::TagConflict { .. }
            | HoldReason::InsideGrace { .. }
            | HoldReason::AgeUnknown
            | HoldReason::WouldCut { .. }
            | HoldReason::WouldHarm { .. }
            | HoldReason::FilterOpen { .. }
            | HoldReason::FilterUnknown { .. }
            | HoldReason::RemovalNotAllowed { .. }
            | HoldReason::NoSafeRepair { .. }
            | HoldReason::KillSwitchOn { .. }
            | HoldReason::BudgetSpent { .. },
        )
        | Verdict::Keep(_)
        | Verdict::Act(_) => Durability::Yes,
    }
}

impl Record {
    /// Records that a decision was reported.
    pub fn mark_reported(&mut self, decision: &Decision) {
        if !is_news(decision, self) {
            return;
        }
        match digest(decision) {
            Some(digest) if self.told.len() < MOST_TOLD || self.told.contains_key(&decision.resource) => {
                self.told.insert(decision.resource.clone(), digest);
            }
            Some(_) => {}
            None => {
                self.told.remove(&decision.resource);
            }
        }
    }
}
