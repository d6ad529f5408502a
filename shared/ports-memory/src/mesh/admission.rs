//! The refusals of the App Mesh API, on meshes in memory.

use std::collections::BTreeMap;

use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use mesh::resource::Resource;
use mesh::spec::Spec;
use mesh::validate;

use ports::{PortError, PortErrorKind};

/// Accepts an update that the API accepts. What it refers to must exist, its spec must keep the rules of one resource, and
/// it must break nothing that reaches it: the same functions decide as in the control plane.
pub(super) fn admit(
    resources: &BTreeMap<ResourcePath, Resource>,
    path: &ResourcePath,
    spec: &Spec,
) -> Result<(), PortError> {
    let refusal = |kind, message: String| Err(PortError::new(format!("update {path}"), kind, message));
    let mut violations = validate::parse(path.kind(), &spec.to_json()).err().unwrap_or_default();
    if let Some(missing) = validate::references(path.mesh(), spec).iter().find(|path| !resources.contains_key(path)) {
        return refusal(PortErrorKind::NotFound, format!("{missing} does not exist"));
    }
    let mut before = Mesh::new(path.mesh().clone());
    for (path, resource) in resources.iter().filter(|(other, _)| other.mesh() == path.mesh()) {
        if let Err(error) = before.insert(path.clone(), resource.clone().into_spec()) {
            return refusal(PortErrorKind::Other, error.to_string());
        }
    }
    violations.extend(validate::broken_by(&before, path, spec));
    if violations.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    refusal(PortErrorKind::Other, texts.join("; "))
}
