//! Detects a standstill: a decision that is not final stays the same, on the same facts, for longer than it may.
//!
//! | watch | next decision | then |
//! |-|-|-|
//! | idle | not final | waiting since now |
//! | waiting | another code, condition or plan | waiting since now |
//! | waiting | the same, its limit passed | stuck: [`NoProgress`] pages, with the facts and the command |
//! | stuck | the same | pages again after `repeat` |
//! | any | final, or none for the subject | idle |
//!
//! A function keeps one [`Watch`] for each subject in the record that it stores of the subject anyway. The condition is
//! the facts without what differs from run to run: times, error texts and request ids. A number that changes is a change
//! of the condition, because a count that moves is progress.
//!
//! This module never sends anything: the caller sends the page, and calls [`Watch::page_failed`] if that failed.

use std::fmt::{self, Write as _};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The limit of a repeated decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// For ever: nothing is awaited, and nothing is to be done.
    Final,
    /// Until a moment that the decision itself names, as in a dwell. One schedule interval is added for the run that
    /// notices. A moment that moves away in later runs does not move the limit.
    Until(Timestamp),
    /// For this long from the first time it was decided.
    Within(SignedDuration),
    /// For this many runs: a plan that was made this often without effect needs an operator.
    Runs(u32),
}

/// The maximum number of runs that make the same plan, which has the same id as long as it is for the same versions.
pub const SAME_PLAN_RUNS: u32 = 3;

/// The settings of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchLimits {
    /// The interval of the scheduled runs.
    pub interval: SignedDuration,
    /// The interval between pages about the same standstill.
    pub repeat: SignedDuration,
}

/// A decision as a watch compares it.
#[derive(Clone, Copy, Debug)]
pub struct WatchedDecision<'a> {
    /// The resource, certificate, alarm or mesh that was decided about.
    pub subject: &'a str,
    /// The stable code of the reason.
    pub code: &'a str,
    /// The facts of the reason.
    pub facts: &'a Value,
    /// The id of the plan, if the decision has one that is executed.
    pub plan: Option<&'a str>,
    /// Its limit.
    pub expects: Expects,
    /// The reason for people.
    pub text: &'a str,
    /// The command that resolves a standstill here, as in `meshwarden release route/shop/recs/main`.
    pub command: &'a str,
}

/// The stored state of a subject with a last decision that was not final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watch {
    /// The stable code of the reason.
    pub code: String,
    /// A digest of the facts, without what differs from run to run.
    #[serde(default)]
    pub condition: String,
    /// The id of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// When this was decided first.
    pub since: Timestamp,
    /// In how many runs this was decided.
    #[serde(default)]
    pub runs: u32,
    /// The newest of these runs.
    #[serde(default = "epoch")]
    pub last_run: Timestamp,
    /// The end that the decision named when it was made first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The pages that were sent within the last `repeat` for standstills of this subject, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paged: Vec<PagedStandstill>,
}

/// The most pages that are remembered of a subject: so many conditions may take turns without a page at each turn.
const REMEMBERED_PAGES: usize = 4;

/// A page that was sent for a standstill. It outlasts a change of the condition, so that two conditions that take turns do
/// not page at each turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PagedStandstill {
    /// When it was sent.
    pub at: Timestamp,
    /// The code that it was sent for.
    pub code: String,
    /// The condition that it was sent for.
    #[serde(default)]
    pub condition: String,
}

/// A standstill, as a page reports it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NoProgress {
    /// The resource, certificate, alarm or mesh that does not move.
    pub subject: String,
    /// The stable code of the decision that stays.
    pub stuck_at: String,
    /// The facts of that decision.
    pub facts: Value,
    /// The id of its plan, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Since when it has been decided.
    pub since: Timestamp,
    /// In how many runs.
    pub runs: u32,
    /// The reason for people.
    pub text: String,
    /// The command that resolves it.
    pub command: String,
}

impl NoProgress {
    /// The stable code of the page.
    pub const CODE: &'static str = "NoProgress";
}

impl fmt::Display for NoProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, stuck_at, since, runs, text, command, .. } = self;
        write!(f, "{subject} has made no progress since {since}: {runs} runs decided {stuck_at}: {text}")?;
        if command.is_empty() { Ok(()) } else { write!(f, "\nTo resolve it, run: {command}") }
    }
}

