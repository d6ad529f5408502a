//! The tools that every function calls during an invocation. `Run` collects lines, metrics, failures and retries outside
//! the function's future, so that none is lost when the time of the invocation runs out.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use policy::{Budget, Policy};
use ports::{BudgetWindow, Deadline, DocumentError, PortError, Refusal, Spend};
use serde_json::{Value, json};

use crate::case::CaseDecision;
use crate::engine::Engine;
use crate::failure_memory::FailureRun;
use crate::outcome::Outcome;
use crate::report::{Decision, Metric, Report, Signals};
use crate::standstill_memory::{StandstillRun, WaitingDecision};
use crate::work::{RequestedBy, Work, WorkItem};

/// One invocation of a function.
pub struct Run<'a> {
    pub(crate) function: &'static str,
    pub(crate) engine: &'a Engine,
    pub(crate) holder: String,
    policy: &'a Policy,
    deadline: Deadline,
    now: Timestamp,
    failures: FailureRun,
    collected: Mutex<Collected>,
}

/// The results of an invocation so far.
#[derive(Debug, Default)]
struct Collected {
    lines: Vec<Decision>,
    metrics: Vec<Metric>,
    answer: Option<Value>,
    signals: Signals,
    outcomes: BTreeMap<(String, &'static str), usize>,
    waiting: StandstillRun,
    work: Work,
}

/// The results of an invocation at its end.
pub(crate) struct RunResult {
    pub(crate) report: Report,
    pub(crate) failures: FailureRun,
    pub(crate) waiting: StandstillRun,
    pub(crate) work: Work,
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("function", &self.function).finish_non_exhaustive()
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        function: &'static str,
        engine: &'a Engine,
        policy: &'a Policy,
        failures: FailureRun,
        deadline: Deadline,
        now: Timestamp,
    ) -> Self {
        let holder = crate::runtime::holder(function, deadline, now);
        let collected = Mutex::default();
        Self { function, engine, holder, policy, deadline, now, failures, collected }
    }

    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// When the invocation began.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The name under which this invocation holds leases and claims; no other invocation has it.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The time by which the work must have ended.
    #[must_use]
    pub const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// The failed and successful calls of the invocation: one page reports all that last.
    #[must_use]
    pub const fn failures(&self) -> &FailureRun {
        &self.failures
    }

    /// The window of a budget at the begin of the invocation.
    #[must_use]
    pub fn window(&self, budget: &Budget) -> BudgetWindow {
        BudgetWindow::at(self.function, budget.window.get(), self.now)
    }

    /// One change at the expense of a budget.
    #[must_use]
    pub fn spend(&self, budget: &Budget) -> Spend {
        Spend { window: self.window(budget), cap: budget.changes }
    }

    /// Adds a line to the report.
    pub fn report(&self, line: Decision) {
        self.collected().lines.push(line);
    }

    /// Adds a metric to the report.
    pub fn metric(&self, metric: Metric) {
        self.collected().metrics.push(metric);
    }

    /// Sets the answer to a direct invocation, in place of the report.
    pub fn answer(&self, answer: Value) {
        self.collected().answer = Some(answer);
    }

    /// Records that the kill switch was found on.
    pub fn kill_switch_on(&self) {
        self.collected().signals.kill_switch_on = true;
    }

    /// Counts a resource that is held although an alarm is on.
    pub fn held_during_alarm(&self) {
        self.collected().signals.holds_during_alarm += 1;
    }

    /// Counts a write that replaced a change which had not been observed.
    pub fn overwrote(&self) {
        self.collected().signals.overwrote += 1;
    }

    /// Records that nothing could be observed: the invocation fails, and does not count for the heartbeat.
    pub fn observed_nothing(&self) {
        self.collected().signals.observed_nothing = true;
    }

    /// Adds work that has to be done within the time of the invocation. If the time runs out, only the deliveries that
    /// requested unfinished work are delivered again; before the first call, all of them.
    pub fn expect(&self, items: impl IntoIterator<Item = WorkItem>) {
        self.collected().work.expect(items);
    }

    /// Records that expected work ended, also if it failed.
    pub fn done(&self, subject: &str) {
        self.collected().work.done(subject);
    }

