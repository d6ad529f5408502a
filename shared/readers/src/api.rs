//! Inputs and outputs of the App Mesh API: whole resources, responses that wrap one, lists, and bare specs.

use serde_json::{Map, Value};

use super::Surroundings;
use super::declare::{Draft, Names, declare, own_name_member, tags_of, text_of};
use super::node::{Node, Spelling};
use super::reading::{Note, Reading, Skipped, Source};
use super::spelling::{self, unknown_members};
use super::spots::{Spot, Step};
use super::stand_ins::{StandIns, stand_in};
use super::unheld::{self, UnheldReason};
use mesh::name::ResourceKind;

/// Whether a document is an API resource, a response or a list.
pub(super) fn is_resource(object: &Map<String, Value>) -> bool {
    kind_by_names(object).is_some()
        || kind_by_spec(object).is_some()
        || ResourceKind::ALL.into_iter().any(|kind| {
            object.get(kind.as_str()).is_some_and(Value::is_object)
                || object.get(&plural(kind)).is_some_and(Value::is_array)
        })
        || matches!(object.get("resources"), Some(Value::Array(items)) if items.iter().any(is_one))
}

fn is_one(item: &Value) -> bool {
    item.as_object().is_some_and(is_resource)
}

/// Whether a document is a bare spec of the API, even if its kind is unknown. Kubernetes names the spec the same way.
pub(super) fn is_spec_alone(document: &Value) -> bool {
    let is_other = |name: &str| document.get(name).is_some();
    document.get("spec").is_some() && !is_other("kind") && !is_other("apiVersion")
}

/// Reads all resources of a document.
pub(super) fn read(file: &str, document: &Value, spot: &Spot, around: &Surroundings, reading: &mut Reading) {
    let object = match document {
        Value::Object(object) => object,
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                read(file, item, spot.item(index), around, reading);
            }
            return;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    if let Some(kind) = kind_by_names(object) {
        resource(file, kind, object, spot, around, reading);
        return;
    }
    let mut holds = false;
    for kind in ResourceKind::ALL {
        if let Some(Value::Object(one)) =
            object.get(kind.as_str()).filter(|one| one.get("spec").is_some() || one.get("meshName").is_some())
        {
            holds = true;
            resource(file, kind, one, spot.member(kind.as_str()), around, reading);
        }
        if let Some(Value::Array(items)) = object.get(&plural(kind)) {
            holds = true;
            let spot = spot.member(&plural(kind));
            for (index, item) in items.iter().enumerate() {
                if let Value::Object(item) = item {
                    resource(file, kind, item, spot.item(index), around, reading);
                }
            }
        }
    }
    if let Some(Value::Array(items)) = object.get("resources") {
        holds = true;
        for (index, item) in items.iter().enumerate() {
            read(file, item, spot.member("resources").item(index), around, reading);
        }
    }
    if !holds && let Some(kind) = kind_by_spec(object) {
        let whole = match object.get("spec") {
            Some(_) => object.clone(),
            None => Map::from_iter([("spec".to_owned(), document.clone())]),
        };
        let source = Source { file: file.to_owned(), id: format!("{kind} without a name") };
        reading.remark(&source, "", Note::KindAssumed { kind });
        resource(file, kind, &whole, spot, around, reading);
    }
}

