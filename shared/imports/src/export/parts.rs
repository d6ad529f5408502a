//! The parts that several export forms share.

use std::collections::{BTreeMap, BTreeSet};

use mesh::name::{ResourceKind, ResourcePath};
use mesh::resource::Tags;
use mesh::validate;
use serde_json::{Map, Value, json};

use crate::held::Held;
use crate::order::parent;

/// The names of a resource by the API's members.
pub(super) fn names(path: &ResourcePath) -> Map<String, Value> {
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

pub(super) fn tag_list(tags: &Tags, key_name: &str, value_name: &str) -> Value {
    tags.iter().map(|(key, value)| json!({key_name: key, value_name: value})).collect()
}

/// The exported resources that must exist before a resource: its parent and the targets of its references.
pub(super) fn dependencies(path: &ResourcePath, held: &Held) -> BTreeSet<ResourcePath> {
    let targets = held.get(path).map(|resource| validate::references(path.mesh(), &resource.spec)).unwrap_or_default();
    parent(path).into_iter().chain(targets).filter(|target| held.contains_key(target)).collect()
}

/// A unique identifier for each resource, made of its kind and name. `letters` converts one text to the allowed
/// characters.
pub(super) fn identifiers<'p>(
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

pub(super) fn pretty(value: &Value) -> String {
    // Serialization fails only for maps with keys that are not texts, and a `Value` has none.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
