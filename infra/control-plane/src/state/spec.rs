//! A spec as it is stored: the very JSON that the caller sent, once it is known to be valid.

use mesh::name::ResourcePath;
use mesh::spec::Spec;
use mesh::validate;
use serde_json::Value;

use crate::error::ApiError;

/// A valid spec of one kind of resource, and what it refers to.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidSpec {
    value: Value,
    spec: Spec,
    references: Vec<ResourcePath>,
    bytes: usize,
}

impl ValidSpec {
    /// Takes a spec that the API accepts for a resource at this path, refuses any other.
    ///
    /// The JSON is kept as it is, to be echoed exactly, but for two things: members that are `null` are dropped, since
    /// in the protocol they are absent; and a health check without a port gets its listener's port, the only default
    /// that App Mesh is known to have filled in. Any other would make declarative clients see a difference for ever.
    pub fn parse(path: &ResourcePath, mut value: Value) -> Result<Self, ApiError> {
        drop_nulls(&mut value);
        let read =
            |value: &Value| validate::parse(path.kind(), value).map_err(|violations| ApiError::Invalid { violations });
        let mut spec = read(&value)?;
        if fill_health_check_ports(&mut value) {
            spec = read(&value)?;
        }
        let references = validate::references(path.mesh(), &spec);
        let bytes = value.to_string().len();
        Ok(Self { value, spec, references, bytes })
    }

    /// The JSON to echo.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The resources that have to exist for this spec to be accepted. The backends of a virtual node are not among
    /// them: App Mesh let a node name virtual services that are yet to be created.
    #[must_use]
    pub fn references(&self) -> &[ResourcePath] {
        &self.references
    }

    /// The spec as it was read.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The length of its JSON.
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

/// Says whether there was anything to fill in. Only virtual nodes and virtual gateways have listeners with health
/// checks, so no kind need be told apart.
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
