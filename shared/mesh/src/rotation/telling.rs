//! Who is told of a decision, and how often.

use jiff::Timestamp;

use super::decide::{Decision, Verdict};
use super::reason::KeepReason;
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
}

/// Compares a decision with what people were last told.
#[must_use]
pub fn telling(decision: &Decision, last: Option<&Told>, policy: &CertificatesPolicy, now: Timestamp) -> Telling {
    let last_matters = last.is_some();
    let paging = &policy.paging;
    let (code, pages) = match &decision.verdict {
        Verdict::Keep(reason) if !reason.holds() => {
            return Telling { news: last_matters, page: false, told: None };
        }
        // It may be readable again before anybody is awake.
        Verdict::Keep(reason @ KeepReason::Unread { .. }) => {
            (reason.code(), lasts(last, &reason.code(), policy.unread_after, now))
        }
        Verdict::Keep(reason) => (reason.code(), reason.pages() && decision.failing),
        // Somebody should look at a proxy that does not acknowledge for as long as a page is not repeated.
        Verdict::Verify(why) => (why.code(), lasts(last, &why.code(), paging.repeat_after, now)),
        Verdict::Issue(plan) | Verdict::Distribute(plan) | Verdict::Retire(plan) => (plan.why.code(), false),
    };
    match last.filter(|last| last.code == code) {
        None => {
            let told = Told { code, since: now, repeats: 0, paged: pages.then_some(now) };
            Telling { news: true, page: pages, told: Some(told) }
        }
        Some(last) => {
            let due = last.paged.is_none_or(|paged| paged + paging.repeat_after.get() <= now);
            let page = pages && due;
            let repeats = last.repeats.saturating_add(1);
            let told = Told { repeats, paged: if page { Some(now) } else { last.paged }, ..last.clone() };
            Telling { news: false, page, told: Some(told) }
        }
    }
}

/// Whether something has been so for a time.
fn lasts(last: Option<&Told>, code: &str, time: Period, now: Timestamp) -> bool {
    last.is_some_and(|last| last.code == code && last.since + time.get() <= now)
}
