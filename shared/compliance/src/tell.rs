//! Reports what was decided: the journal, the event bus, and people.

use jiff::{SignedDuration, Timestamp};
use mesh::compliance::{
    Decision, OwedEvent, OwedNotice, Record, Standing, StateAccess, Topic, UNDONE_FOR, Verdict, is_late, is_news,
};
use mesh::failures::FailureClass;
use mesh::name::ResourcePath;
use mesh::policy::PagingPolicy;
use mesh::watch::{Expects, NoProgress, WatchLimits, WatchedDecision, watch};
use ports::{
    BudgetWindow, BusEvent, FailureRun, JournalEntry, Note, Notice, PortError, StateKey, StoreOutcome, Urgency,
    read_document,
};
use serde_json::{Value, json};

use crate::account::{Account, reason};
use crate::actuate::{Ledger, Outcome, document};
use crate::observe::Observation;
use crate::{Ports, name};

/// The most lines of one notice. People read the first few; the report has all.
const MOST_LINES: usize = 40;

/// SNS's limit for a subject.
const LONGEST_SUBJECT: usize = 100;

/// How often a notice that waits is written down when another invocation writes at the same time.
const ATTEMPTS: usize = 3;

/// How often the schedule invokes the function at the least.
pub(crate) const INTERVAL: SignedDuration = SignedDuration::from_mins(15);

/// The target that failures of the event bus are remembered by.
const BUS: &str = "the event bus";

/// What a report needs of the invocation.
#[derive(Clone, Copy)]
pub(crate) struct During<'a> {
    /// What failed.
    pub(crate) failures: &'a FailureRun,
    /// How often a page is sent.
    pub(crate) paging: &'a PagingPolicy,
    /// When the invocation began.
    pub(crate) now: Timestamp,
}

/// What was decided, and what became of it.
pub(crate) type Done = (Decision, Option<Outcome>);

/// Reports, and remembers what was reported.
#[derive(Debug)]
pub(crate) struct Reporter {
    ports: Ports,
    topic: Topic,
}

impl Reporter {
    pub(crate) const fn new(topic: Topic, ports: Ports) -> Self {
        Self { ports, topic }
    }

    /// Whether a decision, with what became of it, says something new. Without the record nobody knows what was reported
    /// before.
    pub(crate) fn is_news((decision, outcome): &Done, observation: &Observation) -> bool {
        outcome.as_ref().is_some_and(Outcome::is_done)
            || observation.facts.state == StateAccess::Known && is_news(decision, &observation.facts.record)
    }

    /// Reports what is new about a mesh. None of this blocks or undoes a change. `ledger` is unset where the record could
    /// not be read. Gives the lines about what could not be sent.
    pub(crate) async fn report(
        &self,
        done: &[Done],
        observation: &Observation,
        observed: &Value,
        ledger: Option<Ledger>,
        during: &During<'_>,
    ) -> Vec<Account> {
        let During { failures, paging, now } = *during;
        note_failed_changes(done, observation, failures);
        // What is overtaken is decided again.
        let settled = |(_, outcome): &&Done| !matches!(outcome, Some(Outcome::Superseded));
        let news: Vec<&Done> = done.iter().filter(settled).filter(|done| Self::is_news(done, observation)).collect();
        let Some(mut ledger) = ledger else { return Vec::new() };
        let mut notices = std::mem::take(&mut ledger.record.owed);
        notices.extend(self.standstills(done, &mut ledger.record, paging, now));
        if !news.is_empty() {
            notices.push(self.notice(&news, observation));
        }
        let (owed, error) = self.send(notices).await;
        let mesh = &observation.facts.mesh.name;
        let mut accounts: Vec<Account> =
            error.map(|error| Account::not_notified(mesh, &error, owed.len())).into_iter().collect();
        for notice in owed {
            ledger.record.owe(notice);
        }
        let mut events = std::mem::take(&mut ledger.record.owed_events);
        events.extend(news.iter().map(|news| self.event(news, observation)));
        if let Some(error) = self.put(&events, failures).await {
            accounts.push(Account::not_published(mesh, &error, events.len()));
            for event in events {
                ledger.record.owe_event(event);
            }
        }
        self.remember(done, &news, observation, observed, ledger, now).await;
        accounts
    }

    /// Notes which repairs do not get done, and gives one page for all that have not been for too long.
    fn standstills(
        &self,
        done: &[Done],
        record: &mut Record,
        paging: &PagingPolicy,
        now: Timestamp,
    ) -> Option<OwedNotice> {
        let limits = WatchLimits { interval: INTERVAL, repeat: paging.remind_after.get() };
        let mut pages = Vec::new();
        for entry @ (decision, _) in done {
            let Some((code, facts, expects)) = undone(entry) else {
                record.watches.remove(&decision.resource);
                continue;
            };
            let (_, _, text) = reason(&decision.verdict);
            let (subject, command) =
                (decision.resource.to_string(), format!("meshwarden explain {}", decision.resource));
            let watched = WatchedDecision {
                subject: &subject,
                code: &code,
                facts: &facts,
                // The plan's id changes with each version of the resource, and nothing is done all the same.
                plan: None,
                expects,
                text: &text,
                command: &command,
            };
            let (next, page) = watch(record.watches.get(&decision.resource), &watched, &limits, now);
            if let Some(next) = next {
                record.watches.insert(decision.resource.clone(), next);
            }
            pages.extend(page);
        }
        let what = match pages.as_slice() {
            [] => return None,
            [page] => page.subject.clone(),
            [first, ..] => format!("{} resources, first {}", pages.len(), first.subject),
        };
        let subject = cut(&format!("{}: {} {what}", name(self.topic), NoProgress::CODE));
        let lines: Vec<String> = pages.iter().take(MOST_LINES).map(ToString::to_string).collect();
        Some(OwedNotice { page: true, subject, body: lines.join("\n") })
    }

