//! The values that the stacks of a run give each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::super::declare::text_of;

/// The values that one stack gets from other stacks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Inputs {
    /// The stack's name, where a cloud assembly gives it.
    pub(super) name: Option<String>,
    /// The logical ids that lead to it, if another stack creates it.
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

/// Values by name; `None` if two stacks give different ones.
pub(super) type Named = BTreeMap<String, Option<Value>>;

/// Records a value by name, or the fact that several values have the name.
pub(super) fn note(values: &mut Named, name: String, value: &Value) {
    let value = text_of(value).map_or_else(|| value.clone(), Value::from);
    values
        .entry(name)
        .and_modify(|known| {
            if known.as_ref() != Some(&value) {
                *known = None;
            }
        })
        .or_insert(Some(value));
}
