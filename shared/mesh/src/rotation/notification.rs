//! Decides when and how often a decision notifies operators.

use jiff::Timestamp;

use super::decision::{Decision, Verdict};
use super::reason::KeepReason;
use super::record::Failures;
use crate::decision::Told;
use crate::policy::{CertificatesPolicy, Period};

/// The notification of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationNotification {
    /// Whether the decision differs from the last reported one.
    pub news: bool,
    /// Whether it pages an operator.
    pub page: bool,
    /// The notification to store; `None` if there is nothing to report.
    pub told: Option<Told>,
    /// Whether the page reports consecutive failures, which also store the time of the page.
    pub failures_paged: bool,
}

/// Compares a decision with the last notification. `failures` are the consecutive failures of the subject: they page
/// once, no matter which decision reports them.
#[must_use]
pub fn rotation_notification(
    decision: &Decision,
    last: Option<&Told>,
    failures: Option<&Failures>,
    policy: &CertificatesPolicy,
    now: Timestamp,
) -> RotationNotification {
    let last_matters = last.is_some();
    let paging = &policy.paging;
    let (code, pages) = match &decision.verdict {
        Verdict::Keep(reason) if !reason.holds() => {
            return RotationNotification { news: last_matters, page: false, told: None, failures_paged: false };
        }
        // An unreadable service pages together with all other failures, once it lasts.
        Verdict::Keep(reason @ KeepReason::Unread { .. }) => (reason.code(), false),
        Verdict::Keep(reason @ (KeepReason::KeepsFailing { .. } | KeepReason::PendingDiscarded { .. })) => {
            return of_failures(reason, last, failures, policy, now);
        }
        // The hold ends at a time that the page names, so it pages only once.
        Verdict::Keep(reason @ KeepReason::MovedBack { resumes: Some(_), .. }) => {
            let code = reason.code();
            let is_known = last.is_some_and(|last| last.code == code && last.paged.is_some());
            (code, !is_known)
        }
        Verdict::Keep(reason) => (reason.code(), reason.pages() && decision.failing),
        // A proxy that does not acknowledge within one repeat interval of pages needs an operator.
        Verdict::Verify(why) => (why.code(), lasts(last, &why.code(), paging.repeat_after, now)),
        Verdict::Issue(plan) | Verdict::Distribute(plan) | Verdict::Retire(plan) => (plan.why.code(), false),
    };
    match last.filter(|last| last.code == code) {
        None => {
            let told = Told { code, since: now, repeats: 0, paged: pages.then_some(now) };
            RotationNotification { news: true, page: pages, told: Some(told), failures_paged: false }
        }
        Some(last) => {
            let due = last.paged.is_none_or(|paged| paged + paging.repeat_after.get() <= now);
            let page = pages && due;
            let repeats = last.repeats.saturating_add(1);
            let told = Told { repeats, paged: if page { Some(now) } else { last.paged }, ..last.clone() };
            RotationNotification { news: false, page, told: Some(told), failures_paged: false }
        }
    }
}

/// Consecutive failures store their pages across the attempts between them.
fn of_failures(
    reason: &KeepReason,
    last: Option<&Told>,
    failures: Option<&Failures>,
    policy: &CertificatesPolicy,
    now: Timestamp,
) -> RotationNotification {
    let code = reason.code();
    let count = failures.map_or(0, |failures| failures.count);
    let lasts = count >= u32::from(policy.back_off.page_after);
    let page = lasts && failures.is_some_and(|failures| failures.is_page_due(&policy.paging, now));
    let told = match last.filter(|last| last.code == code) {
        None => Told { code, since: now, repeats: 0, paged: page.then_some(now) },
        Some(last) => Told {
            repeats: last.repeats.saturating_add(1),
            paged: if page { Some(now) } else { last.paged },
            ..last.clone()
        },
    };
    RotationNotification { news: told.repeats == 0, page, told: Some(told), failures_paged: page }
}

/// Whether the same decision has lasted for a time.
fn lasts(last: Option<&Told>, code: &str, time: Period, now: Timestamp) -> bool {
    last.is_some_and(|last| last.code == code && last.since + time.get() <= now)
}