    /// Sends notices in their order; gives back those that could not be sent, with the first error.
    async fn send(&self, notices: Vec<OwedNotice>) -> (Vec<OwedNotice>, Option<PortError>) {
        let (mut owed, mut first) = (Vec::new(), None);
        for notice in notices {
            // After one failure the others wait, so that they arrive in their order.
            if first.is_none() {
                let urgency = if notice.page { Urgency::Page } else { Urgency::Note };
                let sent = Notice { urgency, subject: notice.subject.clone(), body: notice.body.clone() };
                match self.ports.notifier.notify(&sent).await {
                    Ok(()) => continue,
                    Err(error) => {
                        tracing::error!(%error, subject = sent.subject, "failed to send notification; it is kept");
                        first = Some(error);
                    }
                }
            }
            owed.push(notice);
        }
        (owed, first)
    }

    fn event(&self, (decision, outcome): &Done, observation: &Observation) -> OwedEvent {
        OwedEvent {
            detail_type: "Meshwarden Decision".to_owned(),
            detail: json!({
                "function": name(self.topic),
                "decision": Account::of_decision(decision, outcome.as_ref()).line,
            }),
            resources: observation.about(&decision.resource).map(|about| about.arn.to_string()).into_iter().collect(),
        }
    }

    /// Publishes events; gives the error if that failed.
    async fn put(&self, events: &[OwedEvent], failures: &FailureRun) -> Option<PortError> {
        if events.is_empty() {
            return None;
        }
        let event = |owed: &OwedEvent| BusEvent {
            detail_type: owed.detail_type.clone(),
            detail: owed.detail.clone(),
            resources: owed.resources.clone(),
        };
        let events: Vec<BusEvent> = events.iter().map(event).collect();
        match self.ports.bus.put(&events).await {
            Ok(()) => {
                failures.succeeded(BUS);
                None
            }
            Err(error) => {
                tracing::warn!(%error, count = events.len(), "failed to publish decisions; they are kept");
                failures.failed(BUS, &error);
                Some(error)
            }
        }
    }

    /// Remembers what was told, so that it is not told again, and keeps what it was decided from.
    async fn remember(
        &self,
        done: &[Done],
        news: &[&Done],
        observation: &Observation,
        observed: &Value,
        mut ledger: Ledger,
        now: Timestamp,
    ) {
        for (decision, outcome) in done {
            let undone = matches!(outcome, Some(Outcome::Failed { .. } | Outcome::Refused { .. } | Outcome::OutOfTime));
            if !undone {
                // What was begun and not ended by somebody who was killed is decided again by now, or was found done.
                ledger.record.intents.remove(&decision.resource);
            }
            match outcome {
                // The next reading shows it as it must be, which is no news then.
                Some(outcome) if outcome.is_done() => {
                    ledger.record.told.remove(&decision.resource);
                }
                Some(Outcome::Superseded) => {}
                Some(_) | None => ledger.record.tell(decision),
            }
        }
        let facts = &observation.facts;
        ledger.record.keep(|path| facts.about.contains_key(path) || facts.unread.contains_key(path));
        if news.is_empty() && ledger.record == observation.facts.record {
            return;
        }
        let lines: Vec<_> =
            news.iter().map(|(decision, outcome)| Account::of_decision(decision, outcome.as_ref()).line).collect();
        let journal = (!news.is_empty()).then(|| JournalEntry {
            at: now,
            id: format!("{}-told", ledger.revision),
            body: json!({ "function": name(self.topic), "decisions": lines, "observed": observed }),
        });
        let (key, revision, document) = (ledger.key.clone(), ledger.revision, document(&ledger.record));
        match self.ports.state.note(&Note { key, revision, now, document, journal }).await {
            Ok(StoreOutcome::Stored) => {}
            Ok(StoreOutcome::Overtaken) => {
                tracing::debug!("another invocation writes the record; what was reported may be reported again");
                let known = &observation.facts.record.owed;
                let unsent = ledger.record.owed.iter().filter(|owed| !known.contains(owed)).cloned().collect();
                self.owe(&ledger.key, unsent, now).await;
            }
            Err(error) => tracing::warn!(%error, "failed to remember what was reported; it may be reported again"),
        }
    }

