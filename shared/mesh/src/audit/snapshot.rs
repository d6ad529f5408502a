//! A mesh as it was seen at one time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::graph::{InsertError, Mesh};
use crate::name::{MeshName, ResourcePath};
use crate::resource::{Resource, Tags};

/// Marks a resource whose tags are not known. Versions of before read it as one without tags.
const TAGS_UNKNOWN: &str = "tagsUnknown";

/// A mesh as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The mesh.
    pub mesh: MeshName,
    /// When reading it whole began: what was written later may be in it or not.
    pub at: Timestamp,
    /// When some of it was read again since, each resource by itself; also those that are gone.
    pub later: BTreeMap<ResourcePath, Timestamp>,
    /// Every resource; none where the mesh doesn't exist.
    pub resources: BTreeMap<ResourcePath, Seen>,
}

/// A resource as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The resource.
    pub resource: Resource,
    /// Its tags; `None` where they were never known.
    pub tags: Option<Tags>,
}

/// Why a kept snapshot can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {why}")]
pub struct SnapshotError {
    at: String,
    why: String,
}

impl Snapshot {
    /// Everything but the times, so that the same mesh gives the same text.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let resource = |(path, seen): (&ResourcePath, &Seen)| {
            let tags: BTreeMap<&str, &str> = seen.tags.iter().flat_map(Tags::iter).collect();
            let mut member = json!({ "resource": seen.resource.to_json(), "tags": tags });
            if let Some(members) = member.as_object_mut().filter(|_| seen.tags.is_none()) {
                members.insert(TAGS_UNKNOWN.to_owned(), Value::Bool(true));
            }
            (path.to_string(), member)
        };
        let resources: Map<String, Value> = self.resources.iter().map(resource).collect();
        json!({ "mesh": self.mesh, "resources": resources })
    }

    /// Reads what [`Snapshot::to_json`] wrote.
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
            resources.insert(path, Seen { resource, tags });
        }
        Ok(Self { mesh, at, later: BTreeMap::new(), resources })
    }

    /// When a resource was read, or was seen not to be there.
    #[must_use]
    pub fn read_at(&self, path: &ResourcePath) -> Timestamp {
        self.later.get(path).copied().unwrap_or(self.at)
    }

    /// The same with the tags that were unknown then and are known now: that they are known changes nothing.
    pub(super) fn with_tags_known_since(&self, after: &Self) -> Self {
        let mut known = self.clone();
        for (path, seen) in known.resources.iter_mut().filter(|(_, seen)| seen.tags.is_none()) {
            seen.tags = after.resources.get(path).and_then(|after| after.tags.clone());
        }
        known
    }

    /// The mesh as the model has it, with the tags that are known.
    pub fn model(&self) -> Result<Mesh, InsertError> {
        let mut mesh = Mesh::new(self.mesh.clone());
        for (path, seen) in &self.resources {
            seen.put(path, &mut mesh)?;
        }
        Ok(mesh)
    }
}

impl Seen {
    pub(super) fn put(&self, path: &ResourcePath, mesh: &mut Mesh) -> Result<(), InsertError> {
        if let Some(tags) = &self.tags {
            mesh.set_tags(path.clone(), tags.clone());
        }
        mesh.insert_resource(self.resource.clone())
    }

    pub(super) fn version(&self) -> u64 {
        u64::try_from(self.resource.metadata().version.get()).unwrap_or(0)
    }
}
