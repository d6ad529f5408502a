//! The values that the stacks of a run give each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

/// The values that one stack gets from other stacks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Inputs {
    /// The stack's name, if a cloud assembly contains it.
    pub(super) name: Option<String>,
    /// Whether another stack creates it.
    pub(super) is_nested: bool,
    /// The parameters from the parent stack.
    pub(super) parameters: BTreeMap<String, Value>,
    /// The outputs of nested stacks by logical id.
    pub(super) outputs: HashMap<String, BTreeMap<String, Value>>,
}

/// The values that all stacks share.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shared {
    /// Exports by name; `None` if two stacks export different values under one name.
    pub(super) exports: BTreeMap<String, Option<Value>>,
    /// Values in parameter store by name; `None` if two stacks write different values.
    pub(super) stored: BTreeMap<String, Option<Value>>,
    /// The stand-ins of all stacks.
    pub(super) made: BTreeSet<String>,
}
