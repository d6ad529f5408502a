//! The App Mesh resources of a module, as a plan would have their values.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::structure::{Body, Structure};
use mesh::readers::Configured;
use serde_json::{Map, Value};

use super::scope::{Scope, Unknown};
use super::source::{Content, Module, Resource};

/// Arguments that every resource may have, for Terraform itself.
const META: [&str; 8] =
    ["count", "for_each", "depends_on", "provider", "lifecycle", "provisioner", "connection", "timeouts"];

/// What a module came to.
pub(super) struct Outcome {
    pub(super) resources: Vec<Configured>,
    /// What could not be decided, each with its place.
    pub(super) undecided: Vec<String>,
}

/// Evaluates the App Mesh resources of a module.
pub(super) fn evaluate(module: &Module) -> Outcome {
    let mut outcome = Outcome { resources: Vec::new(), undecided: Vec::new() };
    let mut scope = Scope::new(module);
    for resource in module.resources.iter().filter(|one| one.kind.starts_with("aws_appmesh_") && !one.is_context) {
        let address = format!("{}.{}", resource.kind, resource.name);
        let Some(configured) = scope.within(&address, |scope| one(resource, &address, scope)) else { continue };
        for what in &configured.undecided {
            outcome.undecided.push(format!("{}:{}: {address}: {what} was not evaluated", resource.file, resource.line));
        }
        outcome.resources.push(configured);
    }
    outcome
}

/// A resource; `None` where it is certain that it is not created.
fn one(resource: &Resource, address: &str, scope: &mut Scope<'_>) -> Option<Configured> {
    let mut undecided = Vec::new();
    for meta in ["count", "for_each"] {
        match how_often(resource, meta, scope) {
            Instances::One => {}
            Instances::None => return None,
            Instances::Undecided => undecided.push(meta.to_owned()),
        }
    }
    let mut values = match &resource.content {
        Content::Hcl(body) => body_of(body, &mut undecided, scope),
        Content::Json(members) => json_of(members, &mut undecided, scope),
    };
    values.retain(|name, _| !META.contains(&name.as_str()));
    undecided.dedup();
    let mut open = BTreeSet::new();
    for (name, value) in &values {
        if name != "tags" && name != "tags_all" {
            collect(value, scope.made(), &mut open);
        }
    }
    Some(Configured {
        file: resource.file.clone(),
        line: resource.line,
        address: address.to_owned(),
        kind: resource.kind.clone(),
        values: Value::Object(values),
        stand_ins: scope.made().keys().cloned().collect(),
        lines: resource.lines.clone(),
        partly_read: open.into_iter().collect(),
        undecided,
    })
}

/// How many instances of a resource there are.
enum Instances {
    None,
    One,
    Undecided,
}

fn how_often(resource: &Resource, meta: &str, scope: &mut Scope<'_>) -> Instances {
    let value = match &resource.content {
        Content::Hcl(body) => body.get_attribute(meta).map(|attribute| scope.expression(&attribute.value)),
        Content::Json(members) => members.get(meta).map(|value| scope.json(value)),
    };
    match (meta, value) {
        (_, None) => Instances::One,
        ("count", Some(value)) if value.as_f64() == Some(0.0) => Instances::None,
        ("count", Some(value)) if value.as_f64() == Some(1.0) => Instances::One,
        (_, Some(Value::Array(items))) if items.is_empty() => Instances::None,
        (_, Some(Value::Object(members))) if members.is_empty() => Instances::None,
        (_, Some(_)) => Instances::Undecided,
    }
}

/// The values of a body: attributes, and blocks as lists.
fn body_of(body: &Body, undecided: &mut Vec<String>, scope: &mut Scope<'_>) -> Map<String, Value> {
    let mut values = Map::new();
    for structure in body {
        match structure {
            Structure::Attribute(attribute) => {
                let value = scope.expression(&attribute.value);
                values.insert(attribute.key.as_str().to_owned(), value);
            }
            Structure::Block(block) if block.ident.as_str() == "dynamic" => {
                let label = block.labels.first().map(hcl_edit::structure::BlockLabel::as_str).unwrap_or_default();
                if !is_empty(block, scope) {
                    undecided.push(format!("dynamic {label}"));
                }
            }
            Structure::Block(block) => {
                let value = Value::Object(body_of(&block.body, undecided, scope));
                match values.entry(block.ident.as_str()).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(items) => items.push(value),
                    other => *other = Value::Array(vec![value]),
                }
            }
        }
    }
    values
}

/// Whether a dynamic block is certain to make nothing.
fn is_empty(block: &hcl_edit::structure::Block, scope: &mut Scope<'_>) -> bool {
    let value = block.body.get_attribute("for_each").map(|attribute| scope.expression(&attribute.value));
    match value {
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        _ => false,
    }
}

fn json_of(members: &Map<String, Value>, undecided: &mut Vec<String>, scope: &mut Scope<'_>) -> Map<String, Value> {
    find_dynamic(members, undecided);
    let evaluated = scope.json(&Value::Object(members.clone()));
    let mut evaluated = evaluated.as_object().cloned().unwrap_or_default();
    evaluated.retain(|name, _| !META.contains(&name.as_str()));
    without_dynamic(&mut evaluated);
    evaluated
}

fn find_dynamic(members: &Map<String, Value>, undecided: &mut Vec<String>) {
    for (name, value) in members {
        if name == "dynamic" {
            let labels = value.as_object().into_iter().flat_map(Map::keys);
            undecided.extend(labels.map(|label| format!("dynamic {label}")));
            continue;
        }
        match value {
            Value::Object(members) => find_dynamic(members, undecided),
            Value::Array(items) => {
                items.iter().filter_map(Value::as_object).for_each(|one| find_dynamic(one, undecided));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn without_dynamic(members: &mut Map<String, Value>) {
    members.shift_remove("dynamic");
    for value in members.values_mut() {
        match value {
            Value::Object(members) => without_dynamic(members),
            Value::Array(items) => items.iter_mut().filter_map(Value::as_object_mut).for_each(without_dynamic),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// The stand-ins in a value for what only Terraform evaluates. What AWS gives a resource of the module is as unknown in
/// a plan, and stands for itself.
fn collect(value: &Value, made: &BTreeMap<String, Unknown>, open: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.contains("${") => {
            let within =
                made.iter().filter(|(stand_in, why)| **why == Unknown::Unevaluated && text.contains(stand_in.as_str()));
            open.extend(within.map(|(stand_in, _)| stand_in.clone()));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, made, open)),
        Value::Object(members) => members.values().for_each(|value| collect(value, made, open)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
