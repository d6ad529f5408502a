//! The form of all documents in format 1.

use std::collections::BTreeMap;

use decisions::failover::LastNotification;
use jiff::Timestamp;
use mesh::watch::Watch;
use serde::{Deserialize, Serialize};

use crate::{BusEvent, Notice};

/// A document in format 1. All members but `state` are the same for all functions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document<S> {
    /// The format: 1.
    pub format: u32,
    /// The function's own part.
    pub state: S,
    /// The plans that were begun and have no known outcome, by subject.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub intents: BTreeMap<String, Intent>,
    /// The last reports, by subject.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reported: BTreeMap<String, Reported>,
    /// The messages that are not known to have been sent, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Message>,
}

impl<S> Document<S> {
    /// A document without intents, reports and messages.
    #[must_use]
    pub const fn new(state: S) -> Self {
        Self { format: 1, state, intents: BTreeMap::new(), reported: BTreeMap::new(), outbox: Vec::new() }
    }

    /// Whether the document has nothing but its state.
    #[must_use]
    pub fn is_state_only(&self) -> bool {
        self.intents.is_empty() && self.reported.is_empty() && self.outbox.is_empty()
    }
}

/// A plan that was begun and has no known outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The id of the plan.
    pub plan: String,
    /// When the plan was begun; unset if format 0 did not store it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Timestamp>,
    /// The message that is due once the plan is executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<MessageContent>,
}

/// The last reports about a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reported {
    /// The last reported decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<LastNotification>,
    /// A digest of the last reported decision, for functions that report by condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// When each condition that outlasts other decisions was last paged.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pages: BTreeMap<String, Timestamp>,
    /// The time for which the last decision, which was not final, has been the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
}

impl Reported {
    /// Whether no report is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A message that is not known to have been sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The id of the message, which is unique in its document.
    pub id: String,
    /// When the message was decided; unset if format 0 did not store it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Until when the run that stored the message may send it; after that the next run sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_until: Option<Timestamp>,
    /// The content.
    #[serde(flatten)]
    pub content: MessageContent,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MessageContent {
    /// A message to people.
    Notice(Notice),
    /// An event for other programs.
    Event(BusEvent),
    /// A change that was made; the sender adds the subject of the notice.
    Change {
        /// The code of the reason.
        code: String,
        /// The reason.
        text: String,
    },
}
