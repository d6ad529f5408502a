//! What the files of a module declare.

use std::collections::BTreeMap;
use std::path::Path;

use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body, Structure};
use mesh::readers::ReadError;
use serde_json::{Map, Value};

use super::lines::{broken_up, line_of, nested_too_deep};
use super::{Source, is_values};

/// An expression as it is written: in HCL, or as JSON with templates for texts.
#[derive(Debug, Clone)]
pub(super) enum Written {
    Hcl(Expression),
    Json(Value),
    /// A value from outside.
    Given(Value),
}

/// The body of a block.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Hcl(Body),
    Json(Map<String, Value>),
}

/// A resource block.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) content: Content,
    pub(super) file: String,
    pub(super) line: usize,
    /// The lines of the members of the body, by path.
    pub(super) lines: BTreeMap<String, usize>,
    /// Whether its file is not to be checked itself.
    pub(super) is_context: bool,
}

/// A call of a module.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) source: Option<String>,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) is_context: bool,
}

/// A module: all files of a folder.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// The variables by name, with their default.
    pub(super) variables: BTreeMap<String, Option<Written>>,
    /// Values for variables. Of two files that give one, the later in Terraform's order counts.
    values: BTreeMap<String, (String, Written)>,
    pub(super) locals: BTreeMap<String, Written>,
    pub(super) resources: Vec<Resource>,
    pub(super) calls: Vec<Call>,
}

impl Module {
    /// Adds what a file declares.
    pub(super) fn add(&mut self, file: &Source<'_>, is_context: bool) -> Result<(), ReadError> {
        let text = file.text.trim_start_matches('\u{feff}');
        let syntax = |line: usize, message: String| {
            let message = format!("{message}; once Terraform takes it, `terraform show -json` writes what is exact");
            ReadError::Syntax { file: file.name.to_owned(), line, message }
        };
        if Path::new(file.name).extension().is_some_and(|ending| ending == "json") {
            let document: Value =
                serde_json::from_str(text).map_err(|error| syntax(error.line(), error.to_string()))?;
            let Value::Object(members) = document else {
                return Err(syntax(1, "must be an object".to_owned()));
            };
            if is_values(file.name) {
                self.add_values(file.name, members.into_iter().map(|(name, value)| (name, Written::Given(value))));
            } else {
                self.add_json(file, &members, is_context);
            }
            return Ok(());
        }
        if let Some(line) = nested_too_deep(text) {
            return Err(syntax(line, "nested too deep".to_owned()));
        }
        match hcl_edit::parser::parse_body(text) {
            Ok(body) => {
                self.add_body(file, text, &body, is_context);
                Ok(())
            }
            Err(error) => {
                // Terraform refuses blocks within blocks on one line; what is in them is judged all the same.
                let broken = broken_up(text);
                if let Ok(body) = hcl_edit::parser::parse_body(&broken) {
                    self.add_body(file, &broken, &body, is_context);
                }
                Err(syntax(error.location().line(), error.message().to_owned()))
            }
        }
    }

    fn add_body(&mut self, file: &Source<'_>, text: &str, body: &Body, is_context: bool) {
        if is_values(file.name) {
            let attributes = body.attributes().map(|one| (one.key.to_string(), Written::Hcl(one.value.clone())));
            self.add_values(file.name, attributes.collect::<Vec<_>>().into_iter());
            return;
        }
        for block in body.blocks() {
            self.add_block(file, text, block, is_context);
        }
    }

    /// Takes values for variables from outside, which count more than those of files.
    pub(super) fn give(&mut self, given: &BTreeMap<String, String>) {
        for (name, text) in given {
            if self.variables.contains_key(name) {
                // As Terraform reads the values of its environment: an expression where it is one, else a text.
                let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
                self.values.insert(name.clone(), (String::from("\u{10ffff}"), Written::Given(value)));
            }
        }
    }

    /// The value of a variable, or its default.
    pub(super) fn value_of(&self, variable: &str) -> Option<&Written> {
        let given = self.values.get(variable).map(|(_, value)| value);
        given.or_else(|| self.variables.get(variable).and_then(Option::as_ref))
    }

    fn add_values(&mut self, file: &str, values: impl Iterator<Item = (String, Written)>) {
        // `terraform.tfvars` comes before all `*.auto.tfvars`, which come in the order of their names.
        let name = file.rsplit('/').next().unwrap_or(file);
        let order = format!("{}{name}", if name.starts_with("terraform.tfvars") { "0" } else { "1" });
        for (variable, value) in values {
            let is_later = self.values.get(&variable).is_none_or(|(known, _)| *known <= order);
            if is_later {
                self.values.insert(variable, (order.clone(), value));
            }
        }
    }

