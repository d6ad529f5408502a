//! How long decisions may stay the same. A decision that is not final must end on its own; otherwise it is a
//! standstill.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::decision::{Decision, Verdict};
use super::plan::Step;
use super::reason::KeepReason;
use super::record::Failures;
use super::subject::Subject;
use crate::policy::CertificatesPolicy;
use crate::watch::{Expects, NoProgress, SAME_PLAN_RUNS, Watch, WatchLimits, WatchedDecision, watch};

/// Compares a decision with the decision of the previous invocation. `started` is the start of the invocation, since
/// one invocation decides several times. `failures` are the consecutive failures of the subject: while its step keeps
/// failing, they page, and the repeated plan is not a second cause. Returns the state to store, and the page to send now.
#[must_use]
pub fn standstill(
    decision: &Decision,
    failures: Option<&Failures>,
    last: Option<&Watch>,
    policy: &CertificatesPolicy,
    started: Timestamp,
) -> (Option<Watch>, Option<NoProgress>) {
    let subject = decision.subject.to_string();
    let (facts, text) = match &decision.verdict {
        Verdict::Keep(reason) => (json!(reason), reason.to_string()),
        Verdict::Verify(why) => (json!(why), why.to_string()),
        Verdict::Issue(plan) | Verdict::Distribute(plan) | Verdict::Retire(plan) => {
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
        Subject::Certificate(_) | Subject::Trust(_) => {
            format!("meshwarden release 'certificate/{}'", decision.subject.name())
        }
        Subject::Mesh(_) => String::new(),
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

/// How long a decision may stay the same.
fn expects(decision: &Decision) -> Expects {
    match &decision.verdict {
        // In a mesh that is only observed, a plan is reported and never executed.
        Verdict::Issue(_) | Verdict::Distribute(_) | Verdict::Retire(_) if !decision.watching.is_empty() => {
            Expects::Final
        }
        Verdict::Issue(plan) | Verdict::Distribute(plan) | Verdict::Retire(plan) => match &plan.step {
            // A CA that has not issued yet is polled until the order is given up.
            Step::Collect { give_up_at, .. } => Expects::Until(*give_up_at),
            Step::RenewInStore { .. }
            | Step::RequestAnew { .. }
            | Step::Reimport { .. }
            | Step::Prepare { .. }
            | Step::Order { .. }
            | Step::ImportPending { .. }
            | Step::Promote { .. }
            | Step::PublishTrust { .. }
            | Step::Apply { .. }
            | Step::MarkSuperseded { .. } => Expects::Runs(SAME_PLAN_RUNS),
        },
        // Paged under its own code, once it lasts.
        Verdict::Verify(_) => Expects::Final,
        Verdict::Keep(reason) => of_reason(reason, decision),
    }
}

fn of_reason(reason: &KeepReason, decision: &Decision) -> Expects {
    match reason {
        // No change is needed.
        KeepReason::Fresh { .. }
        | KeepReason::Settled
        | KeepReason::Seen { .. }
        | KeepReason::NotOurs { .. }
        | KeepReason::OldKept
        // Paged under their own codes, at once or once they last.
        | KeepReason::MeshUnread { .. }
        | KeepReason::Unread { .. }
        | KeepReason::RecordUnreadable { .. }
        | KeepReason::RecordNewer { .. }
        | KeepReason::IssuerUnknown { .. }
        | KeepReason::AuthorityInactive { .. }
        | KeepReason::AuthorityEnds { .. }
        | KeepReason::RenewalStuck { .. }
        | KeepReason::KeepsFailing { .. }
        | KeepReason::MovedBack { .. }
        | KeepReason::TrustNotOurs { .. }
        | KeepReason::TrustFull { .. }
        | KeepReason::PendingUnusable { .. }
        | KeepReason::SecretDiffers { .. }
        | KeepReason::RotatedByOthers
        | KeepReason::Harmful { .. }
        | KeepReason::KillSwitchOn { .. } => Expects::Final,
        KeepReason::BackingOff { until, .. } | KeepReason::PendingDiscarded { until, .. } => Expects::Until(*until),
        KeepReason::PendingNotYetValid { from } => Expects::Until(*from),
        KeepReason::BeingIssued
        | KeepReason::AwaitingTrust { .. }
        | KeepReason::OldStillPresented { .. }
        | KeepReason::AwaitingCanary { .. }
        | KeepReason::NeighbourChanging { .. }
        | KeepReason::SecretChanging
        | KeepReason::BudgetSpent { .. } => Expects::Within(decision.patience),
    }
}
