//! Converts a spec to the API's spelling, along the shape of its kind.
//!
//! All forms contain the same tree. They differ in letter case, in underscores, in blocks as lists of one item, and in
//! numbers as text. [`super::spelling`] reports and removes misspelt members before.

use serde_json::{Map, Value};

use super::node::Spelling;
use super::reading::Note;
use super::spelling::{fold, is_nothing};
use super::stand_ins::StandIns;
use mesh::spec::{Shape, ShapeMember};

/// A spec in the API's spelling.
#[derive(Debug)]
pub(super) struct Respelt {
    pub(super) value: Value,
    /// The remarks, each with its member.
    pub(super) notes: Vec<(String, Note)>,
    /// Members that occur twice, in two spellings.
    pub(super) twice: Vec<String>,
}

/// Converts a value of a shape to the API's spelling. Paths start with `root`.
pub(super) fn respell(value: &Value, shape: Shape, spelling: Spelling, stand_ins: &StandIns, root: &str) -> Respelt {
    let mut walk = Walk { spelling, stand_ins, path: root.to_owned(), notes: Vec::new(), twice: Vec::new() };
    let value = walk.value(value, shape).unwrap_or_else(|| match shape {
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Object(_) | Shape::Text | Shape::Number | Shape::Boolean => Value::Object(Map::new()),
    });
    Respelt { value, notes: walk.notes, twice: walk.twice }
}

/// A member by its name, without case.
pub(super) fn member<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    object.get(name).or_else(|| {
        let folded = fold(name);
        object.iter().find(|(given, _)| fold(given) == folded).map(|(_, value)| value)
    })
}

struct Walk<'a> {
    spelling: Spelling,
    stand_ins: &'a StandIns,
    path: String,
    notes: Vec<(String, Note)>,
    twice: Vec<String>,
}