    /// Records a failure that a retry may resolve: the deliveries that requested the work are delivered again.
    pub fn retry(&self, requested_by: &RequestedBy, why: &str) {
        self.collected().work.retry(requested_by, why);
    }

    /// Records a failure that concerns all expected work that is not done: its deliveries are repeated. If all of it is
    /// done, every delivery is repeated.
    pub fn retry_open(&self, why: &str) {
        self.collected().work.retry_open(why);
    }

    /// Whether a retry is recorded.
    #[must_use]
    pub fn is_retried(&self) -> bool {
        self.collected().work.is_retried()
    }

    /// Records a decision that is not final. If it stays the same for longer than it may, it pages.
    pub fn waits(&self, subject: &str, decision: WaitingDecision) {
        self.collected().waiting.waits(subject, decision);
    }

    /// Records the result of reading an item. A failure is a line of the report, is paged if it lasts, and is retried if
    /// that may help.
    pub fn read<T>(&self, item: &WorkItem, result: Result<T, PortError>) -> Result<T, PortError> {
        match &result {
            Ok(_) => self.failures.succeeded(&item.subject),
            Err(error) => {
                self.failures.failed(&item.subject, error);
                self.unread(item, error);
            }
        }
        result
    }

    /// Reports an item that could not be read, and retries it if that may help.
    pub fn unread(&self, item: &WorkItem, error: &PortError) {
        let facts = json!({ "call": error.call, "kind": error.kind, "message": error.message });
        self.report(Decision::new(item.subject.clone(), "hold", "CannotObserve", facts));
        if error.kind.may_heal() {
            self.retry(&item.requested_by, &format!("{} cannot be read: {error}", item.subject));
        }
    }

    /// Reports and pages a stored document that cannot be read. It is never overwritten, and no retry reads it.
    pub fn unreadable(&self, subject: &str, error: &DocumentError) {
        self.failures.unreadable(error);
        let facts = json!({ "document": error.key(), "error": error.to_string(), "remedy": error.remedy() });
        self.report(Decision::new(subject.to_owned(), "hold", error.reason(), facts));
    }

    /// The number of reported plans by decision and outcome.
    #[must_use]
    pub fn outcomes(&self) -> BTreeMap<(String, &'static str), usize> {
        self.collected().outcomes.clone()
    }

    /// Adds the line of a decision, and counts its signals and its outcome.
    pub(crate) fn report_decision<D, P>(&self, decision: &CaseDecision<D, P>) {
        let (line, outcome) = (decision.line(), decision.outcome.as_ref());
        let mut collected = self.collected();
        let signals = &mut collected.signals;
        signals.overwrote += u32::from(matches!(outcome, Some(Outcome::Overwrote { .. })));
        signals.kill_switch_on |=
            decision.is_killed || matches!(outcome, Some(Outcome::Refused { refusal: Refusal::KillSwitchOn }));
        if let Some(outcome) = outcome {
            *collected.outcomes.entry((line.decision.clone(), outcome.name())).or_default() += 1;
        }
        collected.lines.push(line);
    }

    /// Counts pages that were due and could not be stored.
    pub fn withheld(&self, pages: u32) {
        let mut collected = self.collected();
        collected.signals.pages_withheld = collected.signals.pages_withheld.saturating_add(pages);
    }

    /// The present time.
    pub(crate) fn clock(&self) -> Timestamp {
        self.engine.ports.clock.now()
    }

    pub(crate) fn into_ended(self) -> RunResult {
        let Collected { lines, metrics, answer, signals, work, waiting, outcomes: _ } =
            self.collected.into_inner().unwrap_or_else(PoisonError::into_inner);
        let report = Report { signals, metrics, answer, ..Report::new(lines) };
        RunResult { report, failures: self.failures, waiting, work }
    }

    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Decision {
    /// A line without plan and outcome.
    #[must_use]
    pub fn new(resource: String, decision: &str, reason: &str, facts: Value) -> Self {
        let (decision, reason) = (decision.to_owned(), reason.to_owned());
        Self { resource, decision, reason, facts, plan: None, outcome: None }
    }
}
