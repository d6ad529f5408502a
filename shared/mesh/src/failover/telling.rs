//! Who is told of a decision, and how often.

use jiff::Timestamp;

use super::decide::{Decision, Verdict};
use super::reason::{HoldReason, Told};
use crate::policy::{PagingPolicy, Period};

/// What should be said of a decision now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Whether it is news: something else was the case when people were last told.
    pub news: bool,
    /// Whether somebody should be woken.
    pub page: bool,
    /// What to remember; `None` when there is nothing to remember.
    pub told: Option<Told>,
}

/// How soon and how often a hold wakes somebody.
#[derive(Clone, Copy)]
struct Urgency {
    at_once: bool,
    again_after: Period,
}

/// While something fails, what nobody does anything about; and always, what keeps a node from coming back.
fn urgency(reason: &HoldReason, failing: bool, policy: &PagingPolicy) -> Option<Urgency> {
    if failing && reason.pages() {
        return Some(Urgency { at_once: true, again_after: policy.repeat_after });
    }
    let at_once = match reason {
        HoldReason::FlapBudget { .. } | HoldReason::NoVerdict { .. } => true,
        // A service that is idle at night is unproven for hours, and that is well; one that stays so is not.
        HoldReason::Unproven { .. } => false,
        HoldReason::InsideDwell { .. }
        | HoldReason::InsideStep { .. }
        | HoldReason::Settling { .. }
        | HoldReason::StaleRead { .. }
        | HoldReason::DependencyFailing { .. }
        | HoldReason::Muted { .. }
        | HoldReason::PersonEdited { .. }
        | HoldReason::NothingEligible { .. }
        | HoldReason::CommonCause { .. }
        | HoldReason::NoRoute { .. }
        | HoldReason::NodeMissing { .. }
        | HoldReason::Harmful { .. }
        | HoldReason::BudgetSpent { .. }
        | HoldReason::KillSwitchOn { .. }
        | HoldReason::RecordUnreadable { .. }
        | HoldReason::DeclaredDrained => return None,
    };
    Some(Urgency { at_once, again_after: policy.remind_after })
}

/// Compares a decision with what people were last told.
#[must_use]
pub fn telling(decision: &Decision, last: Option<&Told>, policy: &PagingPolicy, now: Timestamp) -> Telling {
    let (code, urgency) = match &decision.verdict {
        Verdict::Keep(_) => {
            return Telling { news: last.is_some(), page: false, told: None };
        }
        Verdict::Hold(reason) => (reason.code(), urgency(reason, decision.failing, policy)),
        Verdict::Act(plan) => {
            let told = Told { code: plan.why.code(), since: now, repeats: 0, paged: None };
            return Telling { news: true, page: false, told: Some(told) };
        }
    };
    match last.filter(|last| last.code == code) {
        None => {
            let page = urgency.is_some_and(|urgency| urgency.at_once);
            let told = Told { code, since: now, repeats: 0, paged: page.then_some(now) };
            Telling { news: true, page, told: Some(told) }
        }
        Some(last) => {
            let page = urgency.is_some_and(|urgency| match last.paged {
                Some(paged) => paged + urgency.again_after.get() <= now,
                None => urgency.at_once || last.since + urgency.again_after.get() <= now,
            });
            let told = Told {
                repeats: last.repeats.saturating_add(1),
                paged: if page { Some(now) } else { last.paged },
                ..last.clone()
            };
            Telling { news: false, page, told: Some(told) }
        }
    }
}
