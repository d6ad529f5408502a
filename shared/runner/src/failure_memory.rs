//! The failed reads and writes of a function: stored between invocations, and paged if they last.
//!
//! ```text
//!   each call:  run.failed(target, error)   run.succeeded(target)
//!   at the end: finish: load failures/FUNCTION -> mesh::failures decides -> store -> one page -> store
//! ```
//!
//! An invocation in which nothing fails, after others in which nothing failed, costs no call. `paged_memory.rs` explains
//! when a page is withheld.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mesh::failures::{FailedCall, FailureClass, FailureLimits, Failures, INVOCATION_TIME};
use policy::PagingPolicy;

use crate::paged_memory::{DuePage, PagedMemory, PagedRun};
use ports::{Deadline, DocumentError, Notifier, PortError, StateKey, StateStore};

/// The time reserved at the end of an invocation to store and page failures: four calls one after the other.
const REPORTING: Duration = Duration::from_secs(2);

/// The time between the last call of the work and its end. A call that the deadline ends is reported as that call, and
/// not only as an invocation without enough time.
const LAST_CALL: Duration = Duration::from_millis(100);

/// The failures of one function.
#[derive(Debug)]
pub struct FailureMemory {
    in_a_row: SignedDuration,
    memory: PagedMemory<Failures>,
}

/// The failures and successes of one invocation.
#[derive(Debug, Default)]
pub struct FailureRun(Mutex<Calls>);

#[derive(Debug, Default)]
struct Calls {
    failed: BTreeMap<String, Failed>,
    succeeded: BTreeSet<String>,
    /// Whether traffic may stay on a failing target because of a failed call.
    is_urgent: bool,
}

#[derive(Debug)]
struct Failed {
    class: FailureClass,
    kind: String,
    text: String,
}

impl Failed {
    fn call(&self) -> FailedCall<'_> {
        FailedCall { class: self.class, kind: &self.kind, text: &self.text }
    }
}

impl FailureRun {
    /// Creates the record of a run. See [`Self::set_urgent`].
    #[must_use]
    pub fn new(is_urgent: bool) -> Self {
        Self(Mutex::new(Calls { is_urgent, ..Calls::default() }))
    }

    /// Sets whether traffic may stay on a failing target because of a failed call. The failures of an urgent run page
    /// after `hold_after` and again after `repeat_after`, and also if the page cannot be remembered: a duplicate page is
    /// better than none.
    pub fn set_urgent(&self, is_urgent: bool) {
        self.calls().is_urgent = is_urgent;
    }

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

    /// Whether the work of the run ended within the time of its invocation.
    pub fn ended(&self, in_time: bool) {
        if in_time {
            self.succeeded(INVOCATION_TIME);
        } else {
            let text = "it ran out; the next run resumes the changes that were begun".to_owned();
            self.fail(INVOCATION_TIME, FailureClass::Transient, "OutOfTime", text);
        }
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
        let memory = PagedMemory::new(function, StateKey::failures(function), state, notifier);
        Self { in_a_row: interval * 3, memory }
    }

    /// Does the work of an invocation within its time: the remaining time without the reserve to store and page failures.
    /// Returns whether the work ended. A call of the work ends a little earlier, so that its failure is still reported.
    pub async fn work_by(deadline: Deadline, work: impl Future<Output = ()>) -> bool {
        let left = deadline.left();
        let time = left.saturating_sub(REPORTING.min(left / 6));
        let calls = Deadline::after(time.saturating_sub(LAST_CALL.min(time / 10)));
        tokio::time::timeout(time, calls.cover(work)).await.is_ok()
    }

    /// Ends a run within the deadline: remembers what failed, and pages it. See [`Self::finish`].
    pub async fn finish_by(&self, deadline: Deadline, run: FailureRun, paging: &PagingPolicy, now: Timestamp) -> usize {
        let Some(ended) = self.ended_run(run, paging, now) else { return 0 };
        self.memory.finish_by(deadline, &ended, now).await.unwrap_or_else(|| {
            tracing::warn!("no time was left to remember which calls failed");
            0
        })
    }

    /// Ends a run: remembers what failed, and pages all that is due as one page. `now` is when the run began. Returns how
    /// many pages were withheld, for the metric `PagesWithheld`.
    pub async fn finish(&self, run: FailureRun, paging: &PagingPolicy, now: Timestamp) -> usize {
        match self.ended_run(run, paging, now) {
            Some(ended) => self.memory.finish(&ended, now).await,
            None => 0,
        }
    }

    /// The calls of a run with their limits; `None` if there is nothing to remember.
    fn ended_run(&self, run: FailureRun, paging: &PagingPolicy, now: Timestamp) -> Option<EndedRun> {
        let calls = run.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        if calls.failed.is_empty() && self.memory.is_empty() {
            return None;
        }
        let (unreadable_after, repeat) = if calls.is_urgent {
            (paging.hold_after.get(), paging.repeat_after.get())
        } else {
            (paging.unreadable_after.get(), paging.remind_after.get())
        };
        let limits = FailureLimits { unreadable_after, repeat, in_a_row: self.in_a_row };
        Some(EndedRun { calls, limits, now })
    }
}

