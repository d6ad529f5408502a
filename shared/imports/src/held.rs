//! The resources that the API holds.

use std::collections::BTreeMap;

use mesh::graph::Mesh;
use mesh::name::{AccountId, MeshName, ResourcePath};
use mesh::resource::{Resource, Tags};
use mesh::spec::Spec;
use serde_json::Value;

/// The resources that the API holds, by path.
pub type Held = BTreeMap<ResourcePath, HeldResource>;

/// A resource that the API holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldResource {
    /// Its spec.
    pub spec: Spec,
    /// Its tags.
    pub tags: Tags,
    /// Its version.
    pub version: u64,
    /// Its ARN.
    pub arn: String,
    /// The account that owns its mesh.
    pub mesh_owner: AccountId,
}

impl HeldResource {
    /// Creates it from a response of the API.
    #[must_use]
    pub fn new(resource: Resource, tags: Tags) -> Self {
        let metadata = resource.metadata();
        let version = metadata.version.get().unsigned_abs();
        let (arn, mesh_owner) = (metadata.arn.to_string(), metadata.mesh_owner.clone());
        Self { spec: resource.into_spec(), tags, version, arn, mesh_owner }
    }
}

/// The spec as the API holds it after a write: a health check without a port gets the port of its listener, which is
/// the only default of the API.
#[must_use]
pub fn as_held(spec: &Spec) -> Spec {
    let mut json = spec.to_json();
    let listeners = json.get_mut("listeners").and_then(Value::as_array_mut);
    for listener in listeners.into_iter().flatten() {
        let Some(port) = listener.pointer("/portMapping/port").cloned() else { continue };
        if let Some(check) = listener.get_mut("healthCheck").and_then(Value::as_object_mut) {
            check.entry("port").or_insert(port);
        }
    }
    Spec::read(spec.kind(), &json).unwrap_or_else(|_| spec.clone())
}

/// The spec as it is compared: with the API's default, and with sorted members of a JSON log format. The API has a list
/// of keys and values there, which is a map in Terraform and in Envoy.
#[must_use]
pub fn comparable(spec: &Spec) -> Spec {
    let filled = as_held(spec);
    Spec::read(spec.kind(), &with_sorted_log_format(filled.to_json())).unwrap_or(filled)
}

/// A spec with sorted members of a JSON log format.
pub(crate) fn with_sorted_log_format(mut spec: Value) -> Value {
    let members = spec.pointer_mut("/logging/accessLog/file/format/json").and_then(Value::as_array_mut);
    if let Some(members) = members {
        members.sort_by_key(|member| member.get("key").map(ToString::to_string));
    }
    spec
}

/// The meshes as graphs, with their tags.
pub(crate) fn graphs(held: &Held) -> BTreeMap<MeshName, Mesh> {
    let mut meshes = BTreeMap::new();
    for (path, resource) in held {
        let mesh = meshes.entry(path.mesh().clone()).or_insert_with(|| Mesh::new(path.mesh().clone()));
        // The mesh is the path's mesh and the spec has the kind of the path, so the insertion cannot fail.
        drop(mesh.insert(path.clone(), resource.spec.clone()));
        mesh.set_tags(path.clone(), resource.tags.clone());
    }
    meshes
}
