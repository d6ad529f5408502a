//! A mesh as a Terraform configuration.

use std::collections::BTreeMap;

use mesh::name::{ResourceKind, ResourcePath};
use readers::{Form, spell};
use serde_json::{Map, Value, json};

use super::hcl;
use super::parts::{dependencies, identifiers};
use crate::held::Held;
use crate::order::parent;

/// The configuration. The names of parents are references; other targets are in `depends_on`.
pub(super) fn configuration(paths: &[&ResourcePath], held: &Held) -> String {
    let labels = identifiers(paths, label, |one, other| one.kind() == other.kind());
    let address = |path: &ResourcePath| Some(format!("{}.{}", resource_type(path.kind()), labels.get(path)?));
    let blocks = paths.iter().filter_map(|path| {
        let (resource, label) = (held.get(*path)?, labels.get(path)?);
        let parent = parent(path);
        let mut body = Map::from_iter([("name".to_owned(), json!(path.name()))]);
        let mut references = BTreeMap::new();
        let mut name_of = |argument: &str, target: ResourcePath| {
            body.insert(argument.to_owned(), json!(target.name()));
            if held.contains_key(&target)
                && let Some(address) = address(&target)
            {
                references.insert(argument.to_owned(), format!("{address}.name"));
            }
        };
        if path.kind() != ResourceKind::Mesh {
            name_of("mesh_name", ResourcePath::Mesh(path.mesh().clone()));
        }
        if let Some(parent) = &parent {
            match parent.kind() {
                ResourceKind::VirtualRouter => name_of("virtual_router_name", parent.clone()),
                ResourceKind::VirtualGateway => name_of("virtual_gateway_name", parent.clone()),
                ResourceKind::Mesh
                | ResourceKind::VirtualNode
                | ResourceKind::Route
                | ResourceKind::VirtualService
                | ResourceKind::GatewayRoute => {}
            }
        }
        body.insert("spec".to_owned(), Value::Array(vec![spell(&resource.spec, Form::Terraform)]));
        if !resource.tags.is_empty() {
            let tags = resource.tags.iter().map(|(key, value)| (key.to_owned(), json!(value)));
            body.insert("tags".to_owned(), Value::Object(tags.collect()));
        }
        let targets = dependencies(path, held);
        let others = targets.iter().filter(|target| Some(*target) != parent.as_ref());
        let depends_on: Vec<String> = others.filter_map(address).collect();
        Some(hcl::resource(resource_type(path.kind()), label, &body, &references, &depends_on))
    });
    blocks.collect::<Vec<_>>().join("\n")
}

/// The type of the provider for a kind.
const fn resource_type(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Mesh => "aws_appmesh_mesh",
        ResourceKind::VirtualNode => "aws_appmesh_virtual_node",
        ResourceKind::VirtualGateway => "aws_appmesh_virtual_gateway",
        ResourceKind::VirtualRouter => "aws_appmesh_virtual_router",
        ResourceKind::Route => "aws_appmesh_route",
        ResourceKind::VirtualService => "aws_appmesh_virtual_service",
        ResourceKind::GatewayRoute => "aws_appmesh_gateway_route",
    }
}

/// A label: lower-case letters, digits and underscores, and a letter first.
fn label(path: &ResourcePath) -> String {
    let holder = match path {
        ResourcePath::Route(id) => format!("{}_", id.router),
        ResourcePath::GatewayRoute(_, gateway, _) => format!("{gateway}_"),
        ResourcePath::Mesh(_)
        | ResourcePath::VirtualNode(..)
        | ResourcePath::VirtualGateway(..)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::VirtualService(..) => String::new(),
    };
    let fit = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' };
    let label: String = format!("{holder}{}", path.name()).chars().map(fit).take(200).collect();
    if label.starts_with(|letter: char| letter.is_ascii_alphabetic()) { label } else { format!("r_{label}") }
}
