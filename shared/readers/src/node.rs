//! The spellings of the forms, and the places of a document that members may be at.

use mesh::name::ResourceKind;
use mesh::spec::Shape;

/// The spelling of the API's members in a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// The API's camel case.
    Api,
    /// AWS Config's mixed case. It records existing resources, so no case is wrong. Numbers and booleans may be text.
    ConfigItem,
    /// Pascal case with acronyms in capitals. Numbers and booleans may be text.
    CloudFormation,
    /// Camel case, with references in place of names, and with an empty list for an absent one.
    Manifest,
    /// Underscores, blocks as lists, and zero for absent values. A configuration may have numbers as text.
    Terraform,
}

/// The allowed content at a position in a document.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node {
    /// The spec of a kind.
    Spec(ResourceKind),
    /// A shape of the API.
    Shape(Shape),
    /// An object of the API with further members.
    With(fn() -> Shape, &'static [(&'static str, Node)]),
    /// An object with these members.
    Members(&'static [(&'static str, Node)]),
    /// A list.
    List(&'static Node),
    /// Any value.
    Free,
}
