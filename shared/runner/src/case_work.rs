//! The work on one case of the loop: its plans, and then its report.

use std::time::Duration;

use ports::{Begin, Deadline, JournalEntry, Note, Spend, StateKey, StoreOutcome, store_observation};
use records::{DecisionEntry, Function, JournalBody, Layout, ObservedRef};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::case::{
    Case, CaseAction, CaseDecision, DocumentState as _, News, ObservationData as _, PlanData as _, StoredRecord,
    document,
};
use crate::change::{Executed, NotBegun, PendingChange, finish};
use crate::outbox::{Message, SendOutcome, send, withhold};
use crate::outcome::Outcome;
use crate::reconcile::{CaseOf, Pass, Reconcile};
use crate::report::Decision;
use crate::run::Run;

/// The least time to begin and end a change. With less time left, the next run continues.
const ONE_CHANGE: Duration = Duration::from_secs(3);

/// The largest observation in a journal entry, in bytes. An item of the state table has at most 400 KB and costs by its
/// size, and operators read the journal.
const LARGEST_INLINE: usize = 32 * 1024;

/// The target under which failures of the event bus are remembered.
const BUS: &str = "the event bus";

/// The work on one case.
pub(crate) struct CaseWork<'a, T: Reconcile> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) target: &'a T,
    pub(crate) pass: &'a Pass<'a>,
    pub(crate) seen: &'a T::Observation,
    /// The place of the observation, once an entry needs it: the same for all entries of a pass.
    pub(crate) observed: &'a OnceCell<ObservedRef>,
}

