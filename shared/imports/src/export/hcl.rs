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
    let mut lines = vec![format!("resource \"{kind}\" \"{label}\" {{")];
    self::body(body, references, 1, &mut lines);
    match depends_on {
        [] => {}
        [one] => lines.extend([String::new(), format!("  depends_on = [{one}]")]),
        several => {
            lines.extend([String::new(), "  depends_on = [".to_owned()]);
            lines.extend(several.iter().map(|one| format!("    {one},")));
            lines.push("  ]".to_owned());
        }
    }
    lines.push("}\n".to_owned());
    lines.join("\n")
}

/// The arguments and then the blocks. A list of objects is a block for each object.
fn body(members: &Map<String, Value>, references: &BTreeMap<String, String>, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let is_block = |value: &Value| value.as_array().is_some_and(|items| items.iter().any(Value::is_object));
    let (blocks, arguments): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| is_block(value));
    let (maps, values): (Vec<_>, Vec<_>) = arguments.into_iter().partition(|(_, value)| value.is_object());
    let width = values.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in &values {
        let value = references.get(*name).cloned().unwrap_or_else(|| argument(value));
        lines.push(format!("{indent}{name:width$} = {value}"));
    }
    let mut has_before = !values.is_empty();
    for (name, value) in maps {
        let Value::Object(pairs) = value else { continue };
        if std::mem::replace(&mut has_before, true) {
            lines.push(String::new());
        }
        let keys: Vec<(String, String)> = pairs.iter().map(|(key, value)| (map_key(key), argument(value))).collect();
        let width = keys.iter().map(|(key, _)| key.chars().count()).max().unwrap_or_default();
        lines.push(format!("{indent}{name} = {{"));
        lines.extend(keys.iter().map(|(key, value)| format!("{indent}  {key:width$} = {value}")));
        lines.push(format!("{indent}}}"));
    }
    for (name, value) in blocks {
        for item in value.as_array().into_iter().flatten() {
            if std::mem::replace(&mut has_before, true) {
                lines.push(String::new());
            }
            match item {
                Value::Object(members) if !members.is_empty() => {
                    lines.push(format!("{indent}{name} {{"));
                    self::body(members, &BTreeMap::new(), depth + 1, lines);
                    lines.push(format!("{indent}}}"));
                }
                _ => lines.push(format!("{indent}{name} {{}}")),
            }
        }
    }
}

/// The expression of a value.
fn argument(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(argument).collect::<Vec<_>>().join(", ")),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A key of a map, without quotes if it is an identifier.
fn map_key(key: &str) -> String {
    let is_first = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    let is_identifier =
        key.starts_with(is_first) && key.chars().all(|letter| is_first(letter) || letter.is_ascii_digit());
    if is_identifier { key.to_owned() } else { quoted(key) }
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
            letter if letter.is_control() => quoted.extend([format!("\\u{:04x}", u32::from(letter))]),
            '$' | '%' if text.get(at + 1..).is_some_and(|rest| rest.starts_with('{')) => {
                quoted.extend([letter, letter]);
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
