//! Reads members of an event, and reports the path of an invalid one.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a part of an event for Meshwarden cannot be read, and the path of the invalid member.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) at: String,
    pub(super) why: String,
}

impl Flaw {
    pub(super) fn new(at: &str, why: impl Into<String>) -> Self {
        Self { at: if at.is_empty() { "the event".to_owned() } else { at.to_owned() }, why: why.into() }
    }

    pub(super) fn missing(at: &str, member: &str) -> Self {
        Self::new(at, format!("missing field `{member}`"))
    }
}

/// Parses `value`; the error names the invalid member.
pub(super) fn read<T: DeserializeOwned>(value: &Value, at: &str) -> Result<T, Flaw> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { at.to_owned() } else { join(at, &path) };
        Flaw::new(&at, error.into_inner().to_string())
    })
}

/// The path of a member: `Records[0]` and `body` give `Records[0].body`.
pub(super) fn join(at: &str, member: &str) -> String {
    if at.is_empty() { member.to_owned() } else { format!("{at}.{member}") }
}

/// A short description of any value that fits into a log line.
pub(super) fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a truth value".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(_) => "a text".to_owned(),
        Value::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(members) if members.is_empty() => "an empty object".to_owned(),
        Value::Object(members) => {
            let names: Vec<_> = members.keys().take(5).map(|name| format!("`{}`", shortened(name))).collect();
            format!("an object with {}", names.join(", "))
        }
    }
}

/// The first 80 characters of a text, without control characters.
pub(super) fn shortened(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(80).collect()
}
