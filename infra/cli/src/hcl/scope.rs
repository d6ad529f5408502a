//! Resolves references: variables, locals, module outputs and resource attributes.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use readers::stand_in;
use serde_json::{Value, json};

use super::instance::{BlockCopy, Called, CalledFrom, Copies, Instance};
use super::source::{Content, Module, Resource, Written};

/// The most expressions that are evaluated for a root module. Real configurations have some thousands.
const MOST_STEPS: usize = 500_000;

/// The deepest nesting of expression evaluations.
const DEEPEST: usize = 128;

/// Why a value is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unknown {
    /// AWS assigns this attribute of a resource of the module.
    AfterApply,
    /// Only Terraform can evaluate the expression.
    Unevaluated,
}

/// The most bytes of text and nested values in one evaluated value.
const MOST_WEIGHT: usize = 100_000;

/// The number of bytes of text and nested values in a value, saturating.
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

/// A named value of a module.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Named {
    Local(String),
    Variable(String),
    Output(String),
}

/// The block under evaluation, which defines `each` and `count`.
#[derive(Debug)]
struct Current {
    address: String,
    copy: Option<BlockCopy>,
}

/// The evaluation state of a root module and its called modules.
#[derive(Debug)]
pub(super) struct Scope<'m> {
    pub(super) modules: &'m BTreeMap<PathBuf, Module>,
    /// The root module first, then the called instances in the order of their discovery.
    pub(super) instances: Vec<Instance<'m>>,
    /// The index of the instance for which expressions are evaluated, and its module.
    pub(super) at: usize,
    pub(super) module: &'m Module,
    /// The results of calls, by calling instance and name. `None` marks a call under evaluation, and ends a cycle.
    pub(super) calls: HashMap<(usize, String), Option<Called>>,
    /// The placeholder strings of unknown values, each with its reason.
    made: BTreeMap<String, Unknown>,
    /// Values by instance and name. `None` marks a value under evaluation, and ends a cycle.
    values: HashMap<(usize, Named), Option<Value>>,
    /// The copies of resources, by instance and address. `None` marks copies under evaluation.
    resource_copies: HashMap<(usize, String), Option<Copies>>,
    /// Whether an expression read an attribute that a known value lacks, since the last reset.
    pub(super) lacks_attribute: bool,
    /// The variables of `for` expressions and the iterators of dynamic blocks, innermost last.
    pub(super) bound: Vec<(String, Value)>,
    current: Vec<Current>,
    steps: usize,
    depth: usize,
}

impl<'m> Scope<'m> {
    pub(super) fn new(root: &'m Module, modules: &'m BTreeMap<PathBuf, Module>) -> Self {
        Self {
            modules,
            instances: vec![Instance::root(root)],
            at: 0,
            module: root,
            calls: HashMap::new(),
            made: BTreeMap::new(),
            values: HashMap::new(),
            resource_copies: HashMap::new(),
            lacks_attribute: false,
            bound: Vec::new(),
            current: Vec::new(),
            steps: 0,
            depth: 0,
        }
    }

    /// All placeholders, each with its reason.
    pub(super) const fn made(&self) -> &BTreeMap<String, Unknown> {
        &self.made
    }

    /// Creates the placeholder string of an expression.
    pub(super) fn unknown(&mut self, expression: &str, why: Unknown) -> Value {
        let text = stand_in(expression.trim());
        self.made.insert(text.clone(), why);
        Value::String(text)
    }

    /// Limits the size of a value, since repeated references can grow it exponentially.
    pub(super) fn bounded(&mut self, value: Value, what: &str) -> Value {
        if weight(&value) > MOST_WEIGHT { self.unknown(what, Unknown::Unevaluated) } else { value }
    }

    /// Whether any part of a value is unknown.
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

    /// Evaluates one level deeper; returns a placeholder if a limit is exceeded.
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

    /// Evaluates the body of a block with its `each` and `count`.
    pub(super) fn within<T>(
        &mut self,
        address: &str,
        copy: Option<BlockCopy>,
        evaluate: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.current.push(Current { address: address.to_owned(), copy });
        let value = evaluate(self);
        self.current.pop();
        value
    }

    /// Evaluates within another instance, with the names of that instance.
    pub(super) fn in_instance<T>(&mut self, instance: usize, evaluate: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let module = self.instances.get(instance)?.module;
        let before = (self.at, self.module, std::mem::take(&mut self.bound), std::mem::take(&mut self.current));
        (self.at, self.module) = (instance, module);
        let value = evaluate(self);
        (self.at, self.module, self.bound, self.current) = before;
        Some(value)
    }