fn resource(
    file: &str,
    kind: ResourceKind,
    object: &Map<String, Value>,
    spot: &Spot,
    around: &Surroundings,
    reading: &mut Reading,
) {
    let mut names = Names::read(kind, object, Spelling::Api);
    let id = names
        .own
        .clone()
        .or_else(|| object.get("arn").and_then(text_of))
        .unwrap_or_else(|| "without a name".to_owned());
    let source = Source { file: file.to_owned(), id: format!("{kind} {id}") };
    let no_spec = Value::Object(Map::new());
    let spec = match object.get("spec") {
        Some(spec) => spec,
        // CreateMesh and CreateVirtualRouter may omit an empty spec; a list entry never has a spec.
        None if !object.contains_key("arn") && kind != ResourceKind::Route && kind != ResourceKind::GatewayRoute => {
            &no_spec
        }
        None => {
            reading.remark(&source, "", Note::NotRead { reason: Skipped::NoSpec });
            return;
        }
    };
    if object.get("status").and_then(|status| status.get("status")).is_some_and(|status| status == "DELETED") {
        reading.remark(&source, "", Note::NotRead { reason: Skipped::Deleted });
        return;
    }
    assume(&mut names, kind, file, &source, around, reading);
    let mut misspelt = misspelt(kind, object);
    let tags = object.get("tags").map(|tags| {
        let checked = check_tags(tags);
        misspelt.extend(checked.misspelt);
        tags_of(&checked.value)
    });
    let mut unheld = Vec::new();
    unheld::add(object, &["arn", "status"], spot, "", UnheldReason::SetByService, &mut unheld);
    if let Some(Value::Object(metadata)) = object.get("metadata") {
        let spot = spot.member("metadata");
        unheld::add(metadata, &METADATA, spot, "metadata", UnheldReason::SetByService, &mut unheld);
    }
    let owner =
        object.get("meshOwner").or_else(|| object.get("metadata").and_then(|metadata| metadata.get("meshOwner")));
    declare(
        Draft {
            source,
            spot,
            kind,
            names,
            spec,
            way: &[Step::Member("spec".to_owned())],
            misspelt,
            spelling: Spelling::Api,
            stand_ins: &StandIns::Placeholders,
            tags,
            mesh_owner: owner.and_then(text_of),
            captured_at: None,
            unheld,
        },
        reading,
    );
}

/// The members of the API's inputs and outputs outside the spec.
const OUTSIDE_SPEC: [&str; 11] = [
    "arn",
    "clientToken",
    "createdAt",
    "lastUpdatedAt",
    "meshName",
    "meshOwner",
    "metadata",
    "resourceOwner",
    "spec",
    "status",
    "tags",
];

/// The metadata that a server sets.
const METADATA: [&str; 6] = ["arn", "createdAt", "lastUpdatedAt", "resourceOwner", "uid", "version"];

/// The members that the API's inputs and outputs do not have.
fn misspelt(kind: ResourceKind, object: &Map<String, Value>) -> Vec<spelling::Misspelt> {
    // Lists in the API's outputs contain the version next to the names.
    let mut known: Vec<&str> = vec![own_name_member(kind), "version"];
    known.extend(super::declare::parent_name_member(kind));
    known.extend(OUTSIDE_SPEC);
    // The AWS CLI writes the metadata of a response here.
    known.push("ResponseMetadata");
    unknown_members(object, &known, &[])
}

/// The tags of the API: a list of `key` and `value`. Some tools write an object of keys instead.
fn check_tags(tags: &Value) -> spelling::Checked {
    const TAGS: Node = Node::List(&Node::Members(&[("key", Node::Free), ("value", Node::Free)]));
    let node = if tags.is_array() { TAGS } else { Node::Free };
    spelling::check(tags, node, Spelling::Api, &[Step::Member("tags".to_owned())])
}

/// Names a resource after its file if it has no name, as a bare spec does.
fn assume(
    names: &mut Names,
    kind: ResourceKind,
    file: &str,
    source: &Source,
    around: &Surroundings,
    reading: &mut Reading,
) {
    if names.own.is_none() && kind != ResourceKind::Mesh {
        let name = stem(file);
        reading.remark(source, own_name_member(kind), Note::NameAssumed { name: name.clone() });
        names.own = Some(name);
    }
    if names.mesh.is_none() {
        let mesh = around.mesh.as_ref().map_or_else(|| stand_in("mesh"), ToString::to_string);
        reading.remark(source, "meshName", Note::MeshAssumed { mesh: mesh.clone() });
        names.mesh = Some(mesh);
    }
    if names.parent.is_none()
        && let Some(member) = super::declare::parent_name_member(kind)
    {
        let name = stand_in(member);
        reading.remark(source, member, Note::NameAssumed { name: name.clone() });
        names.parent = Some(name);
    }
}

/// The last part of a file name, without its extension.
fn stem(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    if stem.is_empty() { "unnamed".to_owned() } else { stem.to_owned() }
}

