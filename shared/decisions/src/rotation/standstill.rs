//! The maximum time of a repeated decision. A decision that is not final must end on its own; otherwise it is a
//! standstill.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::decision::{RotationDecision, RotationVerdict};
use super::plan::RotationStep;
use super::reason::RotationKeepReason;
use super::record::ConsecutiveFailures;
use super::subject::RotationSubject;
use mesh::watch::{Expects, NoProgress, SAME_PLAN_RUNS, Watch, WatchLimits, WatchedDecision, watch};
use policy::CertificatesPolicy;

/// Compares a decision with the decision of the previous invocation. `started` is the start of the invocation, since
/// one invocation decides several times. `failures` are the consecutive failures of the subject: while its step keeps
/// failing, they page, and the repeated plan is not a second cause. Returns the state to store, and the page to send now.
#[must_use]
pub fn standstill(
    decision: &RotationDecision,
    failures: Option<&ConsecutiveFailures>,
    last: Option<&Watch>,
    policy: &CertificatesPolicy,
    started: Timestamp,
) -> (Option<Watch>, Option<NoProgress>) {
    let subject = decision.subject.to_string();
    let (facts, text) = match &decision.verdict {
        RotationVerdict::Keep(reason) => (json!(reason), reason.to_string()),
        RotationVerdict::Verify(why) => (json!(why), why.to_string()),
        RotationVerdict::Issue(plan) | RotationVerdict::Distribute(plan) | RotationVerdict::Retire(plan) => {
            // The plan's id covers all its inputs.
            (Value::Null, format!("{}: {}", plan.why, plan.step))
        }
    };
    let awaited = match failures {
        Some(failures) if failures.are_current(&policy.back_off, started) => Expects::Final,
        // This run makes another attempt. Only a plan that is never attempted stands still.
        Some(_) if decision.verdict.plan().is_some() && decision.watching.is_empty() => Expects::Runs(SAME_PLAN_RUNS),
        Some(_) | None => expects(decision),
    };
    let command = match &decision.subject {
        RotationSubject::Certificate(_) | RotationSubject::Trust(_) => {
            format!("meshwarden release 'certificate/{}'", decision.subject.name())
        }
        RotationSubject::Mesh(_) => String::new(),
    };
    let watched = WatchedDecision {
        subject: &subject,
        code: &decision.verdict.code(),
        facts: &facts,
        plan: decision.verdict.plan().map(|plan| plan.id.as_str()),
        expects: awaited,
        text: &text,
        command: &command,
    };
    let limits = WatchLimits { interval: policy.back_off.first.get(), repeat: policy.paging.remind_after.get() };
    watch(last, &watched, &limits, started)
}

/// The maximum time of a repeated decision.
fn expects(decision: &RotationDecision) -> Expects {
    match &decision.verdict {
        // In a mesh that is only observed, a plan is reported and never executed.
        RotationVerdict::Issue(_) | RotationVerdict::Distribute(_) | RotationVerdict::Retire(_)
            if !decision.watching.is_empty() =>
        {
            Expects::Final
        }
        RotationVerdict::Issue(plan) | RotationVerdict::Distribute(plan) | RotationVerdict::Retire(plan) => {
            match &plan.step {
                // A CA that has not issued yet is polled until the order is given up.
                RotationStep::Collect { give_up_at, .. } => Expects::Until(*give_up_at),
                RotationStep::RenewInStore { .. }
                | RotationStep::RequestAnew { .. }
                | RotationStep::Reimport { .. }
                | RotationStep::Prepare { .. }
                | RotationStep::Order { .. }
                | RotationStep::ImportPending { .. }
                | RotationStep::Promote { .. }
                | RotationStep::PublishTrust { .. }
                | RotationStep::Apply { .. }
                | RotationStep::MarkSuperseded { .. } => Expects::Runs(SAME_PLAN_RUNS),
            }
        }
        // Paged under its own code, once it lasts.
        RotationVerdict::Verify(_) => Expects::Final,
        RotationVerdict::Keep(reason) => of_reason(reason, decision),
    }
}

fn of_reason(reason: &RotationKeepReason, decision: &RotationDecision) -> Expects {
    match reason {
        // No change is needed.
        RotationKeepReason::Fresh { .. }
        | RotationKeepReason::Settled
        | RotationKeepReason::Seen { .. }
        | RotationKeepReason::NotOurs { .. }
        | RotationKeepReason::OldKept
        // Paged under their own codes, at once or once they last.
        | RotationKeepReason::MeshUnread { .. }
        | RotationKeepReason::Unread { .. }
        | RotationKeepReason::RecordUnreadable { .. }
        | RotationKeepReason::RecordNewer { .. }
        | RotationKeepReason::IssuerUnknown { .. }
        | RotationKeepReason::AuthorityInactive { .. }
        | RotationKeepReason::AuthorityEnds { .. }
        | RotationKeepReason::RenewalStuck { .. }
        | RotationKeepReason::KeepsFailing { .. }
        | RotationKeepReason::MovedBack { .. }
        | RotationKeepReason::TrustNotOurs { .. }
        | RotationKeepReason::TrustFull { .. }
        | RotationKeepReason::PendingUnusable { .. }
        | RotationKeepReason::SecretDiffers { .. }
        | RotationKeepReason::RotatedByOthers
        | RotationKeepReason::Harmful { .. }
        | RotationKeepReason::KillSwitchOn { .. } => Expects::Final,
        RotationKeepReason::BackingOff { until, .. } | RotationKeepReason::PendingDiscarded { until, .. } => Expects::Until(*until),
        RotationKeepReason::PendingNotYetValid { from } => Expects::Until(*from),
        RotationKeepReason::BeingIssued
        | RotationKeepReason::AwaitingTrust { .. }
        | RotationKeepReason::OldStillPresented { .. }
        | RotationKeepReason::AwaitingCanary { .. }
        | RotationKeepReason::NeighbourChanging { .. }
        | RotationKeepReason::SecretChanging
        | RotationKeepReason::BudgetSpent { .. } => Expects::Within(decision.patience),
    }
}
