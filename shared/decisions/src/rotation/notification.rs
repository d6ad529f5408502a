//! Decides when and how often a decision notifies operators.

use jiff::Timestamp;

use super::decision::{RotationDecision, RotationVerdict};
use super::reason::RotationKeepReason;
use super::record::ConsecutiveFailures;
use crate::decision::LastNotification;
use policy::{CertificatesPolicy, Period};

/// The notification of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationNotification {
    /// Whether the decision differs from the last reported one.
    pub news: bool,
    /// Whether it pages an operator.
    pub page: bool,
    /// The notification to store; `None` if there is nothing to report.
    pub last_notification: Option<LastNotification>,
    /// Whether the page reports consecutive failures, which also store the time of the page.
    pub failures_paged: bool,
}

/// Compares a decision with the last notification. `failures` are the consecutive failures of the subject: they page
/// once, no matter which decision reports them.
#[must_use]
pub fn rotation_notification(
    decision: &RotationDecision,
    last: Option<&LastNotification>,
    failures: Option<&ConsecutiveFailures>,
    policy: &CertificatesPolicy,
    now: Timestamp,
) -> RotationNotification {
    let last_matters = last.is_some();
    let paging = &policy.paging;
    let (code, pages) = match &decision.verdict {
        RotationVerdict::Keep(reason) if !reason.holds() => {
            return RotationNotification {
                news: last_matters,
                page: false,
                last_notification: None,
                failures_paged: false,
            };
        }
        // An unreadable service pages together with all other failures, once it lasts.
        RotationVerdict::Keep(reason @ RotationKeepReason::Unread { .. }) => (reason.code(), false),
        RotationVerdict::Keep(
            reason @ (RotationKeepReason::KeepsFailing { .. } | RotationKeepReason::PendingDiscarded { .. }),
        ) => {
            return of_failures(reason, last, failures, policy, now);
        }
        // The hold ends at a time that the page names, so it pages only once.
        RotationVerdict::Keep(reason @ RotationKeepReason::MovedBack { resumes: Some(_), .. }) => {
            let code = reason.code();
            let is_known = last.is_some_and(|last| last.code == code && last.paged.is_some());
            (code, !is_known)
        }
        RotationVerdict::Keep(reason) => (reason.code(), reason.pages() && decision.failing),
        // A proxy that does not acknowledge within one repeat interval of pages needs an operator.
        RotationVerdict::Verify(why) => (why.code(), lasts(last, why.code(), paging.repeat_after, now)),
        RotationVerdict::Issue(plan) | RotationVerdict::Distribute(plan) | RotationVerdict::Retire(plan) => {
            (plan.why.code(), false)
        }
    };
    match last.filter(|last| last.code == code) {
        None => {
            let last = LastNotification { code: code.to_owned(), since: now, repeats: 0, paged: pages.then_some(now) };
            RotationNotification { news: true, page: pages, last_notification: Some(last), failures_paged: false }
        }
        Some(last) => {
            let due = last.paged.is_none_or(|paged| paged + paging.repeat_after.get() <= now);
            let page = pages && due;
            let repeats = last.repeats.saturating_add(1);
            let last = LastNotification { repeats, paged: if page { Some(now) } else { last.paged }, ..last.clone() };
            RotationNotification { news: false, page, last_notification: Some(last), failures_paged: false }
        }
    }
}

/// Consecutive failures store their pages across the attempts between them.
fn of_failures(
    reason: &RotationKeepReason,
    last: Option<&LastNotification>,
    failures: Option<&ConsecutiveFailures>,
    policy: &CertificatesPolicy,
    now: Timestamp,
) -> RotationNotification {
    let code = reason.code();
    let count = failures.map_or(0, |failures| failures.count);
    let lasts = count >= u32::from(policy.back_off.page_after);
    let page = lasts && failures.is_some_and(|failures| failures.is_page_due(&policy.paging, now));
    let last = match last.filter(|last| last.code == code) {
        None => LastNotification { code: code.to_owned(), since: now, repeats: 0, paged: page.then_some(now) },
        Some(last) => LastNotification {
            repeats: last.repeats.saturating_add(1),
            paged: if page { Some(now) } else { last.paged },
            ..last.clone()
        },
    };
    RotationNotification { news: last.repeats == 0, page, last_notification: Some(last), failures_paged: page }
}

/// Whether the same decision has lasted for a time.
fn lasts(last: Option<&LastNotification>, code: &str, time: Period, now: Timestamp) -> bool {
    last.is_some_and(|last| last.code == code && last.since + time.get() <= now)
}
