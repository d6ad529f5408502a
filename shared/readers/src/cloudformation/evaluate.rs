//! Evaluation of values: each function by its name.

use serde_json::{Map, Value};

use super::super::declare::text_of;
use super::scope::Scope;
use super::truth::Truth;

/// The start of a dynamic reference.
const REFERENCE: &str = "{{resolve:";

impl Scope<'_> {
    /// A value with evaluated functions. `None` for `AWS::NoValue`, which removes its member.
    pub(super) fn value(&mut self, value: &Value) -> Option<Value> {
        if !self.enter() {
            return Some(self.unknown("too deep or too much to work out"));
        }
        let worked = self.worked(value);
        self.leave();
        worked
    }

    fn worked(&mut self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(items) => Some(items.iter().filter_map(|item| self.value(item)).collect()),
            Value::Object(object) => {
                if let Some((name, argument)) = function(object) {
                    return self.call(name, argument);
                }
                let members = object.iter().filter_map(|(name, value)| Some((name.clone(), self.value(value)?)));
                Some(Value::Object(members.collect()))
            }
            Value::String(text) => Some(self.dynamic(text)),
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.clone()),
        }
    }

    /// A text with the values of its dynamic references. `{{resolve:ssm:NAME}}` and `{{resolve:ssm:NAME:VERSION}}` are
    /// parameters of Systems Manager. Only a deployment knows those that no given template writes, and the secrets of
    /// other services.
    pub(super) fn dynamic(&mut self, text: &str) -> Value {
        let (mut written, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once(REFERENCE) {
            let Some(mut end) = after.find("}}") else { break };
            // The name may end with a text that stands in for a part of it.
            if after.get(end..).is_some_and(|end| end.starts_with("}}}")) {
                end += 1;
            }
            let (reference, after) = after.split_at_checked(end).unwrap_or((after, ""));
            let after = after.strip_prefix("}}").unwrap_or(after);
            let stored = match reference.split_once(':') {
                Some(("ssm", name)) => self.stored(without_version(name)),
                Some(_) | None => None,
            };
            let value = stored.unwrap_or_else(|| self.unknown(&format!("resolve:{reference}")));
            if written.is_empty() && before.is_empty() && after.is_empty() {
                return value;
            }
            written.push_str(before);
            written.push_str(&text_of(&value).unwrap_or_default());
            rest = after;
        }
        written.push_str(rest);
        self.bounded(written, "resolve")
    }

    fn call(&mut self, name: &str, argument: &Value) -> Option<Value> {
        match name {
            "Ref" => match argument.as_str() {
                Some("AWS::NoValue") => None,
                Some(name) => Some(self.reference(name)),
                None => Some(self.unknown("Ref")),
            },
            "Fn::GetAtt" => Some(self.attribute_of(argument)),
            "Fn::Sub" => Some(self.substituted(argument)),
            "Fn::Join" => Some(self.joined(argument)),
            "Fn::Split" => Some(self.split(argument)),
            "Fn::Select" => Some(self.selected(argument)),
            "Fn::FindInMap" => Some(self.found_in_map(argument)),
            "Fn::If" => self.chosen(argument),
            "Fn::ImportValue" => Some(self.imported(argument)),
            "Fn::Length" => Some(self.length(argument)),
            "Fn::ToJsonString" => {
                let value = self.value(argument)?;
                Some(self.bounded(value.to_string(), "Fn::ToJsonString"))
            }
            _ => Some(self.unworked(name, argument)),
        }
    }

    /// The stand-in for a function that only CloudFormation can evaluate, such as `Fn::GetAZs` and `Fn::Transform`.
    pub(super) fn unworked(&mut self, name: &str, argument: &Value) -> Value {
        let argument = match self.value(argument) {
            Some(Value::String(text)) => text,
            Some(value) if value.is_number() => value.to_string(),
            Some(_) | None => String::new(),
        };
        let expression = format!("{name} {argument}");
        self.unknown(expression.trim_end())
    }

    fn chosen(&mut self, argument: &Value) -> Option<Value> {
        let Some([Value::String(condition), then, otherwise]) = argument.as_array().map(Vec::as_slice) else {
            return Some(self.unworked("Fn::If", &Value::Null));
        };
        match self.condition(condition) {
            Truth::True => self.value(then),
            Truth::False => self.value(otherwise),
            Truth::Unknown => {
                let (then, otherwise) = (self.value(then), self.value(otherwise));
                if then == otherwise {
                    return then;
                }
                let expression = format!("Fn::If {condition}");
                Some(self.unknown(&expression))
            }
        }
    }

    /// A value as text; `None` if it has no text.
    pub(super) fn text(&mut self, value: &Value) -> Option<String> {
        self.value(value).as_ref().and_then(text_of)
    }
}

/// The name of a parameter in a dynamic reference, which may have a version.
fn without_version(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((name, version)) if !version.is_empty() && version.bytes().all(|digit| digit.is_ascii_digit()) => name,
        Some(_) | None => name,
    }
}

/// The function that an object calls: an object with one member that is named like a function.
fn function(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut members = object.iter();
    match (members.next(), members.next()) {
        (Some((name, argument)), None) if name == "Ref" || name.starts_with("Fn::") => Some((name, argument)),
        _ => None,
    }
}