    /// Adds notices that could not be sent to a record that another invocation has written in the meantime.
    async fn owe(&self, key: &StateKey, unsent: Vec<OwedNotice>, now: Timestamp) {
        let window = BudgetWindow { class: name(self.topic).to_owned(), start: now, end: now };
        for _ in 0..ATTEMPTS {
            if unsent.is_empty() {
                return;
            }
            let loaded = self.ports.state.load(std::slice::from_ref(key), &window).await;
            let Some(stored) = loaded.ok().and_then(|mut view| view.documents.remove(key)) else { break };
            let Ok(mut record) = read_document::<Record>(key, &stored.document, Record::FORMAT) else { break };
            for notice in &unsent {
                record.owe(notice.clone());
            }
            let (key, revision, document) = (key.clone(), stored.revision, document(&record));
            let noted = self.ports.state.note(&Note { key, revision, now, document, journal: None }).await;
            if matches!(noted, Ok(StoreOutcome::Stored)) {
                return;
            }
        }
        tracing::error!(count = unsent.len(), "failed to keep notifications that were not sent; the journal has them");
    }

    /// One notice for all that is new in a mesh.
    fn notice(&self, news: &[&Done], observation: &Observation) -> OwedNotice {
        let mesh = ResourcePath::Mesh(observation.facts.mesh.name.clone());
        let (mut mended, mut wrong, mut well) = (0, 0, 0);
        let mut lines = Vec::new();
        for (decision, outcome) in news {
            let (code, _, text) = reason(&decision.verdict);
            let said = match (&decision.verdict, outcome) {
                (_, Some(outcome)) if outcome.is_done() => {
                    mended += 1;
                    format!("mended: {text}")
                }
                (Verdict::Act(_), _) => {
                    wrong += 1;
                    let outcome = serde_json::to_value(outcome).unwrap_or_default();
                    let outcome = outcome.get("outcome").and_then(Value::as_str).unwrap_or_default();
                    format!("{}; {outcome}: {text}", decision.judged.text())
                }
                (Verdict::Hold(_), _) => {
                    // Unknown is never counted as not compliant.
                    wrong += usize::from(decision.judged.standing != Standing::InsufficientData);
                    format!("{}; {code}: {text}", decision.judged.text())
                }
                (Verdict::Keep(_), _) if is_late(decision, &observation.facts.record) => {
                    mended += 1;
                    "as it must be again: a repair that an earlier run began is in place".to_owned()
                }
                (Verdict::Keep(_), _) => {
                    well += 1;
                    "as it must be again".to_owned()
                }
            };
            lines.push(format!("{}: {said}", decision.resource));
        }
        if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
            lines.truncate(MOST_LINES);
            lines.push(format!("and {more} more; the report has them all"));
        }
        let subject = format!("{}: {mesh}: {mended} mended, {wrong} not compliant, {well} again", name(self.topic));
        OwedNotice { page: false, subject: cut(&subject), body: lines.join("\n") }
    }
}

/// The code and the facts of a repair that is due and was not done, though no call failed; and how long that may be so.
fn undone((decision, outcome): &Done) -> Option<(String, Value, Expects)> {
    match (&decision.verdict, outcome) {
        (Verdict::Act(plan), Some(outcome @ (Outcome::Superseded | Outcome::OutOfTime | Outcome::Refused { .. }))) => {
            // Its members are texts, so this can't fail.
            let outcome = serde_json::to_value(outcome).unwrap_or_default();
            let code = outcome.get("outcome").and_then(Value::as_str).unwrap_or_default().to_owned();
            Some((code, json!({ "outcome": outcome, "rules": plan.mends }), Expects::Within(UNDONE_FOR)))
        }
        (Verdict::Hold(reason), _) if reason.expects() != Expects::Final => {
            let (code, facts) = reason.parts();
            Some((code, facts, reason.expects()))
        }
        (Verdict::Keep(_) | Verdict::Hold(_) | Verdict::Act(_), _) => None,
    }
}

/// Notes which changes of a mesh went wrong, so that one page reports them if they last.
fn note_failed_changes(done: &[Done], observation: &Observation, failures: &FailureRun) {
    let target = format!("changes of {}", ResourcePath::Mesh(observation.facts.mesh.name.clone()));
    for (decision, outcome) in done {
        let (_, _, text) = reason(&decision.verdict);
        let resource = &decision.resource;
        match outcome {
            Some(Outcome::Failed { error, may_heal }) => {
                let class = if *may_heal { FailureClass::Transient } else { FailureClass::Permanent };
                failures.fail(&target, class, "Failed", format!("{resource}: {text}: {error}"));
            }
            Some(Outcome::Overwrote { version }) => {
                let target = format!("{resource} version {version}");
                let text = format!("{text}: it was written over a change that had not been read");
                failures.fail(&target, FailureClass::Permanent, "Overwrote", text);
            }
            Some(outcome) if outcome.is_done() => failures.succeeded(&target),
            Some(_) | None => {}
        }
    }
}

/// A subject that SNS takes.
fn cut(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_ascii_graphic() { character } else { ' ' })
        .take(LONGEST_SUBJECT)
        .collect()
}