fn plural(kind: ResourceKind) -> String {
    match kind {
        ResourceKind::Mesh => "meshes".to_owned(),
        ResourceKind::VirtualNode
        | ResourceKind::VirtualGateway
        | ResourceKind::VirtualRouter
        | ResourceKind::Route
        | ResourceKind::VirtualService
        | ResourceKind::GatewayRoute => format!("{kind}s"),
    }
}

/// The kind of a whole resource, from its most specific name.
fn kind_by_names(object: &Map<String, Value>) -> Option<ResourceKind> {
    use ResourceKind::{GatewayRoute, Mesh, Route, VirtualGateway, VirtualNode, VirtualRouter, VirtualService};
    let whole = ["spec", "arn", "metadata", "status", "tags"].iter().any(|name| object.contains_key(*name));
    // A route also names its router, so routes are tested first.
    [Route, GatewayRoute, VirtualNode, VirtualGateway, VirtualRouter, VirtualService, Mesh]
        .into_iter()
        .find(|kind| object.contains_key(own_name_member(*kind)))
        .filter(|kind| match kind {
            // A provider and a target also contain names, but they are not resources.
            Mesh => whole || object.len() == 1,
            Route | GatewayRoute | VirtualNode | VirtualGateway | VirtualRouter | VirtualService => {
                whole || object.contains_key("meshName")
            }
        })
        .map(|kind| match kind {
            // An input for a route without a name names its router and contains a route's spec.
            VirtualRouter | VirtualGateway => {
                object.get("spec").and_then(Value::as_object).and_then(route_kind).unwrap_or(kind)
            }
            Mesh => object.get("spec").and_then(Value::as_object).and_then(kind_of_spec).unwrap_or(kind),
            Route | GatewayRoute | VirtualNode | VirtualService => kind,
        })
}

/// The kind of a bare spec, or of a resource without any name.
fn kind_by_spec(object: &Map<String, Value>) -> Option<ResourceKind> {
    match object.get("spec") {
        Some(Value::Object(spec)) if !object.contains_key("kind") && !object.contains_key("apiVersion") => {
            kind_of_spec(spec)
        }
        Some(_) => None,
        None => kind_of_spec(object),
    }
}

fn kind_of_spec(spec: &Map<String, Value>) -> Option<ResourceKind> {
    let has = |name: &str| spec.contains_key(name);
    let listeners = spec.get("listeners").and_then(Value::as_array);
    let listens = |name: &str| listeners.into_iter().flatten().any(|listener| listener.get(name).is_some());
    let found_by = spec.get("serviceDiscovery");
    let is_found_by = |name: &str| found_by.is_some_and(|found_by| found_by.get(name).is_some());
    if let Some(kind) = route_kind(spec) {
        Some(kind)
    } else if has("egressFilter") || is_found_by("ipPreference") {
        Some(ResourceKind::Mesh)
    } else if spec.get("provider").is_some_and(|p| p.get("virtualNode").is_some() || p.get("virtualRouter").is_some()) {
        Some(ResourceKind::VirtualService)
    } else if is_found_by("dns")
        || is_found_by("awsCloudMap")
        || has("backends")
        || listens("timeout")
        || listens("outlierDetection")
    {
        Some(ResourceKind::VirtualNode)
    } else if has("backendDefaults")
        || (has("logging") && listeners.is_some())
        || listens("tls")
        || listens("healthCheck")
        || listens("connectionPool")
    {
        // A node without service discovery has no callers, so a spec with listeners and clients is probably a
        // gateway's.
        Some(ResourceKind::VirtualGateway)
    } else if listens("portMapping") && spec.len() == 1 {
        Some(ResourceKind::VirtualRouter)
    } else {
        None
    }
}

fn route_kind(spec: &Map<String, Value>) -> Option<ResourceKind> {
    let rule = ["httpRoute", "http2Route", "grpcRoute", "tcpRoute"].iter().find_map(|name| spec.get(*name))?;
    let action = rule.get("action");
    let is_gateways = action.is_some_and(|action| action.get("target").is_some() || action.get("rewrite").is_some());
    Some(if is_gateways { ResourceKind::GatewayRoute } else { ResourceKind::Route })
}
