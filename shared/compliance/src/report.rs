//! Reports decisions to the journal, the event bus, and operators.

use jiff::{SignedDuration, Timestamp};
use mesh::compliance::{
    ComplianceStatus, Decision, OwedEvent, OwedNotice, Record, StateAccess, Topic, UNDONE_FOR, Verdict, is_late,
    is_news,
};
use mesh::failures::FailureClass;
use mesh::name::ResourcePath;
use mesh::policy::PagingPolicy;
use mesh::watch::{Expects, NoProgress, WatchLimits, WatchedDecision, watch};
use ports::{BudgetWindow, BusEvent, JournalEntry, Note, Notice, PortError, StateKey, StoreOutcome, Urgency};
use records::{Layout, ObservedRef, OutcomeEntry, read_record, write_record};
use runner::FailureRun;
use serde_json::{Value, json};

use crate::execute::{ExecutionOutcome, LeasedRecord};
use crate::observe::Observation;
use crate::report_entry::{ReportEntry, reason};
use crate::{Ports, journal, name};

/// The maximum number of lines of one notice. The report has all lines.
const MOST_LINES: usize = 40;

/// The maximum length of an SNS subject.
const LONGEST_SUBJECT: usize = 100;

/// The maximum number of attempts to store a waiting notice while other invocations write the record.
const ATTEMPTS: usize = 3;

/// The interval of the schedule.
pub(crate) const INTERVAL: SignedDuration = SignedDuration::from_mins(15);

/// The target under which failures of the event bus are recorded.
const BUS: &str = "the event bus";

/// The parts of the invocation that a report needs.
#[derive(Clone, Copy)]
pub(crate) struct ReportContext<'a> {
    /// The failures of the invocation.
    pub(crate) failures: &'a FailureRun,
    /// The paging intervals.
    pub(crate) paging: &'a PagingPolicy,
    /// When the invocation began.
    pub(crate) now: Timestamp,
}

/// A decision with its outcome.
pub(crate) type DecisionOutcome = (Decision, Option<ExecutionOutcome>);

/// Reports decisions, and records the reported decisions.
#[derive(Debug)]
pub(crate) struct Reporter {
    ports: Ports,
    topic: Topic,
}

impl Reporter {
    pub(crate) const fn new(topic: Topic, ports: Ports) -> Self {
        Self { ports, topic }
    }

    /// Whether a decision with its outcome is new. Without the record, the previous report is unknown.
    pub(crate) fn is_news((decision, outcome): &DecisionOutcome, observation: &Observation) -> bool {
        outcome.as_ref().is_some_and(ExecutionOutcome::is_done)
            || observation.facts.state == StateAccess::Known && is_news(decision, &observation.facts.record)
    }

    /// Reports new decisions about a mesh. A failure here neither blocks nor reverts a change. `leased` is `None` if
    /// the record could not be read. Returns the lines of unsent notifications.
    pub(crate) async fn report(
        &self,
        done: &[DecisionOutcome],
        observation: &Observation,
        observed: Option<&ObservedRef>,
        leased: Option<LeasedRecord>,
        during: &ReportContext<'_>,
    ) -> Vec<ReportEntry> {
        let ReportContext { failures, paging, now } = *during;
        note_failed_changes(done, observation, failures);
        // A superseded plan is decided again.
        let settled = |(_, outcome): &&DecisionOutcome| !matches!(outcome, Some(ExecutionOutcome::Superseded));
        let news: Vec<&DecisionOutcome> =
            done.iter().filter(settled).filter(|done| Self::is_news(done, observation)).collect();
        let Some(mut leased) = leased else { return Vec::new() };
        let mut notices = std::mem::take(&mut leased.record.owed);
        notices.extend(self.standstills(done, &mut leased.record, paging, now));
        if !news.is_empty() {
            notices.push(self.notice(&news, observation));
        }
        let (owed, error) = self.send(notices).await;
        let mesh = &observation.facts.mesh.name;
        let mut entries: Vec<ReportEntry> =
            error.map(|error| ReportEntry::not_notified(mesh, &error, owed.len())).into_iter().collect();
        for notice in owed {
            leased.record.owe(notice);
        }
        let mut events = std::mem::take(&mut leased.record.owed_events);
        events.extend(news.iter().map(|news| self.event(news, observation)));
        if let Some(error) = self.put(&events, failures).await {
            entries.push(ReportEntry::not_published(mesh, &error, events.len()));
            for event in events {
                leased.record.owe_event(event);
            }
        }
        self.store(done, &news, observation, observed, leased, now).await;
        entries
    }

