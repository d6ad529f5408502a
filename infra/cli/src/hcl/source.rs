//! The declarations in the files of a module.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body};
use readers::{ReadError, member_lines};
use serde_json::{Map, Value};

use super::file::{Source, is_values};
use super::lines::{LineIndex, broken_up, nested_too_deep};

/// An unevaluated expression, in HCL or as JSON with template strings.
#[derive(Debug, Clone)]
pub(super) enum Written {
    Hcl(Expression),
    Json(Value),
    /// A literal value: from the command line, a JSON variables file, or a JSON default.
    Given(Value),
}

/// The body of a block.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Hcl {
        body: Body,
        /// The line index of the block's file.
        index: Rc<LineIndex>,
    },
    Json {
        members: Map<String, Value>,
        /// The lines of the members, by path.
        lines: BTreeMap<String, usize>,
    },
}

/// A resource block.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) content: Content,
    pub(super) file: String,
    pub(super) line: usize,
    /// Whether the file only completes its module, and is not checked.
    pub(super) is_context: bool,
}

/// A module call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) source: Option<String>,
    /// The call's arguments: values for variables, and meta-arguments.
    arguments: BTreeMap<String, Written>,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) is_context: bool,
}

/// A module: all files of a folder.
#[derive(Debug, Default)]
pub(super) struct Module {
    pub(super) folder: PathBuf,
    /// Variables by name, with their default.
    pub(super) variables: BTreeMap<String, Option<Written>>,
    /// The types of variables by name, where they are declared in HCL.
    pub(super) types: BTreeMap<String, Expression>,
    /// Values of variables, each with its precedence. The value with the later precedence wins.
    pub(super) values: BTreeMap<String, (String, Written)>,
    pub(super) locals: BTreeMap<String, Written>,
    pub(super) outputs: BTreeMap<String, Written>,
    pub(super) resources: Vec<Resource>,
    /// Data sources, which name existing resources.
    pub(super) data: Vec<Resource>,
    pub(super) calls: Vec<Call>,
}

impl Resource {
    /// The address within the module: `aws_appmesh_mesh.shop`.
    pub(super) fn address(&self) -> String {
        format!("{}.{}", self.kind, self.name)
    }

    /// An unevaluated argument.
    pub(super) fn attribute(&self, name: &str) -> Option<Written> {
        match &self.content {
            Content::Hcl { body, .. } => Some(Written::Hcl(body.get_attribute(name)?.value.clone())),
            Content::Json { members, .. } => Some(Written::Json(members.get(name)?.clone())),
        }
    }
}

impl Call {
    /// The call's value for a variable, or one of its meta-arguments.
    pub(super) fn argument(&self, name: &str) -> Option<&Written> {
        self.arguments.get(name)
    }
}

