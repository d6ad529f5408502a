//! Decides when a failing call pages: one record for all targets that a function cannot read or write.
//!
//! | class | first run | later runs | after it works again |
//! |-|-|-|-|
//! | permanent | pages at once | pages again after `repeat`, a day for most | the page times stay for `repeat` |
//! | transient | waits | pages once it lasts: two runs in a row, and longer than `unreadable_after` | the same |
//!
//! A failure that turns from transient to permanent pages at once, even if it was paged as transient. Everything that is
//! due in one run is one page, because a role that lost a permission fails at every resource.
//!
//! A throttled call takes the time of an invocation. So some runs report the call, and others only that their time ran
//! out ([`INVOCATION_TIME`]). Both are one fault: a run without enough time continues the failures that it did not report,
//! and of the time and a transient failure next to it only the first is paged.
//!
//! ```text
//! each call:  failures.failed(target, ...)  or  failures.succeeded(target, ...)
//! at the end: if let Some(page) = failures.due(...) { send it; failures.paged(&page, now) }
//!             store the document if it changed
//! ```
//!
//! This module never sends or stores anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Whether a failed call may succeed when it is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// It may: a throttle, a server's fault, a time-out, an expired signature or token, a conflict.
    Transient,
    /// It will not, until an operator changes something: a denied or a refused call.
    Permanent,
}

/// When failures are paged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimits {
    /// The duration of a transient failure before its first page.
    pub unreadable_after: SignedDuration,
    /// The interval between pages about the same failure.
    pub repeat: SignedDuration,
    /// The maximum interval between two consecutive runs. A failure that occurred longer ago is another one: in
    /// between, a process without this memory may have succeeded. Three schedule intervals are a good value.
    pub in_a_row: SignedDuration,
}

/// One failed call.
#[derive(Clone, Copy, Debug)]
pub struct FailedCall<'a> {
    /// Whether it may succeed later.
    pub class: FailureClass,
    /// The class of the error, as in `throttled`.
    pub kind: &'a str,
    /// The text of the error.
    pub text: &'a str,
}

/// The failures of a function, as its state document has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failures {
    /// The version of the document's format.
    #[serde(default)]
    pub format: u32,
    /// By the name of the target: what fails, and what failed and was paged lately.
    #[serde(default)]
    pub targets: BTreeMap<String, Failure>,
}

/// The stored state of a target that could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The class of the newest failure.
    pub class: FailureClass,
    /// The class of its error, as in `throttled`.
    #[serde(default)]
    pub kind: String,
    /// The text of its error, cut to [`LONGEST_TEXT`].
    #[serde(default)]
    pub text: String,
    /// When it failed first, of the runs in a row.
    pub since: Timestamp,
    /// When it failed last.
    pub last: Timestamp,
    /// In how many runs in a row it failed.
    #[serde(default)]
    pub runs: u32,
    /// Whether it works again. The entry stays only for the time of its page.
    #[serde(default)]
    pub cleared: bool,
    /// When it was last paged, and as what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paged: Option<PagedFailure>,
}

/// A page that was sent for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PagedFailure {
    /// When it was sent.
    pub at: Timestamp,
    /// The class that it was sent for.
    pub class: FailureClass,
}

/// The characters of an error's text that are kept.
pub const LONGEST_TEXT: usize = 400;

/// The most targets that are remembered one by one; the document has to fit into one item of the state table.
pub const MOST_TARGETS: usize = 200;

/// The target that stands for all that do not fit.
pub const OTHER_TARGETS: &str = "other targets";

/// The target of a run that ended because its time ran out.
pub const INVOCATION_TIME: &str = "the time of an invocation";

/// The targets that a page lists one by one.
const LISTED: usize = 20;

/// The content of one page: all failures that are due in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailurePage {
    /// The targets with their failures, by name.
    pub targets: BTreeMap<String, Failure>,
}

