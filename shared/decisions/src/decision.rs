//! The words that all deciders share: harms, the kill switch, and the memory of notifications.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A harm, as recorded in a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HarmFact {
    /// The stable id of the harm.
    pub id: String,
    /// The description of the harm.
    pub text: String,
}

/// The last notification of a subject; prevents the same notification in every invocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastNotification {
    /// The code of the reason.
    pub code: String,
    /// When the reason first applied.
    pub since: Timestamp,
    /// The number of later decisions with the same reason.
    pub repeats: u32,
    /// When the on-call operator was last paged for it.
    pub paged: Option<Timestamp>,
}

/// The kill switch, as an operator set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KillSwitchFact {
    /// The operator who set it.
    pub by: String,
    /// The operator's reason.
    pub reason: String,
}
