//! Who is told of a decision, and how often.

use jiff::Timestamp;

use super::decide::{Decision, Verdict};
use super::reason::Told;
use crate::policy::PagingPolicy;

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

/// Compares a decision with what people were last told.
#[must_use]
pub fn telling(decision: &Decision, last: Option<&Told>, policy: &PagingPolicy, now: Timestamp) -> Telling {
    let (code, urgent) = match &decision.verdict {
        Verdict::Keep(_) => {
            return Telling { news: last.is_some(), page: false, told: None };
        }
        Verdict::Hold(reason) => (reason.code(), reason.pages() && decision.failing),
        Verdict::Act(plan) => {
            let told = Told { code: plan.why.code(), since: now, repeats: 0, paged: None };
            return Telling { news: true, page: false, told: Some(told) };
        }
    };
    match last.filter(|last| last.code == code) {
        None => {
            let told = Told { code, since: now, repeats: 0, paged: urgent.then_some(now) };
            Telling { news: true, page: urgent, told: Some(told) }
        }
        Some(last) => {
            let due = last.paged.is_none_or(|paged| paged + policy.repeat_after.get() <= now);
            let page = urgent && due;
            let told = Told {
                repeats: last.repeats.saturating_add(1),
                paged: if page { Some(now) } else { last.paged },
                ..last.clone()
            };
            Telling { news: false, page, told: Some(told) }
        }
    }
}
