//! References between objects, converted to the names that the API uses instead.

use serde_json::{Map, Value};

use super::super::declare::text_of;
use super::super::reading::{Note, Reading};
use super::kind::Kind;
use super::objects::{Object, Objects, default_aws_name};
use mesh::name::{Arn, ResourceKind};

/// A reference, the kind of its target, and the API's member for the name.
const REFERENCES: [(&str, &str, ResourceKind, &str); 3] = [
    ("virtualNodeRef", "virtualNodeARN", ResourceKind::VirtualNode, "virtualNodeName"),
    ("virtualRouterRef", "virtualRouterARN", ResourceKind::VirtualRouter, "virtualRouterName"),
    ("virtualServiceRef", "virtualServiceARN", ResourceKind::VirtualService, "virtualServiceName"),
];

/// A spec, or a route in a spec, with names for references, and with the backends of backend groups.
pub(super) fn api_spec(objects: &Objects, object: &Object, spec: &Value, reading: &mut Reading) -> Value {
    let mut spec = named(objects, object, spec, "spec", reading);
    let groups: Vec<Value> = objects.backends_of_groups(object, reading);
    if let Value::Object(members) = &mut spec
        && !groups.is_empty()
    {
        match members.entry("backends").or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(backends) => {
                let new: Vec<Value> =
                    groups.into_iter().filter(|group| !backends.iter().any(|known| calls_same(known, group))).collect();
                backends.extend(new);
            }
            other => *other = Value::Array(groups),
        }
    }
    spec
}

fn calls_same(one: &Value, other: &Value) -> bool {
    let name = |backend: &Value| backend.get("virtualService")?.get("virtualServiceName").cloned();
    name(one).is_some() && name(one) == name(other)
}

fn named(objects: &Objects, object: &Object, value: &Value, path: &str, reading: &mut Reading) -> Value {
    match value {
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.map(|(index, item)| named(objects, object, item, &format!("{path}[{index}]"), reading)).collect()
        }
        Value::Object(members) => {
            let mut written = Map::new();
            for (name, value) in members {
                let path = format!("{path}.{name}");
                match reference(objects, object, members, (name, value), &path, reading) {
                    Some((name, value)) => written.insert(name, value),
                    None => written.insert(name.clone(), named(objects, object, value, &path, reading)),
                };
            }
            Value::Object(written)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The API's member for a reference by name or ARN; `None` for any other member.
fn reference(
    objects: &Objects,
    object: &Object,
    siblings: &Map<String, Value>,
    (name, value): (&String, &Value),
    path: &str,
    reading: &mut Reading,
) -> Option<(String, Value)> {
    let (by_name, _, kind, member) =
        REFERENCES.into_iter().find(|(by_name, by_arn, ..)| by_name == name || by_arn == name)?;
    if value.is_null() {
        return None;
    }
    // The API's weighted target contains the name directly, as `virtualNode`.
    let is_target = kind == ResourceKind::VirtualNode && siblings.contains_key("weight");
    let member = if is_target { "virtualNode" } else { member };
    let referred = if by_name == name {
        objects.named(kind, object, value, path, reading)
    } else {
        let arn = text_of(value).unwrap_or_default();
        Arn::parse(&arn).map_or(arn, |arn| arn.path().name().to_owned())
    };
    Some((member.to_owned(), Value::String(referred)))
}

impl Objects {
    /// The App Mesh name of a reference's target.
    pub(super) fn named(
        &self,
        kind: ResourceKind,
        from: &Object,
        reference: &Value,
        path: &str,
        reading: &mut Reading,
    ) -> String {
        let (namespace, name) = key(from, reference);
        if let Some(object) = self.find(Kind::Resource(kind), &namespace, &name) {
            return object.aws_name();
        }
        if name.is_empty() {
            // An empty name is invalid, so the reader of the spec refuses it.
            return name;
        }
        let assumed = default_aws_name(kind, &name, &namespace);
        reading.remark(&from.source, path, Note::ReferenceAssumed { name: assumed.clone() });
        assumed
    }

    /// The backends that a virtual node gets from its backend groups; `*` means all virtual services of the namespace.
    fn backends_of_groups(&self, node: &Object, reading: &mut Reading) -> Vec<Value> {
        let groups = node.spec.get("backendGroups");
        let (Kind::Resource(ResourceKind::VirtualNode), Some(Value::Array(groups))) = (node.kind, groups) else {
            return Vec::new();
        };
        let mut names = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let path = format!("spec.backendGroups[{index}]");
            let (namespace, name) = key(node, group);
            if name == "*" {
                let services = self.of_kind(ResourceKind::VirtualService);
                names.extend(services.filter(|service| service.namespace == namespace).map(Object::aws_name));
            } else if let Some(group) = self.find(Kind::BackendGroup, &namespace, &name) {
                let services = group.spec.get("virtualservices").and_then(Value::as_array);
                for service in services.into_iter().flatten() {
                    names.push(self.named(ResourceKind::VirtualService, node, service, &path, reading));
                }
            } else {
                reading.remark(
                    &node.source,
                    path,
                    Note::LeftOut { expression: format!("BackendGroup {namespace}/{name}") },
                );
            }
        }
        names.dedup();
        names.into_iter().map(|name| serde_json::json!({"virtualService": {"virtualServiceName": name}})).collect()
    }
}

/// The namespace and name of a reference. The default namespace is that of the referring object.
fn key(from: &Object, reference: &Value) -> (String, String) {
    let text = |name: &str| reference.get(name).and_then(text_of).filter(|text| !text.is_empty());
    (text("namespace").unwrap_or_else(|| from.namespace.clone()), text("name").unwrap_or_default())
}
