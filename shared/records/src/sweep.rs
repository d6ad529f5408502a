//! The documents of compliance-sweep: a mesh, and the parts of its findings.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::name::ResourcePath;
use rules::pack::{FindingId, Severity};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::{Document, Message, MessageContent};
use crate::format_0::not_in_format_0;
use crate::stored::DocumentRecord;
use crate::{BusEvent, EventId, Notice, StateKey, Urgency};

/// A finding with the time of its first sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatedFinding {
    /// When the finding was first reported.
    pub first_seen: Timestamp,
    /// The id of the rule. A later version may have removed the rule, so this is a text.
    pub rule: String,
    /// The severity.
    pub severity: Severity,
    /// The resource.
    pub resource: ResourcePath,
}

/// The document of a mesh in format 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SweepRecord {
    /// When the mesh was last swept.
    pub swept_at: Option<Timestamp>,
    /// The ids of the invocations that the mesh was swept for, the newest last.
    pub wakes: Vec<EventId>,
    /// The ARN of the mesh, which is needed after the mesh is deleted.
    pub arn: String,
    /// The resolved findings that Security Hub has not archived.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unarchived: Vec<(FindingId, DatedFinding)>,
    /// The number of further documents with the findings; unset if they are in this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<usize>,
    /// The findings; unset if they are in parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<BTreeMap<FindingId, DatedFinding>>,
    /// The messages that were not sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<SweepMessage>,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A message of a sweep that was not sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SweepMessage {
    /// A message to operators.
    Notice(Notice),
    /// An event for other programs.
    Event(BusEvent),
}

/// The state of a mesh in format 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SweepState {
    /// When the mesh was last swept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swept_at: Option<Timestamp>,
    /// The ids of the invocations that the mesh was swept for, the newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wakes: Vec<EventId>,
    /// The ARN of the mesh.
    pub arn: String,
    /// The resolved findings that Security Hub has not archived.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unarchived: Vec<(FindingId, DatedFinding)>,
    /// The number of further documents with the findings; unset if they are in this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<usize>,
    /// The findings; unset if they are in parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<BTreeMap<FindingId, DatedFinding>>,
    /// The number of findings of each severity, in all parts; unset if format 0 did not store it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<BTreeMap<Severity, usize>>,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The findings of one part of a mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FindingsPart {
    /// The findings with ids in this part.
    pub findings: BTreeMap<FindingId, DatedFinding>,
}

impl DocumentRecord for SweepRecord {
    type State = SweepState;

    fn into_document(self, _: &StateKey) -> Document<SweepState> {
        let Self { swept_at, wakes, arn, unarchived, parts, findings, owed, other } = self;
        let counts = findings.as_ref().filter(|_| swept_at.is_some()).map(|findings| counts(findings.values()));
        let outbox = owed.into_iter().enumerate().map(|(number, owed)| Message {
            id: number.to_string(),
            at: None,
            claimed_until: None,
            content: match owed {
                SweepMessage::Notice(notice) => MessageContent::Notice(notice),
                SweepMessage::Event(event) => MessageContent::Event(event),
            },
        });
        let outbox = outbox.collect();
        let state = SweepState { swept_at, wakes, arn, unarchived, parts, findings, counts, other };
        Document { outbox, ..Document::new(state) }
    }

    fn from_document(document: Document<SweepState>, _: &StateKey) -> Result<Self, String> {
        let Document { state, intents, reported, outbox, .. } = document;
        if !intents.is_empty() || !reported.is_empty() {
            return Err(not_in_format_0());
        }
        // The counts follow from the findings.
        let SweepState { swept_at, wakes, arn, unarchived, parts, findings, counts: _, other } = state;
        let owed = outbox.into_iter().map(|message| match message.content {
            MessageContent::Notice(notice) => SweepMessage::Notice(notice),
            MessageContent::Event(event) => SweepMessage::Event(event),
            MessageContent::Change { code, text } => {
                SweepMessage::Notice(Notice { urgency: Urgency::Note, subject: code, body: text })
            }
        });
        let owed = owed.collect();
        Ok(Self { swept_at, wakes, arn, unarchived, parts, findings, owed, other })
    }
}

impl DocumentRecord for FindingsPart {
    type State = Self;

    fn into_document(self, _: &StateKey) -> Document<Self> {
        Document::new(self)
    }

    fn from_document(document: Document<Self>, _: &StateKey) -> Result<Self, String> {
        if document.is_state_only() { Ok(document.state) } else { Err(not_in_format_0()) }
    }
}

impl SweepState {
    /// The number of findings of each severity, for findings that were read from all parts.
    #[must_use]
    pub fn count<'f>(findings: impl IntoIterator<Item = &'f DatedFinding>) -> BTreeMap<Severity, usize> {
        counts(findings)
    }
}

fn counts<'f>(findings: impl IntoIterator<Item = &'f DatedFinding>) -> BTreeMap<Severity, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        *counts.entry(finding.severity).or_default() += 1;
    }
    counts
}
