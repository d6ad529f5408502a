//! A write to a mesh, from an event.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ApiCaller;
use mesh::name::{AccountId, ResourcePath};

/// A write to a mesh, successful or rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    /// The operation, for example `UpdateRoute`.
    pub operation: String,
    /// The resource; absent only if the event of a rejected call lacks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourcePath>,
    /// When it was made, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The version of the resource after the write, if the event has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The event's id; the same for a repeated delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The error of a rejected write, which changed nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The owner of the mesh, if the event has it. Another account may have a mesh of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh_owner: Option<AccountId>,
    /// The owner of the mesh as the parameters or the answer name it: another account for a mesh that is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_owner: Option<AccountId>,
    /// The caller.
    pub caller: ApiCaller,
}

/// The kind of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    /// Creates a resource, or replaces its spec: the version increases.
    Spec,
    /// Deletes a resource.
    Delete,
    /// Changes tags: the version stays.
    Tags,
}

impl Write {
    /// The kind of the write.
    #[must_use]
    pub fn kind(&self) -> WriteKind {
        if self.operation.starts_with("Delete") {
            WriteKind::Delete
        } else if matches!(self.operation.as_str(), "TagResource" | "UntagResource") {
            WriteKind::Tags
        } else {
            WriteKind::Spec
        }
    }

    /// Distinguishes this write from other writes of the same resource, as far as the event permits.
    #[must_use]
    pub fn mark(&self) -> String {
        match (self.kind(), self.version, &self.id, self.at) {
            (WriteKind::Spec, Some(version), _, _) => format!("version {version}"),
            (_, _, Some(id), _) => id.clone(),
            (_, _, None, Some(at)) => format!("{} {at}", self.operation),
            (_, _, None, None) => self.operation.clone(),
        }
    }
}