/// Compares a decision with the one of the run before. Gives what to store, and the page to send now if there is one.
#[must_use]
pub fn watch(
    last: Option<&Watch>,
    decision: &WatchedDecision<'_>,
    limits: &WatchLimits,
    now: Timestamp,
) -> (Option<Watch>, Option<NoProgress>) {
    let until = match decision.expects {
        Expects::Final => return (None, None),
        Expects::Until(until) => Some(until),
        Expects::Within(_) | Expects::Runs(_) => None,
    };
    let condition = condition(decision.facts);
    let same = last.filter(|last| {
        last.code == decision.code && last.condition == condition && last.plan.as_deref() == decision.plan
    });
    let mut watch = match same {
        Some(same) => {
            // One run may decide several times about a subject, as after a conflict.
            let runs = if same.last_run == now { same.runs } else { same.runs.saturating_add(1) };
            Watch { runs, last_run: now, until: same.until.or(until), ..same.clone() }
        }
        None => Watch {
            code: decision.code.to_owned(),
            condition,
            plan: decision.plan.map(str::to_owned),
            since: now,
            runs: 1,
            last_run: now,
            until,
            paged: last.map(|last| last.paged.clone()).unwrap_or_default(),
        },
    };
    watch.paged.retain(|paged| paged.at.saturating_add(limits.repeat).is_ok_and(|end| end > now));
    let known = watch.paged.iter().any(|paged| paged.code == watch.code && paged.condition == watch.condition);
    if known || !watch.is_stuck(decision.expects, limits, now) {
        return (Some(watch), None);
    }
    watch.remember_page(now);
    let page = NoProgress {
        subject: decision.subject.to_owned(),
        stuck_at: watch.code.clone(),
        facts: decision.facts.clone(),
        plan: watch.plan.clone(),
        since: watch.since,
        runs: watch.runs,
        text: decision.text.to_owned(),
        command: decision.command.to_owned(),
    };
    (Some(watch), Some(page))
}

impl Watch {
    /// Forgets that the page of this run was sent, because it was not: the next run sends it.
    pub fn page_failed(&mut self) {
        self.paged.pop();
    }

    fn remember_page(&mut self, now: Timestamp) {
        if self.paged.len() >= REMEMBERED_PAGES {
            self.paged.remove(0);
        }
        self.paged.push(PagedStandstill { at: now, code: self.code.clone(), condition: self.condition.clone() });
    }

    fn is_stuck(&self, expects: Expects, limits: &WatchLimits, now: Timestamp) -> bool {
        let passed = |moment: Timestamp, wait| moment.saturating_add(wait).is_ok_and(|limit| limit < now);
        match expects {
            Expects::Final => false,
            Expects::Until(until) => passed(self.until.unwrap_or(until), limits.interval),
            Expects::Within(time) => passed(self.since, time),
            Expects::Runs(runs) => self.runs >= runs,
        }
    }
}

/// The moment of a stored watch of an earlier version, which did not have one.
const fn epoch() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// A digest of facts without what differs from run to run though nothing has changed.
#[must_use]
pub fn condition(facts: &Value) -> String {
    let text = without_transients(facts).map_or_else(String::new, |facts| facts.to_string());
    // A quarter of the digest: a record holds one for each subject, and a collision would only delay a page.
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        write!(hex, "{byte:02x}").ok();
        hex
    })
}

/// The members that hold the text of an error. The services put request ids in it.
const ERROR_TEXTS: [&str; 4] = ["message", "error", "requestId", "text"];

fn without_transients(facts: &Value) -> Option<Value> {
    match facts {
        Value::String(text) if text.parse::<Timestamp>().is_ok() => None,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(facts.clone()),
        Value::Array(items) => Some(items.iter().filter_map(without_transients).collect()),
        Value::Object(members) => {
            let stays = |(name, value): (&String, &Value)| {
                let is_text = ERROR_TEXTS.contains(&name.as_str()) && value.is_string();
                let value = if is_text { None } else { without_transients(value) };
                value.map(|value| (name.clone(), value))
            };
            Some(members.iter().filter_map(stays).collect())
        }
    }
}

#[cfg(test)]
mod tests;
