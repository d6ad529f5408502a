//! The stored record of a mesh.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use mesh::name::ResourcePath;
use mesh::watch::Watch;

/// The maximum number of notices that wait to be sent.
const MOST_OWED: usize = 5;

/// The maximum number of events that wait to be published.
const MOST_OWED_EVENTS: usize = 20;

/// The maximum number of characters of a waiting event's facts.
const LONGEST_OWED_EVENT: usize = 4_000;

/// The maximum number of characters of a waiting notice: a document is limited to 400 KB.
const LONGEST_OWED: usize = 8_000;

/// The stored record of a mesh.
///
/// Unknown members survive a write, since a newer version may have written them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ComplianceRecord {
    /// The plans that were begun and have no recorded outcome, by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub intents: BTreeMap<ResourcePath, String>,
    /// The digest of the last reported decision about each non-compliant resource.
    #[serde(rename = "told")]
    pub reported: BTreeMap<ResourcePath, String>,
    /// The notices that could not be sent, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<OwedNotice>,
    /// The events that could not be published, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owed_events: Vec<OwedEvent>,
    /// The repairs that are not completed, by resource; after a time they count as a standstill.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub watches: BTreeMap<ResourcePath, Watch>,
    /// The members of a newer version.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// A notice that could not be sent yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedNotice {
    /// Whether it pages an operator.
    pub page: bool,
    /// The subject line.
    pub subject: String,
    /// The body.
    pub body: String,
}

/// An event that could not be published yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwedEvent {
    /// The detail type, for example `Meshwarden Decision`.
    pub detail_type: String,
    /// The detail.
    pub detail: Value,
    /// The ARNs of its resources.
    #[serde(default)]
    pub resources: Vec<String>,
}

impl ComplianceRecord {
    /// Adds a notice that could not be sent. Beyond the maximum, the oldest notices are dropped; the journal
    /// has their contents.
    pub fn owe(&mut self, mut notice: OwedNotice) {
        let cut = notice.body.char_indices().nth(LONGEST_OWED).map(|(at, _)| at);
        if let Some(cut) = cut {
            notice.body.truncate(cut);
        }
        self.owed.push(notice);
        let superfluous = self.owed.len().saturating_sub(MOST_OWED);
        self.owed.drain(..superfluous);
    }

    /// Adds an event that could not be published. Beyond the maximum, the oldest events are dropped, and long events
    /// lose their facts; the journal has both.
    pub fn owe_event(&mut self, mut event: OwedEvent) {
        if event.detail.to_string().chars().count() > LONGEST_OWED_EVENT
            && let Some(decision) = event.detail.get_mut("decision").and_then(Value::as_object_mut)
        {
            decision.insert("facts".to_owned(), Value::Null);
            decision.insert("plan".to_owned(), Value::Null);
        }
        self.owed_events.push(event);
        let superfluous = self.owed_events.len().saturating_sub(MOST_OWED_EVENTS);
        self.owed_events.drain(..superfluous);
    }

    /// Removes the entries of deleted resources.
    pub fn retain_existing(&mut self, exists: impl Fn(&ResourcePath) -> bool) {
        self.reported.retain(|path, _| exists(path));
        self.intents.retain(|path, _| exists(path));
        self.watches.retain(|path, _| exists(path));
    }
}
