//! The defaults of a new object: its name in App Mesh, its mesh, and the virtual gateway of a gateway route.

use mesh::name::ResourcePath;
use serde_json::{Value, json};

use super::review::{AdmissionVerdict, Operation, Review};
use crate::cluster::ClusterObjects;
use crate::declared::Declarations;
use crate::object::{Object, ObjectKey, ObjectKind};
use crate::problem::ProblemCode;

/// The members that only the webhook sets, and that never change.
pub(super) const FIXED: [&str; 3] = ["awsName", "meshRef", "virtualGatewayRef"];

/// Sets the defaults of a new object, and keeps them when a client replaces it without them.
#[must_use]
pub fn mutate(review: &Review, cluster: &ClusterObjects) -> AdmissionVerdict {
    let Some(kind) = ObjectKind::from_name(&review.kind).filter(|_| review.subresource.is_empty()) else {
        return AdmissionVerdict::allowed();
    };
    match review.operation {
        Operation::Create => create(kind, review, cluster),
        Operation::Update => AdmissionVerdict::Allowed { patch: kept(review), warnings: Vec::new() },
        Operation::Delete | Operation::Connect => AdmissionVerdict::allowed(),
    }
}

/// Restores members that the object had and the replacement lacks.
fn kept(review: &Review) -> Vec<Value> {
    let member = |object: &Value, name: &str| {
        object.get("spec")?.get(name).filter(|value| !value.is_null() && *value != "").cloned()
    };
    let missing = FIXED.iter().filter(|name| member(&review.object, name).is_none());
    let mut patch: Vec<Value> =
        missing.filter_map(|name| Some(add(&format!("/spec/{name}"), &member(&review.old_object, name)?))).collect();
    if !patch.is_empty() && review.object.get("spec").is_none() {
        patch.insert(0, add("/spec", &json!({})));
    }
    patch
}

fn create(kind: ObjectKind, review: &Review, cluster: &ClusterObjects) -> AdmissionVerdict {
    let Ok(object) = read(kind, review) else {
        return AdmissionVerdict::refused(
            "metadata.name: is required: App Mesh names are made of it, so set it instead of generateName",
        );
    };
    let mut around = selecting(cluster);
    let key = object.key.clone();
    let given = object.spec.clone();
    let mut selected = object;
    if let Some(spec) = selected.spec.as_object_mut() {
        // The selectors decide the mesh, and a reference from a backup may have the unique id of a replaced mesh.
        spec.shift_remove("meshRef");
    }
    around.insert(selected);
    let declarations = Declarations::new(&around);
    let memberships = declarations.problems.get(&key).into_iter().flatten().filter(|problem| match problem.code {
        ProblemCode::MeshNotSelected
        | ProblemCode::MeshAmbiguous
        | ProblemCode::MeshNotFound
        | ProblemCode::GatewayAmbiguous => true,
        ProblemCode::InvalidSpec
        | ProblemCode::MeshReplaced
        | ProblemCode::GatewayNotSelected
        | ProblemCode::ReferenceNotFound
        | ProblemCode::NameConflict
        | ProblemCode::NotOwned
        | ProblemCode::NotWritable
        | ProblemCode::WriteRefused
        | ProblemCode::AccessDenied
        | ProblemCode::ApiUnavailable
        | ProblemCode::Superseded
        | ProblemCode::Pending
        | ProblemCode::InUse => false,
    });
    let problems: Vec<String> = memberships.map(ToString::to_string).collect();
    if !problems.is_empty() {
        return AdmissionVerdict::Refused { problems };
    }
    // An object without a readable resource is refused by the validation, with its reasons.
    let Some(path) = declarations.path_of(&key) else { return AdmissionVerdict::allowed() };
    let mut changes = Vec::new();
    if !given.is_object() {
        changes.push(add("/spec", &json!({})));
    }
    let text = |pointer: &str| given.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if text("/awsName").is_empty() {
        changes.push(add("/spec/awsName", &json!(path.name())));
    }
    if kind != ObjectKind::Mesh
        && let Some(mesh) = find(&around, &declarations, &ResourcePath::Mesh(path.mesh().clone()), ObjectKind::Mesh)
    {
        let name = text("/meshRef/name");
        if !name.is_empty() && name != mesh.key.name {
            return AdmissionVerdict::refused(format!(
                "spec.meshRef: is `{name}`, and the Mesh `{}` selects the namespace; remove the member, which is set here",
                mesh.key.name
            ));
        }
        changes.push(add("/spec/meshRef", &json!({"name": mesh.key.name, "uid": mesh.uid})));
    }
    if let ResourcePath::GatewayRoute(mesh, gateway, _) = path
        && text("/virtualGatewayRef/name").is_empty()
        && !declarations.problems.get(&key).into_iter().flatten().any(|one| one.code == ProblemCode::GatewayNotSelected)
        && let path = ResourcePath::VirtualGateway(mesh.clone(), gateway.clone())
        && let Some(gateway) = find(&around, &declarations, &path, ObjectKind::VirtualGateway)
    {
        let ObjectKey { namespace, name, .. } = &gateway.key;
        let reference = json!({"namespace": namespace, "name": name, "uid": gateway.uid});
        changes.push(add("/spec/virtualGatewayRef", &reference));
    }
    AdmissionVerdict::Allowed { patch: changes, warnings: Vec::new() }
}

/// The object of a review. Its namespace may be missing in the object.
pub(super) fn read(kind: ObjectKind, review: &Review) -> Result<Object, crate::object::ObjectError> {
    let mut object = Object::from_json(kind, &review.object)?;
    if object.key.namespace.is_empty() {
        object.key = ObjectKey::new(kind, &review.namespace, &object.key.name);
    }
    Ok(object)
}

/// The objects that select others: the defaults of an object depend on no others.
fn selecting(cluster: &ClusterObjects) -> ClusterObjects {
    let selects = |object: &&Object| matches!(object.key.kind, ObjectKind::Mesh | ObjectKind::VirtualGateway);
    let objects = cluster.objects.values().filter(selects).cloned();
    ClusterObjects {
        objects: objects.map(|object| (object.key.clone(), object)).collect(),
        namespaces: cluster.namespaces.clone(),
    }
}

fn find<'c>(
    cluster: &'c ClusterObjects,
    declarations: &Declarations,
    path: &ResourcePath,
    kind: ObjectKind,
) -> Option<&'c Object> {
    cluster.of_kind(kind).find(|object| declarations.path_of(&object.key) == Some(path))
}

fn add(path: &str, value: &Value) -> Value {
    json!({"op": "add", "path": path, "value": value})
}
