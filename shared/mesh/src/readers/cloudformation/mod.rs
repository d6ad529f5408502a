//! CloudFormation templates.
//!
//! ```text
//!   Parameters, Mappings, Conditions ──▶ scope ──▶ evaluate each App Mesh resource ──▶ declare
//! ```
//!
//! A function is worked out as far as the template and its [`Surroundings`] go. What is left becomes text that stands
//! in for it, such as `${AWS::Region}`, and a remark.

mod conditions;
mod evaluate;
mod references;
mod scope;
mod strings;

use serde_json::{Map, Value};

use super::Surroundings;
use super::config_item::kind_of;
use super::declare::{Draft, Names, declare, own_name_member, parent_name_member, tags_of, text_of};
use super::reading::{Note, Reading, Skipped, Source};
use super::respell::{Spelling, fold, member};
use super::spots::Spot;
use super::stand_ins::StandIns;
use crate::name::ResourceKind;
use conditions::Truth;
use scope::Scope;

/// Whether a document is a template.
pub(super) fn is_template(object: &Map<String, Value>) -> bool {
    let is_resource = |resource: &Value| resource.get("Type").is_some_and(Value::is_string);
    object.contains_key("AWSTemplateFormatVersion")
        || matches!(object.get("Resources"), Some(Value::Object(resources)) if resources.values().any(is_resource))
}

/// A resource with its functions worked out.
struct Worked {
    source: Source,
    line: usize,
    kind: ResourceKind,
    properties: Map<String, Value>,
}

/// Reads the App Mesh resources of a template.
pub(super) fn read(file: &str, template: &Value, spot: &Spot, around: &Surroundings, reading: &mut Reading) {
    let Some(Value::Object(resources)) = template.get("Resources") else {
        let source = Source { file: file.to_owned(), id: "template".to_owned() };
        reading.refuse(source, "Resources", "is required: add it, with at least one resource");
        return;
    };
    let mut scope = Scope::new(template, around);
    let mut worked = Vec::new();
    let spot = spot.member("Resources");
    for (id, resource) in resources {
        let source = Source { file: file.to_owned(), id: id.clone() };
        if id.starts_with("Fn::ForEach") {
            refuse_loop(file, id, resource, reading);
            continue;
        }
        if id == "Fn::Transform" {
            reading.remark(&source, "Resources", Note::LeftOut { expression: "${Fn::Transform}".to_owned() });
            continue;
        }
        let Some(name) = resource.get("Type").and_then(Value::as_str) else {
            continue;
        };
        let Some(kind) = kind_of(name) else {
            if name.starts_with("AWS::AppMesh::") {
                reading.refuse(source, "Type", format!("`{name}` is no type of App Mesh: correct it"));
            }
            continue;
        };
        if is_created(&mut scope, &source, resource, reading) {
            let properties = match resource.get("Properties").and_then(|properties| scope.value(properties)) {
                Some(Value::Object(properties)) => properties,
                None => Map::new(),
                Some(_) => {
                    reading.refuse(source, "Properties", "must be an object whose members can be known");
                    continue;
                }
            };
            worked.push(Worked { source, line: spot.member(id).line(), kind, properties });
        }
    }
    let stand_ins = StandIns::Made(scope.into_stand_ins());
    for resource in worked {
        declare_worked(resource, &stand_ins, reading);
    }
}

/// Says of each resource of App Mesh that a loop would make that it isn't read. Only CloudFormation expands loops.
fn refuse_loop(file: &str, id: &str, value: &Value, reading: &mut Reading) {
    let body = value.as_array().and_then(|parts| parts.iter().rev().find_map(Value::as_object));
    let mut refuse = |id: &str, problem: &str| {
        let source = Source { file: file.to_owned(), id: id.to_owned() };
        reading.refuse(source, "Resources", problem);
    };
    let Some(body) = body else {
        return refuse(id, "is a loop without a body: give an identifier, a collection and what is made of each");
    };
    for (made, resource) in body {
        if made.starts_with("Fn::ForEach") {
            refuse_loop(file, made, resource, reading);
        } else if let Some(kind) = resource.get("Type").and_then(Value::as_str).filter(|kind| kind_of(kind).is_some()) {
            let source = Source { file: file.to_owned(), id: made.clone() };
            let problem = format!("{kind} is made by the loop {id}, which only CloudFormation expands: write it out");
            reading.refuse(source, "Resources", problem);
        }
    }
}

/// A condition that isn't known is taken for true, so that nothing hides behind it.
fn is_created(scope: &mut Scope<'_>, source: &Source, resource: &Value, reading: &mut Reading) -> bool {
    let Some(condition) = resource.get("Condition").and_then(Value::as_str) else {
        return true;
    };
    let name = condition.to_owned();
    match scope.condition(condition) {
        Truth::True => true,
        Truth::False => {
            let reason = Skipped::ConditionFalse { condition: name };
            reading.remark(source, "", Note::NotRead { reason });
            false
        }
        Truth::Unknown => {
            reading.remark(source, "", Note::ConditionUnknown { condition: name });
            true
        }
    }
}

fn declare_worked(worked: Worked, stand_ins: &StandIns, reading: &mut Reading) {
    let Worked { source, line, kind, properties } = worked;
    let own = own_name_member(kind);
    let known = ["meshName", "meshOwner", "spec", "tags", own, parent_name_member(kind).unwrap_or(own)];
    for name in properties.keys() {
        if !known.iter().any(|known| fold(known) == fold(name)) {
            reading.remark(&source, format!("Properties.{name}"), Note::UnknownMember);
        }
    }
    let mut names = Names::of(kind, &properties);
    if names.own.is_none() && kind != ResourceKind::VirtualService {
        // CloudFormation makes a name of the stack's, this id and random characters.
        let name = source.id.clone();
        reading.remark(&source, own, Note::NameAssumed { name: name.clone() });
        if kind == ResourceKind::Mesh {
            names.mesh = Some(name.clone());
        }
        names.own = Some(name);
    }
    let empty = Value::Object(Map::new());
    declare(
        Draft {
            source,
            line,
            kind,
            names,
            spec: member(&properties, "spec").unwrap_or(&empty),
            spelling: Spelling::AnyCase,
            stand_ins,
            tags: Some(member(&properties, "tags").map(tags_of).unwrap_or_default()),
            mesh_owner: member(&properties, "meshOwner").and_then(text_of),
        },
        reading,
    );
}
