//! The functions over texts, lists and maps.

use serde_json::{Map, Value};

use super::super::declare::text_of;
use super::super::stand_ins::{made_within, stand_in};
use super::scope::Scope;

impl Scope<'_> {
    /// `Fn::Sub`: a text, or a text and values for names in it. `${!Name}` is `${Name}` itself.
    pub(super) fn substituted(&mut self, argument: &Value) -> Value {
        let (text, values) = match argument {
            Value::String(text) => (text.clone(), Map::new()),
            Value::Array(items) => match items.as_slice() {
                [Value::String(text)] => (text.clone(), Map::new()),
                [Value::String(text), Value::Object(values)] => (text.clone(), values.clone()),
                _ => return self.unworked("Fn::Sub", &Value::Null),
            },
            other => return self.unworked("Fn::Sub", other),
        };
        let mut written = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            written.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                written.push_str("${");
                rest = after;
                break;
            };
            match name.strip_prefix('!') {
                Some(literal) => written.extend(["${", literal, "}"]),
                None => written.push_str(&self.substitute(name.trim(), &values)),
            }
            rest = after;
        }
        written.push_str(rest);
        let written = text_of(&self.dynamic(&written)).unwrap_or_default();
        self.bounded(written, "Fn::Sub")
    }

    fn substitute(&mut self, name: &str, values: &Map<String, Value>) -> String {
        let value = match values.get(name) {
            Some(value) => self.value(value).unwrap_or_default(),
            None => match name.split_once('.') {
                Some((resource, attribute)) => self.attribute(resource, attribute),
                None => self.reference(name),
            },
        };
        let text = match &value {
            // `Ref` of a list within a text is its items, separated by commas.
            Value::Array(items) => items.iter().filter_map(text_of).collect::<Vec<_>>().join(","),
            value => text_of(value).unwrap_or_default(),
        };
        if text.len() > 4096 { self.unknown("Fn::Sub").as_str().unwrap_or_default().to_owned() } else { text }
    }

    /// `Fn::Join`: a delimiter and a list.
    pub(super) fn joined(&mut self, argument: &Value) -> Value {
        let Some([delimiter, list]) = argument.as_array().map(Vec::as_slice) else {
            return self.unworked("Fn::Join", &Value::Null);
        };
        let delimiter = self.text(delimiter).unwrap_or_default();
        match self.value(list) {
            Some(Value::Array(items)) => {
                let texts: Vec<String> = items.iter().filter_map(text_of).collect();
                let joined = text_of(&self.dynamic(&texts.join(&delimiter))).unwrap_or_default();
                self.bounded(joined, "Fn::Join")
            }
            // A text that stands in for an unknown list.
            Some(list @ Value::String(_)) => self.unworked("Fn::Join", &list),
            _ => self.unworked("Fn::Join", &Value::Null),
        }
    }

    /// `Fn::Split`: a delimiter and a text.
    pub(super) fn split(&mut self, argument: &Value) -> Value {
        let Some([delimiter, text]) = argument.as_array().map(Vec::as_slice) else {
            return self.unworked("Fn::Split", &Value::Null);
        };
        let delimiter = self.text(delimiter).unwrap_or_default();
        let Some(text) = self.text(text).map(Value::String) else {
            return self.unworked("Fn::Split", &Value::Null);
        };
        match &text {
            // The unknown part may contain the delimiter.
            Value::String(text) if !delimiter.is_empty() && self.is_without(text, &delimiter) => {
                text.split(&delimiter).map(Value::from).collect()
            }
            unknown => self.unworked("Fn::Split", unknown),
        }
    }

    /// Whether the unknown parts of a text are certain not to contain a delimiter: regions, accounts and names of stacks have
    /// no slash.
    fn is_without(&self, text: &str, delimiter: &str) -> bool {
        let names =
            ["AWS::Region", "AWS::AccountId", "AWS::Partition", "AWS::StackName", "AWS::URLSuffix"].map(stand_in);
        made_within(text, self.made()).all(|part| delimiter == "/" && names.iter().any(|name| name == part))
    }

    /// `Fn::Select`: an index and a list.
    pub(super) fn selected(&mut self, argument: &Value) -> Value {
        let Some([index, list]) = argument.as_array().map(Vec::as_slice) else {
            return self.unworked("Fn::Select", &Value::Null);
        };
        let index = self.text(index).and_then(|index| index.parse::<usize>().ok());
        match (index, self.value(list)) {
            (Some(index), Some(Value::Array(items))) => {
                items.get(index).cloned().unwrap_or_else(|| self.unknown(&format!("Fn::Select {index}")))
            }
            (Some(index), Some(list)) => {
                let expression = format!("Fn::Select {index} {}", text_of(&list).unwrap_or_default());
                self.unknown(&expression)
            }
            _ => self.unworked("Fn::Select", &Value::Null),
        }
    }

    /// `Fn::FindInMap`: a map, two keys, and in newer templates a default for a missing entry.
    pub(super) fn found_in_map(&mut self, argument: &Value) -> Value {
        let Some([map, first, second, options @ ..]) = argument.as_array().map(Vec::as_slice) else {
            return self.unworked("Fn::FindInMap", &Value::Null);
        };
        let keys = [map, first, second].map(|key| self.text(key).unwrap_or_default());
        let [map, first, second] = &keys;
        let entry = self.section("Mappings").and_then(|maps| maps.get(map)?.get(first)?.get(second));
        if let Some(entry) = entry {
            return entry.clone();
        }
        let known = keys.iter().all(|key| !self.is_unknown(&Value::from(key.as_str())));
        match options.first().and_then(|options| options.get("DefaultValue")) {
            Some(default) if known => self.value(default).unwrap_or_default(),
            _ => self.unknown(&format!("Fn::FindInMap {map} {first} {second}")),
        }
    }

    /// `Fn::Length` of a list.
    pub(super) fn length(&mut self, argument: &Value) -> Value {
        match self.value(argument) {
            Some(Value::Array(items)) => Value::from(items.len()),
            _ => self.unworked("Fn::Length", &Value::Null),
        }
    }

    /// `Fn::ImportValue`: the export of another stack, from the caller or from the files.
    pub(super) fn imported(&mut self, argument: &Value) -> Value {
        let name = self.text(argument).unwrap_or_default();
        match self.export(&name) {
            Some(value) => value,
            None => self.unknown(&format!("Fn::ImportValue {name}")),
        }
    }
}
