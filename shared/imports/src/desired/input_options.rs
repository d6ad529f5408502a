//! The options of the command line about the input.

use std::collections::BTreeSet;

/// The options of the command line that decide open questions about the input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputOptions {
    /// Whether the command line names the mesh of resources without one.
    pub mesh_given: bool,
    /// Whether the command line names the namespace of manifests without one.
    pub namespace_given: bool,
    /// Whether unknown members are dropped and reported, instead of refused.
    pub drop_unknown: bool,
    /// Files with exact values: a text such as `${NAME}` in them is a value and not a placeholder.
    pub exact_files: BTreeSet<String>,
}
