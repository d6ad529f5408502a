//! The spellings of the forms, and the places of a document that members may be at.

use crate::name::ResourceKind;
use crate::spec::wire::Shape;

/// How a form spells the members that the API has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// The API's own camel case.
    Api,
    /// AWS Config's mixture of cases. It records what exists, so no case is wrong. Numbers and booleans may be text.
    ConfigItem,
    /// Pascal case with acronyms in capitals. Numbers and booleans may be text.
    CloudFormation,
    /// Camel case, references in place of names, and an empty list for an absent one.
    Manifest,
    /// Underscores, blocks as lists, and zero values for absent ones. A configuration may have numbers as text.
    Terraform,
}

/// What may stand at a place of a document.
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
