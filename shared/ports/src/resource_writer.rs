//! Creates, replaces and deletes resources of every kind, as an import does.

use std::collections::BTreeMap;

use async_trait::async_trait;
use mesh::name::ResourcePath;
use mesh::spec::Spec;

use crate::{PortError, TagWriter, Written};

/// Creates, replaces and deletes resources of every kind.
#[async_trait]
pub trait ResourceWriter: TagWriter {
    /// Creates the resource, unless it exists.
    async fn create_resource(&self, write: &ResourceCreation) -> Result<CreationOutcome, PortError>;

    /// Replaces the resource's spec if its version is unchanged since the write was prepared.
    async fn update_resource(&self, write: &ResourceUpdate) -> Result<Written, PortError>;

    /// Deletes the resource if its version is unchanged since the write was prepared.
    async fn delete_resource(&self, write: &ResourceDeletion) -> Result<DeletionOutcome, PortError>;
}

/// One creation of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceCreation {
    /// The resource.
    pub path: ResourcePath,
    /// The spec, of the kind of the path.
    pub spec: Spec,
    /// The tags.
    pub tags: BTreeMap<String, String>,
    /// The idempotency token: the same write sent twice is made once.
    pub client_token: String,
}

/// The result of a creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreationOutcome {
    /// The resource was created, by this request or by an earlier one with the same token.
    Created,
    /// The resource exists already; nothing was changed.
    AlreadyExists,
}

/// One compare-and-set write of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceUpdate {
    /// The resource.
    pub path: ResourcePath,
    /// The spec, of the kind of the path.
    pub spec: Spec,
    /// The version that the write is based on.
    pub if_version: u64,
    /// The idempotency token: the same write sent twice is made once.
    pub client_token: String,
}

/// One deletion of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceDeletion {
    /// The resource.
    pub path: ResourcePath,
    /// The version that the deletion is based on.
    pub if_version: u64,
}

/// The result of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionOutcome {
    /// The resource was deleted.
    Deleted,
    /// The resource does not exist, for example because an earlier request deleted it.
    AlreadyDeleted,
    /// Another writer changed the resource; nothing was deleted.
    Superseded,
}