impl Failures {
    /// Notes that a call about a target failed in the run that began at `now`. Further failures of the same
    /// run count once.
    pub fn failed(&mut self, target: &str, call: &FailedCall<'_>, limits: &FailureLimits, now: Timestamp) {
        let has_room = self.targets.len() < MOST_TARGETS || self.targets.contains_key(target);
        let target = if has_room { target } else { OTHER_TARGETS };
        let text: String = call.text.chars().take(LONGEST_TEXT).collect();
        let (class, kind) = (call.class, call.kind.to_owned());
        let last = self.targets.get(target);
        let ongoing = last.filter(|last| !last.cleared && is_within(last.last, limits.in_a_row, now));
        let failure = if let Some(last) = ongoing {
            let is_same_run = last.last == now;
            Failure {
                // Of several failures in a run the permanent one decides: the others may be its consequence.
                class: if is_same_run { class.max(last.class) } else { class },
                kind,
                text,
                since: last.since,
                last: now,
                runs: if is_same_run { last.runs } else { last.runs.saturating_add(1) },
                cleared: false,
                paged: last.paged,
            }
        } else {
            let paged = last.and_then(|last| last.paged);
            Failure { class, kind, text, since: now, last: now, runs: 1, cleared: false, paged }
        };
        self.targets.insert(target.to_owned(), failure);
    }

    /// Notes that the time of the run that began at `now` ran out, after its other calls were noted. The run does not
    /// know about the failures that it did not report, so they continue.
    pub fn ran_out_of_time(&mut self, call: &FailedCall<'_>, limits: &FailureLimits, now: Timestamp) {
        for (_, failure) in self.targets.iter_mut().filter(|(target, _)| *target != INVOCATION_TIME) {
            failure.continues(limits, now);
        }
        self.failed(INVOCATION_TIME, call, limits, now);
    }

    /// Notes that the run that began at `now` ended in time, after its other calls were noted. A run with a transient
    /// failure does not prove that the time is sufficient: a call that is retried until it fails takes most of it.
    pub fn ended_in_time(&mut self, limits: &FailureLimits, now: Timestamp) {
        let is_slow = |failure: &Failure| failure.class == FailureClass::Transient && failure.last == now;
        if !self.targets.values().any(|failure| !failure.cleared && is_slow(failure)) {
            self.succeeded(INVOCATION_TIME);
        } else if let Some(failure) = self.targets.get_mut(INVOCATION_TIME) {
            failure.continues(limits, now);
        }
    }

    /// Notes that a call about a target succeeded: its next failure is another one. Gives whether that is news.
    pub fn succeeded(&mut self, target: &str) -> bool {
        let Some(failure) = self.targets.get_mut(target).filter(|failure| !failure.cleared) else { return false };
        failure.cleared = true;
        if failure.paged.is_none() {
            self.targets.remove(target);
        }
        true
    }

    /// Everything that failed in the run that began at `now` and is to be paged now, as one page.
    #[must_use]
    pub fn due(&self, limits: &FailureLimits, now: Timestamp) -> Option<FailurePage> {
        let due = |(target, _): &(&String, &Failure)| self.is_due(target, limits, now);
        let targets: BTreeMap<_, _> =
            self.targets.iter().filter(due).map(|(target, failure)| (target.clone(), failure.clone())).collect();
        (!targets.is_empty()).then_some(FailurePage { targets })
    }

    /// Whether the failure of one target is to be paged now, for a function that pages target by target.
    #[must_use]
    pub fn is_due(&self, target: &str, limits: &FailureLimits, now: Timestamp) -> bool {
        let Some(failure) = self.targets.get(target) else { return false };
        failure.is_due(limits, now) && !self.is_paged_with_time(target, failure, limits, now)
    }

    /// Whether a page was sent about the same fault: about the time of an invocation for a transient failure, or about a
    /// failure for the time of an invocation. Calls that are throttled or time out take the time of an invocation, and runs
    /// show one or the other. A failure of another kind is the same fault only if it lasted when the page was sent.
    fn is_paged_with_time(&self, target: &str, failure: &Failure, limits: &FailureLimits, now: Timestamp) -> bool {
        let is_same_fault = |other: &Failure, call: &Failure| {
            let lasted = other.paged.is_some_and(|paged| failure.since <= paged.at);
            other.touches(failure, limits) && other.is_reported(limits, now) && (lasted || call.takes_time())
        };
        match failure.class {
            FailureClass::Permanent => false,
            FailureClass::Transient if target == INVOCATION_TIME => {
                self.targets.iter().any(|(other, call)| other != INVOCATION_TIME && is_same_fault(call, call))
            }
            FailureClass::Transient => {
                self.targets.get(INVOCATION_TIME).is_some_and(|time| is_same_fault(time, failure))
            }
        }
    }

