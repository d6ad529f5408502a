//! Who is told of a decision, and how often.

use jiff::Timestamp;

use super::decide::{Decision, Verdict};
use super::reason::KeepReason;
use super::record::Failures;
use crate::failover::Told;
use crate::policy::{CertificatesPolicy, Period};

/// What should be said of a decision now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Whether it is news: something else was the case when people were last told.
    pub news: bool,
    /// Whether a person should be called.
    pub page: bool,
    /// What to remember; `None` when there is nothing to remember.
    pub told: Option<Told>,
    /// Whether the page is about failures in a row, which remember it as well.
    pub failures_paged: bool,
}

/// Compares a decision with what people were last told. `failures` are those in a row of the same subject: however they
/// are reported, they are paged once.
#[must_use]
pub fn telling(
    decision: &Decision,
    last: Option<&Told>,
    failures: Option<&Failures>,
    policy: &CertificatesPolicy,
    now: Timestamp,
) -> Telling {
    let last_matters = last.is_some();
    let paging = &policy.paging;
    let (code, pages) = match &decision.verdict {
        Verdict::Keep(reason) if !reason.holds() => {
            return Telling { news: last_matters, page: false, told: None, failures_paged: false };
        }
        // What fails is paged with everything else that fails, once it lasts.
        Verdict::Keep(reason @ KeepReason::Unread { .. }) => (reason.code(), false),
        Verdict::Keep(reason @ (KeepReason::KeepsFailing { .. } | KeepReason::PendingDiscarded { .. })) => {
            return of_failures(reason, last, failures, policy, now);
        }
        // It ends by itself, at a time that the page names: once is enough.
        Verdict::Keep(reason @ KeepReason::MovedBack { resumes: Some(_), .. }) => {
            let code = reason.code();
            let is_known = last.is_some_and(|last| last.code == code && last.paged.is_some());
            (code, !is_known)
        }
        Verdict::Keep(reason) => (reason.code(), reason.pages() && decision.failing),
        // Somebody should look at a proxy that does not acknowledge for as long as a page is not repeated.
        Verdict::Verify(why) => (why.code(), lasts(last, &why.code(), paging.repeat_after, now)),
        Verdict::Issue(plan) | Verdict::Distribute(plan) | Verdict::Retire(plan) => (plan.why.code(), false),
    };
    match last.filter(|last| last.code == code) {
        None => {
            let told = Told { code, since: now, repeats: 0, paged: pages.then_some(now) };
            Telling { news: true, page: pages, told: Some(told), failures_paged: false }
        }
        Some(last) => {
            let due = last.paged.is_none_or(|paged| paged + paging.repeat_after.get() <= now);
            let page = pages && due;
            let repeats = last.repeats.saturating_add(1);
            let told = Told { repeats, paged: if page { Some(now) } else { last.paged }, ..last.clone() };
            Telling { news: false, page, told: Some(told), failures_paged: false }
        }
    }
}

/// Failures in a row have a memory of their pages that outlasts the attempts between them.
fn of_failures(
    reason: &KeepReason,
    last: Option<&Told>,
    failures: Option<&Failures>,
    policy: &CertificatesPolicy,
    now: Timestamp,
) -> Telling {
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
    Telling { news: told.repeats == 0, page, told: Some(told), failures_paged: page }
}

/// Whether something has been so for a time.
fn lasts(last: Option<&Told>, code: &str, time: Period, now: Timestamp) -> bool {
    last.is_some_and(|last| last.code == code && last.since + time.get() <= now)
}
