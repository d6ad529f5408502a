//! Tells people and programs, and remembers what was told.

use jiff::Timestamp;
use mesh::policy::CertificatesPolicy;
use mesh::rotation::{Decision, Record, telling};
use ports::{BusEvent, JournalEntry, Note, Notice, StateKey, Urgency};
use serde_json::json;

use crate::account::Account;
use crate::actuate::{Outcome, document};
use crate::observe::Observation;
use crate::{NAME, Ports, journal};

/// The record of a decision with what people are told of it, and what that is.
pub(crate) struct News {
    /// The record as it should be stored.
    pub(crate) record: Record,
    /// Whether it differs from what is stored.
    pub(crate) changed: bool,
    /// Whether it is news.
    pub(crate) to_tell: bool,
    /// Whether a person should be called.
    pub(crate) page: bool,
}

/// Compares a decision with what people were last told.
pub(crate) fn news(
    decision: &Decision,
    observation: &Observation,
    policy: &CertificatesPolicy,
    now: Timestamp,
) -> News {
    let subject = decision.subject.name();
    let stored = observation.record(&subject);
    let mut record = decision.record.clone().or_else(|| stored.cloned()).unwrap_or_default();
    let telling = telling(decision, record.told.as_ref(), policy, now);
    record.told = telling.told;
    let changed = stored != Some(&record) && (stored.is_some() || record != Record::default());
    let changed = changed || observation.unstored.contains(&subject);
    News { record, changed, to_tell: telling.news, page: telling.page }
}

/// Stores what there is to remember of something of which nothing is done.
pub(crate) async fn remember(
    ports: &Ports,
    decision: &Decision,
    news: &News,
    observation: &Observation,
    policy: &CertificatesPolicy,
    now: Timestamp,
) {
    if !news.changed {
        return;
    }
    let subject = decision.subject.name();
    let journal = if news.to_tell {
        let observed = observation.recorded(ports, policy, now).await;
        let id = format!("{}-{}", now.as_millisecond(), decision.verdict.code());
        Some(JournalEntry { at: now, id, body: journal::body(decision, observed) })
    } else {
        None
    };
    let note = Note {
        key: StateKey::certificate(&subject),
        revision: observation.revision(&subject),
        now,
        document: document(&news.record),
        journal,
    };
    if let Err(error) = ports.state.note(&note).await {
        tracing::warn!(%error, subject, "what was decided is not remembered yet");
    }
}

/// Tells of a decision, and of what became of it.
pub(crate) async fn tell(ports: &Ports, account: &Account, news: &News, outcome: Option<&Outcome>) {
    if news.page || outcome.is_some_and(Outcome::pages) {
        page(ports, account).await;
    }
    if news.to_tell || outcome.is_some_and(Outcome::is_news) {
        let detail = json!({ "function": NAME, "decision": account.line });
        let event = BusEvent { detail_type: "Meshwarden Decision".to_owned(), detail, resources: Vec::new() };
        if let Err(error) = ports.bus.put(&[event]).await {
            tracing::warn!(%error, "the event bus does not know of a decision");
        }
    }
}

/// Calls a person.
pub(crate) async fn page(ports: &Ports, account: &Account) {
    let line = &account.line;
    let facts = serde_json::to_string_pretty(line).unwrap_or_default();
    let notice = Notice {
        urgency: Urgency::Page,
        subject: headline(&format!("{}: {} {}", line.decision, line.reason, line.resource)),
        body: format!("{}\n\n{facts}\n", account.text),
    };
    if let Err(error) = ports.notifier.notify(&notice).await {
        tracing::error!(%error, subject = notice.subject, "nobody could be told");
    }
}

/// A subject as SNS takes it: at most 100 printable ASCII characters.
fn headline(text: &str) -> String {
    text.chars().map(|one| if one.is_ascii_graphic() || one == ' ' { one } else { '?' }).take(100).collect()
}
