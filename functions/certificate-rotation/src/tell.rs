//! Reports decisions to operators and other programs, and remembers the reports.
//!
//! A page is stored with the record before it is sent, and removed from it afterwards. If a notification fails or the
//! process ends in between, the page stays there for the next run. A page that the state table does not accept is
//! withheld: each new process would send it again. The alarm on the metric `PagesWithheld` reports it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::policy::CertificatesPolicy;
use mesh::rotation::{Decision, OwedPage, Record, rotation_notification, standstill};
use ports::{BusEvent, JournalEntry, Note, Notice, StateKey, StoreOutcome, Urgency};
use records::{Layout, write_record};
use serde_json::json;
use tokio::sync::Mutex;

use crate::account::Account;
use crate::actuate::Outcome;
use crate::calls::{BUS, Calls};
use crate::observe::Observation;
use crate::{NAME, Ports, journal};

/// The record of a decision with its notifications.
pub(crate) struct News {
    /// The record as it should be stored.
    pub(crate) record: Record,
    /// Whether it differs from the stored record.
    pub(crate) changed: bool,
    /// Whether the decision is to be reported.
    pub(crate) to_tell: bool,
    /// The page that is due now.
    pub(crate) page: Option<OwedPage>,
    /// A page of an earlier run that was not sent.
    pub(crate) late: Option<OwedPage>,
}

/// The start of a run, and of its current round.
#[derive(Clone, Copy)]
pub(crate) struct Moments {
    pub(crate) started: Timestamp,
    pub(crate) now: Timestamp,
}

/// Compares a decision with the last notification about its subject.
pub(crate) fn news(
    decision: &Decision,
    observation: &Observation,
    policy: &CertificatesPolicy,
    moments: Moments,
) -> News {
    let Moments { started, now } = moments;
    let subject = decision.subject.name();
    let stored = observation.stored_record(&subject);
    let known = observation.record(&subject);
    let mut record = decision.record.clone().or_else(|| known.cloned()).unwrap_or_default();
    let telling = rotation_notification(decision, record.told.as_ref(), record.failures.as_ref(), policy, now);
    record.told = telling.told;
    if let Some(failures) = record.failures.as_mut().filter(|_| telling.failures_paged) {
        failures.paged = Some(now);
    }
    let (watch, stuck) = standstill(decision, record.watch.as_ref(), policy, started);
    record.watch = watch;
    let decided = || page_about(&Account::of(decision, None), now);
    let stuck = stuck.map(|stuck| {
        let account = Account::note(&stuck.subject, "NoProgress", json!(stuck), &stuck.to_string());
        page_about(&account, now)
    });
    let event = observation.event_pages.get(&subject).map(|notice| {
        let account = Account::note(&notice.resource, notice.code, notice.facts.clone(), &notice.text);
        page_about(&account, now)
    });
    let page = telling.page.then(decided).or(stuck).or(event);
    let late = record.owed.take();
    record.owed = page.clone().or_else(|| late.clone());
    let changed = stored.as_ref() != Some(&record) && (stored.is_some() || record != Record::default());
    News { record, changed, to_tell: telling.news, page, late }
}

/// The result of an attempt to store a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It is stored at this revision, or did not need to be.
    At(u64),
    /// Another writer was first, and reports the decision.
    Overtaken,
    /// It must not be stored: this version cannot read the record in the table.
    Foreign,
    /// The state table does not accept it.
    Failed,
}

/// Stores the record of a decision without an executed plan.
pub(crate) async fn remember(
    ports: &Ports,
    decision: &Decision,
    news: &News,
    observation: &Observation,
    policy: &CertificatesPolicy,
    now: Timestamp,
) -> Stored {
    let subject = decision.subject.name();
    if observation.is_foreign(&subject) {
        return Stored::Foreign;
    }
    let revision = observation.revision(&subject);
    if !news.changed {
        return Stored::At(revision);
    }
    let journal = if news.to_tell {
        let observed = observation.recorded(ports, policy, now).await;
        let id = format!("{}-{}", now.as_millisecond(), decision.verdict.code());
        Some(JournalEntry::new(now, id, &journal::decided(decision, observed), Layout::Flat))
    } else {
        None
    };
    store(ports, &subject, revision, &news.record, journal, now).await
}

/// Stores a record that was read at a revision.
pub(crate) async fn store(
    ports: &Ports,
    subject: &str,
    revision: u64,
    record: &Record,
    journal: Option<JournalEntry>,
    now: Timestamp,
) -> Stored {
    let note = Note { key: StateKey::certificate(subject), revision, now, document: write_record(record), journal };
    match ports.state.note(&note).await {
        Ok(StoreOutcome::Stored) => Stored::At(revision.saturating_add(1)),
        Ok(StoreOutcome::Overtaken) => Stored::Overtaken,
        Err(error) => {
            tracing::warn!(%error, subject, "failed to store a record");
            Stored::Failed
        }
    }
}

