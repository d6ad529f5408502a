//! A stored spec: the JSON that the caller sent, once it is validated.

use mesh::name::ResourcePath;
use mesh::spec::Spec;
use mesh::validate;
use serde_json::Value;

use crate::error::ApiError;

/// A valid spec of one kind of resource, and its references.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidSpec {
    value: Value,
    /// `None` for a stored spec that this release cannot read.
    spec: Option<Spec>,
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
        let mut value = value;
        drop_nulls(&mut value);
        let refused = |violations| ApiError::Invalid { violations };
        let mut spec = validate::parse(path.kind(), &value).map_err(refused)?;
        if fill_health_check_ports(&mut value) {
            spec = validate::parse(path.kind(), &value).map_err(refused)?;
        }
        Ok(Self::new(path, value, Some(spec)))
    }

    /// Reads a spec that was accepted and stored, by this release or by another one. It is never refused and never
    /// changed: rules and bounds may be newer than the spec, and members may be newer than this release. Replicas of
    /// different releases must all be able to apply the same entry.
    pub(crate) fn stored(path: &ResourcePath, value: Value) -> Self {
        let spec = Spec::read(path.kind(), &value);
        if let Err(violations) = &spec {
            tracing::error!(resource = %path, ?violations, "failed to read stored spec; the resource is left out of proxy snapshots");
        }
        Self::new(path, value, spec.ok())
    }

    fn new(path: &ResourcePath, value: Value, spec: Option<Spec>) -> Self {
        let references = spec.as_ref().map(|spec| validate::references(path.mesh(), spec)).unwrap_or_default();
        let bytes = value.to_string().len();
        Self { value, spec, references, bytes }
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

    /// The parsed spec; `None` for a stored spec that this release cannot read.
    #[must_use]
    pub const fn spec(&self) -> Option<&Spec> {
        self.spec.as_ref()
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
