//! What expressions refer to: variables, locals, and attributes of resources.

use std::collections::{BTreeMap, HashMap};

use mesh::readers::stand_in;
use serde_json::Value;

use super::source::{Content, Module, Resource, Written};

/// The most expressions that are evaluated in a module. Real ones have some thousands.
const MOST_STEPS: usize = 500_000;

/// The deepest that expressions refer to expressions.
const DEEPEST: usize = 128;

/// Why a value is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unknown {
    /// It is an attribute that AWS gives a resource of this module.
    AfterApply,
    /// Only Terraform can evaluate it.
    Unevaluated,
}

/// The most letters and values that one value may have.
const MOST_WEIGHT: usize = 100_000;

/// The letters and values in a value, counted as far as matters.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len(),
        Value::Array(items) => items.iter().map(weight).fold(1, usize::saturating_add),
        Value::Object(members) => {
            members.iter().map(|(name, value)| name.len() + weight(value)).fold(1, usize::saturating_add)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

/// A module with what was found out so far.
#[derive(Debug)]
pub(super) struct Scope<'m> {
    pub(super) module: &'m Module,
    /// The texts that stand in for values that are not known.
    made: BTreeMap<String, Unknown>,
    /// Locals by name; `None` while one is being evaluated, which ends a circle.
    locals: HashMap<String, Option<Value>>,
    /// The variables of `for` expressions, innermost last.
    pub(super) bound: Vec<(String, Value)>,
    /// The resource that is being evaluated.
    current: Vec<String>,
    steps: usize,
    depth: usize,
}

impl<'m> Scope<'m> {
    pub(super) fn new(module: &'m Module) -> Self {
        Self {
            module,
            made: BTreeMap::new(),
            locals: HashMap::new(),
            bound: Vec::new(),
            current: Vec::new(),
            steps: 0,
            depth: 0,
        }
    }

    /// All stand-ins, each with the reason for it.
    pub(super) const fn made(&self) -> &BTreeMap<String, Unknown> {
        &self.made
    }

    /// A text that stands in for an expression.
    pub(super) fn unknown(&mut self, expression: &str, why: Unknown) -> Value {
        let text = stand_in(expression.trim());
        self.made.insert(text.clone(), why);
        Value::String(text)
    }

    /// Keeps a value within bounds: references to references could double it without end.
    pub(super) fn bounded(&mut self, value: Value, what: &str) -> Value {
        if weight(&value) > MOST_WEIGHT { self.unknown(what, Unknown::Unevaluated) } else { value }
    }

    /// Whether a value has an unknown part.
    pub(super) fn is_unknown(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains("${") && self.made.keys().any(|made| text.contains(made.as_str())),
            Value::Array(items) => items.iter().any(|item| self.is_unknown(item)),
            Value::Object(members) => members.iter().any(|(name, value)| {
                self.is_unknown(value)
                    || (name.contains("${") && self.made.keys().any(|made| name.contains(made.as_str())))
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// Evaluates one level deeper, unless that is too deep or too much.
    pub(super) fn deeper(&mut self, evaluate: impl FnOnce(&mut Self) -> Value) -> Value {
        self.steps += 1;
        if self.steps > MOST_STEPS || self.depth >= DEEPEST {
            return self.unknown("too deep or too much to evaluate", Unknown::Unevaluated);
        }
        self.depth += 1;
        let value = evaluate(self);
        self.depth -= 1;
        value
    }

    /// Evaluates the body of a resource, in which `each` and `count` are its own.
    pub(super) fn within<T>(&mut self, address: &str, evaluate: impl FnOnce(&mut Self) -> T) -> T {
        self.current.push(address.to_owned());
        let value = evaluate(self);
        self.current.pop();
        value
    }

    /// The value of a name with the attributes that follow it. `steps` of them are used.
    pub(super) fn lookup(&mut self, root: &str, steps: &[String], expression: &str) -> (Value, usize) {
        if let Some((_, value)) = self.bound.iter().rev().find(|(name, _)| name == root) {
            return (value.clone(), 0);
        }
        match (root, steps) {
            ("var", [name, ..]) => (self.variable(name), 1),
            ("local", [name, ..]) => (self.local(name), 1),
            ("each" | "count", [attribute, ..]) => {
                let of = self.current.last().cloned().unwrap_or_default();
                (self.unknown(&format!("{of} {root}.{attribute}"), Unknown::Unevaluated), 1)
            }
            ("data" | "module" | "path" | "terraform" | "self", _) => {
                (self.unknown(expression, Unknown::Unevaluated), steps.len())
            }
            (kind, [name, ..]) => self.attribute_of(kind, name, steps, expression),
            _ => (self.unknown(expression, Unknown::Unevaluated), steps.len()),
        }
    }

    fn variable(&mut self, name: &str) -> Value {
        let module = self.module;
        match module.value_of(name) {
            Some(Written::Given(value)) => value.clone(),
            Some(written) => self.deeper(|scope| scope.written(written)),
            None => self.unknown(&format!("var.{name}"), Unknown::Unevaluated),
        }
    }

    fn local(&mut self, name: &str) -> Value {
        let expression = format!("local.{name}");
        match self.locals.get(name) {
            Some(Some(value)) => return value.clone(),
            Some(None) => return self.unknown(&expression, Unknown::Unevaluated),
            None => {}
        }
        let module = self.module;
        let Some(written) = module.locals.get(name) else {
            return self.unknown(&expression, Unknown::Unevaluated);
        };
        self.locals.insert(name.to_owned(), None);
        let value = self.deeper(|scope| scope.written(written));
        self.locals.insert(name.to_owned(), Some(value.clone()));
        value
    }

    /// An attribute of a resource of this module: as it is configured, or for a mesh its id, which is its name.
    fn attribute_of(&mut self, kind: &str, name: &str, steps: &[String], expression: &str) -> (Value, usize) {
        let module = self.module;
        let resource = module.resources.iter().find(|one| one.kind == kind && one.name == name);
        let rest = steps.get(1..).unwrap_or_default();
        // An index says which of several instances; they are alike as far as is known here.
        let (index, attribute) = match rest {
            [attribute, ..] if !attribute.starts_with('[') => (0, Some(attribute)),
            [_, attribute, ..] => (1, Some(attribute)),
            _ => (0, None),
        };
        let (Some(resource), Some(attribute)) = (resource, attribute) else {
            return (self.unknown(expression, Unknown::Unevaluated), steps.len());
        };
        let configured = match attribute.as_str() {
            "id" if kind == "aws_appmesh_mesh" => self.configured(resource, "name"),
            attribute => self.configured(resource, attribute),
        };
        let value = configured.unwrap_or_else(|| self.unknown(expression, Unknown::AfterApply));
        (value, 2 + index)
    }

    fn configured(&mut self, resource: &'m Resource, attribute: &str) -> Option<Value> {
        let written = match &resource.content {
            Content::Hcl(body) => Written::Hcl(body.get_attribute(attribute)?.value.clone()),
            Content::Json(members) => Written::Json(members.get(attribute)?.clone()),
        };
        let address = format!("{}.{}", resource.kind, resource.name);
        Some(self.deeper(|scope| scope.within(&address, |scope| scope.written(&written))))
    }
}
