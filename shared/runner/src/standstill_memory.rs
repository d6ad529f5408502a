//! Decisions that are not final: stored between invocations, and paged if one stays the same for too long.
//!
//! ```text
//!   each decision that is not final:  run.waits(subject, ...)
//!   at the end: finish: load standstills/FUNCTION -> mesh::watch decides -> store -> one page -> store
//! ```
//!
//! A function that stores a [`Watch`] in its record of a subject does not use this memory. An invocation with final
//! decisions only, after others with final decisions only, costs no call. `paged_memory.rs` explains when a page is
//! withheld.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mesh::watch::{Expects, NoProgress, Watch, WatchLimits, WatchedDecision, watch};
use policy::PagingPolicy;
use records::StandstillsRecord;
use serde_json::Value;

use crate::paged_memory::{DuePage, PagedMemory, PagedRun};
use ports::{Deadline, Notifier, StateKey, StateStore};

/// The maximum number of standstills that a page lists.
const LISTED: usize = 20;

/// The maximum number of stored subjects; the document must fit into one item of the state table.
const MOST_SUBJECTS: usize = 500;

/// The decisions of one function that are not final.
#[derive(Debug)]
pub struct StandstillMemory {
    interval: SignedDuration,
    memory: PagedMemory<StandstillsRecord>,
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
        let memory = PagedMemory::new(function, StateKey::standstills(function), state, notifier);
        Self { interval, memory }
    }

    /// Ends a run within the deadline. See [`Self::finish`].
    pub async fn finish_by(
        &self,
        deadline: Deadline,
        run: StandstillRun,
        paging: &PagingPolicy,
        now: Timestamp,
    ) -> usize {
        let finished = tokio::time::timeout(deadline.left(), self.finish(run, paging, now)).await;
        finished.unwrap_or_else(|_| {
            tracing::warn!("no time was left to remember which decisions wait");
            0
        })
    }

    /// Ends a run: remembers what waits, and pages what waits for too long, all of it as one page. `now` is when the run
    /// began. A subject that the run did not name is final or was not looked at: it is forgotten after three intervals.
    /// Returns how many pages were withheld, for the metric `PagesWithheld`.
    pub async fn finish(&self, run: StandstillRun, paging: &PagingPolicy, now: Timestamp) -> usize {
        if run.0.is_empty() && self.memory.is_empty() {
            return 0;
        }
        let limits = WatchLimits { interval: self.interval, repeat: paging.remind_after.get() };
        self.memory.finish(&EndedRun { decisions: run.0, limits, now }, now).await
    }
}

/// The decisions of a run, with what decides about them.
struct EndedRun {
    decisions: BTreeMap<String, WaitingDecision>,
    limits: WatchLimits,
    now: Timestamp,
}

impl PagedRun<StandstillsRecord> for EndedRun {
    fn merge(&self, own: &mut StandstillsRecord, stored: &StandstillsRecord) {
        own.merge(stored);
    }

    fn apply(&self, document: &mut StandstillsRecord) -> Option<DuePage<StandstillsRecord>> {
        let Self { decisions, limits, now } = self;
        document.subjects.retain(|_, watch| now.duration_since(watch.last_run) <= limits.interval * 3);
        let mut paged = document.clone();
        let mut standstills = Vec::new();
        for (subject, WaitingDecision { code, facts, expects, text, command }) in decisions {
            let watched = WatchedDecision { subject, code, facts, plan: None, expects: *expects, text, command };
            let (next, page) = watch(document.subjects.get(subject), &watched, limits, *now);
            let mut unpaged = next.clone();
            if let (Some(unpaged), Some(_)) = (&mut unpaged, &page) {
                unpaged.page_failed();
            }
            set(document, subject, unpaged);
            set(&mut paged, subject, next);
            standstills.extend(page);
        }
        let what = match standstills.as_slice() {
            [] => return None,
            [one] => one.subject.clone(),
            several => format!("{} subjects", several.len()),
        };
        let mut lines: Vec<String> = standstills.iter().take(LISTED).map(ToString::to_string).collect();
        if let Some(more) = standstills.len().checked_sub(LISTED).filter(|more| *more > 0) {
            lines.push(format!("and {more} more"));
        }
        Some(DuePage { subject: format!("{} {what}", NoProgress::CODE), body: lines.join("\n") + "\n", paged })
    }
}

/// Remembers a subject, or forgets it.
fn set(document: &mut StandstillsRecord, subject: &str, watch: Option<Watch>) {
    match watch {
        Some(watch) => document.subjects.insert(subject.to_owned(), watch),
        None => document.subjects.remove(subject),
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use ports::Clock as _;
    use ports_memory::{Effect, Failure, Fault, MemoryPorts};

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
    async fn page_that_cannot_be_remembered_is_withheld() {
        let ports = ports();
        assert_eq!(run(&ports, Some(1)).await, 0, "it does not last yet");
        ports.faults.whenever(|call| call.name == "note", Fault::Fails(Failure::Denied, Effect::NotDone));
        for _ in 0..2 {
            assert_eq!(run(&ports, Some(1)).await, 0);
        }
        ports.faults.reset();
        for _ in 0..3 {
            assert_eq!(run(&ports, Some(1)).await, 1, "once the table works");
        }
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
