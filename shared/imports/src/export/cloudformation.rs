//! A mesh as a CloudFormation template.

use mesh::name::{ResourceKind, ResourcePath};
use readers::{Form, spell};
use serde_json::{Map, Value, json};

use super::parts::{dependencies, identifiers, names, pretty, tag_list};
use crate::held::Held;

/// The template. Each resource depends on its parent and on the targets of its references.
pub(super) fn template(paths: &[&ResourcePath], held: &Held) -> String {
    let ids = identifiers(paths, logical_id, |_, _| true);
    let mut resources = Map::new();
    for path in paths {
        let (Some(resource), Some(id)) = (held.get(*path), ids.get(path)) else { continue };
        let mut properties: Map<String, Value> =
            names(path).into_iter().map(|(name, value)| (pascal(&name), value)).collect();
        properties.insert("Spec".to_owned(), spell(&resource.spec, Form::CloudFormation));
        if !resource.tags.is_empty() {
            properties.insert("Tags".to_owned(), tag_list(&resource.tags, "Key", "Value"));
        }
        let mut declared = Map::new();
        declared.insert("Type".to_owned(), json!(format!("AWS::AppMesh::{}", pascal(path.kind().as_str()))));
        let targets = dependencies(path, held);
        let targets: Vec<&String> = targets.iter().filter_map(|target| ids.get(target)).collect();
        if !targets.is_empty() {
            declared.insert("DependsOn".to_owned(), json!(targets));
        }
        declared.insert("Properties".to_owned(), Value::Object(properties));
        resources.insert(id.clone(), Value::Object(declared));
    }
    pretty(&json!({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}))
}

/// A logical id: letters and digits, such as `VirtualNodeOrdersV1`.
fn logical_id(path: &ResourcePath) -> String {
    let words =
        |text: &str| -> String { text.split(|letter: char| !letter.is_ascii_alphanumeric()).map(pascal).collect() };
    let holder = match path {
        ResourcePath::Route(id) => words(id.router.as_str()),
        ResourcePath::GatewayRoute(_, gateway, _) => words(gateway.as_str()),
        ResourcePath::Mesh(_)
        | ResourcePath::VirtualNode(..)
        | ResourcePath::VirtualGateway(..)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::VirtualService(..) => String::new(),
    };
    let kind = if path.kind() == ResourceKind::Mesh { "Mesh".to_owned() } else { pascal(path.kind().as_str()) };
    // A logical id has at most 255 characters.
    format!("{kind}{holder}{}", words(path.name())).chars().take(240).collect()
}

fn pascal(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}
