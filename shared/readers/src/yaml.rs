//! YAML documents as JSON values, with CloudFormation's short tags expanded: `!Sub x` is `{"Fn::Sub": "x"}`.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

/// The most memory, in bytes, that anchors and aliases may add to a file. Without the bound, a few lines could exhaust
/// the memory. All other values need memory in proportion to the length of the file.
const MOST_COPIED: usize = 32 * 1024 * 1024;

/// The minimum memory of a value, in bytes, in addition to its text.
const VALUE_SIZE: usize = 72;

/// The deepest nesting, as in JSON. Code that handles values recurses as deep as they nest.
const DEEPEST: usize = 128;

type Fault = (usize, String);

/// An unreadable document of a file.
#[derive(Debug)]
pub(super) struct Unread {
    /// The probable kind and name of its object.
    pub(super) title: String,
    /// The line in the file, from 1.
    pub(super) line: usize,
    /// The problem.
    pub(super) message: String,
}

/// Reads all documents. An error is a line and the problem in it.
///
/// Kubernetes reads manifests by YAML 1.1, where a plain `yes`, `no`, `on` and `off` are booleans.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, Fault> {
    let mut documents = documents_by(text, Version::Core)?;
    if documents.iter().any(is_of_kubernetes) {
        for (document, by_1_1) in documents.iter_mut().zip(documents_by(text, Version::V1_1)?) {
            if is_of_kubernetes(document) {
                *document = by_1_1;
            }
        }
    }
    Ok(documents)
}

/// Whether a document is an object of Kubernetes.
fn is_of_kubernetes(document: &Value) -> bool {
    let has = |member: &str| document.get(member).is_some_and(Value::is_string);
    has("apiVersion") && has("kind")
}

/// The schema of plain scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Version {
    /// The core schema of YAML 1.2.
    #[default]
    Core,
    /// The booleans of YAML 1.1 in addition.
    V1_1,
}

fn documents_by(text: &str, version: Version) -> Result<Vec<Value>, Fault> {
    let mut builder = Builder { version, ..Builder::default() };
    for next in Parser::new_from_str(text) {
        let (event, span) = next.map_err(|error| (error.marker().line(), error.info()))?;
        builder.event(event).map_err(|message| (span.start.line(), message))?;
    }
    Ok(builder.documents)
}

/// A readable part of a file.
#[derive(Debug)]
pub(super) struct Part {
    /// Its documents.
    pub(super) documents: Vec<Value>,
    /// Its text.
    pub(super) text: String,
    /// The line in the file at which it starts, from 1.
    pub(super) begin: usize,
}

/// Reads each document separately, for a file with unreadable documents.
pub(super) fn documents_apart(text: &str) -> (Vec<Part>, Vec<Unread>) {
    let (mut read, mut unread) = (Vec::new(), Vec::new());
    let mut begin = 1;
    for part in parts(text) {
        let lines = part.lines().count();
        match documents(&part) {
            Ok(documents) => read.push(Part { documents, text: part, begin }),
            Err((line, message)) => unread.push(Unread { title: title(&part), line: begin + line - 1, message }),
        }
        begin += lines;
    }
    (read, unread)
}

/// The text of each document, with the line that starts it.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

/// The probable kind and name of a document's object, from its lines: `VirtualRouter orders`.
fn title(part: &str) -> String {
    let value = |key: &str| part.lines().find_map(|line| line.trim_start().strip_prefix(key)).map(str::trim);
    match (value("kind:"), value("name:")) {
        (Some(kind), Some(name)) => format!("{kind} {name}"),
        (Some(kind), None) => kind.to_owned(),
        (None, _) => "a document".to_owned(),
    }
}

/// Builds values from parser events.
#[derive(Debug, Default)]
struct Builder {
    version: Version,
    documents: Vec<Value>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Value, usize)>,
    /// The memory of all values, in bytes.
    size: usize,
    /// The memory that anchors and aliases added, in bytes.
    copied: usize,
}

/// An open collection.
#[derive(Debug)]
struct Open {
    tag: Option<String>,
    anchor: usize,
    size_before: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    List(Vec<Value>),
    Map { members: Map<String, Value>, merged: Map<String, Value>, key: Option<Key> },
}

#[derive(Debug)]
struct Key {
    text: String,
    is_merge: bool,
}

