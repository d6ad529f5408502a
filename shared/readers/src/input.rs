//! The input of the readers: files, and the facts around them.

use std::collections::BTreeMap;

use mesh::name::MeshName;

/// The known environment of a file, which the file does not contain. An absent value stays unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Values for a template's parameters.
    pub parameters: BTreeMap<String, String>,
    /// The exports of other stacks, by export name.
    pub exports: BTreeMap<String, String>,
    /// The partition deployed to.
    pub partition: Option<String>,
    /// The region deployed to.
    pub region: Option<String>,
    /// The account deployed to.
    pub account: Option<String>,
    /// The stack's name.
    pub stack: Option<String>,
    /// The mesh of resources that name no mesh.
    pub mesh: Option<MeshName>,
    /// The namespace of manifests that name no namespace.
    pub namespace: Option<String>,
}

/// A file to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'t> {
    /// Its name, as in every message.
    pub name: &'t str,
    /// Its content.
    pub text: &'t str,
}
