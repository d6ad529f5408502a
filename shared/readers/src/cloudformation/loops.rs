//! Loops of templates (`Fn::ForEach`), expanded if their collection is known.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::super::Surroundings;
use super::super::declare::text_of;
use super::inputs::{Inputs, Shared};
use super::scope::Scope;

/// The most resources that the loops of a template may create. CloudFormation allows 500 resources.
const MOST: usize = 1_000;

/// The deepest nesting of loops; CloudFormation allows five levels.
const DEEPEST: usize = 8;

/// A template with expanded loops.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expanded {
    pub(super) document: Value,
    /// The loop that created each resource, by logical id.
    pub(super) loops: HashMap<String, String>,
}

/// Expands the loops of a template for one stack. A loop with an unknown collection stays. `None` for a template
/// without loops.
pub(super) fn expand(document: &Value, around: &Surroundings, inputs: &Inputs, shared: &Shared) -> Option<Expanded> {
    const SECTIONS: [&str; 3] = ["Conditions", "Outputs", "Resources"];
    let members = |section: &&str| document.get(*section).and_then(Value::as_object);
    if !SECTIONS.iter().filter_map(members).any(|members| members.keys().any(|id| is_loop(id))) {
        return None;
    }
    let mut document = document.clone();
    let mut loops = HashMap::new();
    // The conditions first: outputs and resources depend on them.
    for section in SECTIONS {
        loops = expand_section(&mut document, section, around, inputs, shared);
    }
    Some(Expanded { document, loops })
}

fn expand_section(
    document: &mut Value,
    section: &str,
    around: &Surroundings,
    inputs: &Inputs,
    shared: &Shared,
) -> HashMap<String, String> {
    let mut made = HashMap::new();
    let Some(Value::Object(members)) = document.get(section) else { return made };
    if !members.keys().any(|id| is_loop(id)) {
        return made;
    }
    let mut scope = Scope::new(document, around, inputs, shared);
    let mut all = Map::new();
    for (id, value) in members {
        let mut of_loop = Map::new();
        if is_loop(id) && add(value, &mut scope, &mut of_loop, 0).is_some() && made.len() + of_loop.len() <= MOST {
            made.extend(of_loop.keys().map(|made| (made.clone(), id.clone())));
            all.extend(of_loop);
        } else {
            all.insert(id.clone(), value.clone());
        }
    }
    if let Some(members) = document.get_mut(section) {
        *members = Value::Object(all);
    }
    made
}

pub(super) fn is_loop(id: &str) -> bool {
    id.starts_with("Fn::ForEach")
}

/// Adds the resources of a loop. `None` if its collection is unknown, or if a bound is exceeded.
fn add(value: &Value, scope: &mut Scope<'_>, all: &mut Map<String, Value>, depth: usize) -> Option<()> {
    let [Value::String(identifier), collection, Value::Object(body)] = value.as_array()?.as_slice() else {
        return None;
    };
    for item in items(collection, scope)? {
        for (id, resource) in body {
            let (id, resource) = (replaced_text(id, identifier, &item), replaced(resource, identifier, &item));
            if is_loop(&id) {
                add(&resource, scope, all, Some(depth + 1).filter(|depth| *depth < DEEPEST)?)?;
            } else {
                all.insert(id, resource);
            }
            if all.len() > MOST {
                return None;
            }
        }
    }
    Some(())
}

/// The collection of a loop: a list, or a parameter with a list.
fn items(collection: &Value, scope: &mut Scope<'_>) -> Option<Vec<String>> {
    let collection = scope.value(collection)?;
    if scope.is_unknown(&collection) {
        return None;
    }
    match &collection {
        Value::Array(items) => items.iter().map(text_of).collect(),
        Value::String(items) => Some(items.split(',').map(|item| item.trim().to_owned()).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// A value with the identifier of a loop replaced.
fn replaced(value: &Value, identifier: &str, item: &str) -> Value {
    match value {
        Value::String(text) => Value::String(replaced_text(text, identifier, item)),
        Value::Array(items) => items.iter().map(|value| replaced(value, identifier, item)).collect(),
        Value::Object(members) => {
            let is_reference = members.len() == 1 && members.get("Ref").and_then(Value::as_str) == Some(identifier);
            if is_reference {
                return Value::from(item);
            }
            let members = members.iter();
            let members =
                members.map(|(name, value)| (replaced_text(name, identifier, item), replaced(value, identifier, item)));
            Value::Object(members.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// `${Name}` becomes the item, and `&{Name}` its letters and digits.
fn replaced_text(text: &str, identifier: &str, item: &str) -> String {
    let plain: String = item.chars().filter(char::is_ascii_alphanumeric).collect();
    text.replace(&format!("${{{identifier}}}"), item).replace(&format!("&{{{identifier}}}"), &plain)
}
