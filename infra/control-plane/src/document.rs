//! Resources in the API's JSON format, for responses and change events.

use jiff::Timestamp;
use mesh::name::{ResourceKind, ResourcePath};
use serde_json::{Map, Value, json};

use crate::state::{Realm, Resource, Status};

/// A resource as describe, create, update and delete return it.
pub(crate) fn whole(resource: &Resource, realm: &Realm) -> Value {
    let mut metadata = Map::new();
    metadata.insert("arn".to_owned(), realm.arn(&resource.path).into());
    metadata.insert("createdAt".to_owned(), epoch(resource.created_at));
    metadata.insert("lastUpdatedAt".to_owned(), epoch(resource.last_updated_at));
    metadata.insert("meshOwner".to_owned(), realm.account().as_str().into());
    metadata.insert("resourceOwner".to_owned(), realm.account().as_str().into());
    metadata.insert("uid".to_owned(), resource.uid.to_string().into());
    metadata.insert("version".to_owned(), resource.version.into());
    let mut whole = names(&resource.path);
    whole.insert("metadata".to_owned(), Value::Object(metadata));
    whole.insert("spec".to_owned(), resource.spec.value().clone());
    whole.insert("status".to_owned(), json!({"status": status(resource.status)}));
    Value::Object(whole)
}

/// A resource as lists return it.
pub(crate) fn reference(resource: &Resource, realm: &Realm) -> Value {
    let mut reference = names(&resource.path);
    reference.insert("arn".to_owned(), realm.arn(&resource.path).into());
    reference.insert("createdAt".to_owned(), epoch(resource.created_at));
    reference.insert("lastUpdatedAt".to_owned(), epoch(resource.last_updated_at));
    reference.insert("meshOwner".to_owned(), realm.account().as_str().into());
    reference.insert("resourceOwner".to_owned(), realm.account().as_str().into());
    reference.insert("version".to_owned(), resource.version.into());
    Value::Object(reference)
}

pub(crate) fn tags<'t>(tags: impl Iterator<Item = (&'t str, &'t str)>) -> Value {
    tags.map(|(key, value)| json!({"key": key, "value": value})).collect()
}

/// The names of a resource and of its parents, each under its own member.
pub(crate) fn names(path: &ResourcePath) -> Map<String, Value> {
    let mut names = Map::new();
    names.insert(name_member(ResourceKind::Mesh), path.mesh().as_str().into());
    match path {
        ResourcePath::Route(id) => {
            names.insert(name_member(ResourceKind::VirtualRouter), id.router.as_str().into());
        }
        ResourcePath::GatewayRoute(_, gateway, _) => {
            names.insert(name_member(ResourceKind::VirtualGateway), gateway.as_str().into());
        }
        ResourcePath::Mesh(_)
        | ResourcePath::VirtualNode(..)
        | ResourcePath::VirtualGateway(..)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::VirtualService(..) => {}
    }
    names.insert(name_member(path.kind()), path.name().into());
    names
}

pub(crate) const fn list_member(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Mesh => "meshes",
        ResourceKind::VirtualNode => "virtualNodes",
        ResourceKind::VirtualGateway => "virtualGateways",
        ResourceKind::VirtualRouter => "virtualRouters",
        ResourceKind::Route => "routes",
        ResourceKind::VirtualService => "virtualServices",
        ResourceKind::GatewayRoute => "gatewayRoutes",
    }
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "ACTIVE",
        Status::Deleted => "DELETED",
    }
}

/// Seconds since the epoch, with the milliseconds as a fraction.
fn epoch(time: Timestamp) -> Value {
    time.as_duration().as_secs_f64().into()
}

/// The member that carries a resource's own name: `virtualNodeName`.
pub(crate) fn name_member(kind: ResourceKind) -> String {
    format!("{kind}Name")
}
