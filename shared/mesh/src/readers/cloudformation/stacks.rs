//! Stacks that are read together: nested ones with their parameters, exports, and values in parameter store.
//!
//! ```text
//!   templates ──▶ roots and nested stacks ──▶ rounds: parameters, outputs, exports ──▶ until nothing changes
//! ```
//!
//! A value of one stack may depend on an output of another, which depends on a parameter of a third. Each round works
//! out all of them with what the round before found, so that a chain of N stacks takes N rounds.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use super::super::Surroundings;
use super::Template;
use super::assembly::Assembly;
use super::conditions::Truth;
use super::exports::{Named, note};
use super::scope::Scope;

/// The deepest that stacks nest; CloudFormation itself allows less than templates can say.
const DEEPEST: usize = 8;

/// The most stacks of one run.
const MOST: usize = 256;

/// The most rounds: a chain of cross-stack references that is longer stays unknown.
const ROUNDS: usize = 16;

/// A stack: a template with the values that its surroundings give it.
#[derive(Debug)]
pub(super) struct Stack {
    /// The number of its template.
    pub(super) template: usize,
    /// The logical ids that lead to it, empty for a root.
    pub(super) chain: Vec<String>,
    pub(super) inputs: Inputs,
    /// The nested stacks by logical id.
    nested: BTreeMap<String, usize>,
}

/// What one stack gets from others.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Inputs {
    /// The stack's name, where a cloud assembly gives it.
    pub(super) name: Option<String>,
    /// The logical ids that lead to it, where another stack creates it.
    pub(super) chain: Vec<String>,
    /// The parameters that the parent gives.
    pub(super) parameters: BTreeMap<String, Value>,
    /// The outputs of nested stacks by logical id.
    pub(super) outputs: HashMap<String, BTreeMap<String, Value>>,
}

/// What all stacks share.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shared {
    /// Exports by name.
    pub(super) exports: Named,
    /// Values of parameter store by name.
    pub(super) stored: Named,
    /// The stand-ins of all stacks.
    pub(super) made: BTreeSet<String>,
}

/// A nested stack whose template is not among the files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Absent {
    pub(super) template: usize,
    pub(super) id: String,
    pub(super) url: String,
}

/// All stacks of a run.
#[derive(Debug)]
pub(super) struct Stacks {
    pub(super) all: Vec<Stack>,
    pub(super) shared: Shared,
    pub(super) absent: Vec<Absent>,
}

/// A nested stack as a stack declares it.
struct Link {
    id: String,
    child: Option<usize>,
    url: String,
    /// The parameters that the parent gives.
    parameters: BTreeMap<String, Value>,
}

/// What stacks are built of.
#[derive(Clone, Copy)]
struct Plan<'p> {
    templates: &'p [Template],
    assembly: &'p Assembly,
    around: &'p Surroundings,
    /// Whether nested stacks are followed.
    follows: bool,
}

impl Stacks {
    /// Finds the stacks of templates and works out what they give each other.
    pub(super) fn resolve(templates: &[Template], assembly: &Assembly, around: &Surroundings) -> Self {
        let plan = Plan { templates, assembly, around, follows: true };
        // Which nested stacks a template has may depend on the parameters that its parent gives it.
        let mut nested: HashSet<usize> = (0..templates.len())
            .flat_map(|own| plan.links(own, &Inputs::default()).into_iter().map(move |link| (own, link)))
            .filter_map(|(own, link)| link.child.filter(|child| *child != own))
            .collect();
        let mut stacks = loop {
            let mut stacks = Self { all: Vec::new(), shared: Shared::default(), absent: Vec::new() };
            for root in (0..templates.len()).filter(|own| !nested.contains(own)) {
                stacks.add(root, &[], BTreeMap::new(), plan);
            }
            let known = nested.len();
            // A template that leads to itself stays a root.
            let links = stacks.all.iter().flat_map(|stack| stack.nested.values().map(move |child| (stack, child)));
            let children = links.filter_map(|(stack, child)| Some((stack.template, stacks.all.get(*child)?.template)));
            nested.extend(children.filter(|(parent, child)| parent != child).map(|(_, child)| child));
            if nested.len() == known {
                break stacks;
            }
        };
        // Templates that only refer to each other in a circle have no root; each is read by itself.
        let reached: HashSet<usize> = stacks.all.iter().map(|stack| stack.template).collect();
        for lone in (0..templates.len()).filter(|own| !reached.contains(own)) {
            stacks.add(lone, &[], BTreeMap::new(), Plan { follows: false, ..plan });
        }
        stacks.settle(templates, around);
        stacks
    }

    fn add(&mut self, template: usize, chain: &[String], parameters: BTreeMap<String, Value>, plan: Plan<'_>) -> usize {
        let number = self.all.len();
        let file = plan.templates.get(template);
        let name = file.filter(|_| chain.is_empty()).and_then(|file| plan.assembly.stack_of(&file.file));
        let inputs = Inputs { name, chain: chain.to_vec(), parameters, ..Inputs::default() };
        let links = if plan.follows { plan.links(template, &inputs) } else { Vec::new() };
        self.all.push(Stack { template, chain: chain.to_vec(), inputs, nested: BTreeMap::new() });
        for Link { id, child, url, parameters } in links {
            let Some(child) = child else {
                let absent = Absent { template, id, url };
                if !self.absent.contains(&absent) {
                    self.absent.push(absent);
                }
                continue;
            };
            if chain.len() < DEEPEST && self.all.len() < MOST {
                let chain: Vec<String> = chain.iter().cloned().chain([id.clone()]).collect();
                let child = self.add(child, &chain, parameters, plan);
                if let Some(stack) = self.all.get_mut(number) {
                    stack.nested.insert(id, child);
                }
            }
        }
        number
    }

