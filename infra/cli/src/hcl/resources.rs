//! The App Mesh resources of a root module and its called modules, with values like those of a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, BlockLabel, Body, Structure};
use readers::{Configured, Note, Remark, Skipped, Source};
use serde_json::{Map, Value, json};

use super::instance::{BlockCopy, Called, Copies, Instance};
use super::lines::LineIndex;
use super::scope::{Scope, Unknown};
use super::source::{Call, Content, Module, Resource};

/// Meta-arguments, which are not part of a resource's values.
const META: [&str; 8] =
    ["count", "for_each", "depends_on", "provider", "lifecycle", "provisioner", "connection", "timeouts"];

/// The most resources that are read for one root module.
const MOST_RESOURCES: usize = 20_000;

/// The result for a root module.
#[derive(Debug, Default)]
pub(super) struct RootOutcome<'m> {
    pub(super) resources: Vec<Configured>,
    /// The undecided parts, each with its file, line and address.
    pub(super) undecided: Vec<String>,
    /// The resources that are certainly not created.
    pub(super) absent: Vec<Remark>,
    /// The calls of unread modules, each with the file of the root module that leads to it.
    pub(super) elsewhere: Vec<(&'m Call, String)>,
    /// The folders of the called modules.
    pub(super) called: BTreeSet<PathBuf>,
}

/// Evaluates the App Mesh resources of a root module and its called modules.
pub(super) fn evaluate<'m>(root: &'m Module, modules: &'m BTreeMap<PathBuf, Module>) -> RootOutcome<'m> {
    let mut outcome = RootOutcome::default();
    let mut scope = Scope::new(root, modules);
    let mut waiting = vec![0];
    while let Some(instance) = waiting.pop() {
        let called = scope.in_instance(instance, |scope| {
            own_resources(scope, &mut outcome);
            own_calls(scope, &mut outcome)
        });
        // The last element is evaluated next, so the reversed order preserves the order of the files.
        waiting.extend(called.into_iter().flatten().rev());
    }
    outcome
}

/// Reads the resources of the current instance.
fn own_resources<'m>(scope: &mut Scope<'m>, outcome: &mut RootOutcome<'m>) {
    let module = scope.module;
    let Some(Instance { address: prefix, undecided: of_calls, via, .. }) = scope.instances.get(scope.at).cloned()
    else {
        return;
    };
    for resource in module.resources.iter().filter(|one| one.kind.starts_with("aws_appmesh_") && !one.is_context) {
        let local = resource.address();
        let copies = scope.copies_of(resource);
        let mut undecided = of_calls.clone();
        if let Copies::Undecided(meta) = copies {
            undecided.push(meta.to_owned());
        }
        let all = copies.to_read();
        if all.is_empty() {
            let source = Source { file: resource.file.clone(), id: format!("{prefix}{local}") };
            let condition = if resource.attribute("count").is_some() { "count" } else { "for_each" };
            let reason = Skipped::ConditionFalse { condition: condition.to_owned() };
            outcome.absent.push(Remark { source, member: String::new(), note: Note::NotRead { reason } });
        }
        for copy in all {
            let index = copy.as_ref().map(BlockCopy::index).unwrap_or_default();
            let address = format!("{prefix}{local}{index}");
            let place = format!("{}:{}: {address}", resource.file, resource.line);
            if outcome.resources.len() >= MOST_RESOURCES {
                outcome.undecided.push(format!(
                    "{place}: not read, because the root module has more than {MOST_RESOURCES} resources"
                ));
                continue;
            }
            let via = via.clone().unwrap_or_else(|| resource.file.clone());
            let configured =
                scope.within(&local, copy, |scope| one(resource, (address, via), undecided.clone(), scope));
            for part in &configured.undecided {
                outcome.undecided.push(format!("{place}: {part} was not evaluated"));
            }
            outcome.resources.push(configured);
        }
    }
}

/// The instances that the calls of the current instance create.
fn own_calls<'m>(scope: &mut Scope<'m>, outcome: &mut RootOutcome<'m>) -> Vec<usize> {
    let module = scope.module;
    let mut all = Vec::new();
    for call in module.calls.iter().filter(|call| !call.is_context) {
        let made = match scope.called(call) {
            Called::Elsewhere => {
                let via = scope.instances.get(scope.at).and_then(|instance| instance.via.clone());
                outcome.elsewhere.push((call, via.unwrap_or_else(|| call.file.clone())));
                continue;
            }
            Called::Instances(made) => made.into_iter().map(|(_, instance)| instance).collect(),
            Called::Undecided(instance) => vec![instance],
        };
        outcome.called.extend(scope.folder_of(call));
        if made.is_empty() {
            let prefix = scope.instances.get(scope.at).map_or("", |instance| instance.address.as_str());
            let source = Source { file: call.file.clone(), id: format!("{prefix}module.{}", call.name) };
            let condition = if call.argument("count").is_some() { "count" } else { "for_each" };
            let reason = Skipped::ConditionFalse { condition: condition.to_owned() };
            outcome.absent.push(Remark { source, member: String::new(), note: Note::NotRead { reason } });
        }
        all.extend(made);
    }
    all
}

