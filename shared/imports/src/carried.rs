//! The report of an import: each member of the files, and the API afterwards.

use std::collections::BTreeMap;

use mesh::name::ResourcePath;
use mesh::spec::Spec;
use serde::Serialize;
use serde_json::{Value, json};

use crate::desired::{Desired, DesiredResource};
use crate::held::{Held, HeldResource, with_sorted_log_format};

/// One member of a resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CarriedRow {
    /// The outcome.
    pub outcome: CarriedOutcome,
    /// The resource; `None` for a declaration that creates no resource.
    pub resource: Option<ResourcePath>,
    /// The file.
    pub file: String,
    /// The line, from 1; `None` if it is unknown.
    pub line: Option<usize>,
    /// The resource in the file: a logical id, an address, a namespace and name.
    pub id: String,
    /// The member in the API's spelling, or in the file's spelling if the API does not have it.
    pub member: String,
    /// The value in the file; `None` if the file does not have the member, or the value was not read.
    pub in_file: Option<Value>,
    /// The value in the API; `None` if the API does not have the member.
    pub in_api: Option<Value>,
    /// The reason of any other outcome than `carried`; empty for `carried`.
    pub reason: String,
}

/// The outcome for one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CarriedOutcome {
    /// The API holds the value of the file.
    Carried,
    /// The API holds a value that is not in the file.
    Added,
    /// The API holds another value than the file, or none.
    Differs,
    /// The API does not have the member.
    NotHeld,
    /// The member was unknown and was dropped on request.
    Dropped,
    /// The declaration creates no resource.
    Skipped,
}

/// Compares each member of the files with the resources that the API holds.
#[must_use]
pub fn carried_over(desired: &Desired, held: &Held) -> Vec<CarriedRow> {
    let mut rows = Vec::new();
    for (path, resource) in &desired.resources {
        of_resource(path, resource, held.get(path), &mut rows);
    }
    rows.extend(desired.skipped.iter().map(|skipped| CarriedRow {
        outcome: CarriedOutcome::Skipped,
        resource: None,
        file: skipped.file.clone(),
        line: None,
        id: skipped.id.clone(),
        member: String::new(),
        in_file: None,
        in_api: None,
        reason: skipped.reason.clone(),
    }));
    rows
}

fn of_resource(
    path: &ResourcePath,
    resource: &DesiredResource,
    held: Option<&HeldResource>,
    rows: &mut Vec<CarriedRow>,
) {
    let row = |member: &str, in_file: Option<Value>, in_api: Option<Value>| {
        let (outcome, reason) = match (&in_file, &in_api) {
            (Some(file), Some(api)) if file == api => (CarriedOutcome::Carried, ""),
            (None, Some(_)) => (CarriedOutcome::Added, "the API holds it, and the file does not"),
            (_, None) if held.is_none() => (CarriedOutcome::Differs, "the API does not hold the resource"),
            (Some(_) | None, _) => (CarriedOutcome::Differs, "the API holds another value"),
        };
        CarriedRow {
            outcome,
            resource: Some(path.clone()),
            file: resource.source.file.clone(),
            line: Some(resource.lines.line_of(member).unwrap_or(resource.line)),
            id: resource.source.id.clone(),
            member: member.to_owned(),
            in_file,
            in_api,
            reason: reason.to_owned(),
        }
    };
    let mut in_file = members(&resource.spec);
    let mut in_api = held.map(|held| members(&held.spec)).unwrap_or_default();
    if let Some(tags) = &resource.tags {
        in_file.extend(tags.iter().map(|(key, value)| (format!("tags.{key}"), json!(value))));
        let held_tags = held.into_iter().flat_map(|held| held.tags.iter());
        in_api.extend(held_tags.map(|(key, value)| (format!("tags.{key}"), json!(value))));
    }
    for (member, value) in &in_file {
        rows.push(row(member, Some(value.clone()), in_api.remove(member)));
    }
    for (member, value) in in_api {
        let mut added = row(&member, None, Some(value));
        if member.ends_with(".healthCheck.port") {
            "the API fills in the port of the listener".clone_into(&mut added.reason);
        }
        rows.push(added);
    }
    if let Some(owner) = &resource.mesh_owner {
        let in_api = held.map(|held| json!(held.mesh_owner));
        let mut owner = row("meshOwner", Some(json!(owner)), in_api);
        if owner.outcome == CarriedOutcome::Differs && held.is_some() {
            "the account of the control plane owns its meshes".clone_into(&mut owner.reason);
        }
        rows.push(owner);
    }
    for unheld in &resource.unheld {
        let outcome = CarriedOutcome::NotHeld;
        let reason = unheld.reason.text().to_owned();
        let known = row(&unheld.member, None, None);
        rows.push(CarriedRow { outcome, line: Some(unheld.line), reason, ..known });
    }
    for dropped in &resource.dropped {
        let reason = match &dropped.suggestion {
            Some(name) => format!("it is an unknown member; the nearest known one is `{name}`"),
            None => "it is an unknown member".to_owned(),
        };
        let known = row(&dropped.member, None, None);
        rows.push(CarriedRow { outcome: CarriedOutcome::Dropped, line: Some(dropped.line), reason, ..known });
    }
}

/// The members of a spec with a value, by path. An empty object or list counts as a value.
fn members(spec: &Spec) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    walk("spec".to_owned(), &with_sorted_log_format(spec.to_json()), &mut found);
    found
}

fn walk(path: String, value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                walk(format!("{path}.{name}"), value, found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                walk(format!("{path}[{index}]"), value, found);
            }
        }
        Value::Null => {}
        Value::Object(_) | Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.insert(path, value.clone());
        }
    }
}

#[cfg(test)]
mod tests;