/// The calls of a run, with what decides about them.
struct EndedRun {
    calls: Calls,
    limits: FailureLimits,
    now: Timestamp,
}

impl PagedRun<Failures> for EndedRun {
    fn sends_unstored(&self) -> bool {
        self.calls.is_urgent
    }

    fn merge(&self, own: &mut Failures, stored: &Failures) {
        own.merge(stored.clone(), &self.limits);
    }

    fn apply(&self, document: &mut Failures) -> Option<DuePage<Failures>> {
        let Self { calls, limits, now } = self;
        let is_time = |target: &&String| *target == INVOCATION_TIME;
        for target in calls.succeeded.iter().filter(|target| !is_time(target) && !calls.failed.contains_key(*target)) {
            document.succeeded(target);
        }
        for (target, failed) in calls.failed.iter().filter(|(target, _)| !is_time(target)) {
            document.failed(target, &failed.call(), limits, *now);
        }
        match calls.failed.get(INVOCATION_TIME) {
            Some(failed) => document.ran_out_of_time(&failed.call(), limits, *now),
            None if calls.succeeded.contains(INVOCATION_TIME) => document.ended_in_time(limits, *now),
            None => {}
        }
        let due = document.due(limits, *now).map(|page| {
            let mut paged = document.clone();
            paged.paged(&page, *now);
            paged.expire(limits, *now);
            let body = format!("What depends on these calls is not decided until they succeed.\n\n{page}\n");
            DuePage { subject: page.subject(), body, paged }
        });
        document.expire(limits, *now);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::{Clock as _, PortErrorKind};
    use ports_memory::{Effect, Failure, Fault, MemoryPorts};

    fn memory(ports: &MemoryPorts) -> FailureMemory {
        let (state, notifier) = (Arc::new(ports.state.clone()), Arc::new(ports.notifier.clone()));
        FailureMemory::new("f", SignedDuration::from_mins(5), state, notifier)
    }

    fn ports() -> MemoryPorts {
        MemoryPorts::at("2026-11-20T10:00:00Z".parse().unwrap())
    }

    async fn run(memory: &FailureMemory, ports: &MemoryPorts, outcome: Option<PortErrorKind>) -> usize {
        let run = FailureRun::default();
        match outcome {
            Some(kind) => run.failed("mesh/shop", &PortError::new("describe mesh/shop", kind, "no")),
            None => run.succeeded("mesh/shop"),
        }
        let withheld = memory.finish(run, &PagingPolicy::default(), ports.clock.now()).await;
        ports.clock.advance(SignedDuration::from_mins(5));
        withheld
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
        assert!(memory.memory.is_empty());
    }

    /// Breaks calls to the state table, for as long as the faults are not reset.
    fn break_table(ports: &MemoryPorts, calls: &'static [&'static str], failure: Failure) {
        let is_broken = |call: &ports_memory::Call| calls.contains(&call.name);
        ports.faults.whenever(is_broken, Fault::Fails(failure, Effect::NotDone));
    }

    #[tokio::test]
    async fn page_that_cannot_be_remembered_is_withheld_by_every_process() {
        for calls in [&["load state", "note"][..], &["load state"], &["note"]] {
            let ports = ports();
            break_table(&ports, calls, Failure::Denied);
            for _ in 0..4 {
                assert_eq!(run(&memory(&ports), &ports, Some(PortErrorKind::Denied)).await, 1, "{calls:?}");
            }
            assert_eq!(ports.notifier.sent(), [], "{calls:?}");
            ports.faults.reset();
            for _ in 0..4 {
                assert_eq!(run(&memory(&ports), &ports, Some(PortErrorKind::Denied)).await, 0, "{calls:?}");
                assert_eq!(ports.notifier.sent().len(), 1, "{calls:?}: once the table works");
            }
        }
    }

    /// A transient failure pages after `hold_after`, and again after `repeat_after`, also if no page can be remembered.
    #[tokio::test]
    async fn urgent_failure_pages_soon_and_without_the_state_table() {
        for broken in [&["load state", "note"][..], &[]] {
            let ports = ports();
            break_table(&ports, broken, Failure::Denied);
            let memory = memory(&ports);
            for expected in [0, 1, 1, 1, 2] {
                let run = FailureRun::new(true);
                run.failed("alarms", &PortError::new("list alarms", PortErrorKind::Throttled, "no"));
                assert_eq!(memory.finish(run, &PagingPolicy::default(), ports.clock.now()).await, 0);
                assert_eq!(ports.notifier.sent().len(), expected, "{broken:?}");
                ports.clock.advance(SignedDuration::from_mins(5));
            }
        }
    }