    /// The value of a name with the attributes after it, and the number of consumed `steps`.
    pub(super) fn lookup(&mut self, root: &str, steps: &[String], expression: &str) -> (Value, usize) {
        if let Some((_, value)) = self.bound.iter().rev().find(|(name, _)| name == root) {
            return (value.clone(), 0);
        }
        match (root, steps) {
            ("var", [name, ..]) => (self.variable(name), 1),
            ("local", [name, ..]) => (self.local(name), 1),
            ("each" | "count", [attribute, ..]) => (self.of_copy(root, attribute), 1),
            ("module", _) => match self.output_of_call(steps) {
                Some(found) => found,
                None => (self.unknown(expression, Unknown::Unevaluated), steps.len()),
            },
            ("data", [kind, name, rest @ ..]) => match self.argument_of_data(kind, name, rest) {
                Some((value, used)) => (value, 2 + used),
                None => (self.unknown(expression, Unknown::Unevaluated), steps.len()),
            },
            ("data" | "path" | "terraform" | "self", _) => {
                (self.unknown(expression, Unknown::Unevaluated), steps.len())
            }
            (kind, [name, ..]) => self.attribute_of(kind, name, steps, expression),
            _ => (self.unknown(expression, Unknown::Unevaluated), steps.len()),
        }
    }

    /// The value of `each.key`, `each.value` or `count.index` in the block under evaluation.
    fn of_copy(&mut self, root: &str, attribute: &str) -> Value {
        let current = self.current.last();
        let value = match (root, attribute, current.and_then(|current| current.copy.as_ref())) {
            ("count", "index", Some(BlockCopy::Counted(number))) => Some(json!(number)),
            ("each", "key", Some(BlockCopy::Keyed { key, .. })) => Some(json!(key)),
            ("each", "value", Some(BlockCopy::Keyed { value, .. })) => Some(value.clone()),
            _ => None,
        };
        let of = current.map(|current| current.address.clone()).unwrap_or_default();
        value.unwrap_or_else(|| self.unknown(&format!("{of} {root}.{attribute}"), Unknown::Unevaluated))
    }

    /// A named value of the current instance, evaluated once. A value that depends on its own result is unknown.
    fn named(&mut self, name: Named, evaluate: impl FnOnce(&mut Self) -> Option<Value>) -> Option<Value> {
        let key = (self.at, name);
        if let Some(known) = self.values.get(&key) {
            return known.clone();
        }
        self.values.insert(key.clone(), None);
        let value = evaluate(self)?;
        self.values.insert(key, Some(value.clone()));
        Some(value)
    }

    /// The value of a variable. A root module uses its outside values, a called module the call's arguments; both fall
    /// back to the default.
    fn variable(&mut self, name: &str) -> Value {
        let instance = self.instances.get(self.at).cloned();
        let (module, prefix) = (self.module, instance.as_ref().map(|one| one.address.clone()).unwrap_or_default());
        let from = instance.and_then(|instance| instance.from);
        let value = self.named(Named::Variable(name.to_owned()), |scope| match from {
            None => module.value_of(name).map(|written| scope.deeper(|scope| scope.written(written))),
            Some(CalledFrom { instance, call, copy }) => match call.argument(name) {
                Some(given) => scope.in_instance(instance, |scope| {
                    let address = format!("module.{}", call.name);
                    scope.within(&address, copy, |scope| scope.deeper(|scope| scope.written(given)))
                }),
                None => module.default_of(name).map(|written| scope.deeper(|scope| scope.written(written))),
            },
        });
        let value = value.map(|value| match module.types.get(name) {
            Some(kind) => self.deeper(|scope| scope.with_defaults(value, kind)),
            None => value,
        });
        value.unwrap_or_else(|| self.unknown(&format!("{prefix}var.{name}"), Unknown::Unevaluated))
    }

    fn local(&mut self, name: &str) -> Value {
        let module = self.module;
        let value = self.named(Named::Local(name.to_owned()), |scope| {
            module.locals.get(name).map(|written| scope.deeper(|scope| scope.written(written)))
        });
        value.unwrap_or_else(|| self.unknown(&format!("local.{name}"), Unknown::Unevaluated))
    }

