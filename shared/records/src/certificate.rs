//! The document of a certificate, of a trust, or of a mesh as certificate-rotation reads it.

use std::collections::{BTreeMap, BTreeSet};

use decisions::rotation::{ConsecutiveFailures, LeafRecord, OwedPage, RECORD_FORMAT, RotationMemory, RotationRecord};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::{Document, Message, MessageContent, Reported};
use crate::plain::{parked, unpark};
use crate::stored::{DocumentRecord, read_record};
use crate::{DocumentError, Notice, StateKey, Urgency};

/// The state of a certificate, a trust or a mesh in format 1. The members have the meaning of those of [`RotationRecord`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateState {
    /// The leaf; unset for a trust and for a mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<LeafRecord>,
    /// The failures in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<ConsecutiveFailures>,
    /// For a mesh: digests of the certificates and trusts that it used when it was last read whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub had: Option<BTreeSet<String>>,
    /// When each event was paged, by its code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reported_events: BTreeMap<String, Timestamp>,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The id of the page in the outbox.
const PAGE: &str = "page";

impl DocumentRecord for RotationRecord {
    type State = CertificateState;

    const FORMAT_0: u64 = 1;

    fn into_document(mut self, key: &StateKey) -> Document<CertificateState> {
        let (intents, mut reported, mut outbox) = unpark(&mut self.unknown);
        let last = Reported { decision: self.last_notification, watch: self.watch, ..Reported::default() };
        if !last.is_empty() {
            reported.insert(key.subject(), last);
        }
        outbox.extend(self.owed.map(|OwedPage { subject, body, at }| Message {
            id: PAGE.to_owned(),
            at: Some(at),
            claimed_until: None,
            content: MessageContent::Notice(Notice { urgency: Urgency::Page, subject, body }),
        }));
        let state = CertificateState {
            leaf: self.leaf,
            failures: self.failures,
            had: self.had,
            reported_events: self.reported_events,
            unknown: self.unknown,
        };
        Document { format: 1, state, intents, reported, outbox }
    }

    fn from_document(document: Document<CertificateState>, key: &StateKey) -> Result<Self, String> {
        let Document { state, intents, mut reported, mut outbox, .. } = document;
        let CertificateState { leaf, failures, had, reported_events, unknown } = state;
        let Reported { decision: last_notification, watch, .. } = reported.remove(&key.subject()).unwrap_or_default();
        let page_at = outbox.iter().position(|message| page(message).is_some());
        let owed = page_at.map(|at| outbox.remove(at)).as_ref().and_then(page);
        let unknown = parked(unknown, &intents, &reported, &outbox);
        Ok(Self {
            format: RECORD_FORMAT,
            leaf,
            failures,
            last_notification,
            had,
            watch,
            owed,
            reported_events,
            unknown,
        })
    }
}

/// The memory of a certificate, a trust or a mesh, from its stored document.
#[must_use]
pub fn certificate_memory(key: &StateKey, stored: &Value) -> RotationMemory {
    match read_record(key, stored) {
        Ok(record) => RotationMemory::Record(Box::new(record)),
        Err(DocumentError::NewerFormat { format, .. }) => RotationMemory::Newer { format },
        Err(DocumentError::Malformed { message, .. }) => RotationMemory::Unreadable(message),
    }
}

/// The page of a message, if it is one.
fn page(message: &Message) -> Option<OwedPage> {
    match (&message.content, message.at) {
        (MessageContent::Notice(Notice { urgency: Urgency::Page, subject, body }), Some(at)) => {
            Some(OwedPage { subject: subject.clone(), body: body.clone(), at })
        }
        (MessageContent::Notice(_) | MessageContent::Event(_) | MessageContent::Change { .. }, _) => None,
    }
}
