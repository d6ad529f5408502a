//! The values that the functions of a template refer to.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::super::Surroundings;
use super::super::declare::text_of;
use super::super::stand_ins::{made_within, stand_in};
use super::inputs::{Inputs, Shared};
use super::truth::Truth;

/// The most functions and values that are evaluated in a template. Real templates have some thousands.
const MOST_STEPS: usize = 500_000;

/// The longest text that a function may create, in bytes: well above any bound of App Mesh.
const LONGEST_TEXT: usize = 16_384;

/// The deepest nesting of references between functions.
const DEEPEST: usize = 200;

/// A template with the known values of its environment, and the results so far.
#[derive(Debug)]
pub(super) struct Scope<'t> {
    pub(super) template: &'t Value,
    pub(super) around: &'t Surroundings,
    /// The values that the stack gets from other stacks.
    pub(super) inputs: &'t Inputs,
    /// The values that all stacks share.
    pub(super) shared: &'t Shared,
    /// Conditions by name; `None` during the evaluation of one, which ends a cycle.
    pub(super) conditions: HashMap<String, Option<Truth>>,
    /// Attributes of resources by `Id.Attribute`; `None` during the evaluation of one.
    pub(super) attributes: HashMap<String, Option<Value>>,
    made: BTreeSet<String>,
    steps: usize,
    depth: usize,
}

impl<'t> Scope<'t> {
    pub(super) fn new(template: &'t Value, around: &'t Surroundings, inputs: &'t Inputs, shared: &'t Shared) -> Self {
        Self {
            template,
            around,
            inputs,
            shared,
            conditions: HashMap::new(),
            attributes: HashMap::new(),
            made: shared.made.clone(),
            steps: 0,
            depth: 0,
        }
    }

    pub(super) fn into_stand_ins(self) -> BTreeSet<String> {
        self.made
    }

    /// The texts that stand in for expressions without a value.
    pub(super) const fn made(&self) -> &BTreeSet<String> {
        &self.made
    }

    /// Whether another stack creates the stack.
    pub(super) fn is_nested(&self) -> bool {
        !self.inputs.chain.is_empty()
    }

    /// A section of the template.
    pub(super) fn section(&self, name: &str) -> Option<&'t Map<String, Value>> {
        self.template.get(name).and_then(Value::as_object)
    }

    /// A text that stands in for an expression without a value.
    pub(super) fn unknown(&mut self, expression: &str) -> Value {
        let text = stand_in(expression);
        self.made.insert(text.clone());
        Value::String(text)
    }

    /// Whether a text has an unknown part.
    pub(super) fn is_unknown(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => made_within(text, &self.made).next().is_some(),
            Value::Array(items) => items.iter().any(|item| self.is_unknown(item)),
            Value::Object(members) => members.values().any(|member| self.is_unknown(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// Keeps a text within the bound; a longer text is not valid in App Mesh and becomes unknown.
    pub(super) fn bounded(&mut self, text: String, function: &str) -> Value {
        if text.len() > LONGEST_TEXT { self.unknown(function) } else { Value::String(text) }
    }

    /// Enters a nested value. Returns false if the nesting is too deep or there were too many steps.
    pub(super) fn enter(&mut self) -> bool {
        self.steps += 1;
        let fits = self.steps <= MOST_STEPS && self.depth < DEEPEST;
        self.depth += usize::from(fits);
        fits
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// The value of a parameter: from the parent stack or the caller, otherwise its default.
    pub(super) fn parameter(&mut self, name: &str) -> Option<Value> {
        let declared = self.section("Parameters")?.get(name)?;
        let kind = declared.get("Type").and_then(Value::as_str).unwrap_or_default();
        let text = self.parameter_text(name, kind, declared.get("Default"));
        let Some(text) = text else {
            return Some(self.unknown(name));
        };
        if kind == "CommaDelimitedList" || kind.starts_with("List<") || kind.contains("Value<List<") {
            return Some(text.split(',').map(|item| Value::from(item.trim())).collect());
        }
        Some(Value::String(text))
    }

    fn parameter_text(&self, name: &str, kind: &str, default: Option<&Value>) -> Option<String> {
        // The parent's value and the default of such a parameter are the name of a stored value.
        let is_stored = kind.starts_with("AWS::SSM::Parameter::Value");
        let found = |text: String| if is_stored { self.stored(&text).as_ref().and_then(text_of) } else { Some(text) };
        let given = match self.inputs.parameters.get(name) {
            Some(Value::Array(items)) => Some(items.iter().filter_map(text_of).collect::<Vec<_>>().join(",")),
            Some(value) => text_of(value),
            None => None,
        };
        let around = || self.around.parameters.get(name).cloned();
        let default = || default.and_then(text_of).and_then(found);
        if self.is_nested() {
            given.and_then(found).or_else(default).or_else(around)
        } else {
            around().or_else(default)
        }
    }

    /// The value of a pseudo parameter.
    pub(super) fn pseudo(&mut self, name: &str) -> Value {
        let Surroundings { region, account, stack, .. } = self.around;
        let partition = self.around.partition.as_deref().or_else(|| region.as_deref().map(partition_of));
        let known = match name {
            "AWS::Region" => region.clone(),
            "AWS::AccountId" => account.clone(),
            "AWS::Partition" => partition.map(str::to_owned),
            "AWS::StackName" if self.is_nested() => {
                // The name has random characters. That of another nested stack is another one.
                let expression = format!("{name} of {}", self.inputs.chain.join("."));
                return self.unknown(&expression);
            }
            "AWS::StackName" => self.inputs.name.clone().or_else(|| stack.clone()),
            "AWS::URLSuffix" => partition.map(|partition| {
                if partition == "aws-cn" { "amazonaws.com.cn".to_owned() } else { "amazonaws.com".to_owned() }
            }),
            _ => None,
        };
        known.map_or_else(|| self.unknown(name), Value::String)
    }
}

fn partition_of(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}
