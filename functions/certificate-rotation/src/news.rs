//! The news about a subject: its record, its page, and its event.
//!
//! A page is stored with the record before it is sent, and removed from it afterwards.

use decisions::rotation::{
    OwedPage, RotationDecision as Decision, RotationRecord as Record, rotation_notification, standstill,
};
use jiff::Timestamp;
use policy::CertificatesPolicy;
use ports::{BusEvent, Notice, Urgency};
use runner::{Decision as Line, Message};
use serde::Serialize;
use serde_json::json;

use crate::NAME;
use crate::lines;
use crate::observe::Observation;
use crate::trigger::EventNotice;

/// The most characters of a page's body: the page is stored with the record until it is sent.
const LONGEST_BODY: usize = 6000;

/// The record of a subject as its document. The document has room for one page; further pages are sent before the
/// document is stored.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct SubjectRecord {
    pub(crate) record: Record,
    #[serde(skip)]
    further: Vec<OwedPage>,
}

/// Pages without room do not make a document differ.
impl PartialEq for SubjectRecord {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl From<Record> for SubjectRecord {
    fn from(record: Record) -> Self {
        Self { record, further: Vec::new() }
    }
}

impl SubjectRecord {
    /// Adds a page.
    pub(crate) fn owe(&mut self, page: OwedPage) {
        self.further.extend(self.record.owed.replace(page));
    }
}

impl runner::DocumentState for SubjectRecord {
    fn messages(&self) -> Vec<Message> {
        let page = |page: &OwedPage| {
            let (subject, body) = (page.subject.clone(), page.body.clone());
            Message::Notice(Notice { urgency: Urgency::Page, subject, body })
        };
        self.further.iter().chain(&self.record.owed).map(page).collect()
    }

    fn set_messages(&mut self, messages: Vec<Message>) -> Vec<Message> {
        let pages: Vec<OwedPage> = self.further.drain(..).chain(self.record.owed.take()).collect();
        let mut dropped = Vec::new();
        for message in messages {
            let known = match &message {
                Message::Notice(notice) => pages.iter().find(|page| page.subject == notice.subject),
                Message::Event(_) => None,
            };
            match known {
                Some(page) => self.owe(page.clone()),
                None => dropped.push(message),
            }
        }
        let older = std::mem::take(&mut self.further).into_iter();
        let older = older.map(|page| Notice { urgency: Urgency::Page, subject: page.subject, body: page.body });
        older.map(Message::Notice).chain(dropped).collect()
    }
}

/// The record of a decision with its news.
pub(crate) struct SubjectNews {
    /// The record as it should be stored before a step, or without one.
    pub(crate) record: SubjectRecord,
    /// Whether the decision is to be reported.
    pub(crate) is_new: bool,
    /// Whether a page is due now.
    pub(crate) has_page: bool,
}

/// Compares a decision with the last notification about its subject. `started` is when the run began.
pub(crate) fn news(
    decision: &Decision,
    seen: &Observation,
    policy: &CertificatesPolicy,
    started: Timestamp,
    now: Timestamp,
) -> SubjectNews {
    let subject = decision.subject.name();
    let mut record = decision.record.clone().or_else(|| seen.record(&subject).cloned()).unwrap_or_default();
    let notification =
        rotation_notification(decision, record.last_notification.as_ref(), record.failures.as_ref(), policy, now);
    record.last_notification = notification.last_notification;
    if let Some(failures) = record.failures.as_mut().filter(|_| notification.failures_paged) {
        failures.paged = Some(now);
    }
    let (watch, stuck) = standstill(decision, record.failures.as_ref(), record.watch.as_ref(), policy, started);
    record.watch = watch;
    let decided = || page_about_decision(decision, now);
    let stuck = stuck.map(|stuck| {
        let line = Line::new(stuck.subject.clone(), "hold", "NoProgress", json!(stuck));
        page(&line, &stuck.to_string(), now)
    });
    let event = seen.event_pages.get(&subject).map(|notice| page_about_event(notice, now));
    let page = notification.page.then(decided).or(stuck).or(event);
    let has_page = page.is_some();
    let mut record = SubjectRecord::from(record);
    if let Some(page) = page {
        record.owe(page);
    }
    SubjectNews { record, is_new: notification.news, has_page }
}

fn page_about_decision(decision: &Decision, now: Timestamp) -> OwedPage {
    let entry = lines::entry(decision);
    let text = entry.text.clone().unwrap_or_default();
    page(&Line::from(&entry), &text, now)
}

/// The page about an event without a decision.
pub(crate) fn page_about_event(notice: &EventNotice, now: Timestamp) -> OwedPage {
    page(&lines::hold(notice), &notice.text, now)
}

/// The page about a line of the report.
pub(crate) fn page(line: &Line, text: &str, now: Timestamp) -> OwedPage {
    let facts = serde_json::to_string_pretty(line).unwrap_or_default();
    let body = format!("{text}\n\n{facts}\n");
    OwedPage {
        subject: headline(&format!("{}: {} {}", line.decision, line.reason, line.resource)),
        body: body.chars().take(LONGEST_BODY).collect(),
        at: now,
    }
}

/// The event about a decision and its outcome.
pub(crate) fn event(line: &Line) -> Message {
    let detail = json!({ "function": NAME, "decision": line });
    Message::Event(BusEvent { detail_type: "Meshwarden Decision".to_owned(), detail, resources: Vec::new() })
}

/// A subject that SNS accepts: at most 100 printable ASCII characters.
fn headline(text: &str) -> String {
    text.chars().map(|one| if one.is_ascii_graphic() || one == ' ' { one } else { '?' }).take(100).collect()
}