    /// The value of an instance's output.
    pub(super) fn output(&mut self, instance: usize, name: &str) -> Option<Value> {
        let module = self.instances.get(instance)?.module;
        self.in_instance(instance, |scope| {
            scope.named(Named::Output(name.to_owned()), |scope| {
                module.outputs.get(name).map(|written| scope.deeper(|scope| scope.written(written)))
            })
        })?
    }

    /// The copies of a resource of the current module.
    pub(super) fn copies_of(&mut self, resource: &'m Resource) -> Copies {
        let key = (self.at, resource.address());
        match self.resource_copies.get(&key) {
            Some(Some(copies)) => return copies.clone(),
            Some(None) => return Copies::Undecided("for_each"),
            None => {}
        }
        self.resource_copies.insert(key.clone(), None);
        let address = key.1.clone();
        let copies = self.within(&address, None, |scope| scope.copies(|meta| resource.attribute(meta)));
        self.resource_copies.insert(key, Some(copies.clone()));
        copies
    }

    /// An attribute of a resource of this module as configured. The `id` of a mesh is its name.
    fn attribute_of(&mut self, kind: &str, name: &str, steps: &[String], expression: &str) -> (Value, usize) {
        let module = self.module;
        let resource = module.resources.iter().find(|one| one.kind == kind && one.name == name);
        let rest = steps.get(1..).unwrap_or_default();
        let (index, attribute) = match rest {
            [attribute, ..] if !attribute.starts_with('[') && attribute != "*" => (None, Some(attribute)),
            [index, attribute, ..] => (Some(index.as_str()), Some(attribute)),
            _ => (None, None),
        };
        let (Some(resource), Some(attribute)) = (resource, attribute) else {
            return (self.unknown(expression, Unknown::Unevaluated), steps.len());
        };
        let attribute = if attribute == "id" && kind == "aws_appmesh_mesh" { "name" } else { attribute.as_str() };
        let used = 2 + usize::from(index.is_some());
        let copies = self.copies_of(resource);
        let mut of = |copy: Option<BlockCopy>| match self.configured(resource, attribute, copy) {
            Some(value) => value,
            None => self.unknown(expression, Unknown::AfterApply),
        };
        let value = match (copies, index) {
            (Copies::Known(copies), Some("*")) => {
                Some(Value::Array(copies.into_iter().map(|copy| of(Some(copy))).collect()))
            }
            (Copies::Known(copies), Some(index)) => {
                copies.into_iter().find(|copy| copy.is_selected_by(index)).map(|copy| of(Some(copy)))
            }
            (Copies::Known(copies), None) => match copies.as_slice() {
                [copy] => Some(of(Some(copy.clone()))),
                _ => None,
            },
            (Copies::Plain, Some("*")) => Some(Value::Array(vec![of(None)])),
            (Copies::Undecided(_), Some("*")) => None,
            // The selected copy is unknown, but all copies have the same configuration as far as known.
            (Copies::Plain | Copies::Undecided(_), _) => Some(of(None)),
        };
        match value {
            Some(value) => (value, used),
            None => (self.unknown(expression, Unknown::Unevaluated), steps.len()),
        }
    }

    /// An argument of an App Mesh data source. It identifies an existing resource, so the configured name is
    /// the real one.
    fn argument_of_data(&mut self, kind: &str, name: &str, rest: &[String]) -> Option<(Value, usize)> {
        let module = self.module;
        let data = module.data.iter().find(|one| one.kind == kind && one.name == name)?;
        let index = rest.iter().position(|step| !step.starts_with('['))?;
        let attribute = match rest.get(index)?.as_str() {
            "id" if kind == "aws_appmesh_mesh" => "name",
            attribute @ ("name" | "mesh_name" | "virtual_gateway_name" | "virtual_router_name") => attribute,
            _ => return None,
        };
        let is_ours = kind.starts_with("aws_appmesh_");
        let value = is_ours.then(|| self.configured(data, attribute, None)).flatten()?;
        Some((value, index + 1))
    }

    fn configured(&mut self, resource: &'m Resource, attribute: &str, copy: Option<BlockCopy>) -> Option<Value> {
        let written = match &resource.content {
            Content::Hcl { body, .. } => Written::Hcl(body.get_attribute(attribute)?.value.clone()),
            Content::Json { members, .. } => Written::Json(members.get(attribute)?.clone()),
        };
        let address = resource.address();
        Some(self.deeper(|scope| scope.within(&address, copy, |scope| scope.written(&written))))
    }
}
