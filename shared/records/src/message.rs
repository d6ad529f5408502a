//! Messages to people and programs, as they are stored until they are sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A message to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Whether the message pages.
    pub urgency: Urgency,
    /// One line of at most 100 printable ASCII characters, which is SNS's limit for a subject.
    pub subject: String,
    /// The whole text.
    pub body: String,
}

/// The urgency of a message for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    /// Now: the message pages.
    Page,
    /// During working hours.
    Note,
}

/// An event for other programs. The event bus adds the source: `meshwarden`, or `meshwarden.appmesh` for writes to meshes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BusEvent {
    /// The kind of the event, as in `Meshwarden Decision`.
    pub detail_type: String,
    /// The content of the event.
    pub detail: Value,
    /// The ARNs of the resources that the event is about.
    pub resources: Vec<String>,
}