impl Builder {
    fn event(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref()),
            Event::SequenceStart(_, anchor, tag) => self.begin(Content::List(Vec::new()), anchor, tag.as_deref()),
            Event::MappingStart(_, anchor, tag) => {
                let content = Content::Map { members: Map::new(), merged: Map::new(), key: None };
                self.begin(content, anchor, tag.as_deref())
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some((value, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err("an alias to an anchor that is still open".to_owned());
                };
                self.copy(size)?;
                self.size += size;
                self.take(value)
            }
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Counts the memory of a copied value.
    fn copy(&mut self, size: usize) -> Result<(), String> {
        self.copied = self.copied.saturating_add(size);
        if self.copied > MOST_COPIED {
            return Err(format!("anchors and aliases add more than {} MiB", MOST_COPIED / 1024 / 1024));
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, tag: Option<&Tag>) -> Result<(), String> {
        let size = VALUE_SIZE + text.len();
        self.size += size;
        let plain = style == ScalarStyle::Plain;
        if let Some(Open { content: Content::Map { key: key @ None, .. }, .. }) = self.open.last_mut() {
            *key = Some(Key { text: text.to_owned(), is_merge: plain && text == "<<" });
            return Ok(());
        }
        let value = match tag.map(|tag| (tag.core_suffix(), tag)) {
            Some((Some("str"), _)) => Value::from(text),
            Some((Some(_), _)) => plain_value(text, self.version),
            Some((None, tag)) => {
                tagged(tag.suffix(), if plain { plain_value(text, self.version) } else { Value::from(text) })
            }
            None if plain => plain_value(text, self.version),
            None => Value::from(text),
        };
        if anchor != 0 {
            self.copy(size)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        self.take(value)
    }

    fn begin(&mut self, content: Content, anchor: usize, tag: Option<&Tag>) -> Result<(), String> {
        if matches!(self.open.last(), Some(Open { content: Content::Map { key: None, .. }, .. })) {
            return Err("a key must be a text".to_owned());
        }
        if self.open.len() >= DEEPEST {
            return Err(format!("nested deeper than {DEEPEST} levels"));
        }
        let size_before = self.size;
        self.size += VALUE_SIZE;
        let tag = tag.filter(|tag| tag.core_suffix().is_none()).map(|tag| tag.suffix().to_owned());
        self.open.push(Open { tag, anchor, size_before, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(Open { tag, anchor, size_before, content }) = self.open.pop() else {
            return Ok(());
        };
        let value = match content {
            Content::List(items) => Value::Array(items),
            Content::Map { mut members, merged, .. } => {
                for (name, value) in merged {
                    members.entry(name).or_insert(value);
                }
                Value::Object(members)
            }
        };
        let value = match tag {
            Some(tag) => tagged(&tag, value),
            None => value,
        };
        if anchor != 0 {
            let size = self.size - size_before;
            self.copy(size)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        self.take(value)
    }

    /// Adds a complete value to its collection or document.
    fn take(&mut self, value: Value) -> Result<(), String> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.documents.push(value),
            Some(Content::List(items)) => items.push(value),
            Some(Content::Map { members, merged, key }) => match (key.take(), value) {
                (None, Value::String(text)) => *key = Some(Key { text, is_merge: false }),
                (None, _) => return Err("a key must be a text".to_owned()),
                (Some(Key { is_merge: true, .. }), value) => merge(merged, value)?,
                (Some(Key { text, .. }), value) => {
                    if members.contains_key(&text) {
                        return Err(format!("`{text}` is given twice: remove one"));
                    }
                    members.insert(text, value);
                }
            },
        }
        Ok(())
    }
}

/// A merge key adds absent members. In a list of mappings, the first mapping has precedence.
fn merge(merged: &mut Map<String, Value>, value: Value) -> Result<(), String> {
    match value {
        Value::Object(added) => {
            for (name, value) in added {
                merged.entry(name).or_insert(value);
            }
            Ok(())
        }
        Value::Array(items) => items.into_iter().try_for_each(|item| merge(merged, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err("`<<` must merge a mapping".to_owned())
        }
    }
}

/// CloudFormation's rule: the tag is the name of the function; `Fn::` is omitted for two functions.
fn tagged(tag: &str, value: Value) -> Value {
    let name = match tag {
        "Ref" | "Condition" => tag.to_owned(),
        _ => format!("Fn::{tag}"),
    };
    Value::Object(Map::from_iter([(name, value)]))
}

/// A plain scalar. A number that would be printed differently stays a text, so that `1.10` and
/// `007` keep their digits where a text is expected.
fn plain_value(text: &str, version: Version) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if version == Version::V1_1 => return Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if version == Version::V1_1 => {
            return Value::Bool(false);
        }
        _ => {}
    }
    let number = text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from));
    let as_written = |number: &Value| serde_json::to_string(number).is_ok_and(|written| written == text);
    number.ok().filter(as_written).unwrap_or_else(|| Value::from(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_are_functions() {
        let table = [
            ("!Ref Mesh", json!({"Ref": "Mesh"})),
            ("!GetAtt Mesh.MeshName", json!({"Fn::GetAtt": "Mesh.MeshName"})),
            ("!If [a, !Ref AWS::NoValue, 1]", json!({"Fn::If": ["a", {"Ref": "AWS::NoValue"}, 1]})),
            ("!Or\n- !Condition a\n- Condition: b", json!({"Fn::Or": [{"Condition": "a"}, {"Condition": "b"}]})),
            ("!Sub\n  'x-${y}'", json!({"Fn::Sub": "x-${y}"})),
            ("!!str 8080", json!("8080")),
            ("!Cidr {a: b}", json!({"Fn::Cidr": {"a": "b"}})),
        ];
        for (text, expected) in table {
            assert_eq!(documents(text).unwrap(), [expected], "{text}");
        }
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let table = [
            ("8080", json!(8080)),
            ("'8080'", json!("8080")),
            ("007", json!("007")),
            ("1.5", json!(1.5)),
            ("1.10", json!("1.10")),
            ("2010-09-09", json!("2010-09-09")),
            ("true", json!(true)),
            ("yes", json!("yes")),
            ("~", json!(null)),
            ("a: {}", json!({"a": {}})),
            ("1: x", json!({"1": "x"})),
            (".inf", json!(".inf")),
            ("12345678901234567890", json!("12345678901234567890")),
        ];
        for (text, expected) in table {
            assert_eq!(documents(text).unwrap(), [expected], "{text}");
        }
    }

    #[test]
    fn manifests_have_the_booleans_of_yaml_1_1() {
        let text =
            "apiVersion: v1\nkind: A\nall: [yes, No, ON, off, y, 'no', !!str yes, yesterday]\n---\nall: [yes, 'no']\n";
        let expected = json!([true, false, true, false, true, "no", "yes", "yesterday"]);
        let documents = documents(text).unwrap();
        assert_eq!(documents[0], json!({"apiVersion": "v1", "kind": "A", "all": expected}));
        assert_eq!(documents[1], json!({"all": ["yes", "no"]}));
    }

    #[test]
    fn anchors_and_merge_keys_are_written_out() {
        let text = "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a";
        assert_eq!(
            documents(text).unwrap(),
            [json!({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}})]
        );
    }

    #[test]
    fn invalid_yaml_is_refused_with_its_line() {
        for (text, line) in [("a: 1\nb: [", 2), ("a: 1\na: 2", 2), ("a: *b", 1), ("? [a]\n: b", 1), ("<<: 1", 1)] {
            assert_eq!(documents(text).map_err(|(line, _)| line), Err(line), "{text}");
        }
        let bomb: Vec<_> = (1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]", n - 1)).collect();
        let (_, message) = documents(&format!("a0: &a0 [x]\n{}", bomb.join("\n"))).unwrap_err();
        assert!(message.starts_with("anchors and aliases"), "{message}");
    }

    #[test]
    fn memory_of_a_small_file_is_bounded() {
        let long_text = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), "*a,".repeat(100_000));
        let leaves = "1,".repeat(100_000);
        let anchors: Vec<String> = (0..100).map(|n| format!("&n{n} [")).collect();
        let anchors = anchors.concat();
        let nested = format!("a: {anchors}{leaves}{}", "]".repeat(100));
        for (text, expected) in [
            (long_text, "anchors and aliases add"),
            (nested, "anchors and aliases add"),
            (format!("{}{}", "[".repeat(129), "]".repeat(129)), "nested deeper than 128"),
            (format!("{}{}", "{a: ".repeat(129), "}".repeat(129)), "nested deeper than 128"),
            // The parser has its own limit for nesting in a single token sequence.
            ("[".repeat(1_000_000), ""),
            ("{a: ".repeat(500_000), ""),
            ("- ".repeat(1_000_000), ""),
        ] {
            let (_, message) = documents(&text).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
            assert!(documents_apart(&text).0.is_empty());
        }
    }

    #[test]
    fn unreadable_document_does_not_affect_the_others() {
        let text = "kind: A\n---\nkind: B\nname: b\nx: [${Y}]\n---\nkind: C\n";
        assert!(documents(text).is_err());
        let (read, unread) = documents_apart(text);
        let read: Vec<_> = read.into_iter().map(|part| (part.begin, part.documents)).collect();
        assert_eq!(read, [(1, vec![json!({"kind": "A"})]), (6, vec![json!({"kind": "C"})])]);
        assert_eq!(unread.iter().map(|u| (u.title.as_str(), u.line)).collect::<Vec<_>>(), [("B b", 5)]);
    }
}