    fn settle(&mut self, templates: &[Template], around: &Surroundings) {
        for _ in 0..ROUNDS {
            let mut shared = Shared::default();
            let mut inputs: Vec<Inputs> = self
                .all
                .iter()
                .map(|stack| Inputs { parameters: BTreeMap::new(), outputs: HashMap::new(), ..stack.inputs.clone() })
                .collect();
            let mut given = Vec::new();
            for (number, stack) in self.all.iter().enumerate() {
                let Some(template) = templates.get(stack.template) else { continue };
                let mut scope = Scope::new(&template.document, around, &stack.inputs, &self.shared);
                given.push((number, scope.outputs(&mut shared)));
                for (id, child) in &stack.nested {
                    if let Some(inputs) = inputs.get_mut(*child) {
                        inputs.parameters = scope.parameters_given_to(id);
                    }
                }
                shared.made.extend(scope.into_stand_ins());
            }
            for (number, outputs) in given {
                let parent = self.all.iter().enumerate().find_map(|(parent, stack)| {
                    let (id, _) = stack.nested.iter().find(|(_, child)| **child == number)?;
                    Some((parent, id.clone()))
                });
                if let Some((parent, id)) = parent
                    && let Some(inputs) = inputs.get_mut(parent)
                {
                    inputs.outputs.insert(id, outputs);
                }
            }
            let settled =
                shared == self.shared && self.all.iter().zip(&inputs).all(|(stack, new)| stack.inputs == *new);
            self.shared = shared;
            for (stack, inputs) in self.all.iter_mut().zip(inputs) {
                stack.inputs = inputs;
            }
            if settled {
                break;
            }
        }
    }
}

impl Plan<'_> {
    /// The nested stacks of a stack; those that a condition leaves out are not created.
    fn links(self, template: usize, inputs: &Inputs) -> Vec<Link> {
        let Some(own) = self.templates.get(template) else { return Vec::new() };
        let shared = Shared::default();
        let mut scope = Scope::new(&own.document, self.around, inputs, &shared);
        let mut links = Vec::new();
        for (id, resource) in own.document.get("Resources").and_then(Value::as_object).into_iter().flatten() {
            let location = match resource.get("Type").and_then(Value::as_str) {
                Some("AWS::CloudFormation::Stack") => "TemplateURL",
                Some("AWS::Serverless::Application") => "Location",
                _ => continue,
            };
            let condition = resource.get("Condition").and_then(Value::as_str);
            if condition.is_some_and(|condition| scope.condition(condition) == Truth::False) {
                continue;
            }
            let location = resource.get("Properties").and_then(|properties| properties.get(location));
            let url = location.and_then(|location| scope.text(location)).unwrap_or_default();
            let asset = resource.get("Metadata").and_then(|metadata| metadata.get("aws:asset:path"));
            let files: Vec<&str> = self.templates.iter().map(|template| template.file.as_str()).collect();
            let child = self.assembly.locate(&own.file, &url, asset.and_then(Value::as_str), &files);
            let parameters = scope.parameters_given_to(id);
            links.push(Link { id: id.clone(), child, url, parameters });
        }
        links
    }
}

impl Scope<'_> {
    /// The outputs of the stack, with its exports and stored parameters added to those of all stacks.
    fn outputs(&mut self, shared: &mut Shared) -> BTreeMap<String, Value> {
        let mut outputs = BTreeMap::new();
        for (name, output) in self.section("Outputs").into_iter().flatten() {
            let condition = output.get("Condition").and_then(Value::as_str);
            if condition.is_some_and(|condition| self.condition(condition) == Truth::False) {
                continue;
            }
            let Some(value) = output.get("Value").and_then(|value| self.value(value)) else { continue };
            let export = output.get("Export").and_then(|export| export.get("Name"));
            if let Some(export) = export.and_then(|export| self.text(export)) {
                note(&mut shared.exports, export, &value);
            }
            outputs.insert(name.clone(), value);
        }
        for (_, resource) in self.section("Resources").into_iter().flatten() {
            let Some(properties) = resource.get("Properties") else { continue };
            match resource.get("Type").and_then(Value::as_str) {
                Some("AWS::SSM::Parameter") => {
                    let name = properties.get("Name").and_then(|name| self.text(name));
                    let value = properties.get("Value").and_then(|value| self.value(value));
                    if let (Some(name), Some(value)) = (name, value) {
                        note(&mut shared.stored, name, &value);
                    }
                }
                // The CDK passes values between regions through a custom resource that writes them.
                Some("Custom::CrossRegionExportWriter") => {
                    let exports = properties.get("WriterProps").and_then(|writer| writer.get("exports"));
                    for (name, value) in exports.and_then(Value::as_object).into_iter().flatten() {
                        if let Some(value) = self.value(value) {
                            note(&mut shared.stored, name.clone(), &value);
                        }
                    }
                }
                _ => {}
            }
        }
        outputs
    }

    /// The parameters that the stack gives a nested one.
    fn parameters_given_to(&mut self, id: &str) -> BTreeMap<String, Value> {
        let resource = self.section("Resources").and_then(|resources| resources.get(id));
        let given = resource.and_then(|resource| resource.get("Properties")?.get("Parameters"));
        let given: Map<String, Value> = given.and_then(Value::as_object).cloned().unwrap_or_default();
        given.into_iter().filter_map(|(name, value)| Some((name, self.value(&value)?))).collect()
    }
}