    /// Notes that a page was sent. Without this, the next run sends it again.
    pub fn paged(&mut self, page: &FailurePage, now: Timestamp) {
        for (target, reported) in &page.targets {
            if let Some(failure) = self.targets.get_mut(target) {
                failure.paged = Some(PagedFailure { at: now, class: reported.class });
            }
        }
    }

    /// Removes what works again and was paged long enough ago, and what no run has seen failing for that long.
    pub fn expire(&mut self, limits: &FailureLimits, now: Timestamp) {
        self.targets.retain(|_, failure| {
            let is_recent = !failure.cleared && is_within(failure.last, limits.in_a_row, now);
            is_recent || failure.paged.is_some_and(|paged| is_within(paged.at, limits.repeat, now))
        });
    }

    /// Adds what another process stored: of each target, the entry that saw the newer failure.
    pub fn merge(&mut self, stored: Self, limits: &FailureLimits) {
        for (target, other) in stored.targets {
            let Some(own) = self.targets.get_mut(&target) else {
                self.targets.insert(target, other);
                continue;
            };
            own.paged = match (own.paged, other.paged) {
                (Some(own), Some(other)) => Some(if other.at > own.at { other } else { own }),
                (own, other) => own.or(other),
            };
            if other.last > own.last {
                *own = Failure { paged: own.paged, ..other };
            } else if !own.cleared
                && !other.cleared
                && other.since < own.since
                && is_within(other.last, limits.in_a_row, own.last)
            {
                // The other process recorded the same failure earlier.
                own.since = other.since;
                own.runs = own.runs.saturating_add(other.runs);
            }
        }
    }

    /// Whether there is nothing to remember.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

impl Failure {
    /// Notes that the run that began at `now` gives no evidence about a failure: an ongoing one lasts.
    fn continues(&mut self, limits: &FailureLimits, now: Timestamp) {
        if !self.cleared && self.last < now && is_within(self.last, limits.in_a_row, now) {
            self.last = now;
        }
    }

    /// Whether this failure and another one lasted at the same time, or one after the other without a gap.
    fn touches(&self, other: &Self, limits: &FailureLimits) -> bool {
        let begins_in_time = |first: &Self, second: &Self| is_within(first.last, limits.in_a_row, second.since);
        begins_in_time(self, other) && begins_in_time(other, self)
    }

    /// Whether the calls are slow: they are repeated until a deadline, or wait for it.
    fn takes_time(&self) -> bool {
        ["throttled", "timed out"].contains(&self.kind.as_str())
    }

    /// Whether this failure was paged lately, since it began.
    fn is_reported(&self, limits: &FailureLimits, now: Timestamp) -> bool {
        self.paged.is_some_and(|paged| paged.at >= self.since && is_within(paged.at, limits.repeat, now))
    }

    /// Whether it failed in this run, is worth a page, and was not paged lately.
    fn is_due(&self, limits: &FailureLimits, now: Timestamp) -> bool {
        if self.cleared || self.last != now {
            return false;
        }
        let worth = match self.class {
            FailureClass::Permanent => true,
            FailureClass::Transient => self.runs >= 2 && !is_within(self.since, limits.unreadable_after, now),
        };
        let known = self.paged.is_some_and(|paged| {
            // Of another class than the page said, only the worse is news.
            paged.class >= self.class && is_within(paged.at, limits.repeat, now)
        });
        worth && !known
    }
}

impl FailurePage {
    /// The subject of a notice, without the name of the function.
    #[must_use]
    pub fn subject(&self) -> String {
        let kinds: BTreeSet<&str> = self.targets.values().map(|failure| failure.kind.as_str()).collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        match (self.targets.len(), self.targets.keys().next()) {
            (1, Some(target)) => format!("cannot access {target}: {}", kinds.join(", ")),
            (count, _) => format!("cannot access {count} resources: {}", kinds.join(", ")),
        }
    }
}

impl fmt::Display for FailurePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (target, failure)) in self.targets.iter().take(LISTED).enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            let Failure { class, since, runs, text, .. } = failure;
            let class = match class {
                FailureClass::Transient => format!("for {runs} runs, since {since}"),
                FailureClass::Permanent => "no retry can succeed".to_owned(),
            };
            write!(f, "{target}: {text} ({class})")?;
        }
        match self.targets.len().checked_sub(LISTED) {
            Some(more) if more > 0 => write!(f, "\nand {more} more"),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether a moment is not longer ago than a time.
fn is_within(moment: Timestamp, time: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(moment) < time
}

#[cfg(test)]
mod tests;
