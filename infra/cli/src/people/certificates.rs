//! The expiry and the rotation state of certificates, from the state table.

use decisions::rotation::{RotationMemory, RotationRecord};
use jiff::Timestamp;
use ports::StateKey;
use records::certificate_memory;
use serde::Serialize;
use serde_json::Value;

use super::route_state::short;

/// A certificate with a known end, or a certificate or trust with an unfinished or failing rotation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Certificate {
    /// The source of the certificate or trust.
    pub(super) subject: String,
    /// The end of validity. Unset for trust, and for records of earlier versions.
    ends: Option<Timestamp>,
    /// Whole days until the end, rounded down; negative after the end.
    days: Option<i64>,
    #[serde(flatten)]
    state: RotationState,
}

#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum RotationState {
    /// A new certificate exists, but has not replaced the old one yet.
    Unfinished { since: Timestamp, attempt: u32, failures: u32, why: Option<String> },
    /// No rotation is in progress, and none failed.
    Settled,
    /// No rotation is in progress, since the last steps failed.
    Failing { failures: u32, last: Timestamp, why: String },
    /// The certificate was revoked, and is not replaced yet.
    Revoked,
    /// An operator or another controller made a replaced certificate current again.
    MovedBack { since: Timestamp },
    /// The record is unreadable.
    Unreadable { why: String },
}

impl Certificate {
    /// `None` if no record exists, or the certificate is settled and its end is unknown.
    pub(super) fn new(subject: String, stored: &Value, now: Timestamp) -> Option<Self> {
        let unreadable = |why: String| {
            let state = RotationState::Unreadable { why };
            Some(Self { subject: subject.clone(), ends: None, days: None, state })
        };
        let record = match certificate_memory(&StateKey::certificate(&subject), stored) {
            RotationMemory::Record(record) => *record,
            RotationMemory::None => return None,
            RotationMemory::Unreadable(why) => return unreadable(why),
            RotationMemory::Newer { format } => {
                return unreadable(format!("its format {format} is newer than this command"));
            }
        };
        let ends = record.leaf.as_ref().and_then(|leaf| leaf.ends);
        let days = ends.map(|ends| ends.duration_since(now).as_secs().div_euclid(24 * 60 * 60));
        let state = RotationState::from_record(record);
        (ends.is_some() || !matches!(state, RotationState::Settled)).then_some(Self { subject, ends, days, state })
    }

    /// The sort key: the earliest end first, unknown ends last.
    pub(super) fn order(&self) -> (bool, Option<Timestamp>, &str) {
        (self.ends.is_none(), self.ends, &self.subject)
    }

    /// Whether no rotation is unfinished or failing, and the certificate does not end within so many days.
    pub(super) fn is_settled(&self, within_days: u16) -> bool {
        let ends_later = self.days.is_none_or(|days| days > i64::from(within_days));
        match self.state {
            RotationState::Settled => ends_later,
            RotationState::Unfinished { .. }
            | RotationState::Failing { .. }
            | RotationState::Revoked
            | RotationState::MovedBack { .. }
            | RotationState::Unreadable { .. } => false,
        }
    }

    pub(super) fn words(&self) -> String {
        let end = match (self.ends, self.days) {
            (Some(ends), Some(days)) if days < 0 => Some(format!("ended {}", short(ends))),
            (Some(ends), Some(days)) => Some(format!("{days} days left, until {}", short(ends))),
            (None, _) | (_, None) => None,
        };
        end.into_iter().chain(self.state.words()).collect::<Vec<_>>().join("; ")
    }
}

impl RotationState {
    fn from_record(record: RotationRecord) -> Self {
        let is_revoked = record.leaf.as_ref().is_some_and(|leaf| leaf.revoked);
        let moved_back = record.leaf.as_ref().and_then(|leaf| leaf.moved_back.as_ref());
        if let Some(moved) = moved_back.filter(|moved| moved.released.is_none()) {
            return Self::MovedBack { since: moved.seen };
        }
        let attempt = record.leaf.and_then(|leaf| leaf.attempt);
        match (attempt, record.failures) {
            (Some(attempt), failures) => Self::Unfinished {
                since: attempt.at,
                attempt: attempt.number,
                failures: failures.as_ref().map_or(0, |failures| failures.count),
                why: failures.map(|failures| failures.why),
            },
            (None, Some(failures)) => {
                Self::Failing { failures: failures.count, last: failures.last, why: failures.why }
            }
            (None, None) if is_revoked => Self::Revoked,
            (None, None) => Self::Settled,
        }
    }

    fn words(&self) -> Option<String> {
        Some(match self {
            Self::Settled => return None,
            Self::Unfinished { since, attempt, why, .. } => {
                let why = why.as_ref().map_or_else(String::new, |why| format!("; {why}"));
                format!("rotation unfinished since {} (attempt {attempt}){why}", short(*since))
            }
            Self::Failing { failures, last, why } => {
                format!("rotation failed {failures} times, last {}: {why}", short(*last))
            }
            Self::Revoked => "revoked, and not replaced yet".to_owned(),
            Self::MovedBack { since } => format!("rolled back to a replaced certificate, read {}", short(*since)),
            Self::Unreadable { why } => format!("failed to read its record: {why}"),
        })
    }
}
