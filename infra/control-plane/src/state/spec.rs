//! A stored spec: the JSON that the caller sent, once it is validated.

use mesh::name::{ResourceKind, ResourcePath};
use mesh::spec::Spec;
use mesh::validate::{self, Violation};
use serde_json::Value;

use crate::error::ApiError;

/// A valid spec of one kind of resource, and its references.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidSpec {
    value: Value,
    spec: Spec,
    references: Vec<ResourcePath>,
    bytes: usize,
}

impl ValidSpec {
    /// Parses a spec that the API accepts for a resource at this path.
    ///
    /// The JSON is stored unchanged, to be returned exactly, with two exceptions. Members that are `null` are
    /// dropped, since in the protocol they are absent. A health check without a port gets its listener's port, the
    /// only default that App Mesh is known to have filled in. Any other default would be a permanent difference for
    /// declarative clients.
    pub fn parse(path: &ResourcePath, value: Value) -> Result<Self, ApiError> {
        Self::read(path, value, validate::parse)
    }

    /// Reads a spec that was accepted once and stored. Rules between its members are not checked: they may be newer than
    /// the spec, and a store must be readable after an upgrade.
    pub(crate) fn stored(path: &ResourcePath, value: Value) -> Result<Self, ApiError> {
        Self::read(path, value, validate::read)
    }

    fn read(
        path: &ResourcePath,
        mut value: Value,
        by: fn(ResourceKind, &Value) -> Result<Spec, Vec<Violation>>,
    ) -> Result<Self, ApiError> {
        drop_nulls(&mut value);
        let read = |value: &Value| by(path.kind(), value).map_err(|violations| ApiError::Invalid { violations });
        let mut spec = read(&value)?;
        if fill_health_check_ports(&mut value) {
            spec = read(&value)?;
        }
        let references = validate::references(path.mesh(), &spec);
        let bytes = value.to_string().len();
        Ok(Self { value, spec, references, bytes })
    }

    /// The JSON that the API returns.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The resources that must exist for this spec to be accepted. The backends of a virtual node are not among them:
    /// App Mesh accepted backends that do not exist yet.
    #[must_use]
    pub fn references(&self) -> &[ResourcePath] {
        &self.references
    }

    /// The parsed spec.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The length of its JSON, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Fills in health check ports, and returns whether any was missing. Only virtual nodes and virtual gateways have
/// listeners with health checks, so the kind does not matter.
fn fill_health_check_ports(spec: &mut Value) -> bool {
    let mut filled = false;
    let listeners = spec.get_mut("listeners").and_then(Value::as_array_mut);
    for listener in listeners.into_iter().flatten() {
        let Some(port) = listener.pointer("/portMapping/port").cloned() else {
            continue;
        };
        if let Some(check) = listener.get_mut("healthCheck").and_then(Value::as_object_mut) {
            filled |= !check.contains_key("port");
            check.entry("port").or_insert(port);
        }
    }
    filled
}