    #[tokio::test]
    async fn unreadable_memory_is_never_replaced_and_counts_as_a_withheld_page() {
        for document in [serde_json::json!("broken"), serde_json::json!({ "format": 9 })] {
            let ports = ports();
            let key = StateKey::failures("f");
            let stored = |document| ports::Stored { revision: 3, epoch: 0, lease: None, document };
            ports.state.put(&key, stored(document.clone()));
            // The failure of the call is not due yet: only the document is.
            assert_eq!(run(&memory(&ports), &ports, Some(PortErrorKind::Throttled)).await, 1, "{document}");
            assert_eq!(run(&memory(&ports), &ports, Some(PortErrorKind::Denied)).await, 2, "{document}");
            assert_eq!(ports.state.stored(&key).unwrap(), stored(document));
            assert_eq!(ports.notifier.sent(), []);
            // `meshwarden forget` writes an empty document.
            ports.state.put(&key, stored(serde_json::json!({})));
            assert_eq!(run(&memory(&ports), &ports, Some(PortErrorKind::Denied)).await, 0);
            assert_eq!(ports.notifier.sent().len(), 1);
        }
    }

    #[tokio::test]
    async fn without_the_state_table_this_process_remembers_how_long_a_failure_lasts() {
        let ports = ports();
        break_table(&ports, &["load state", "note"], Failure::Unavailable);
        let memory = memory(&ports);
        for withheld in [0, 0, 1, 1] {
            assert_eq!(run(&memory, &ports, Some(PortErrorKind::Unavailable)).await, withheld);
        }
        ports.faults.reset();
        assert_eq!(run(&memory, &ports, Some(PortErrorKind::Unavailable)).await, 0);
        assert_eq!(ports.notifier.sent().len(), 1);
    }

    #[tokio::test]
    async fn two_processes_that_fail_together_send_one_page() {
        let ports = ports();
        let (one, other) = (memory(&ports), memory(&ports));
        let failed = || {
            let run = FailureRun::default();
            run.failed("mesh/shop", &PortError::new("describe mesh/shop", PortErrorKind::Denied, "no"));
            run
        };
        let (paging, now) = (PagingPolicy::default(), ports.clock.now());
        // The other one stores between the first one's read and its write.
        let gate = ports_memory::Gate::default();
        ports.faults.once(|call| call.name == "note", Fault::Waits(gate.clone()));
        let first = one.finish(failed(), &paging, now);
        let second = async {
            gate.reached().await;
            let withheld = other.finish(failed(), &paging, now).await;
            gate.open();
            withheld
        };
        assert_eq!(tokio::join!(first, second), (0, 0));
        assert_eq!(ports.notifier.sent().len(), 1);
    }

    /// A run that ends so long before its deadline, with a denied call.
    async fn run_with(ports: &MemoryPorts, left: u64) -> usize {
        let run = FailureRun::default();
        run.failed("mesh/shop", &PortError::new("describe mesh/shop", PortErrorKind::Denied, "no"));
        let deadline = Deadline::after(Duration::from_millis(left));
        memory(ports).finish_by(deadline, run, &PagingPolicy::default(), ports.clock.now()).await
    }

    #[tokio::test(start_paused = true)]
    async fn page_is_remembered_shortly_after_the_deadline() {
        let ports = ports();
        let gate = ports_memory::Gate::default();
        // load, store, send, store
        ports.faults.at(3, Fault::Waits(gate.clone()));
        let slow_store = async {
            gate.reached().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            gate.open();
        };
        assert_eq!(tokio::join!(run_with(&ports, 400), slow_store).0, 0);
        ports.faults.reset();
        assert_eq!(run_with(&ports, 10_000).await, 0);
        assert_eq!(ports.notifier.sent().len(), 1, "the next process knows the page");
    }

    #[tokio::test(start_paused = true)]
    async fn page_is_withheld_just_before_the_deadline() {
        let ports = ports();
        assert_eq!(run_with(&ports, 200).await, 1);
        assert_eq!(ports.notifier.sent(), []);
        assert_eq!(run_with(&ports, 400).await, 0);
        assert_eq!(ports.notifier.sent().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn call_of_the_work_ends_before_the_work() {
        let (reported, deadline) = (Mutex::new(false), Deadline::after(Duration::from_secs(12)));
        let work = async {
            tokio::time::sleep(Deadline::remaining().unwrap()).await;
            *reported.lock().unwrap() = true;
        };
        assert!(FailureMemory::work_by(deadline, work).await, "a call that takes all its time is reported");
        assert!(*reported.lock().unwrap());
        assert!(deadline.left() >= Duration::from_secs(1), "time for reporting");
        assert!(!FailureMemory::work_by(deadline, std::future::pending()).await);
    }

    /// A throttled call takes the time of some invocations: one fault, and one page a day.
    #[tokio::test]
    async fn throttle_that_takes_the_time_of_some_runs_is_one_page_a_day() {
        for pattern in ["t", "o", "to", "tttooooo", "oooooott"] {
            let ports = ports();
            // Two days, an invocation of another process each five minutes.
            for kind in pattern.chars().cycle().take(2 * 24 * 12 - 1) {
                let run = FailureRun::default();
                run.ended(kind == 't');
                if kind == 't' {
                    run.failed("mesh/shop", &PortError::new("describe", PortErrorKind::Throttled, "slow down"));
                }
                memory(&ports).finish(run, &PagingPolicy::default(), ports.clock.now()).await;
                ports.clock.advance(SignedDuration::from_mins(5));
            }
            assert_eq!(ports.notifier.sent().len(), 2, "{pattern}");
        }
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
