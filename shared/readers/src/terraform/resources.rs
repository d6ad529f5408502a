//! The App Mesh resources of a plan, from all its modules.

use std::collections::HashMap;

use serde_json::Value;

use super::super::spots::Spot;
use mesh::name::ResourceKind;

/// The deepest nesting of module calls.
const DEEPEST: usize = 64;

/// A planned resource.
#[derive(Debug)]
pub(super) struct Planned<'p> {
    pub(super) kind: ResourceKind,
    /// `module.shop.aws_appmesh_route.orders["all"]`.
    pub(super) address: &'p str,
    /// `module.shop.`, or nothing in the root module.
    pub(super) module: String,
    pub(super) values: &'p Value,
    /// The position of the resource in the file.
    pub(super) spot: Spot,
    /// `true` in place of each value that is known only after apply.
    pub(super) after_unknown: Option<&'p Value>,
    /// The expressions of its arguments, with their references.
    pub(super) expressions: Option<&'p Value>,
}

/// The resources of a plan or a state.
#[derive(Debug, Default)]
pub(super) struct Found<'p> {
    pub(super) planned: Vec<Planned<'p>>,
    /// Addresses and types of resources with a type that is similar to one of App Mesh, but unknown.
    pub(super) mistyped: Vec<(&'p str, &'p str)>,
}

/// All App Mesh resources after apply: those of a plan, otherwise those of a state.
pub(super) fn planned<'p>(document: &'p Value, spot: &Spot) -> Found<'p> {
    let found = |name| Some((document.get(name)?, spot.member(name)));
    let (values, spot) = found("planned_values").or_else(|| found("values")).unzip();
    let changes = document.get("resource_changes").and_then(Value::as_array);
    let after_unknown: HashMap<&str, &Value> = changes
        .into_iter()
        .flatten()
        .filter_map(|change| Some((change.get("address")?.as_str()?, change.get("change")?.get("after_unknown")?)))
        .collect();
    let mut found = Found::default();
    if let Some(root) = values.and_then(|values| values.get("root_module")) {
        let configuration = document.get("configuration").and_then(|configuration| configuration.get("root_module"));
        let spot = spot.map_or(&Spot::at(1), |spot| spot.member("root_module")).clone();
        module(root, &spot, configuration, &after_unknown, &mut found, 0);
    }
    found
}

fn module<'p>(
    planned: &'p Value,
    spot: &Spot,
    configuration: Option<&'p Value>,
    after_unknown: &HashMap<&str, &'p Value>,
    found: &mut Found<'p>,
    depth: usize,
) {
    if depth > DEEPEST {
        return;
    }
    let address = planned.get("address").and_then(Value::as_str);
    let prefix = address.map(|address| format!("{address}.")).unwrap_or_default();
    for (index, resource) in list(planned, "resources").enumerate() {
        let text = |name: &str| resource.get(name).and_then(Value::as_str);
        let (Some(address), Some(name), Some(values)) = (text("address"), text("type"), resource.get("values")) else {
            continue;
        };
        if text("mode") == Some("data") {
            continue;
        }
        let Some(kind) = kind_of(name) else {
            if name.starts_with("aws_appmesh_") {
                found.mistyped.push((address, name));
            }
            continue;
        };
        let configured = configuration.into_iter().flat_map(|configuration| list(configuration, "resources"));
        let expressions = configured
            .filter(|other| other.get("type") == resource.get("type") && other.get("name") == resource.get("name"))
            .find_map(|other| other.get("expressions"));
        found.planned.push(Planned {
            kind,
            address,
            module: prefix.clone(),
            values,
            spot: spot.member("resources").item(index).clone(),
            after_unknown: after_unknown.get(address).copied(),
            expressions,
        });
    }
    for (index, child) in list(planned, "child_modules").enumerate() {
        let configuration = child.get("address").and_then(Value::as_str).and_then(|address| {
            let call = address.rsplit_once("module.").map_or(address, |(_, call)| call);
            let name = call.split('[').next().unwrap_or(call);
            configuration?.get("module_calls")?.get(name)?.get("module")
        });
        let spot = spot.member("child_modules").item(index);
        module(child, spot, configuration, after_unknown, found, depth + 1);
    }
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The kind of a resource type of the provider.
pub(super) fn kind_of(name: &str) -> Option<ResourceKind> {
    TYPES.into_iter().find_map(|(known, kind)| (known == name).then_some(kind))
}

/// The resource types of the provider.
pub(super) const TYPES: [(&str, ResourceKind); 7] = [
    ("aws_appmesh_mesh", ResourceKind::Mesh),
    ("aws_appmesh_virtual_node", ResourceKind::VirtualNode),
    ("aws_appmesh_virtual_gateway", ResourceKind::VirtualGateway),
    ("aws_appmesh_virtual_router", ResourceKind::VirtualRouter),
    ("aws_appmesh_route", ResourceKind::Route),
    ("aws_appmesh_virtual_service", ResourceKind::VirtualService),
    ("aws_appmesh_gateway_route", ResourceKind::GatewayRoute),
];