/// Logs pages that the state table does not accept instead of sending them. Returns their number.
pub(crate) fn withhold<'a>(pages: impl IntoIterator<Item = &'a OwedPage>) -> u32 {
    let mut count = 0;
    for OwedPage { subject, body, .. } in pages {
        tracing::error!(
            subject,
            body,
            "withheld a page about certificates that cannot be remembered; the alarm on PagesWithheld reports it"
        );
        count += 1;
    }
    count
}

/// The pages that this process sent although no record could be stored: pages about a refused step, or a record of a
/// newer version. Without this memory, each run would page again.
#[derive(Debug, Default)]
pub(crate) struct Unstored(Mutex<UnstoredPages>);

#[derive(Debug, Default)]
struct UnstoredPages {
    /// The newest page that was sent, by subject.
    sent: BTreeMap<String, (String, Timestamp)>,
    /// Pages that could neither be stored nor sent, by subject.
    unsent: BTreeMap<String, OwedPage>,
}

impl Unstored {
    /// Sends a page without a stored record, unless the same page was sent within the policy's `repeat_after`. Returns
    /// `false` if it was not sent; it then waits for the next invocation of this process.
    pub(crate) async fn send(
        &self,
        ports: &Ports,
        subject: &str,
        page: &OwedPage,
        policy: &CertificatesPolicy,
    ) -> bool {
        let repeat = policy.paging.repeat_after.get();
        let mut pages = self.0.lock().await;
        let is_same = |(text, at): &(String, Timestamp)| *text == page.subject && *at + repeat > page.at;
        if pages.sent.get(subject).is_some_and(is_same) {
            return true;
        }
        let sent = send(ports, page).await;
        if sent {
            pages.sent.insert(subject.to_owned(), (page.subject.clone(), page.at));
            pages.unsent.remove(subject);
        } else {
            pages.unsent.insert(subject.to_owned(), page.clone());
        }
        sent
    }

    /// Sends the pages that an earlier invocation could neither store nor send.
    pub(crate) async fn send_unsent(&self, ports: &Ports) {
        let mut pages = self.0.lock().await;
        for (subject, page) in std::mem::take(&mut pages.unsent) {
            if send(ports, &page).await {
                pages.sent.insert(subject, (page.subject, page.at));
            } else {
                pages.unsent.insert(subject, page);
            }
        }
    }
}

/// Sends the pages of a stored record, and stores that they were sent.
pub(crate) async fn settle(
    ports: &Ports,
    subject: &str,
    record: &Record,
    revision: u64,
    pages: &[&OwedPage],
    now: Timestamp,
) {
    let mut all_sent = true;
    for page in pages {
        all_sent &= send(ports, page).await;
    }
    if all_sent && record.owed.is_some() {
        let record = Record { owed: None, ..record.clone() };
        // If this fails, the next run sends the page again: twice is better than never.
        store(ports, subject, revision, &record, None, now).await;
    }
}

/// Reports a decision and its outcome to other programs.
pub(crate) async fn publish(ports: &Ports, account: &Account, news: &News, outcome: Option<&Outcome>, calls: &Calls) {
    if news.to_tell || outcome.is_some_and(Outcome::is_news) {
        let detail = json!({ "function": NAME, "decision": account.line });
        let event = BusEvent { detail_type: "Meshwarden Decision".to_owned(), detail, resources: Vec::new() };
        if let Err(error) = calls.noted(BUS, ports.bus.put(&[event]).await) {
            tracing::warn!(error, "failed to put a decision about certificates on the event bus");
        }
    }
}

/// The most characters of a page's body: the page is stored with the record until it is sent.
const LONGEST_BODY: usize = 6000;

/// The page about a line of the report.
pub(crate) fn page_about(account: &Account, now: Timestamp) -> OwedPage {
    let line = &account.line;
    let facts = serde_json::to_string_pretty(line).unwrap_or_default();
    let body = format!("{}\n\n{facts}\n", account.text);
    OwedPage {
        subject: headline(&format!("{}: {} {}", line.decision, line.reason, line.resource)),
        body: body.chars().take(LONGEST_BODY).collect(),
        at: now,
    }
}

/// Sends a page. Returns whether it was sent.
pub(crate) async fn send(ports: &Ports, page: &OwedPage) -> bool {
    let notice = Notice { urgency: Urgency::Page, subject: page.subject.clone(), body: page.body.clone() };
    match ports.notifier.notify(&notice).await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, subject = notice.subject, "failed to send a page");
            false
        }
    }
}

/// A subject that SNS accepts: at most 100 printable ASCII characters.
fn headline(text: &str) -> String {
    text.chars().map(|one| if one.is_ascii_graphic() || one == ' ' { one } else { '?' }).take(100).collect()
}
