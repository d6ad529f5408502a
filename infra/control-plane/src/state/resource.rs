//! A stored resource: one immutable version of it.

use std::sync::Arc;

use jiff::Timestamp;
use mesh::name::ResourcePath;
use mesh::resource::Tags;
use uuid::Uuid;

use super::spec::ValidSpec;

/// A resource as it is from one write to the next. A write puts a new one in its place, so that whoever holds this one
/// (an answer on its way out, a remembered answer) keeps a consistent picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Where it is.
    pub path: ResourcePath,
    /// Unique to this resource for ever: one created again under the same name has another.
    pub uid: Uuid,
    /// 1 at creation, one more with each update and with the deletion. Tagging leaves it as it is.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its version last changed.
    pub last_updated_at: Timestamp,
    /// Whether it still exists.
    pub status: Status,
    /// What it is meant to be.
    pub spec: Arc<ValidSpec>,
    /// Its tags.
    pub tags: Tags,
}

/// The status in an answer. App Mesh also knows `INACTIVE`, which nobody has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exists.
    Active,
    /// It was removed by the very request that this answers.
    Deleted,
}

/// When something happens, and the unique id it may need: drawn outside, so that the state itself is deterministic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The time of the write.
    pub now: Timestamp,
    /// The uid for a resource that the write creates.
    pub uid: Uuid,
}

impl Resource {
    /// A new resource.
    #[must_use]
    pub fn created(path: ResourcePath, spec: Arc<ValidSpec>, tags: Tags, stamp: &Stamp) -> Self {
        Self {
            path,
            uid: stamp.uid,
            version: 1,
            created_at: stamp.now,
            last_updated_at: stamp.now,
            status: Status::Active,
            spec,
            tags,
        }
    }

    /// The resource with another spec.
    #[must_use]
    pub fn updated(&self, spec: Arc<ValidSpec>, now: Timestamp) -> Self {
        Self { version: self.version.saturating_add(1), last_updated_at: now, spec, ..self.clone() }
    }

    /// The resource as the answer to its deletion shows it.
    #[must_use]
    pub fn deleted(&self, now: Timestamp) -> Self {
        Self { version: self.version.saturating_add(1), last_updated_at: now, status: Status::Deleted, ..self.clone() }
    }

    /// The resource with other tags.
    #[must_use]
    pub fn tagged(&self, tags: Tags) -> Self {
        Self { tags, ..self.clone() }
    }
}
