//! The document of a mesh as change-audit keeps it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::name::ResourcePath;
use rules::audit::{OpenChange, Write};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::{Document, Message, MessageContent};
use crate::format_0::not_in_format_0;
use crate::stored::DocumentRecord;
use crate::{BusEvent, Notice, StateKey, Urgency};

/// The document of a mesh in format 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditRecord {
    /// When the whole mesh was last read.
    pub seen_at: Option<Timestamp>,
    /// When single resources were read again since then.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub read_again: BTreeMap<ResourcePath, Timestamp>,
    /// The place of the last snapshot.
    pub state: SnapshotLocation,
    /// The changes with writes that no event has reported.
    pub open: Vec<OpenChange>,
    /// The writes that events reported while the mesh could not be read.
    pub waiting: Vec<Write>,
    /// The messages that are not known to have been sent.
    pub owed: Vec<AuditOutboxEntry>,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The place of a snapshot of a mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "kebab-case")]
pub enum SnapshotLocation {
    /// No snapshot is stored: the mesh was never read, or its snapshot was too large and no other store exists.
    #[default]
    Nowhere,
    /// The snapshot is in the document.
    Here {
        /// The digest of the snapshot's text.
        sha256: String,
        /// The snapshot.
        snapshot: Value,
    },
    /// The snapshot is in the reports store.
    Report {
        /// The digest of the snapshot's text.
        sha256: String,
        /// The name of the object.
        name: String,
    },
}

/// A message that is not known to have been sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditOutboxEntry {
    /// The id of the message.
    pub id: String,
    /// Until when the run that stored the message may send it.
    pub until: Timestamp,
    /// The content.
    pub what: AuditMessage,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuditMessage {
    /// A message to people.
    Notice(Notice),
    /// An event for other programs.
    Event(BusEvent),
}

/// The state of a mesh in format 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditState {
    /// When the whole mesh was last read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    /// When single resources were read again since then.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub read_again: BTreeMap<ResourcePath, Timestamp>,
    /// The place of the last snapshot.
    pub snapshot: SnapshotLocation,
    /// The changes with writes that no event has reported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<OpenChange>,
    /// The writes that events reported while the mesh could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Write>,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl DocumentRecord for AuditRecord {
    type State = AuditState;

    fn into_document(self, _: &StateKey) -> Document<AuditState> {
        let Self { seen_at, read_again, state, open, waiting, owed, other } = self;
        let outbox = owed.into_iter().map(|AuditOutboxEntry { id, until, what }| Message {
            id,
            at: None,
            claimed_until: Some(until),
            content: match what {
                AuditMessage::Notice(notice) => MessageContent::Notice(notice),
                AuditMessage::Event(event) => MessageContent::Event(event),
            },
        });
        let outbox = outbox.collect();
        let state = AuditState { seen_at, read_again, snapshot: state, open, waiting, other };
        Document { outbox, ..Document::new(state) }
    }

    fn from_document(document: Document<AuditState>, _: &StateKey) -> Result<Self, String> {
        let Document { state, intents, reported, outbox, .. } = document;
        if !intents.is_empty() || !reported.is_empty() {
            return Err(not_in_format_0());
        }
        let AuditState { seen_at, read_again, snapshot, open, waiting, other } = state;
        let owed = outbox.into_iter().map(|message| AuditOutboxEntry {
            id: message.id,
            // A message without a claim is sent by the next run.
            until: message.claimed_until.unwrap_or(Timestamp::UNIX_EPOCH),
            what: match message.content {
                MessageContent::Notice(notice) => AuditMessage::Notice(notice),
                MessageContent::Event(event) => AuditMessage::Event(event),
                MessageContent::Change { code, text } => {
                    AuditMessage::Notice(Notice { urgency: Urgency::Note, subject: code, body: text })
                }
            },
        });
        let owed = owed.collect();
        Ok(Self { seen_at, read_again, state: snapshot, open, waiting, owed, other })
    }
}