    /// Records repairs that were not completed, and returns one page for all that have lasted too long.
    fn standstills(
        &self,
        done: &[DecisionOutcome],
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
                // The plan's id changes with each version of the resource, although no repair is completed.
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
        let subjects = match pages.as_slice() {
            [] => return None,
            [page] => page.subject.clone(),
            [first, ..] => format!("{} resources, first {}", pages.len(), first.subject),
        };
        let subject = sns_subject(&format!("{}: {} {subjects}", name(self.topic), NoProgress::CODE));
        let lines: Vec<String> = pages.iter().take(MOST_LINES).map(ToString::to_string).collect();
        Some(OwedNotice { page: true, subject, body: lines.join("\n") })
    }

    /// Sends notices in their order; returns the unsent ones, with the first error.
    async fn send(&self, notices: Vec<OwedNotice>) -> (Vec<OwedNotice>, Option<PortError>) {
        let (mut owed, mut first) = (Vec::new(), None);
        for notice in notices {
            // After the first failure the others wait, so that they arrive in order.
            if first.is_none() {
                let urgency = if notice.page { Urgency::Page } else { Urgency::Note };
                let sent = Notice { urgency, subject: notice.subject.clone(), body: notice.body.clone() };
                match self.ports.notifier.notify(&sent).await {
                    Ok(()) => continue,
                    Err(error) => {
                        tracing::error!(%error, subject = sent.subject, "failed to send compliance notification");
                        first = Some(error);
                    }
                }
            }
            owed.push(notice);
        }
        (owed, first)
    }

    fn event(&self, (decision, outcome): &DecisionOutcome, observation: &Observation) -> OwedEvent {
        OwedEvent {
            detail_type: "Meshwarden Decision".to_owned(),
            detail: json!({
                "function": name(self.topic),
                "decision": ReportEntry::for_decision(decision, outcome.as_ref()).line,
            }),
            resources: observation.about(&decision.resource).map(|about| about.arn.to_string()).into_iter().collect(),
        }
    }

    /// Publishes events; returns the error if that fails.
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
                tracing::warn!(%error, count = events.len(), "failed to publish compliance decisions");
                failures.failed(BUS, &error);
                Some(error)
            }
        }
    }

    /// Stores the record and the journal entry of the reported decisions.
    async fn store(
        &self,
        done: &[DecisionOutcome],
        news: &[&DecisionOutcome],
        observation: &Observation,
        observed: Option<&ObservedRef>,
        mut leased: LeasedRecord,
        now: Timestamp,
    ) {
        for (decision, outcome) in done {
            let undone = matches!(
                outcome,
                Some(ExecutionOutcome::Failed { .. } | ExecutionOutcome::Refused { .. } | ExecutionOutcome::OutOfTime)
            );
            if !undone {
                // An intent of a killed invocation is decided again by now, or was found in place.
                leased.record.intents.remove(&decision.resource);
            }
            match outcome {
                // The next reading will show the resource as compliant, which is not reported again.
                Some(outcome) if outcome.is_done() => {
                    leased.record.told.remove(&decision.resource);
                }
                Some(ExecutionOutcome::Superseded) => {}
                Some(_) | None => leased.record.mark_reported(decision),
            }
        }
        let facts = &observation.facts;
        leased.record.retain_existing(|path| facts.about.contains_key(path) || facts.unread.contains_key(path));
        if news.is_empty() && leased.record == observation.facts.record {
            return;
        }
        let lines: Vec<_> =
            news.iter().map(|(decision, outcome)| ReportEntry::for_decision(decision, outcome.as_ref()).line).collect();
        let journal = (!news.is_empty()).then(|| {
            let body = journal::decided(self.topic, &lines, observed.cloned());
            JournalEntry::new(now, format!("{}-told", leased.revision), &body, Layout::List)
        });
        let (key, revision, document) = (leased.key.clone(), leased.revision, write_record(&leased.record));
        match self.ports.state.note(&Note { key, revision, now, document, journal }).await {
            Ok(StoreOutcome::Stored) => {}
            Ok(StoreOutcome::Overtaken) => {
                tracing::debug!("record was written by another invocation; decisions may be reported again");
                let known = &observation.facts.record.owed;
                let unsent = leased.record.owed.iter().filter(|owed| !known.contains(owed)).cloned().collect();
                self.owe(&leased.key, unsent, now).await;
            }
            Err(error) => tracing::warn!(%error, "failed to store reported decisions; they may be reported again"),
        }
    }

    /// Adds unsent notices to a record that another invocation has written in the meantime.
    async fn owe(&self, key: &StateKey, unsent: Vec<OwedNotice>, now: Timestamp) {
        let window = BudgetWindow { class: name(self.topic).to_owned(), start: now, end: now };
        for _ in 0..ATTEMPTS {
            if unsent.is_empty() {
                return;
            }
            let loaded = self.ports.state.load(std::slice::from_ref(key), &window).await;
            let Some(stored) = loaded.ok().and_then(|mut view| view.documents.remove(key)) else { break };
            let Ok(mut record) = read_record::<Record>(key, &stored.document) else { break };
            for notice in &unsent {
                record.owe(notice.clone());
            }
            let (key, revision, document) = (key.clone(), stored.revision, write_record(&record));
            let noted = self.ports.state.note(&Note { key, revision, now, document, journal: None }).await;
            if matches!(noted, Ok(StoreOutcome::Stored)) {
                return;
            }
        }
        tracing::error!(count = unsent.len(), "failed to store unsent notifications");
    }

    /// One notice for all new decisions about a mesh.
    fn notice(&self, news: &[&DecisionOutcome], observation: &Observation) -> OwedNotice {
        let mesh = ResourcePath::Mesh(observation.facts.mesh.name.clone());
        let (mut remediated, mut wrong, mut well) = (0, 0, 0);
        let mut lines = Vec::new();
        for (decision, outcome) in news {
            let (code, _, text) = reason(&decision.verdict);
            let said = match (&decision.verdict, outcome) {
                (_, Some(outcome)) if outcome.is_done() => {
                    remediated += 1;
                    format!("remediated: {text}")
                }
                (Verdict::Act(_), _) => {
                    wrong += 1;
                    let outcome = outcome.as_ref().map(OutcomeEntry::from);
                    let outcome = outcome.as_ref().and_then(OutcomeEntry::name).unwrap_or_default();
                    format!("{}; {outcome}: {text}", decision.judged.text())
                }
                (Verdict::Hold(_), _) => {
                    // A resource with unknown compliance does not count as non-compliant.
                    wrong += usize::from(decision.judged.standing != ComplianceStatus::InsufficientData);
                    format!("{}; {code}: {text}", decision.judged.text())
                }
                (Verdict::Keep(_), _) if is_late(decision, &observation.facts.record) => {
                    remediated += 1;
                    "compliant again: a repair of an earlier invocation is in place".to_owned()
                }
                (Verdict::Keep(_), _) => {
                    well += 1;
                    "compliant again".to_owned()
                }
            };
            lines.push(format!("{}: {said}", decision.resource));
        }
        if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
            lines.truncate(MOST_LINES);
            lines.push(format!("and {more} more in the report"));
        }
        let subject = format!(
            "{}: {mesh}: {remediated} remediated, {wrong} not compliant, {well} compliant again",
            name(self.topic)
        );
        OwedNotice { page: false, subject: sns_subject(&subject), body: lines.join("\n") }
    }
}

