//! What can be asked of the state, and what it answers. Every value in here is valid in itself: only whether it fits
//! what is stored is left to find out.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh::name::{ResourceKind, ResourcePath};
use mesh::resource::Tag;

use super::pages::Page;
use super::resource::Resource;
use super::spec::ValidSpec;
use super::tokens::ClientToken;

/// A question that changes nothing.
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
    /// What is to happen to it.
    pub action: Action,
    /// The version that the caller based this on; 0 means that it must not exist. `None`: whatever it is.
    pub if_version: Option<u64>,
    /// The caller's mark on this request, by which its repetition is recognised.
    pub token: Option<ClientToken>,
}

/// What is to happen to a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It is to exist.
    Create {
        /// With this spec.
        spec: Arc<ValidSpec>,
        /// And these tags.
        tags: Vec<Tag>,
    },
    /// Its spec is replaced. `None` (a mesh only) keeps the spec, and is still an update.
    Update {
        /// The whole new spec.
        spec: Option<Arc<ValidSpec>>,
    },
    /// It is to be gone.
    Delete,
    /// These tags are added, or replace those with the same key.
    Tag(Vec<Tag>),
    /// The tags with these keys are removed, where there are any.
    Untag(BTreeSet<String>),
}

/// What a request is answered with.
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
        /// The token for the next page, when there is one.
        next: Option<String>,
    },
    /// A page of tags.
    Tags {
        /// The page, in the order of keys.
        tags: Vec<(String, String)>,
        /// The token for the next page, when there is one.
        next: Option<String>,
    },
    /// Done; there is nothing to show.
    Nothing,
}

/// A change that took place, for whoever follows the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What changed.
    pub path: ResourcePath,
    /// Its version after the change.
    pub version: u64,
    /// How.
    pub operation: Operation,
}

/// The kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// It was created.
    Created,
    /// Its spec was replaced.
    Updated,
    /// It was deleted.
    Deleted,
    /// Its tags changed.
    Retagged,
}
