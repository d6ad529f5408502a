//! Says what was decided: the journal, the event bus, and people.

use jiff::Timestamp;
use mesh::compliance::{Decision, Topic, Verdict, is_news};
use mesh::name::ResourcePath;
use mesh::policy::PagingPolicy;
use ports::{BusEvent, JournalEntry, Note, Notice, PortError, StoreOutcome, Urgency};
use serde_json::{Value, json};

use crate::account::{Account, reason};
use crate::actuate::{Ledger, Outcome, document};
use crate::observe::Observation;
use crate::pager::Pager;
use crate::{Ports, name};

/// The most lines of one notice. People read the first few; the report has all.
const MOST_LINES: usize = 40;

/// SNS's limit for a subject.
const LONGEST_SUBJECT: usize = 100;

/// What was decided, and what became of it.
pub(crate) type Done = (Decision, Option<Outcome>);

/// Tells, and remembers what was told.
#[derive(Debug)]
pub(crate) struct Teller {
    ports: Ports,
    topic: Topic,
    pager: Pager,
}

impl Teller {
    pub(crate) fn new(topic: Topic, ports: Ports) -> Self {
        Self { pager: Pager::new(ports.notifier.clone()), topic, ports }
    }

    /// Whether a decision, with what became of it, says something new.
    pub(crate) fn is_news((decision, outcome): &Done, observation: &Observation) -> bool {
        outcome.as_ref().is_some_and(Outcome::is_done) || is_news(decision, &observation.facts.record)
    }

    /// Says what is new about a mesh. None of this blocks or undoes a change: what can't be said is logged. `whole`:
    /// everything in the mesh was decided about. `ledger` is unset where the state table could not be read.
    pub(crate) async fn tell(
        &self,
        done: &[Done],
        observation: &Observation,
        observed: &Value,
        ledger: Option<Ledger>,
        paging: &PagingPolicy,
        now: Timestamp,
    ) {
        self.page(done, paging, now).await;
        // What is overtaken is decided again.
        let settled = |(_, outcome): &&Done| !matches!(outcome, Some(Outcome::Superseded));
        let news: Vec<&Done> = done.iter().filter(settled).filter(|done| Self::is_news(done, observation)).collect();
        if !news.is_empty() {
            self.pager.send(&self.notice(&news, observation)).await;
            self.put(&news, observation).await;
        }
        if let Some(ledger) = ledger {
            self.remember(done, &news, observation, observed, ledger, now).await;
        }
    }

    /// A part of the world could not be observed, so nothing about it is decided: people should know.
    pub(crate) async fn blind(&self, what: &str, error: &PortError, paging: &PagingPolicy, now: Timestamp) -> Account {
        let account = Account::blind(what, error);
        let text = format!("{what} can't be observed, so nothing there is decided: {error}");
        let notice = self.about(Urgency::Page, &account.line, &text);
        self.pager.page(&format!("{what} {}", error.kind), &notice, paging, now).await;
        account
    }

    /// It can be observed (again).
    pub(crate) async fn sees(&self, what: &str) {
        for kind in ["throttled", "conflict", "unavailable", "timed out", "denied", "not found", "refused"] {
            self.pager.works(&format!("{what} {kind}")).await;
        }
    }

    /// One page for all changes of a mesh that went wrong.
    async fn page(&self, done: &[Done], paging: &PagingPolicy, now: Timestamp) {
        let wrong = done.iter().filter_map(|(decision, outcome)| {
            let outcome = outcome.as_ref().filter(|outcome| outcome.pages())?;
            Some((decision, outcome))
        });
        let wrong: Vec<_> = wrong.collect();
        let Some((decision, outcome)) = wrong.first() else { return };
        let account = Account::of_decision(decision, Some(outcome));
        let (_, _, mut text) = reason(&decision.verdict);
        if wrong.len() > 1 {
            let others: Vec<String> = wrong.iter().skip(1).map(|(decision, _)| decision.resource.to_string()).collect();
            text = format!("{text}\nand so with {}", others.join(", "));
        }
        let notice = self.about(Urgency::Page, &account.line, &text);
        self.pager.page(&format!("changes of {}", decision.resource.mesh()), &notice, paging, now).await;
    }

    async fn put(&self, news: &[&Done], observation: &Observation) {
        let event = |(decision, outcome): &&Done| BusEvent {
            detail_type: "Meshwarden Decision".to_owned(),
            detail: json!({
                "function": name(self.topic),
                "decision": Account::of_decision(decision, outcome.as_ref()).line,
            }),
            resources: observation.about(&decision.resource).map(|about| about.arn.to_string()).into_iter().collect(),
        };
        let events: Vec<BusEvent> = news.iter().map(event).collect();
        if let Err(error) = self.ports.bus.put(&events).await {
            tracing::warn!(%error, "the event bus does not know of decisions");
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
        ledger.record.keep(|path| observation.facts.about.contains_key(path));
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
        let (key, revision, document) = (ledger.key, ledger.revision, document(&ledger.record));
        match self.ports.state.note(&Note { key, revision, now, document, journal }).await {
            Ok(StoreOutcome::Stored) => {}
            Ok(StoreOutcome::Overtaken) => {
                tracing::debug!("somebody else is at the mesh; what was told may be told again");
            }
            Err(error) => tracing::warn!(%error, "what was told is not remembered, and may be told again"),
        }
    }

    /// One notice for all that is new in a mesh.
    fn notice(&self, news: &[&Done], observation: &Observation) -> Notice {
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
                    wrong += 1;
                    format!("{}; {code}: {text}", decision.judged.text())
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
        Notice { urgency: Urgency::Note, subject: cut(&subject), body: lines.join("\n") }
    }

    fn about(&self, urgency: Urgency, line: &lambda_kit::Decision, text: &str) -> Notice {
        let facts = serde_json::to_string_pretty(line).unwrap_or_default();
        let subject = cut(&format!("{}: {} {}", name(self.topic), line.reason, line.resource));
        Notice { urgency, subject, body: format!("{text}\n\n{facts}\n") }
    }
}

/// A subject that SNS takes.
fn cut(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_ascii_graphic() { character } else { ' ' })
        .take(LONGEST_SUBJECT)
        .collect()
}