impl Module {
    /// Adds the declarations of a file.
    pub(super) fn add(&mut self, file: &Source<'_>, is_context: bool) -> Result<(), ReadError> {
        let text = file.text.trim_start_matches('\u{feff}');
        let syntax = |line: usize, message: String| {
            let message =
                format!("{message}; once Terraform accepts the file, check the output of `terraform show -json`");
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
                // Terraform rejects nested blocks on one line. The check reports the error, and still judges their
                // content.
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
        let index = Rc::new(LineIndex::new(text));
        for block in body.blocks() {
            self.add_block(file, &index, block, is_context);
        }
    }

    /// Sets values of variables from the command line, which take precedence over values from files.
    pub(super) fn give(&mut self, given: &BTreeMap<String, String>) {
        for (name, text) in given {
            if self.variables.contains_key(name) {
                // Terraform parses values from its environment like this: an expression where possible, otherwise a
                // string.
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

    /// The default of a variable.
    pub(super) fn default_of(&self, variable: &str) -> Option<&Written> {
        self.variables.get(variable).and_then(Option::as_ref)
    }

    fn add_values(&mut self, file: &str, values: impl Iterator<Item = (String, Written)>) {
        // Terraform loads `terraform.tfvars` before the `*.auto.tfvars` files, which follow in the order of their
        // names.
        let name = file.rsplit('/').next().unwrap_or(file);
        let order = format!("{}{name}", if name.starts_with("terraform.tfvars") { "0" } else { "1" });
        for (variable, value) in values {
            let is_later = self.values.get(&variable).is_none_or(|(known, _)| *known <= order);
            if is_later {
                self.values.insert(variable, (order.clone(), value));
            }
        }
    }

    fn add_block(&mut self, file: &Source<'_>, index: &Rc<LineIndex>, block: &Block, is_context: bool) {
        let labels: Vec<&str> = block.labels.iter().map(hcl_edit::structure::BlockLabel::as_str).collect();
        let line = block.ident.span().map_or(1, |span| index.line(span.start));
        match (block.ident.as_str(), labels.as_slice()) {
            ("variable", [name]) => {
                let default = block.body.get_attribute("default").map(|one| Written::Hcl(one.value.clone()));
                self.variables.insert((*name).to_owned(), default);
                self.types.extend(block.body.get_attribute("type").map(|one| ((*name).to_owned(), one.value.clone())));
            }
            ("locals", []) => {
                let locals = block.body.attributes();
                self.locals.extend(locals.map(|one| (one.key.to_string(), Written::Hcl(one.value.clone()))));
            }
            ("output", [name]) => {
                if let Some(value) = block.body.get_attribute("value") {
                    self.outputs.insert((*name).to_owned(), Written::Hcl(value.value.clone()));
                }
            }
            (block_type @ ("resource" | "data"), [kind, name]) => {
                let all = if block_type == "data" { &mut self.data } else { &mut self.resources };
                all.push(Resource {
                    kind: (*kind).to_owned(),
                    name: (*name).to_owned(),
                    content: Content::Hcl { body: block.body.clone(), index: Rc::clone(index) },
                    file: file.name.to_owned(),
                    line,
                    is_context,
                });
            }
            ("module", [name]) => {
                let source = block.body.get_attribute("source").and_then(|source| source.value.as_str());
                let arguments = block.body.attributes();
                self.calls.push(Call {
                    name: (*name).to_owned(),
                    source: source.map(str::to_owned),
                    arguments: arguments.map(|one| (one.key.to_string(), Written::Hcl(one.value.clone()))).collect(),
                    file: file.name.to_owned(),
                    line,
                    is_context,
                });
            }
            _ => {}
        }
    }

    fn add_json(&mut self, file: &Source<'_>, members: &Map<String, Value>, is_context: bool) {
        let lines = member_lines(file.text);
        let line = |path: &str| lines.get(path).copied().unwrap_or(1);
        for (_, name, variable) in named(members, "variable") {
            let default = objects(Some(variable), "").find_map(|(_, body)| body.get("default"));
            self.variables.insert(name.clone(), default.map(|default| Written::Given(default.clone())));
        }
        for (_, name, local) in named(members, "locals") {
            self.locals.insert(name.clone(), Written::Json(local.clone()));
        }
        for (_, name, output) in named(members, "output") {
            if let Some(value) = objects(Some(output), "").find_map(|(_, body)| body.get("value")) {
                self.outputs.insert(name.clone(), Written::Json(value.clone()));
            }
        }
        for block_type in ["resource", "data"] {
            for (path, kind, resources) in named(members, block_type) {
                for (path, name, bodies) in
                    objects(Some(resources), &path).flat_map(|(path, object)| entries(path, object))
                {
                    for (path, body) in objects(Some(bodies), &path) {
                        let inside = format!("{path}.");
                        let own = lines.range(inside.clone()..).take_while(|(member, _)| member.starts_with(&inside));
                        let own = own.map(|(member, line)| (member.replacen(&inside, "", 1), *line)).collect();
                        let all = if block_type == "data" { &mut self.data } else { &mut self.resources };
                        all.push(Resource {
                            kind: kind.clone(),
                            name: name.clone(),
                            content: Content::Json { members: body.clone(), lines: own },
                            file: file.name.to_owned(),
                            line: line(&path),
                            is_context,
                        });
                    }
                }
            }
        }
        for (path, name, bodies) in named(members, "module") {
            for (path, body) in objects(Some(bodies), &path) {
                let arguments = body.iter().map(|(name, value)| (name.clone(), Written::Json(value.clone())));
                self.calls.push(Call {
                    name: name.clone(),
                    source: body.get("source").and_then(Value::as_str).map(str::to_owned),
                    arguments: arguments.collect(),
                    file: file.name.to_owned(),
                    line: line(&path),
                    is_context,
                });
            }
        }
    }
}

/// The members of all JSON blocks of a kind, each with its path and name.
fn named<'v>(members: &'v Map<String, Value>, kind: &'v str) -> impl Iterator<Item = (String, &'v String, &'v Value)> {
    objects(members.get(kind), kind).flat_map(|(path, object)| entries(path, object))
}

/// The members of an object, each with its path and name.
fn entries(path: String, object: &Map<String, Value>) -> impl Iterator<Item = (String, &String, &Value)> {
    object.iter().map(move |(name, value)| (format!("{path}.{name}"), name, value))
}

/// The objects of a JSON block, which is one object or a list, each with its path.
fn objects<'v>(
    value: Option<&'v Value>,
    path: &str,
) -> impl Iterator<Item = (String, &'v Map<String, Value>)> + use<'v> {
    let path = path.to_owned();
    let (one, several) = match value {
        Some(Value::Object(object)) => (Some((path.clone(), object)), None),
        Some(Value::Array(items)) => (None, Some(items)),
        _ => (None, None),
    };
    let several = several.into_iter().flatten().enumerate();
    let several = several.filter_map(move |(index, item)| Some((format!("{path}[{index}]"), item.as_object()?)));
    one.into_iter().chain(several)
}
