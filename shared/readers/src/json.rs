//! JSON with unique member names. The map of `serde_json` keeps the last of two equal names and silently drops the first.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Reads a document. An error is a line and the problem in it.
pub(super) fn document(text: &str) -> Result<Value, (usize, String)> {
    serde_json::from_str::<Once>(text).map(|Once(value)| value).map_err(|error| {
        let text_of_error = error.to_string();
        // The position at the end of serde_json's message is separated from the text.
        let message = text_of_error.rsplit_once(" at line ").map_or(text_of_error.as_str(), |(message, _)| message);
        (error.line(), message.to_owned())
    })
}

/// Reads several consecutive documents, as in logs, query exports and the output of `jq`. Each comes with the offset of
/// the end of the previous one. `None` if one of them cannot be read.
pub(super) fn documents(text: &str) -> Option<Vec<(Value, usize)>> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Once>();
    let mut all = Vec::new();
    loop {
        let begin = stream.byte_offset();
        match stream.next() {
            Some(document) => all.push((document.ok()?.0, begin)),
            None => return Some(all),
        }
    }
}

struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some((name, Once(value))) = members.next_entry::<String, Once>()? {
            if read.contains_key(&name) {
                return Err(A::Error::custom(format_args!("`{name}` is given twice: remove one")));
            }
            read.insert(name, value);
        }
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_json_value_is_read() {
        let text = r#"{"a": [1, -2, 0.5, true, null, "\ud83d\ude00\/"], "b": {}}"#;
        assert_eq!(document(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn duplicate_member_is_refused() {
        assert_eq!(document("{\"a\": 1,\n \"a\": 2}"), Err((2, "`a` is given twice: remove one".to_owned())));
    }
}