    fn add_block(&mut self, file: &Source<'_>, text: &str, block: &Block, is_context: bool) {
        let labels: Vec<&str> = block.labels.iter().map(hcl_edit::structure::BlockLabel::as_str).collect();
        let line = block.ident.span().map_or(1, |span| line_of(text, span.start));
        match (block.ident.as_str(), labels.as_slice()) {
            ("variable", [name]) => {
                let default = block.body.get_attribute("default").map(|one| Written::Hcl(one.value.clone()));
                self.variables.insert((*name).to_owned(), default);
            }
            ("locals", []) => {
                let locals = block.body.attributes();
                self.locals.extend(locals.map(|one| (one.key.to_string(), Written::Hcl(one.value.clone()))));
            }
            ("resource", [kind, name]) => {
                let mut lines = BTreeMap::new();
                lines_of(&block.body, text, "", &mut lines);
                self.resources.push(Resource {
                    kind: (*kind).to_owned(),
                    name: (*name).to_owned(),
                    content: Content::Hcl(block.body.clone()),
                    file: file.name.to_owned(),
                    line,
                    lines,
                    is_context,
                });
            }
            ("module", [name]) => {
                let source = block.body.get_attribute("source").and_then(|source| source.value.as_str());
                self.calls.push(Call {
                    name: (*name).to_owned(),
                    source: source.map(str::to_owned),
                    file: file.name.to_owned(),
                    line,
                    is_context,
                });
            }
            _ => {}
        }
    }

    fn add_json(&mut self, file: &Source<'_>, members: &Map<String, Value>, is_context: bool) {
        for (name, variable) in objects(members.get("variable")).flat_map(|object| object.iter()) {
            let default = objects(Some(variable)).find_map(|body| body.get("default"));
            self.variables.insert(name.clone(), default.map(|default| Written::Given(default.clone())));
        }
        for (name, local) in objects(members.get("locals")).flat_map(|object| object.iter()) {
            self.locals.insert(name.clone(), Written::Json(local.clone()));
        }
        for (kind, named) in objects(members.get("resource")).flat_map(|object| object.iter()) {
            for (name, bodies) in objects(Some(named)).flat_map(|object| object.iter()) {
                for body in objects(Some(bodies)) {
                    self.resources.push(Resource {
                        kind: kind.clone(),
                        name: name.clone(),
                        content: Content::Json(body.clone()),
                        file: file.name.to_owned(),
                        line: line_of_name(file.text, kind, name),
                        lines: BTreeMap::new(),
                        is_context,
                    });
                }
            }
        }
        for (name, bodies) in objects(members.get("module")).flat_map(|object| object.iter()) {
            for body in objects(Some(bodies)) {
                self.calls.push(Call {
                    name: name.clone(),
                    source: body.get("source").and_then(Value::as_str).map(str::to_owned),
                    file: file.name.to_owned(),
                    line: line_of_name(file.text, "module", name),
                    is_context,
                });
            }
        }
    }
}

/// The objects of a block in JSON: one, or a list of them.
fn objects(value: Option<&Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let (one, several) = match value {
        Some(Value::Object(object)) => (Some(object), None),
        Some(Value::Array(items)) => (None, Some(items)),
        _ => (None, None),
    };
    one.into_iter().chain(several.into_iter().flatten().filter_map(Value::as_object))
}

/// The line on which a name is first written after another one.
fn line_of_name(text: &str, before: &str, name: &str) -> usize {
    let start = text.find(&format!("\"{before}\"")).unwrap_or_default();
    let found = text.get(start..).and_then(|rest| rest.find(&format!("\"{name}\"")));
    line_of(text, start + found.unwrap_or_default())
}

/// The lines of the members of a body, by the path that findings have: `spec.listener.port_mapping`.
fn lines_of(body: &Body, text: &str, path: &str, lines: &mut BTreeMap<String, usize>) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for block in body.blocks() {
        *counts.entry(block.ident.as_str()).or_default() += 1;
    }
    let mut indexes: BTreeMap<&str, usize> = BTreeMap::new();
    let joined = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let mut note = |path: &str, span: Option<std::ops::Range<usize>>| {
        if let Some(span) = span {
            lines.entry(path.to_owned()).or_insert_with(|| line_of(text, span.start));
        }
    };
    let mut inner = Vec::new();
    for structure in body {
        match structure {
            Structure::Attribute(attribute) => note(&joined(attribute.key.as_str()), attribute.key.span()),
            Structure::Block(block) => {
                let name = block.ident.as_str();
                let plain = joined(name);
                note(&plain, block.ident.span());
                let index = indexes.entry(name).or_default();
                let is_lone = counts.get(name).is_some_and(|count| *count == 1);
                let path = if is_lone { plain } else { format!("{plain}[{index}]") };
                *index += 1;
                inner.push((path, &block.body));
            }
        }
    }
    for (path, body) in inner {
        lines_of(body, text, &path, lines);
    }
}