impl Walk<'_> {
    /// The value in the API's spelling; `None` if it is absent.
    fn value(&mut self, value: &Value, shape: Shape) -> Option<Value> {
        if let Value::String(text) = value
            && let Some(expression) = self.stand_ins.within(text)
        {
            let expression = expression.to_owned();
            if matches!(shape, Shape::Text) {
                self.note(Note::Unresolved { expression });
            } else {
                self.note(Note::LeftOut { expression });
                return None;
            }
        }
        match (shape, value) {
            (_, Value::Null) => None,
            (Shape::Object(members), Value::Object(object)) => Some(self.object(members, object)),
            (Shape::Object(_), Value::Array(items)) if self.spelling == Spelling::Terraform => self.block(items, shape),
            (Shape::List(_), Value::Array(items)) if items.is_empty() => {
                (!matches!(self.spelling, Spelling::Terraform | Spelling::Manifest)).then(|| value.clone())
            }
            (Shape::List(item), Value::Array(items)) => Some(self.items(items, item())),
            (Shape::List(item), Value::Object(pairs)) if self.spelling == Spelling::Terraform => {
                // In JSON syntax, a single block may be written without its list.
                let one = std::slice::from_ref(value);
                Some(self.pairs(pairs, item()).unwrap_or_else(|| self.items(one, item())))
            }
            (Shape::Text, Value::String(text)) if text.is_empty() && self.spelling == Spelling::Terraform => None,
            (Shape::Text, Value::Number(_) | Value::Bool(_)) if self.spelling.has_text_for_values() => {
                Some(Value::String(value.to_string()))
            }
            (Shape::Number, _) => Some(self.number(value)),
            (Shape::Boolean, Value::String(text)) => Some(self.boolean(text)),
            (_, other) => Some(other.clone()),
        }
    }

    /// A block is a list of one item; `[null]` is a block without arguments.
    fn block(&mut self, items: &[Value], shape: Shape) -> Option<Value> {
        match items {
            [] => None,
            [Value::Null] => Some(Value::Object(Map::new())),
            [item] => self.value(item, shape),
            // The shape allows one item; its reader refuses several.
            several => Some(Value::Array(several.to_vec())),
        }
    }

    fn items(&mut self, items: &[Value], shape: Shape) -> Value {
        let length = self.path.len();
        let mut read = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.path.extend(["[", &index.to_string(), "]"]);
            let item = match item {
                Value::Null if self.spelling == Spelling::Terraform => Some(Value::Object(Map::new())),
                Value::Null => Some(Value::Null),
                // An empty argument is unset; an empty item was written.
                Value::String(text) if text.is_empty() => Some(item.clone()),
                item => self.value(item, shape),
            };
            read.extend(item);
            self.path.truncate(length);
        }
        Value::Array(read)
    }

    /// A map in place of the API's list of keys and values.
    fn pairs(&mut self, pairs: &Map<String, Value>, item: Shape) -> Option<Value> {
        let Shape::Object([ShapeMember { name: "key", .. }, ShapeMember { name: "value", .. }]) = item else {
            return None;
        };
        let mut sorted: Vec<_> = pairs.iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        let items: Vec<Value> = sorted
            .into_iter()
            .map(|(key, value)| {
                Value::Object(Map::from_iter([("key".into(), key.clone().into()), ("value".into(), value.clone())]))
            })
            .collect();
        Some(self.items(&items, item))
    }

    fn object(&mut self, members: &[ShapeMember], object: &Map<String, Value>) -> Value {
        let length = self.path.len();
        let mut read = Map::new();
        let mut unknown = Vec::new();
        for (given, value) in object {
            let Some(member) = self.place(members, given) else {
                unknown.push((given, value));
                continue;
            };
            if self.is_unset(member.name, value) {
                continue;
            }
            self.path.push('.');
            self.path.push_str(member.name);
            if let Some(value) = self.value(value, (member.shape)())
                && read.insert(member.name.to_owned(), value).is_some()
            {
                self.twice.push(self.path.clone());
            }
            self.path.truncate(length);
        }
        for (given, value) in unknown {
            if is_nothing(value, self.spelling) {
                continue;
            }
            let name = self.unknown_name(given);
            // The misspelt members of every other form were removed and reported before.
            if self.spelling == Spelling::ConfigItem {
                self.notes.push((format!("{}.{name}", self.path), Note::UnknownMember));
            }
            read.entry(name).or_insert_with(|| value.clone());
        }
        Value::Object(read)
    }

    /// Whether a number is the zero that the Terraform provider stores for an unset argument. The provider does not
    /// send these arguments to the API when they are zero.
    fn is_unset(&self, name: &str, value: &Value) -> bool {
        let is_zero = value.as_f64() == Some(0.0);
        let is_required = || name == "port" && self.path.ends_with("portMapping");
        self.spelling == Spelling::Terraform
            && is_zero
            && matches!(name, "port" | "maxPendingRequests")
            && !is_required()
    }

    /// The member of the shape for a name.
    fn place<'m>(&self, members: &'m [ShapeMember], given: &str) -> Option<&'m ShapeMember> {
        let exact = members.iter().find(|member| member.name == given);
        if exact.is_some() || self.spelling == Spelling::Api {
            return exact;
        }
        let folded = fold(given);
        members.iter().find(|member| {
            let name = fold(member.name);
            // The name of a repeated block is singular: `listener`, `weighted_target`.
            let is_singular = || self.spelling == Spelling::Terraform && matches!((member.shape)(), Shape::List(_));
            name == folded || (name.strip_suffix('s') == Some(folded.as_str()) && is_singular())
        })
    }

    /// The API's spelling of an unknown member.
    fn unknown_name(&self, given: &str) -> String {
        let mut chars = given.chars();
        match (self.spelling, chars.next()) {
            (Spelling::ConfigItem | Spelling::CloudFormation, Some(first)) => {
                first.to_ascii_lowercase().to_string() + chars.as_str()
            }
            (_, None) | (Spelling::Api | Spelling::Manifest | Spelling::Terraform, _) => given.to_owned(),
        }
    }

    /// A number that is written as a number, or as a text if the form allows it.
    fn number(&self, value: &Value) -> Value {
        let whole = match value {
            Value::String(text) if self.spelling.has_text_for_values() => text.trim().parse::<i64>().ok(),
            // Some JSON writers have no integers.
            Value::Number(number) if number.is_f64() => {
                number.to_string().strip_suffix(".0").and_then(|n| n.parse().ok())
            }
            _ => None,
        };
        whole.map_or_else(|| value.clone(), Value::from)
    }

    /// A boolean text. CloudFormation and Terraform accept a text for a boolean, and the words of YAML 1.1. In a manifest a
    /// text is quoted, and Kubernetes refuses it; plain words were read as booleans before.
    fn boolean(&self, text: &str) -> Value {
        let spelt = self.spelling.has_text_for_values();
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" if spelt => Value::Bool(true),
            "false" | "no" | "off" if spelt => Value::Bool(false),
            _ => Value::from(text),
        }
    }

    fn note(&mut self, note: Note) {
        self.notes.push((self.path.clone(), note));
    }
}
