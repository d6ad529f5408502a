//! Stacks that are read together: nested ones with their parameters, exports, and values in parameter store.
//!
//! ```text
//!   templates ──▶ roots and nested stacks ──▶ rounds: parameters, outputs, exports ──▶ until nothing changes
//! ```
//!
//! A value of one stack may depend on an output of another, which depends on a parameter of a third. Each round
//! evaluates all of them with the results of the previous round, so a chain of N stacks takes N rounds. Loops are
//! expanded for each stack, because their collections may be parameters.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use super::super::Surroundings;
use super::assembly::Assembly;
use super::inputs::{Inputs, Shared, note};
use super::loops::{Expanded, expand};
use super::scope::Scope;
use super::template::Template;
use super::truth::Truth;

/// The deepest nesting of stacks. CloudFormation allows less.
const DEEPEST: usize = 8;

/// The most stacks of one run.
const MOST: usize = 256;

/// The most rounds. A longer chain of references between stacks stays unknown.
const ROUNDS: usize = 16;

/// A stack: a template with the values from its parent, the caller and other stacks.
#[derive(Debug)]
pub(super) struct Stack {
    /// The number of its template.
    pub(super) template: usize,
    /// The logical ids that lead to it, empty for a root.
    pub(super) chain: Vec<String>,
    pub(super) inputs: Inputs,
    /// Its template with expanded loops, if the template has loops.
    expanded: Option<Expanded>,
    /// The nested stacks by logical id.
    nested: BTreeMap<String, usize>,
}

impl Stack {
    /// The document of the stack: that of its template, with expanded loops.
    pub(super) fn document<'s>(&'s self, template: &'s Template) -> &'s Value {
        self.expanded.as_ref().map_or(&template.document, |expanded| &expanded.document)
    }

    /// The id under which a resource is written: that of the loop that creates it, or its own.
    pub(super) fn written_id<'s>(&'s self, id: &'s str) -> &'s str {
        let created_by = self.expanded.as_ref().and_then(|expanded| expanded.loops.get(id));
        created_by.map_or(id, String::as_str)
    }
}

/// A nested stack with a template that is not among the files.
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

/// The input from which stacks are built.
#[derive(Clone, Copy)]
struct Plan<'p> {
    templates: &'p [Template],
    assembly: &'p Assembly,
    around: &'p Surroundings,
    /// Whether nested stacks are followed.
    follows: bool,
}

impl Stacks {
    /// Finds the stacks of templates, and evaluates the values that they pass to each other.
    pub(super) fn resolve(templates: &[Template], assembly: &Assembly, around: &Surroundings) -> Self {
        let plan = Plan { templates, assembly, around, follows: true };
        // Which nested stacks a template has may depend on the parameters that its parent gives it.
        let mut nested: HashSet<usize> = (0..templates.len())
            .flat_map(|own| {
                let (inputs, shared) = (Inputs::default(), Shared::default());
                let expanded = plan.expanded(own, &inputs, &shared);
                plan.links(own, expanded.as_ref(), &inputs, &shared).into_iter().map(move |link| (own, link))
            })
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
        // Templates that only refer to each other in a cycle have no root. Each of them is read as a root.
        let reached: HashSet<usize> = stacks.all.iter().map(|stack| stack.template).collect();
        for lone in (0..templates.len()).filter(|own| !reached.contains(own)) {
            stacks.add(lone, &[], BTreeMap::new(), Plan { follows: false, ..plan });
        }
        stacks.settle(templates, around);
        // The collection of a loop may be known only now, and its resources may have outputs.
        for _ in 0..DEEPEST {
            if !stacks.expand_again(plan) {
                break;
            }
            stacks.settle(templates, around);
        }
        stacks
    }

    /// Expands the loops with the values of other stacks. Returns whether a stack changed.
    fn expand_again(&mut self, plan: Plan<'_>) -> bool {
        let mut changed = false;
        for number in 0..self.all.len() {
            let Some(stack) = self.all.get(number) else { continue };
            let expanded = plan.expanded(stack.template, &stack.inputs, &self.shared);
            if expanded == stack.expanded {
                continue;
            }
            changed = true;
            let links = plan.links(stack.template, expanded.as_ref(), &stack.inputs, &self.shared);
            let template = stack.template;
            let is_unread = |link: &Link| plan.follows && !stack.nested.contains_key(&link.id);
            // The nested stacks were found before.
            let unread = links.into_iter().filter(is_unread).map(|Link { id, url, .. }| Absent { template, id, url });
            let unread: Vec<Absent> = unread.filter(|absent| !self.absent.contains(absent)).collect();
            self.absent.extend(unread);
            if let Some(stack) = self.all.get_mut(number) {
                stack.expanded = expanded;
            }
        }
        changed
    }

    fn add(&mut self, template: usize, chain: &[String], parameters: BTreeMap<String, Value>, plan: Plan<'_>) -> usize {
        let number = self.all.len();
        let file = plan.templates.get(template);
        let name = file.filter(|_| chain.is_empty()).and_then(|file| plan.assembly.stack_of(&file.file));
        let inputs = Inputs { name, chain: chain.to_vec(), parameters, ..Inputs::default() };
        let shared = Shared::default();
        let expanded = plan.expanded(template, &inputs, &shared);
        let links = if plan.follows { plan.links(template, expanded.as_ref(), &inputs, &shared) } else { Vec::new() };
        self.all.push(Stack { template, chain: chain.to_vec(), inputs, expanded, nested: BTreeMap::new() });
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
                let mut scope = Scope::new(stack.document(template), around, &stack.inputs, &self.shared);
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
    /// A template with loops, expanded for a stack with these inputs.
    fn expanded(self, template: usize, inputs: &Inputs, shared: &Shared) -> Option<Expanded> {
        expand(&self.templates.get(template)?.document, self.around, inputs, shared)
    }

    /// The nested stacks of a stack, without those that a condition excludes.
    fn links(self, template: usize, expanded: Option<&Expanded>, inputs: &Inputs, shared: &Shared) -> Vec<Link> {
        let Some(own) = self.templates.get(template) else { return Vec::new() };
        let document = expanded.map_or(&own.document, |expanded| &expanded.document);
        let mut scope = Scope::new(document, self.around, inputs, shared);
        let mut links = Vec::new();
        for (id, resource) in document.get("Resources").and_then(Value::as_object).into_iter().flatten() {
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

    /// The parameters that the stack passes to a nested stack.
    fn parameters_given_to(&mut self, id: &str) -> BTreeMap<String, Value> {
        let resource = self.section("Resources").and_then(|resources| resources.get(id));
        let given = resource.and_then(|resource| resource.get("Properties")?.get("Parameters"));
        let given: Map<String, Value> = given.and_then(Value::as_object).cloned().unwrap_or_default();
        given.into_iter().filter_map(|(name, value)| Some((name, self.value(&value)?))).collect()
    }
}
