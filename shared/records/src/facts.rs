//! The facts of decisions that commands show member by member.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ReadError;
use crate::decision::DecisionEntry;

/// The facts of a decision of change-audit.
#[derive(Clone, Debug, PartialEq)]
pub enum AuditFacts {
    /// A change of a resource.
    Change(Box<ChangeFacts>),
    /// A write that was refused, or that explains a change of an earlier run.
    Write(Box<RefusalFacts>),
    /// The first reading of a mesh.
    FirstReading,
    /// Other facts, which are shown as they are.
    Other(Value),
}

impl AuditFacts {
    /// Reads the facts of a decision by its reason code.
    pub fn read(decision: &DecisionEntry) -> Result<Self, ReadError> {
        const AT: &str = "facts";
        match decision.reason.as_str() {
            "Written" | "WritesBetween" | "NoEvent" => {
                ReadError::decode(&decision.facts, AT).map(Box::new).map(Self::Change)
            }
            "Attributed" | "Refused" => ReadError::decode(&decision.facts, AT).map(Box::new).map(Self::Write),
            "FirstSight" => Ok(Self::FirstReading),
            _ => Ok(Self::Other(decision.facts.clone())),
        }
    }
}

/// A change of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeFacts {
    /// The kind of the change, as in `updated`.
    pub change: String,
    /// The version and times of the resource before; `null` if it did not exist.
    #[serde(default)]
    pub before: Value,
    /// The version and times of the resource after; `null` if it is deleted.
    #[serde(default)]
    pub after: Value,
    /// The first members that differ.
    #[serde(default)]
    pub members: Vec<ChangedMember>,
    /// The number of further members that differ.
    #[serde(default)]
    pub more_members: usize,
    /// The writes that made the change.
    #[serde(default)]
    pub cause: Value,
    /// The callers that made the change.
    #[serde(default)]
    pub by: Vec<String>,
    /// The findings that the change created.
    #[serde(default)]
    pub created: FindingsSummary,
    /// The findings that the change resolved.
    #[serde(default)]
    pub cleared: FindingsSummary,
    /// The edges with a worse TLS verdict.
    #[serde(default)]
    pub worse: Value,
}

/// A member that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedMember {
    /// The place, as in `spec.listeners[0].tls.mode`.
    pub path: String,
    /// The value before, as JSON; unset if the member was absent.
    #[serde(default)]
    pub before: Option<String>,
    /// The value after, as JSON; unset if the member is absent.
    #[serde(default)]
    pub after: Option<String>,
}

/// The findings that a change created or resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingsSummary {
    /// The number of all findings.
    pub count: usize,
    /// The first findings.
    pub first: Vec<FindingSummary>,
}

/// A finding of a summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingSummary {
    /// The id of the finding; empty in entries that lack it.
    #[serde(default)]
    pub id: String,
    /// The id of the rule.
    pub rule: String,
    /// The severity; empty in entries that lack it.
    #[serde(default)]
    pub severity: String,
    /// The resource; empty in entries that lack it.
    #[serde(default)]
    pub resource: String,
}

/// A write that an event reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteSummary {
    /// The operation, as in `UpdateRoute`.
    pub operation: String,
    /// When the write was made.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// The version of the resource after the write.
    #[serde(default)]
    pub version: Option<u64>,
    /// The caller.
    pub by: String,
    /// The function of Meshwarden that made the write, if one did.
    #[serde(default)]
    pub function: Option<String>,
}

/// A write that was refused, or that explains a change of an earlier run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusalFacts {
    /// The write.
    pub write: WriteSummary,
    /// The error that the caller got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the change that the write explains was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
}

/// The facts of a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperatorFacts {
    /// The name of the operator.
    pub by: String,
    /// The other facts, which depend on the command.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl OperatorFacts {
    /// Reads the facts of a command's decision.
    pub fn read(decision: &DecisionEntry) -> Result<Self, ReadError> {
        ReadError::decode(&decision.facts, "facts")
    }
}

/// The facts of a command on dead letters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetterFacts {
    /// The name of the operator.
    pub by: String,
    /// The address of the dead-letter queue.
    pub queue: String,
    /// The dead letters.
    pub letters: Vec<DeadLetterEntry>,
}

/// A dead letter that a command sent again or dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterEntry {
    /// The id of the message.
    pub id: String,
    /// The function that the event is for.
    #[serde(default)]
    pub function: Option<String>,
    /// The queue, rule, topic or function that the event comes from.
    #[serde(default)]
    pub source: Option<String>,
    /// Why the event is a dead letter.
    pub reason: String,
    /// A summary of the events in the letter.
    pub events: String,
    /// The queue that the event was sent to; unset for a letter that was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The event; unset for a letter that was sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

impl DeadLetterFacts {
    /// Reads the facts of a command's decision.
    pub fn read(decision: &DecisionEntry) -> Result<Self, ReadError> {
        ReadError::decode(&decision.facts, "facts")
    }
}
