//! The failed reads and writes of a function: stored between invocations, and paged if they last.
//!
//! ```text
//!   each call:  run.failed(target, error)   run.succeeded(target)
//!   at the end: finish: load failures/FUNCTION -> mesh::failures decides -> one page -> store
//! ```
//!
//! An invocation without failures, after others without failures, makes no call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh::failures::{FailedCall, FailureClass, FailureLimits, FailurePage, Failures};
use mesh::policy::PagingPolicy;

use crate::document::read_document;
use crate::{
    BudgetWindow, Deadline, DocumentError, Note, Notice, Notifier, PortError, StateKey, StateStore, StoreOutcome,
    Urgency,
};

/// The newest format of the stored document that this version reads.
const FORMAT: u64 = 0;

/// The maximum number of attempts to write the document while other invocations write it.
const ATTEMPTS: usize = 3;

/// The time reserved at the end of an invocation to store and page failures.
const REPORTING: Duration = Duration::from_secs(1);

/// The maximum length of an SNS subject.
const LONGEST_SUBJECT: usize = 100;

/// The failures of one function.
#[derive(Debug)]
pub struct FailureMemory {
    function: &'static str,
    state: Arc<dyn StateStore>,
    notifier: Arc<dyn Notifier>,
    in_a_row: SignedDuration,
    /// The state of this process, used while the state table cannot be reached.
    warm: Mutex<Failures>,
}

/// The failures and successes of one invocation.
#[derive(Debug, Default)]
pub struct FailureRun(Mutex<Calls>);

#[derive(Debug, Default)]
struct Calls {
    failed: BTreeMap<String, Failed>,
    succeeded: BTreeSet<String>,
}

#[derive(Debug)]
struct Failed {
    class: FailureClass,
    kind: String,
    text: String,
}

impl FailureRun {
    /// Records a failed call about a target.
    pub fn failed(&self, target: &str, error: &PortError) {
        self.fail(target, error.kind.class(), error.kind.name(), error.to_string());
    }

    /// Records a stored document that cannot be read. The page includes the remedy.
    pub fn unreadable(&self, error: &DocumentError) {
        let target = format!("document `{}`", error.key());
        self.fail(&target, FailureClass::Permanent, error.reason(), format!("{error}; {}", error.remedy()));
    }

    /// Records another failure. `kind` is a stable code.
    pub fn fail(&self, target: &str, class: FailureClass, kind: &str, text: String) {
        let mut calls = self.calls();
        let failed = Failed { class, kind: kind.to_owned(), text };
        match calls.failed.get_mut(target) {
            // The page shows the first failure of the worse class.
            Some(known) if known.class >= failed.class => {}
            Some(known) => *known = failed,
            None => {
                calls.failed.insert(target.to_owned(), failed);
            }
        }
    }

    /// Records a successful call about a target. A failure of the same target in the same invocation takes precedence.
    pub fn succeeded(&self, target: &str) {
        self.calls().succeeded.insert(target.to_owned());
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailureMemory {
    /// Creates the memory of a function that is invoked at least once in `interval`.
    #[must_use]
    pub fn new(
        function: &'static str,
        interval: SignedDuration,
        state: Arc<dyn StateStore>,
        notifier: Arc<dyn Notifier>,
    ) -> Self {
        let in_a_row = interval * 3;
        Self { function, state, notifier, in_a_row, warm: Mutex::default() }
    }

    /// The time for the work of an invocation: the remaining time without the reserve to store and page failures.
    #[must_use]
    pub fn time_for_work(deadline: Deadline) -> Duration {
        let left = deadline.left();
        left.saturating_sub(REPORTING.min(left / 10))
    }

    /// Ends an invocation within the deadline: stores its failures, and pages them. See [`Self::finish`].
    pub async fn finish_by(&self, deadline: Deadline, run: FailureRun, paging: &PagingPolicy, now: Timestamp) {
        if tokio::time::timeout(deadline.left(), self.finish(run, paging, now)).await.is_err() {
            tracing::warn!("failed to store failed calls: out of time");
        }
    }

    /// Ends an invocation: stores its failures, and pages the due ones, all in one page. `now` is the start of the
    /// invocation.
    pub async fn finish(&self, run: FailureRun, paging: &PagingPolicy, now: Timestamp) {
        let calls = run.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        if calls.failed.is_empty() && self.warm().is_empty() {
            return;
        }
        let limits = FailureLimits {
            unreadable_after: paging.unreadable_after.get(),
            repeat: paging.remind_after.get(),
            in_a_row: self.in_a_row,
        };
        let mut stored = self.load(now).await;
        let mut failures = self.warm().clone();
        if let Some((_, known)) = &stored {
            failures.merge(known.clone(), &limits);
        }
        calls.apply(&mut failures, &limits, now);
        if let Some(page) = failures.due(&limits, now)
            && self.send(&page).await
        {
            failures.paged(&page, now);
        }
        failures.expire(&limits, now);
        *self.warm() = failures.clone();
        for _ in 0..ATTEMPTS {
            let Some((revision, known)) = stored else { return };
            if known == failures {
                return;
            }
            match self.store(revision, &failures, now).await {
                Ok(StoreOutcome::Stored) => return,
                // Another invocation has stored its failures in the meantime.
                Ok(StoreOutcome::Overtaken) => {
                    stored = self.load(now).await;
                    if let Some((_, known)) = &stored {
                        failures.merge(known.clone(), &limits);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to store failed calls");
                    return;
                }
            }
        }
    }

    /// The stored failures with their revision; `None` if they cannot be read.
    async fn load(&self, now: Timestamp) -> Option<(u64, Failures)> {
        let key = StateKey::failures(self.function);
        // No budget is used here; every load must name a window.
        let window = BudgetWindow { class: self.function.to_owned(), start: now, end: now };
        let loaded = self.state.load(std::slice::from_ref(&key), &window).await;
        let stored = match loaded {
            Ok(mut view) => view.documents.remove(&key),
            Err(error) => {
                tracing::warn!(%error, "failed to load failed calls");
                return None;
            }
        };
        let Some(stored) = stored else { return Some((0, Failures::default())) };
        match read_document(&key, &stored.document, FORMAT) {
            Ok(failures) => Some((stored.revision, failures)),
            Err(error) => {
                tracing::warn!(%error, "failed to read failed calls");
                None
            }
        }
    }

    async fn store(&self, revision: u64, failures: &Failures, now: Timestamp) -> Result<StoreOutcome, PortError> {
        // It has only string keys, so this cannot fail.
        let document = serde_json::to_value(failures).unwrap_or_default();
        let note = Note { key: StateKey::failures(self.function), revision, now, document, journal: None };
        self.state.note(&note).await
    }

    async fn send(&self, page: &FailurePage) -> bool {
        let subject = format!("{}: {}", self.function, page.subject());
        let subject = subject.chars().map(|character| if character.is_ascii_graphic() { character } else { ' ' });
        let subject = subject.take(LONGEST_SUBJECT).collect();
        let body = format!("Decisions that depend on these calls wait until they succeed.\n\n{page}\n");
        match self.notifier.notify(&Notice { urgency: Urgency::Page, subject, body }).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "failed to send page about failing calls");
                false
            }
        }
    }