/// Reads one copy of a resource, with its address and the root module's file that leads to it.
fn one(
    resource: &Resource,
    (address, via): (String, String),
    undecided: Vec<String>,
    scope: &mut Scope<'_>,
) -> Configured {
    let (mut values, lines, mut undecided) = match &resource.content {
        Content::Hcl { body, index } => {
            let mut walk = Walk { scope, index, undecided, lines: BTreeMap::new() };
            let values = walk.body(body, "");
            (values, walk.lines, walk.undecided)
        }
        Content::Json { members, lines } => {
            let mut undecided = undecided;
            let values = json_of(members, &mut undecided, scope);
            (values, lines.clone(), undecided)
        }
    };
    values.retain(|name, _| !META.contains(&name.as_str()));
    undecided.dedup();
    let mut open = BTreeSet::new();
    for (name, value) in &values {
        if name != "tags" && name != "tags_all" {
            collect(value, scope.made(), &mut open);
        }
    }
    Configured {
        file: resource.file.clone(),
        via,
        line: resource.line,
        address,
        kind: resource.kind.clone(),
        values: Value::Object(values),
        stand_ins: scope.made().keys().cloned().collect(),
        lines,
        partly_read: open.into_iter().collect(),
        undecided,
    }
}

/// Evaluates a body, and records the line of each part.
struct Walk<'w, 'm> {
    scope: &'w mut Scope<'m>,
    index: &'w LineIndex,
    undecided: Vec<String>,
    lines: BTreeMap<String, usize>,
}

impl Walk<'_, '_> {
    /// The values of a body: attributes, and blocks as lists. `path` is the path of the body with a final dot.
    fn body(&mut self, body: &Body, path: &str) -> Map<String, Value> {
        let mut values = Map::new();
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    let name = attribute.key.as_str();
                    self.note(format!("{path}{name}"), attribute.key.span());
                    let value = self.scope.expression(&attribute.value);
                    values.insert(name.to_owned(), value);
                }
                Structure::Block(block) if block.ident.as_str() == "dynamic" => {
                    self.dynamic(block, path, &mut values);
                }
                Structure::Block(block) => self.block(block.ident.as_str(), block, &block.body, path, &mut values),
            }
        }
        values
    }

    fn block(&mut self, name: &str, at: &Block, body: &Body, path: &str, values: &mut Map<String, Value>) {
        let number = values.get(name).and_then(Value::as_array).map_or(0, Vec::len);
        let own = format!("{path}{name}[{number}]");
        self.note(own.clone(), at.ident.span());
        let value = Value::Object(self.body(body, &format!("{own}.")));
        match values.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(items) => items.push(value),
            other => *other = Value::Array(vec![value]),
        }
    }

    /// The blocks that a dynamic block generates, if its collection is known.
    fn dynamic(&mut self, block: &Block, path: &str, values: &mut Map<String, Value>) {
        let label = block.labels.first().map(BlockLabel::as_str).unwrap_or_default();
        let each = block.body.get_attribute("for_each").map(|attribute| self.scope.expression(&attribute.value));
        let content = block.body.get_blocks("content").next();
        let pairs: Option<Vec<(Value, Value)>> = match &each {
            Some(Value::Array(items)) => {
                Some(items.iter().enumerate().map(|(number, item)| (json!(number), item.clone())).collect())
            }
            Some(Value::Object(members)) => {
                Some(members.iter().map(|(key, value)| (json!(key), value.clone())).collect())
            }
            _ => None,
        };
        let (Some(pairs), Some(content)) = (pairs, content) else {
            self.undecided.push(format!("dynamic {label}"));
            return;
        };
        let iterator = match block.body.get_attribute("iterator").map(|attribute| &attribute.value) {
            Some(Expression::Variable(name)) => name.to_string().trim().to_owned(),
            _ => label.to_owned(),
        };
        for (key, value) in pairs {
            self.scope.bound.push((iterator.clone(), json!({"key": key, "value": value})));
            self.block(label, content, &content.body, path, values);
            self.scope.bound.pop();
        }
    }

    fn note(&mut self, path: String, span: Option<std::ops::Range<usize>>) {
        if let Some(span) = span {
            self.lines.entry(path).or_insert_with(|| self.index.line(span.start));
        }
    }
}

fn json_of(members: &Map<String, Value>, undecided: &mut Vec<String>, scope: &mut Scope<'_>) -> Map<String, Value> {
    find_dynamic(members, undecided);
    let evaluated = scope.json(&Value::Object(members.clone()));
    let mut evaluated = evaluated.as_object().cloned().unwrap_or_default();
    evaluated.retain(|name, _| !META.contains(&name.as_str()));
    without_dynamic(&mut evaluated);
    evaluated
}

fn find_dynamic(members: &Map<String, Value>, undecided: &mut Vec<String>) {
    for (name, value) in members {
        if name == "dynamic" {
            let labels = value.as_object().into_iter().flat_map(Map::keys);
            undecided.extend(labels.map(|label| format!("dynamic {label}")));
            continue;
        }
        match value {
            Value::Object(members) => find_dynamic(members, undecided),
            Value::Array(items) => {
                items.iter().filter_map(Value::as_object).for_each(|one| find_dynamic(one, undecided));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn without_dynamic(members: &mut Map<String, Value>) {
    members.shift_remove("dynamic");
    for value in members.values_mut() {
        match value {
            Value::Object(members) => without_dynamic(members),
            Value::Array(items) => items.iter_mut().filter_map(Value::as_object_mut).for_each(without_dynamic),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Collects the placeholders of expressions that only Terraform evaluates. Attributes that AWS assigns are unknown in a
/// plan too, so they are left out.
fn collect(value: &Value, made: &BTreeMap<String, Unknown>, open: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.contains("${") => {
            let within =
                made.iter().filter(|(stand_in, why)| **why == Unknown::Unevaluated && text.contains(stand_in.as_str()));
            open.extend(within.map(|(stand_in, _)| stand_in.clone()));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, made, open)),
        Value::Object(members) => members.values().for_each(|value| collect(value, made, open)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
