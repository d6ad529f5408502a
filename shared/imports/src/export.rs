//! Writes meshes to files that can be imported again.

mod cloudformation;
mod hcl;
mod terraform;

use std::collections::{BTreeMap, BTreeSet};

use mesh::name::{ResourceKind, ResourcePath};
use mesh::resource::Tags;
use mesh::validate;
use serde_json::{Map, Value, json};

use crate::held::Held;
use crate::order::parent;
use crate::step::rank;

/// The member of an exported API document that marks its values as exact: a text such as `${NAME}` in it is no
/// placeholder.
pub const EXPORT_MARKER: &str = "meshwardenExport";

/// The version of the exported API documents.
const EXPORT_VERSION: u8 = 1;

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// Inputs of the App Mesh API in one JSON document, which `meshwarden apply` reads.
    Json,
    /// A CloudFormation template in JSON.
    CloudFormation,
    /// A Terraform configuration in HCL.
    Terraform,
}

/// Writes the resources in the order of their creation.
#[must_use]
pub fn export(held: &Held, format: ExportFormat) -> String {
    let mut paths: Vec<&ResourcePath> = held.keys().collect();
    paths.sort_by_key(|path| (path.mesh(), rank(path.kind()), *path));
    match format {
        ExportFormat::Json => json_document(&paths, held),
        ExportFormat::CloudFormation => cloudformation::template(&paths, held),
        ExportFormat::Terraform => terraform::configuration(&paths, held),
    }
}

fn json_document(paths: &[&ResourcePath], held: &Held) -> String {
    let resources = paths.iter().filter_map(|path| {
        let resource = held.get(path)?;
        let mut members = names(path);
        members.insert("spec".to_owned(), resource.spec.to_json());
        members.insert("tags".to_owned(), tag_list(&resource.tags, "key", "value"));
        Some(Value::Object(members))
    });
    let document = json!({EXPORT_MARKER: EXPORT_VERSION, "resources": resources.collect::<Vec<_>>()});
    pretty(&document)
}

/// The names of a resource by the API's members.
fn names(path: &ResourcePath) -> Map<String, Value> {
    let mut names = Map::from_iter([("meshName".to_owned(), json!(path.mesh()))]);
    match path {
        ResourcePath::Route(id) => {
            names.insert("virtualRouterName".to_owned(), json!(id.router));
        }
        ResourcePath::GatewayRoute(_, gateway, _) => {
            names.insert("virtualGatewayName".to_owned(), json!(gateway));
        }
        ResourcePath::Mesh(_)
        | ResourcePath::VirtualNode(..)
        | ResourcePath::VirtualGateway(..)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::VirtualService(..) => {}
    }
    if path.kind() != ResourceKind::Mesh {
        names.insert(format!("{}Name", path.kind()), json!(path.name()));
    }
    names
}

fn tag_list(tags: &Tags, key_name: &str, value_name: &str) -> Value {
    tags.iter().map(|(key, value)| json!({key_name: key, value_name: value})).collect()
}

/// The exported resources that must exist before a resource: its parent and the targets of its references.
fn dependencies(path: &ResourcePath, held: &Held) -> BTreeSet<ResourcePath> {
    let targets = held.get(path).map(|resource| validate::references(path.mesh(), &resource.spec)).unwrap_or_default();
    parent(path).into_iter().chain(targets).filter(|target| held.contains_key(target)).collect()
}

/// A unique identifier for each resource, made of its kind and name. `letters` converts one text to the allowed
/// characters.
fn identifiers<'p>(
    paths: &[&'p ResourcePath],
    letters: impl Fn(&ResourcePath) -> String,
    is_shared: impl Fn(&ResourcePath, &ResourcePath) -> bool,
) -> BTreeMap<&'p ResourcePath, String> {
    let mut given: BTreeMap<&ResourcePath, String> = BTreeMap::new();
    for path in paths {
        let base = letters(path);
        let is_taken = |name: &str| given.iter().any(|(other, taken)| taken == name && is_shared(path, other));
        let numbered = (2..).map(|number: usize| format!("{base}{number}"));
        let name = std::iter::once(base.clone()).chain(numbered).find(|name| !is_taken(name));
        given.insert(path, name.unwrap_or(base));
    }
    given
}

fn pretty(value: &Value) -> String {
    // Serialization fails only for maps with keys that are not texts, and a `Value` has none.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
