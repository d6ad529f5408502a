//! Loops of templates (`Fn::ForEach`), written out where what they run over is known.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::super::Surroundings;
use super::scope::Scope;
use super::stacks::{Inputs, Shared};
use super::text_of;

/// The most resources that the loops of a template make. CloudFormation allows 500 resources.
const MOST: usize = 1_000;

/// The deepest that loops nest; CloudFormation allows five.
const DEEPEST: usize = 8;

/// Writes the loops of a template out, and says of each resource that one makes from which it is. A loop over what is not
/// known stays.
pub(super) fn write_out(document: &mut Value, around: &Surroundings) -> HashMap<String, String> {
    for section in ["Conditions", "Outputs"] {
        write_section_out(document, section, around);
    }
    write_section_out(document, "Resources", around)
}

fn write_section_out(document: &mut Value, section: &str, around: &Surroundings) -> HashMap<String, String> {
    let mut made = HashMap::new();
    let Some(Value::Object(members)) = document.get(section) else { return made };
    if !members.keys().any(|id| is_loop(id)) {
        return made;
    }
    let (inputs, shared) = (Inputs::default(), Shared::default());
    let mut scope = Scope::new(document, around, &inputs, &shared);
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

/// Adds what a loop makes. `None` where that is not known, or too much.
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

/// What a loop runs over: a list, or a parameter with one.
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