/// The code, the facts and the permitted duration of a due repair that was not completed although no call failed.
fn undone((decision, outcome): &DecisionOutcome) -> Option<(String, Value, Expects)> {
    match (&decision.verdict, outcome) {
        (
            Verdict::Act(plan),
            Some(
                outcome @ (ExecutionOutcome::Superseded
                | ExecutionOutcome::OutOfTime
                | ExecutionOutcome::Refused { .. }),
            ),
        ) => {
            let outcome = OutcomeEntry::from(outcome);
            let code = outcome.name().unwrap_or_default().to_owned();
            Some((code, json!({ "outcome": outcome, "rules": plan.remediates }), Expects::Within(UNDONE_FOR)))
        }
        (Verdict::Hold(reason), _) if reason.expects() != Expects::Final => {
            let (code, facts) = reason.parts();
            Some((code, facts, reason.expects()))
        }
        (Verdict::Keep(_) | Verdict::Hold(_) | Verdict::Act(_), _) => None,
    }
}

/// Records failed changes of a mesh, so that one page reports them if they last.
fn note_failed_changes(done: &[DecisionOutcome], observation: &Observation, failures: &FailureRun) {
    let target = format!("changes of {}", ResourcePath::Mesh(observation.facts.mesh.name.clone()));
    for (decision, outcome) in done {
        let (_, _, text) = reason(&decision.verdict);
        let resource = &decision.resource;
        match outcome {
            Some(ExecutionOutcome::Failed { error, may_heal }) => {
                let class = if *may_heal { FailureClass::Transient } else { FailureClass::Permanent };
                failures.fail(&target, class, "Failed", format!("{resource}: {text}: {error}"));
            }
            Some(ExecutionOutcome::Overwrote { version }) => {
                let target = format!("{resource} version {version}");
                let text = format!("{text}: the write replaced a change that had not been read");
                failures.fail(&target, FailureClass::Permanent, "Overwrote", text);
            }
            Some(outcome) if outcome.is_done() => failures.succeeded(&target),
            Some(_) | None => {}
        }
    }
}

/// Converts a text to a valid SNS subject.
fn sns_subject(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_ascii_graphic() { character } else { ' ' })
        .take(LONGEST_SUBJECT)
        .collect()
}
