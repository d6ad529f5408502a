//! Decisions that are not final: stored between invocations, and paged if one stays the same for too long.
//!
//! ```text
//!   each decision that is not final:  run.waits(subject, ...)
//!   at the end: finish: load standstills/FUNCTION -> mesh::watch decides -> one page -> store
//! ```
//!
//! A function with its own record of a subject stores the [`Watch`] there; this module is for all other functions. An
//! invocation with only final decisions, after others with only final decisions, makes no call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use mesh::policy::PagingPolicy;
use mesh::watch::{Expects, NoProgress, Watch, WatchLimits, WatchedDecision, watch};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::read_document;
use crate::{BudgetWindow, Deadline, Note, Notice, Notifier, StateKey, StateStore, StoreOutcome, Urgency};

/// The newest format of the stored document that this version reads.
const FORMAT: u64 = 0;

/// The maximum number of attempts to write the document while other invocations write it.
const ATTEMPTS: usize = 3;

/// The maximum length of an SNS subject.
const LONGEST_SUBJECT: usize = 100;

/// The maximum number of standstills that a page lists.
const LISTED: usize = 20;

/// The maximum number of stored subjects; the document must fit into one item of the state table.
const MOST_SUBJECTS: usize = 500;

/// The decisions of one function that are not final.
#[derive(Debug)]
pub struct StandstillMemory {
    function: &'static str,
    interval: SignedDuration,
    state: Arc<dyn StateStore>,
    notifier: Arc<dyn Notifier>,
    /// The state of this process, used while the state table cannot be reached.
    warm: Mutex<Watches>,
}

/// The stored document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Watches {
    subjects: BTreeMap<String, Watch>,
}

/// A decision that is not final.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingDecision {
    /// The stable code of the reason.
    pub code: &'static str,
    /// The facts of the reason. A changing number counts as progress.
    pub facts: Value,
    /// How long the decision may stay the same.
    pub expects: Expects,
    /// The text of the reason.
    pub text: String,
    /// The command that resolves a standstill.
    pub command: String,
}

/// The decisions of one invocation, by subject.
#[derive(Debug, Default)]
pub struct StandstillRun(BTreeMap<String, WaitingDecision>);

impl StandstillRun {
    /// Records a decision about a subject that is not final.
    pub fn waits(&mut self, subject: &str, decision: WaitingDecision) {
        if self.0.len() < MOST_SUBJECTS {
            self.0.insert(subject.to_owned(), decision);
        }
    }
}

impl StandstillMemory {
    /// Creates the memory of a function that is invoked at least once in `interval`.
    #[must_use]
    pub fn new(
        function: &'static str,
        interval: SignedDuration,
        state: Arc<dyn StateStore>,
        notifier: Arc<dyn Notifier>,
    ) -> Self {
        Self { function, interval, state, notifier, warm: Mutex::default() }
    }

    /// Ends an invocation within the deadline. See [`Self::finish`].
    pub async fn finish_by(&self, deadline: Deadline, run: StandstillRun, paging: &PagingPolicy, now: Timestamp) {
        if tokio::time::timeout(deadline.left(), self.finish(run, paging, now)).await.is_err() {
            tracing::warn!("failed to store waiting decisions: out of time");
        }
    }

