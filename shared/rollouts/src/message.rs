//! Messages that are stored with a rollout until they are sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A message that is stored until it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RolloutMessage {
    /// A notice to operators.
    Notice {
        /// Whether it pages.
        page: bool,
        /// The subject.
        subject: String,
        /// The text.
        body: String,
    },
    /// An event for other programs.
    #[serde(rename_all = "camelCase")]
    Event {
        /// The kind of the event.
        detail_type: String,
        /// The content.
        detail: Value,
    },
}