    fn warm(&self) -> MutexGuard<'_, Failures> {
        self.warm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn apply(&self, failures: &mut Failures, limits: &FailureLimits, now: Timestamp) {
        for target in self.succeeded.iter().filter(|target| !self.failed.contains_key(*target)) {
            failures.succeeded(target);
        }
        for (target, Failed { class, kind, text }) in &self.failed {
            failures.failed(target, &FailedCall { class: *class, kind, text }, limits, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Effect, Failure, Fault, MemoryPorts};
    use crate::{Clock as _, PortErrorKind};

    fn memory(ports: &MemoryPorts) -> FailureMemory {
        let (state, notifier) = (Arc::new(ports.state.clone()), Arc::new(ports.notifier.clone()));
        FailureMemory::new("f", SignedDuration::from_mins(5), state, notifier)
    }

    fn ports() -> MemoryPorts {
        MemoryPorts::at("2026-11-20T10:00:00Z".parse().unwrap())
    }

    async fn run(memory: &FailureMemory, ports: &MemoryPorts, outcome: Option<PortErrorKind>) {
        let run = FailureRun::default();
        match outcome {
            Some(kind) => run.failed("mesh/shop", &PortError::new("describe mesh/shop", kind, "no")),
            None => run.succeeded("mesh/shop"),
        }
        memory.finish(run, &PagingPolicy::default(), ports.clock.now()).await;
        ports.clock.advance(SignedDuration::from_mins(5));
    }

    #[tokio::test]
    async fn success_costs_no_call() {
        let ports = ports();
        run(&memory(&ports), &ports, None).await;
        assert_eq!(ports.faults.calls(), []);
    }

    #[tokio::test]
    async fn permanent_failure_pages_at_once_and_transient_failure_if_it_lasts() {
        for (kind, pages) in [(PortErrorKind::Denied, [1, 1, 1]), (PortErrorKind::Throttled, [0, 0, 1])] {
            let ports = ports();
            for expected in pages {
                // Each invocation runs in another process.
                run(&memory(&ports), &ports, Some(kind)).await;
                assert_eq!(ports.notifier.sent().len(), expected, "{kind}");
            }
            let body = &ports.notifier.sent()[0].body;
            assert!(body.contains("mesh/shop: failed to describe mesh/shop"), "{body}");
        }
    }

    #[tokio::test]
    async fn success_in_between_starts_again() {
        let ports = ports();
        let memory = memory(&ports);
        for outcome in [Some(PortErrorKind::Throttled), None, Some(PortErrorKind::Throttled), None] {
            run(&memory, &ports, outcome).await;
        }
        assert_eq!(ports.notifier.sent(), []);
        assert!(memory.warm().is_empty());
    }

    #[tokio::test]
    async fn without_the_state_table_this_process_remembers() {
        let ports = ports();
        let of_state = |call: &crate::memory::Call| call.name == "load state" || call.name == "note";
        ports.faults.whenever(of_state, Fault::Fails(Failure::Unavailable, Effect::NotDone));
        let memory = memory(&ports);
        for _ in 0..3 {
            run(&memory, &ports, Some(PortErrorKind::Unavailable)).await;
        }
        assert_eq!(ports.notifier.sent().len(), 1);
    }

    #[tokio::test]
    async fn page_that_could_not_be_sent_is_sent_by_the_next_run() {
        let ports = ports();
        ports.faults.once(|call| call.name == "notify", Fault::Fails(Failure::Unavailable, Effect::NotDone));
        let memory = memory(&ports);
        for expected in [0, 1, 1] {
            run(&memory, &ports, Some(PortErrorKind::Denied)).await;
            assert_eq!(ports.notifier.sent().len(), expected);
        }
    }
}
