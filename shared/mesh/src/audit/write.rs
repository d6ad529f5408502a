//! A write to a mesh, as an event tells it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Caller;
use crate::name::{AccountId, ResourcePath};

/// A write to a mesh that somebody made, or tried to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    /// The operation, as in `UpdateRoute`.
    pub operation: String,
    /// The resource; unset only where a refused call doesn't tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourcePath>,
    /// When it was made, to the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The version of the resource after it, where the event tells the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The event's id: the same when it comes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why it was refused, if it was: then nothing has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who owns the mesh, as far as the event says. Another account may have a mesh of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_owner: Option<AccountId>,
    /// Who made it.
    pub caller: Caller,
}

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It creates a resource, or replaces its spec: the version rises.
    Spec,
    /// It takes a resource away.
    Delete,
    /// It changes tags: the version stays.
    Tags,
}

impl Write {
    /// What it does.
    #[must_use]
    pub fn act(&self) -> Act {
        if self.operation.starts_with("Delete") {
            Act::Delete
        } else if matches!(self.operation.as_str(), "TagResource" | "UntagResource") {
            Act::Tags
        } else {
            Act::Spec
        }
    }

    /// What tells this write from every other of the same resource, as far as the event says.
    #[must_use]
    pub fn mark(&self) -> String {
        match (self.act(), self.version, &self.id, self.at) {
            (Act::Spec, Some(version), _, _) => format!("version {version}"),
            (_, _, Some(id), _) => id.clone(),
            (_, _, None, Some(at)) => format!("{} {at}", self.operation),
            (_, _, None, None) => self.operation.clone(),
        }
    }
}
