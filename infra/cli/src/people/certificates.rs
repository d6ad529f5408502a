//! Where the rotation of a certificate stands, as far as the state table knows.

use jiff::Timestamp;
use mesh::rotation::Record;
use serde::Serialize;
use serde_json::Value;

use super::standing::short;

/// A certificate, or trust, of which a rotation is unfinished or fails.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Certificate {
    /// Its source.
    pub(super) subject: String,
    #[serde(flatten)]
    state: RotationState,
}

#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum RotationState {
    /// A new one was begun and has not taken the old one's place.
    Unfinished { since: Timestamp, attempt: u32, failures: u32, why: Option<String> },
    /// Nothing is under way, since the last steps went wrong.
    Failing { failures: u32, last: Timestamp, why: String },
    /// It was withdrawn, and stands as it did.
    Revoked,
    /// What is remembered of it can't be read.
    Unreadable { why: String },
}

impl Certificate {
    /// `None` where nothing is under way and nothing fails.
    pub(super) fn of(subject: String, document: &Value) -> Option<Self> {
        let state = match serde_json::from_value::<Record>(document.clone()) {
            Err(error) => RotationState::Unreadable { why: error.to_string() },
            Ok(record) => {
                let attempt = record.leaf.as_ref().and_then(|leaf| leaf.attempt.clone());
                match (attempt, record.failures) {
                    (Some(attempt), failures) => RotationState::Unfinished {
                        since: attempt.at,
                        attempt: attempt.number,
                        failures: failures.as_ref().map_or(0, |failures| failures.count),
                        why: failures.map(|failures| failures.why),
                    },
                    (None, Some(failures)) => {
                        RotationState::Failing { failures: failures.count, last: failures.last, why: failures.why }
                    }
                    (None, None) if record.leaf.is_some_and(|leaf| leaf.revoked) => RotationState::Revoked,
                    (None, None) => return None,
                }
            }
        };
        Some(Self { subject, state })
    }

    pub(super) fn words(&self) -> String {
        match &self.state {
            RotationState::Unfinished { since, attempt, why, .. } => {
                let why = why.as_ref().map_or_else(String::new, |why| format!("; {why}"));
                format!("rotation unfinished since {} (attempt {attempt}){why}", short(*since))
            }
            RotationState::Failing { failures, last, why } => {
                format!("rotation failed {failures} times, last {}: {why}", short(*last))
            }
            RotationState::Revoked => "revoked, and not replaced yet".to_owned(),
            RotationState::Unreadable { why } => format!("what is remembered of it can't be read: {why}"),
        }
    }
}
