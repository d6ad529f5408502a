//! Blocks of HCL, laid out as `terraform fmt` does.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A resource block. `references` are expressions in place of the texts of arguments.
pub(super) fn resource(
    kind: &str,
    label: &str,
    body: &Map<String, Value>,
    references: &BTreeMap<String, String>,
    depends_on: &[String],
) -> String {
    let mut text = format!("resource \"{kind}\" \"{label}\" {{\n");
    self::body(body, references, 1, &mut text);
    match depends_on {
        [] => {}
        [one] => text.push_str(&format!("\n  depends_on = [{one}]\n")),
        several => {
            text.push_str("\n  depends_on = [\n");
            text.extend(several.iter().map(|one| format!("    {one},\n")));
            text.push_str("  ]\n");
        }
    }
    text.push_str("}\n");
    text
}

/// The arguments and then the blocks. A list of objects is a block for each object.
fn body(members: &Map<String, Value>, references: &BTreeMap<String, String>, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let is_block = |value: &Value| value.as_array().is_some_and(|items| items.iter().any(Value::is_object));
    let (blocks, arguments): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| is_block(value));
    let (maps, values): (Vec<_>, Vec<_>) = arguments.into_iter().partition(|(_, value)| value.is_object());
    let width = values.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in &values {
        let value = references.get(*name).cloned().unwrap_or_else(|| argument(value));
        text.push_str(&format!("{indent}{name:width$} = {value}\n"));
    }
    let mut has_before = !values.is_empty();
    for (name, value) in maps {
        let Value::Object(pairs) = value else { continue };
        if std::mem::replace(&mut has_before, true) {
            text.push('\n');
        }
        let keys: Vec<(String, String)> = pairs.iter().map(|(key, value)| (map_key(key), argument(value))).collect();
        let width = keys.iter().map(|(key, _)| key.chars().count()).max().unwrap_or_default();
        text.push_str(&format!("{indent}{name} = {{\n"));
        text.extend(keys.iter().map(|(key, value)| format!("{indent}  {key:width$} = {value}\n")));
        text.push_str(&format!("{indent}}}\n"));
    }
    for (name, value) in blocks {
        for item in value.as_array().into_iter().flatten() {
            if std::mem::replace(&mut has_before, true) {
                text.push('\n');
            }
            match item {
                Value::Object(members) if !members.is_empty() => {
                    text.push_str(&format!("{indent}{name} {{\n"));
                    self::body(members, &BTreeMap::new(), depth + 1, text);
                    text.push_str(&format!("{indent}}}\n"));
                }
                _ => text.push_str(&format!("{indent}{name} {{}}\n")),
            }
        }
    }
}

/// A key of a map, without quotes if it is an identifier.
fn map_key(key: &str) -> String {
    let is_first = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    let is_identifier =
        key.starts_with(is_first) && key.chars().all(|letter| is_first(letter) || letter.is_ascii_digit());
    if is_identifier { key.to_owned() } else { quoted(key) }
}

/// The expression of a value.
fn argument(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(argument).collect::<Vec<_>>().join(", ")),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text in quotes, without interpolation.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(letter))),
            '$' | '%' if text.get(at + 1..).is_some_and(|rest| rest.starts_with('{')) => {
                quoted.extend([letter, letter]);
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
