//! The values that the stacks of a run give each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

/// What one stack gets from others.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Inputs {
    /// The stack's name, where a cloud assembly gives it.
    pub(super) name: Option<String>,
    /// Whether another stack creates it.
    pub(super) is_nested: bool,
    /// The parameters that the parent gives.
    pub(super) parameters: BTreeMap<String, Value>,
    /// The outputs of nested stacks by logical id.
    pub(super) outputs: HashMap<String, BTreeMap<String, Value>>,
}

/// What all stacks share.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shared {
    /// Exports by name; `None` where two stacks export different values by one name.
    pub(super) exports: BTreeMap<String, Option<Value>>,
    /// Values of parameter store by name; `None` where two stacks write different ones.
    pub(super) stored: BTreeMap<String, Option<Value>>,
    /// The stand-ins of all stacks.
    pub(super) made: BTreeSet<String>,
}