    /// Ends an invocation: stores its waiting decisions, and pages the decisions that wait for too long, all in one
    /// page. `now` is the start of the invocation. A subject without a waiting decision in this invocation is removed
    /// after three intervals.
    pub async fn finish(&self, run: StandstillRun, paging: &PagingPolicy, now: Timestamp) {
        if run.0.is_empty() && self.warm().subjects.is_empty() {
            return;
        }
        let limits = WatchLimits { interval: self.interval, repeat: paging.remind_after.get() };
        let mut stored = self.load(now).await;
        let mut known_watches = self.warm().clone();
        if let Some((_, known)) = &stored {
            known_watches.merge(known);
        }
        known_watches.subjects.retain(|_, watch| now.duration_since(watch.last_run) <= self.interval * 3);
        let mut pages = Vec::new();
        for (subject, WaitingDecision { code, facts, expects, text, command }) in &run.0 {
            let watched = WatchedDecision { subject, code, facts, plan: None, expects: *expects, text, command };
            let (next, page) = watch(known_watches.subjects.get(subject), &watched, &limits, now);
            match next {
                Some(next) => known_watches.subjects.insert(subject.clone(), next),
                None => known_watches.subjects.remove(subject),
            };
            pages.extend(page);
        }
        if !pages.is_empty() && !self.send(&pages).await {
            for page in &pages {
                if let Some(watch) = known_watches.subjects.get_mut(&page.subject) {
                    watch.page_failed();
                }
            }
        }
        *self.warm() = known_watches.clone();
        for _ in 0..ATTEMPTS {
            let Some((revision, known)) = stored else { return };
            if known == known_watches {
                return;
            }
            // It has only string keys, so this cannot fail.
            let document = serde_json::to_value(&known_watches).unwrap_or_default();
            let note = Note { key: StateKey::standstills(self.function), revision, now, document, journal: None };
            match self.state.note(&note).await {
                Ok(StoreOutcome::Stored) => return,
                // Another invocation has stored its decisions in the meantime.
                Ok(StoreOutcome::Overtaken) => {
                    stored = self.load(now).await;
                    if let Some((_, known)) = &stored {
                        known_watches.merge(known);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to store waiting decisions");
                    return;
                }
            }
        }
    }

    /// The stored document with its revision; `None` if it cannot be read.
    async fn load(&self, now: Timestamp) -> Option<(u64, Watches)> {
        let key = StateKey::standstills(self.function);
        // No budget is used here; every load must name a window.
        let window = BudgetWindow { class: self.function.to_owned(), start: now, end: now };
        let stored = match self.state.load(std::slice::from_ref(&key), &window).await {
            Ok(mut view) => view.documents.remove(&key),
            Err(error) => {
                tracing::warn!(%error, "failed to load waiting decisions");
                return None;
            }
        };
        let Some(stored) = stored else { return Some((0, Watches::default())) };
        match read_document(&key, &stored.document, FORMAT) {
            Ok(watches) => Some((stored.revision, watches)),
            Err(error) => {
                tracing::warn!(%error, "failed to read waiting decisions");
                None
            }
        }
    }

    async fn send(&self, pages: &[NoProgress]) -> bool {
        let what = match pages {
            [page] => page.subject.clone(),
            pages => format!("{} subjects", pages.len()),
        };
        let subject = format!("{}: {} {what}", self.function, NoProgress::CODE);
        let subject = subject.chars().map(|character| if character.is_ascii_graphic() { character } else { ' ' });
        let mut lines: Vec<String> = pages.iter().take(LISTED).map(ToString::to_string).collect();
        if let Some(more) = pages.len().checked_sub(LISTED).filter(|more| *more > 0) {
            lines.push(format!("and {more} more"));
        }
        let subject = subject.take(LONGEST_SUBJECT).collect();
        let notice = Notice { urgency: Urgency::Page, subject, body: lines.join("\n") + "\n" };
        match self.notifier.notify(&notice).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "failed to send page about waiting decisions");
                false
            }
        }
    }

    fn warm(&self) -> MutexGuard<'_, Watches> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watches {
    /// Merges the document of another process: for each subject, the entry of the newer invocation.
    fn merge(&mut self, stored: &Self) {
        for (subject, other) in &stored.subjects {
            let own = self.subjects.entry(subject.clone()).or_insert_with(|| other.clone());
            if other.last_run > own.last_run {
                *own = other.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Clock as _;
    use crate::memory::{Effect, Failure, Fault, MemoryPorts};

    fn memory(ports: &MemoryPorts) -> StandstillMemory {
        let (state, notifier) = (Arc::new(ports.state.clone()), Arc::new(ports.notifier.clone()));
        StandstillMemory::new("f", SignedDuration::from_hours(6), state, notifier)
    }

    fn ports() -> MemoryPorts {
        MemoryPorts::at("2026-11-20T10:00:00Z".parse().unwrap())
    }

    /// An invocation of another process that observes this much progress.
    async fn run(ports: &MemoryPorts, done: Option<u32>) -> usize {
        let mut run = StandstillRun::default();
        if let Some(done) = done {
            let decision = WaitingDecision {
                code: "AskedFor",
                facts: json!({ "done": done }),
                expects: Expects::Within(SignedDuration::from_hours(5)),
                text: "it was requested".to_owned(),
                command: "meshwarden explain mesh/shop".to_owned(),
            };
            run.waits("mesh/shop", decision.clone());
            run.waits("mesh/depot", decision);
        }
        memory(ports).finish(run, &PagingPolicy::default(), ports.clock.now()).await;
        ports.clock.advance(SignedDuration::from_hours(6));
        ports.notifier.sent().len()
    }

    #[tokio::test]
    async fn standstill_pages_once_a_day_and_progress_ends_it() {
        let ports = ports();
        for (done, pages) in [(0, 0), (1, 0), (1, 1), (1, 1), (1, 1), (1, 1), (1, 2), (2, 2), (3, 2)] {
            assert_eq!(run(&ports, Some(done)).await, pages, "{done}");
        }
        let sent = ports.notifier.sent();
        assert_eq!(sent[0].subject, "f: NoProgress 2 subjects");
        assert!(
            sent[0].body.contains("mesh/shop has made no progress") && sent[0].body.contains("explain"),
            "{sent:?}"
        );
    }

    #[tokio::test]
    async fn final_decision_in_between_starts_again() {
        let ports = ports();
        for done in [Some(1), None, None, None, Some(1)] {
            assert_eq!(run(&ports, done).await, 0, "{done:?}");
        }
    }

    #[tokio::test]
    async fn final_decisions_cost_no_call() {
        let ports = ports();
        assert_eq!(run(&ports, None).await, 0);
        assert_eq!(ports.faults.calls(), []);
    }

    #[tokio::test]
    async fn page_that_could_not_be_sent_is_sent_by_the_next_run() {
        let ports = ports();
        ports.faults.once(|call| call.name == "notify", Fault::Fails(Failure::Unavailable, Effect::NotDone));
        for pages in [0, 0, 1, 1] {
            assert_eq!(run(&ports, Some(1)).await, pages);
        }
    }
}
