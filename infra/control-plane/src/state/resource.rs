//! A stored resource: one immutable version of it.

use std::sync::Arc;

use jiff::Timestamp;
use mesh::name::ResourcePath;
use mesh::resource::Tags;
use uuid::Uuid;

use super::spec::ValidSpec;

/// One version of a resource. A write stores a new version instead of changing this one, so that its holders (a
/// response in progress, a remembered answer) keep a consistent version.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// The path.
    pub path: ResourcePath,
    /// Unique for all time: a resource created again under the same name has another uid.
    pub uid: Uuid,
    /// 1 at creation, incremented by each update and by the deletion. Changes of tags do not change it.
    pub version: u64,
    /// The time of creation.
    pub created_at: Timestamp,
    /// The time of the last version change.
    pub last_updated_at: Timestamp,
    /// Whether it still exists.
    pub status: Status,
    /// The spec.
    pub spec: Arc<ValidSpec>,
    /// Its tags.
    pub tags: Tags,
    /// The caller of the request that made this version; `None` if the server did not authenticate it, or an earlier
    /// release stored the version. Changes of tags do not change it.
    pub written_by: Option<Arc<str>>,
}

/// The status in an answer. App Mesh also defines `INACTIVE`, which this server never returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exists.
    Active,
    /// This request deleted it.
    Deleted,
}

/// The time of a write, a unique id, and the caller. All are determined outside, so that the state itself is
/// deterministic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The time of the write.
    pub now: Timestamp,
    /// The uid of the resource that the write creates.
    pub uid: Uuid,
    /// The authenticated caller: a key id or the ARN of a role. `None` without authentication.
    pub caller: Option<Arc<str>>,
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
            written_by: stamp.caller.clone(),
        }
    }

    /// The length of its spec and tags, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let tags = self.tags.iter().map(|(key, value)| key.len().saturating_add(value.len()));
        tags.fold(self.spec.bytes(), usize::saturating_add)
    }

    /// The resource with another spec.
    #[must_use]
    pub fn updated(&self, spec: Arc<ValidSpec>, stamp: &Stamp) -> Self {
        Self { spec, ..self.next_version(stamp) }
    }

    /// The resource as the answer to its deletion returns it.
    #[must_use]
    pub fn deleted(&self, stamp: &Stamp) -> Self {
        Self { status: Status::Deleted, ..self.next_version(stamp) }
    }

    fn next_version(&self, stamp: &Stamp) -> Self {
        Self {
            version: self.version.saturating_add(1),
            last_updated_at: stamp.now,
            written_by: stamp.caller.clone(),
            ..self.clone()
        }
    }

    /// The resource with other tags.
    #[must_use]
    pub fn tagged(&self, tags: Tags) -> Self {
        Self { tags, ..self.clone() }
    }
}