impl<T: Reconcile> CaseWork<'_, T> {
    /// Executes the plans of a case, in sequence.
    pub(crate) async fn execute(&self, case: &mut CaseOf<T>) {
        let mut halted: Option<Outcome> = None;
        let Case { key, stored, record, decisions, .. } = case;
        for decision in decisions {
            let mut has_begun = false;
            let outcome = match &decision.action {
                CaseAction::None => continue,
                CaseAction::Report { watching } => Outcome::WouldApply { watching: watching.clone() },
                CaseAction::Change { plan, spend } => match (&halted, stored.as_mut()) {
                    (Some(halted), _) => halted.clone(),
                    (None, _) if self.run.deadline().left() < ONE_CHANGE => Outcome::OutOfTime,
                    // A plan requires a readable record.
                    (None, None) => Outcome::Superseded,
                    (None, Some(stored)) => {
                        let change = PlannedChange { key, decision, plan, spend: spend.as_ref() };
                        let changed = self.change(change, record, stored).await;
                        has_begun = changed.is_ok();
                        changed.unwrap_or_else(|not_begun| not_begun)
                    }
                },
            };
            if outcome.halts() {
                halted.get_or_insert_with(|| outcome.clone());
            }
            (decision.has_begun, decision.outcome) = (has_begun, Some(outcome));
        }
    }

    /// Executes one plan: begin, steps, finish. The error is the outcome of a plan that did not begin.
    async fn change(
        &self,
        change: PlannedChange<'_, T::Decision, T::Plan>,
        record: &mut T::Record,
        stored: &mut StoredRecord<T::Record>,
    ) -> Result<Outcome, Outcome> {
        let PlannedChange { key, decision, plan, spend } = change;
        let journal = self.begun(decision.entry.clone()).await;
        let state = self.run.engine.ports.state.as_ref();
        let mut entered = record.clone();
        plan.enter(&mut entered);
        let begin = Begin {
            key: key.clone(),
            revision: stored.revision,
            holder: self.run.holder.clone(),
            now: self.run.clock(),
            lease: Deadline::lease(),
            document: document(&entered),
            spend: spend.cloned(),
            journal: self.entry(format!("{}-begun", plan.id()), &journal, T::BEGUN),
        };
        let pending = PendingChange::new(state, begin);
        let Executed { epoch, done } = match self.target.execute(pending, self.seen, plan).await {
            Ok(executed) => executed,
            Err(NotBegun::Refused(refusal)) => return Err(Outcome::Refused { refusal }),
            Err(NotBegun::Failed(error)) => {
                self.run.failures().failed(&state_of(key), &error);
                return Err(Outcome::failed(&error));
            }
        };
        // The begin has stored the record with the plan.
        *stored = StoredRecord { record: entered.clone(), revision: epoch };
        *record = entered;
        let outcome = self.target.conclude(self.pass, decision, &done, record);
        let ended = JournalBody::Ended { plan: plan.id().to_owned(), outcome: (&outcome).into() };
        let ended = self.entry(format!("{}-ended", plan.id()), &ended, T::BEGUN);
        if let Some(revision) = finish(state, key, epoch, document(record), ended).await {
            *stored = StoredRecord { record: record.clone(), revision };
        }
        Ok(outcome)
    }

    /// Reports a case: stores its news with the messages, sends them, and removes the sent ones. Returns whether the
    /// record is stored.
    pub(crate) async fn report(&self, case: &mut CaseOf<T>) -> bool {
        let News { journal, messages } = self.target.report(self.pass, self.seen, case);
        let body = match journal {
            Some((id, decisions)) => Some((id, self.decided(decisions).await)),
            None => None,
        };
        // Without the record, the reported decisions are not known.
        let Some(mut stored) = case.stored.take() else { return false };
        let journal = body.map(|(id, body)| self.entry(id, &body, T::DECIDED));
        let mut outgoing = case.record.messages();
        outgoing.extend(messages);
        let overflow = case.record.set_messages(outgoing.clone());
        outgoing.retain(|message| !overflow.contains(message));
        let mut unsent = if overflow.is_empty() { Vec::new() } else { self.deliver(overflow).await.unsent };
        match self.note(case, &mut stored, journal).await {
            NoteOutcome::Stored => {}
            // A change of this run is stored; the other run reports it.
            NoteOutcome::Overtaken => return case.decisions.iter().any(|decision| decision.has_begun),
            NoteOutcome::Failed => {
                let known = stored.record.messages();
                unsent.extend(outgoing.into_iter().filter(|message| !known.contains(message)));
                self.run.withheld(withhold(&unsent));
                return case.decisions.iter().any(|decision| decision.has_begun);
            }
        }
        if outgoing.is_empty() && unsent.is_empty() {
            return true;
        }
        let sent = self.deliver(outgoing).await;
        self.report_unsent(&case.subject, &sent);
        unsent.extend(sent.unsent);
        // The journal has the content of messages that can be neither sent nor stored.
        withhold(&case.record.set_messages(unsent));
        // If this fails, the messages are sent again: twice is better than never.
        self.note(case, &mut stored, None).await;
        true
    }

    /// Stores the record of a case, if it differs from the stored one.
    async fn note(
        &self,
        case: &CaseOf<T>,
        stored: &mut StoredRecord<T::Record>,
        journal: Option<JournalEntry>,
    ) -> NoteOutcome {
        if case.record == stored.record && journal.is_none() {
            return NoteOutcome::Stored;
        }
        let (key, document) = (case.key.clone(), document(&case.record));
        let note = Note { key, revision: stored.revision, now: self.run.clock(), document, journal };
        match self.run.engine.ports.state.note(&note).await {
            Ok(StoreOutcome::Stored) => {
                *stored = StoredRecord { record: case.record.clone(), revision: stored.revision.saturating_add(1) };
                NoteOutcome::Stored
            }
            Ok(StoreOutcome::Overtaken) => {
                tracing::debug!(key = case.key.as_str(), "document was written by another run, which reports it");
                NoteOutcome::Overtaken
            }
            Err(error) => {
                tracing::warn!(%error, key = case.key.as_str(), "failed to store reported decisions");
                self.run.failures().failed(&state_of(&case.key), &error);
                NoteOutcome::Failed
            }
        }
    }

    async fn deliver(&self, messages: Vec<Message>) -> SendOutcome {
        let ports = &self.run.engine.ports;
        let sent = send(ports.notifier.as_ref(), ports.bus.as_ref(), messages).await;
        match &sent.event_error {
            Some(error) => self.run.failures().failed(BUS, error),
            None if sent.published => self.run.failures().succeeded(BUS),
            None => {}
        }
        sent
    }

    /// Adds the lines of messages that wait for the next run.
    fn report_unsent(&self, subject: &str, sent: &SendOutcome) {
        let (notices, events) = sent.unsent_counts();
        for (error, reason, owed) in
            [(&sent.notice_error, "NotNotified", notices), (&sent.event_error, "NotPublished", events)]
        {
            if let Some(error) = error {
                let facts = json!({ "error": error.to_string(), "owed": owed });
                self.run.report(Decision::new(subject.to_owned(), "hold", reason, facts));
            }
        }
    }

    async fn begun(&self, decision: DecisionEntry) -> JournalBody {
        JournalBody::Begun { function: self.function(), decision, observed: Some(self.observed().await) }
    }

    async fn decided(&self, decisions: Vec<DecisionEntry>) -> JournalBody {
        JournalBody::Decided { function: self.function(), decisions, observed: Some(self.observed().await) }
    }

    async fn observed(&self) -> ObservedRef {
        let keep = || async {
            let Pass { run, now, .. } = *self.pass;
            let recorded = self.seen.recorded(run.policy(), now);
            let object = |text: &str| self.seen.object(now, text);
            store_observation(run.engine.ports.reports.as_ref(), &recorded, LARGEST_INLINE, object).await
        };
        self.observed.get_or_init(keep).await.clone()
    }

    fn function(&self) -> Function {
        Function::from(self.run.function.to_owned())
    }

    fn entry(&self, id: String, body: &JournalBody, layout: Layout) -> JournalEntry {
        JournalEntry::new(self.run.clock(), id, body, layout)
    }
}

/// A change to begin.
struct PlannedChange<'a, D, P> {
    key: &'a StateKey,
    decision: &'a CaseDecision<D, P>,
    plan: &'a P,
    spend: Option<&'a Spend>,
}

/// The target under which failures to read or write a document are remembered.
fn state_of(key: &StateKey) -> String {
    format!("state of {}", key.as_str())
}

/// The result of storing a document.
enum NoteOutcome {
    /// It is stored, or did not need to be.
    Stored,
    /// Another run was first.
    Overtaken,
    /// The call failed.
    Failed,
}
