//! A snapshot of a mesh.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::write::Write;
use mesh::graph::{InsertError, Mesh};
use mesh::name::{MeshName, ResourcePath};
use mesh::resource::{Resource, Tags};

/// Marks a resource with unknown tags. Earlier versions read it as a resource without tags.
const TAGS_UNKNOWN: &str = "tagsUnknown";

/// The member with the resources that could never be read. Versions of before read a snapshot without them.
const UNREAD: &str = "unread";

/// The state of a mesh, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The mesh.
    pub mesh: MeshName,
    /// When the complete reading began; later writes may be included or not.
    pub at: Timestamp,
    /// When single resources were read again later, including deleted ones.
    pub later: BTreeMap<ResourcePath, Timestamp>,
    /// Every resource; empty if the mesh does not exist.
    pub resources: BTreeMap<ResourcePath, ResourceSnapshot>,
    /// Resources that are listed and could never be read. They are not among the others.
    pub unread: BTreeSet<ResourcePath>,
}

/// The state of a resource, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceSnapshot {
    /// The resource.
    pub resource: Resource,
    /// Its tags; `None` if they are unknown.
    pub tags: Option<Tags>,
}

/// The reason why a stored snapshot cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct SnapshotError {
    at: String,
    why: String,
}

impl Snapshot {
    /// The stored form without the times, so that the same state gives the same text.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let resource = |(path, seen): (&ResourcePath, &ResourceSnapshot)| {
            let tags: BTreeMap<&str, &str> = seen.tags.iter().flat_map(Tags::iter).collect();
            let mut member = json!({ "resource": seen.resource.to_json(), "tags": tags });
            if let Some(members) = member.as_object_mut().filter(|_| seen.tags.is_none()) {
                members.insert(TAGS_UNKNOWN.to_owned(), Value::Bool(true));
            }
            (path.to_string(), member)
        };
        let resources: Map<String, Value> = self.resources.iter().map(resource).collect();
        let mut document = json!({ "mesh": self.mesh, "resources": resources });
        if let Some(members) = document.as_object_mut().filter(|_| !self.unread.is_empty()) {
            let unread = self.unread.iter().map(ToString::to_string).collect();
            members.insert(UNREAD.to_owned(), unread);
        }
        document
    }

    /// Parses the output of [`Snapshot::to_json`].
    pub fn read(document: &Value, at: Timestamp) -> Result<Self, SnapshotError> {
        let flaw = |at: &str, why: String| SnapshotError { at: at.to_owned(), why };
        let name = document.get("mesh").and_then(Value::as_str).unwrap_or_default();
        let mesh = MeshName::parse(name).map_err(|error| flaw("mesh", error.to_string()))?;
        let members = document.get("resources").and_then(Value::as_object);
        let members = members.ok_or_else(|| flaw("resources", "missing".to_owned()))?;
        let mut resources = BTreeMap::new();
        for (name, member) in members {
            let path = ResourcePath::parse(name).map_err(|error| flaw(name, error.to_string()))?;
            let tags = member.get("tags").cloned().unwrap_or_default();
            let tags: BTreeMap<String, String> =
                serde_json::from_value(tags).map_err(|error| flaw(name, error.to_string()))?;
            let is_unknown = member.get(TAGS_UNKNOWN).and_then(Value::as_bool).unwrap_or(false);
            let tags = if is_unknown { None } else { Some(Tags::read(tags).map_err(|error| flaw(name, error))?) };
            let body = member.get("resource").cloned().unwrap_or_default();
            let resource = Resource::read(path.kind(), &body)
                .map_err(|violations| flaw(name, violations.first().map_or_else(String::new, ToString::to_string)))?;
            resources.insert(path, ResourceSnapshot { resource, tags });
        }
        let unread = document.get(UNREAD).and_then(Value::as_array).into_iter().flatten();
        let unread = unread.map(|path| {
            let name = path.as_str().unwrap_or_default();
            ResourcePath::parse(name).map_err(|error| flaw(UNREAD, error.to_string()))
        });
        let unread = unread.collect::<Result<_, _>>()?;
        Ok(Self { mesh, at, later: BTreeMap::new(), resources, unread })
    }

    /// When a resource was read, or was found missing.
    #[must_use]
    pub fn read_at(&self, path: &ResourcePath) -> Timestamp {
        self.later.get(path).copied().unwrap_or(self.at)
    }

    /// The snapshot, completed with the resources and tags that it could not read and that `after` contains: reading
    /// them is not a change. A resource that a write names is not added, so that the write explains it.
    pub(super) fn known_since(&self, after: &Self, writes: &[Write]) -> Self {
        let mut known = self.clone();
        let is_written = |path: &ResourcePath| writes.iter().any(|write| write.resource.as_ref() == Some(path));
        for path in self.unread.iter().filter(|path| !is_written(path)) {
            if let Some(seen) = after.resources.get(path) {
                known.resources.entry(path.clone()).or_insert_with(|| seen.clone());
            }
        }
        for (path, seen) in known.resources.iter_mut().filter(|(_, seen)| seen.tags.is_none()) {
            seen.tags = after.resources.get(path).and_then(|after| after.tags.clone());
        }
        known
    }

    /// The mesh model, with the known tags.
    pub fn model(&self) -> Result<Mesh, InsertError> {
        let mut mesh = Mesh::new(self.mesh.clone());
        for (path, seen) in &self.resources {
            seen.insert_into(path, &mut mesh)?;
        }
        Ok(mesh)
    }
}

impl ResourceSnapshot {
    pub(super) fn insert_into(&self, path: &ResourcePath, mesh: &mut Mesh) -> Result<(), InsertError> {
        if let Some(tags) = &self.tags {
            mesh.set_tags(path.clone(), tags.clone());
        }
        mesh.insert_resource(self.resource.clone())
    }

    pub(super) fn version(&self) -> u64 {
        u64::try_from(self.resource.metadata().version.get()).unwrap_or(0)
    }
}
