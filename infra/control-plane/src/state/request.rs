//! Requests to the state and their answers. Every value in here is valid in itself; only checks against the stored
//! resources remain.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh::name::{ResourceKind, ResourcePath};
use mesh::resource::Tag;

use super::client_token::ClientToken;
use super::pages::Page;
use super::resource::Resource;
use super::spec::ValidSpec;

/// A request that changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// One resource.
    Describe(ResourcePath),
    /// A page of a collection.
    List(super::Collection, Page),
    /// A page of a resource's tags.
    ListTags(ResourcePath, Page),
}

/// A change to one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The resource.
    pub path: ResourcePath,
    /// The change.
    pub action: Action,
    /// The version that the write is based on; 0 means that the resource must not exist. `None` accepts any version.
    pub if_version: Option<u64>,
    /// The caller's token, which identifies repetitions of this request.
    pub token: Option<ClientToken>,
}

/// A change of a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Creates the resource.
    Create {
        /// Its spec.
        spec: Arc<ValidSpec>,
        /// Its tags.
        tags: Vec<Tag>,
    },
    /// Replaces its spec. `None` (a mesh only) leaves the spec unchanged, and is still an update.
    Update {
        /// The complete new spec.
        spec: Option<Arc<ValidSpec>>,
    },
    /// Deletes the resource.
    Delete,
    /// Adds these tags, or replaces those with the same keys.
    Tag(Vec<Tag>),
    /// Removes the tags with these keys, if they exist.
    Untag(BTreeSet<String>),
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One resource.
    Resource(Arc<Resource>),
    /// A page of resources.
    Resources {
        /// Their kind.
        kind: ResourceKind,
        /// The page, in the order of names.
        resources: Vec<Arc<Resource>>,
        /// The token of the next page, if there is one.
        next: Option<String>,
    },
    /// A page of tags.
    Tags {
        /// The page, in the order of keys.
        tags: Vec<(String, String)>,
        /// The token of the next page, if there is one.
        next: Option<String>,
    },
    /// Success without content.
    Nothing,
}

/// A stored change, for followers of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The changed resource.
    pub path: ResourcePath,
    /// Its version after the change.
    pub version: u64,
    /// The kind of change.
    pub operation: Operation,
}

/// The kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The resource was created.
    Created,
    /// The spec was replaced.
    Updated,
    /// The resource was deleted.
    Deleted,
    /// The tags were changed.
    Retagged,
}
