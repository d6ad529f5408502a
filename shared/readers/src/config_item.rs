//! AWS Config configuration items.
//!
//! An item's `configuration` is spelt neither like the API nor like CloudFormation (`Tls` and `Acm`, but `AWSCloudMap`
//! and `DNS`), so names are compared without case. It is an object in a notification, and a JSON text in a response.
//! JSON in an answer.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::declare::{Draft, Names, declare, tags_of, text_of};
use super::json;
use super::node::Spelling;
use super::reading::{DeletedItem, Note, Reading, Skipped, Source};
use super::respell::member;
use super::spots::{Spot, Step};
use super::stand_ins::StandIns;
use mesh::name::{Arn, ResourceKind, ResourcePath};

/// The members that contain a list of items.
const LISTS: [&str; 4] = ["configurationItems", "baseConfigurationItems", "results", "items"];

/// The members that contain one item, or a message about one.
const HOLDERS: [&str; 4] = ["configurationItem", "configurationItemSummary", "invokingEvent", "detail"];

/// Whether a document is an item, or contains items.
pub(super) fn is_item(object: &Map<String, Value>) -> bool {
    let is_one = |object: &Map<String, Value>| {
        member(object, "resourceType").is_some_and(|kind| kind.as_str().is_some_and(|kind| kind.starts_with("AWS::")))
    };
    is_one(object)
        || HOLDERS.iter().any(|name| held(object, name).is_some_and(|held| is_item(&held)))
        || LISTS.iter().any(|name| {
            let items = member(object, name).and_then(Value::as_array);
            items.is_some_and(|items| items.iter().filter_map(opened).any(|item| is_one(&item)))
        })
}

/// Reads all items in a document.
pub(super) fn read(file: &str, document: &Value, spot: &Spot, reading: &mut Reading) {
    if let Value::Array(items) = document {
        for (index, item) in items.iter().enumerate() {
            read(file, item, spot.item(index), reading);
        }
        return;
    }
    let Some(object) = opened(document) else { return };
    if member(&object, "resourceType").is_some() {
        item(file, &object, spot, reading);
        return;
    }
    for name in HOLDERS {
        if let Some(held) = held(&object, name) {
            read(file, &Value::Object(held), spot.member(name), reading);
        }
    }
    for name in LISTS {
        let items = member(&object, name).and_then(Value::as_array);
        for (index, item) in items.into_iter().flatten().enumerate() {
            read(file, item, spot.member(name).item(index), reading);
        }
    }
}

fn item(file: &str, item: &Map<String, Value>, spot: &Spot, reading: &mut Reading) {
    let text = |name: &str| member(item, name).and_then(text_of);
    let type_name = text("resourceType").unwrap_or_default();
    let arn = text("arn").or_else(|| text("resourceId"));
    let id = arn.clone().or_else(|| text("resourceName")).unwrap_or_else(|| type_name.clone());
    let source = Source { file: file.to_owned(), id };
    let Some(kind) = kind_of(&type_name) else {
        reading.remark(&source, "", Note::NotRead { reason: Skipped::OtherType { kind: type_name } });
        return;
    };
    let captured_at = member(item, "configurationItemCaptureTime").and_then(time_of);
    let status = text("configurationItemStatus").unwrap_or_default();
    if status.starts_with("ResourceDeleted") {
        if let Some(Ok(arn)) = arn.as_deref().map(Arn::parse) {
            let path = arn.path().clone();
            reading.deleted.push(DeletedItem { path, captured_at, source: source.clone() });
        }
        reading.remark(&source, "", Note::NotRead { reason: Skipped::Deleted });
        return;
    }
    let Some(configuration) = member(item, "configuration").filter(|configuration| !configuration.is_null()) else {
        reading.remark(&source, "", Note::NotRead { reason: Skipped::Oversized });
        return;
    };
    let Some(configuration) = opened(configuration) else {
        reading.refuse(source, "configuration", "must be an object, or a text of JSON with one");
        return;
    };
    let mut names = Names::read(kind, &configuration, Spelling::ConfigItem);
    if let Some(Ok(arn)) = arn.as_deref().map(Arn::parse) {
        names.complete(arn.path());
    }
    // AWS Config stores tags next to the configuration; some responses have them only within.
    let tags = member(item, "tags").or_else(|| member(&configuration, "tags"));
    let none = Value::Object(Map::new());
    declare(
        Draft {
            source,
            spot,
            kind,
            names,
            spec: member(&configuration, "spec").unwrap_or(&none),
            way: &[Step::Hidden("configuration".to_owned()), Step::Member("spec".to_owned())],
            misspelt: Vec::new(),
            spelling: Spelling::ConfigItem,
            stand_ins: &StandIns::None,
            tags: tags.map(tags_of),
            mesh_owner: member(&configuration, "meshOwner").and_then(text_of),
            captured_at,
            unheld: Vec::new(),
        },
        reading,
    );
}

/// A time as AWS Config writes it: a text, or seconds since 1970 in the output of an old AWS CLI.
fn time_of(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(seconds) => {
            let (whole, part) = seconds.to_string().split_once('.').map_or_else(
                || (seconds.to_string(), String::new()),
                |(whole, part)| (whole.to_owned(), format!("{part:0<9}")),
            );
            let nanoseconds = part.get(..9).and_then(|part| part.parse().ok()).unwrap_or_default();
            Timestamp::new(whole.parse().ok()?, nanoseconds).ok()
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Names {
    /// Adds the missing names from a path.
    fn complete(&mut self, path: &ResourcePath) {
        let parent = match path {
            ResourcePath::Route(id) => Some(id.router.to_string()),
            ResourcePath::GatewayRoute(_, gateway, _) => Some(gateway.to_string()),
            ResourcePath::Mesh(_)
            | ResourcePath::VirtualNode(..)
            | ResourcePath::VirtualGateway(..)
            | ResourcePath::VirtualRouter(..)
            | ResourcePath::VirtualService(..) => None,
        };
        self.mesh.get_or_insert_with(|| path.mesh().to_string());
        self.own.get_or_insert_with(|| path.name().to_owned());
        self.parent = self.parent.take().or(parent);
    }
}

/// The kind of an `AWS::AppMesh::` type, in templates too.
pub(super) fn kind_of(name: &str) -> Option<ResourceKind> {
    let name = name.strip_prefix("AWS::AppMesh::")?;
    ResourceKind::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name))
}

fn held(object: &Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    member(object, name).and_then(opened)
}

/// An object, or the object in a JSON text.
fn opened(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object.clone()),
        Value::String(text) if text.trim_start().starts_with('{') => match json::document(text) {
            Ok(Value::Object(object)) => Some(object),
            Ok(_) | Err(_) => None,
        },
        _ => None,
    }
}
