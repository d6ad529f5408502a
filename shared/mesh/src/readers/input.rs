//! The input of the readers: files, and the facts around them.

use std::collections::BTreeMap;

use crate::name::MeshName;

/// What is known around a file and not written in it. What is `None` or absent here stays unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Values for a template's parameters.
    pub parameters: BTreeMap<String, String>,
    /// What other stacks export, by export name.
    pub exports: BTreeMap<String, String>,
    /// The partition deployed to.
    pub partition: Option<String>,
    /// The region deployed to.
    pub region: Option<String>,
    /// The account deployed to.
    pub account: Option<String>,
    /// The stack's name.
    pub stack: Option<String>,
    /// The mesh of whatever doesn't name its own.
    pub mesh: Option<MeshName>,
    /// The namespace of a manifest that doesn't name its own.
    pub namespace: Option<String>,
}

/// A file to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'t> {
    /// Its name, as it stands in every message.
    pub name: &'t str,
    /// What it says.
    pub text: &'t str,
}
