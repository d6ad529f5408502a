//! The references that custom resources have in place of names of the API.

use super::node::Node;
use mesh::spec::Shape;

/// A member with any value.
pub(super) const FREE: Node = Node::Free;

/// A reference to an object, by namespace and name.
pub(super) const REFERENCE: Node = Node::Members(&[("name", FREE), ("namespace", FREE)]);

/// The references that the custom resources have in place of a name in the API.
pub(super) fn in_place_of(name: &str, shape: Shape) -> Option<&'static [(&'static str, Node)]> {
    match (name, shape) {
        ("virtualNode" | "virtualNodeName", Shape::Text) => {
            Some(&[("virtualNodeRef", REFERENCE), ("virtualNodeARN", FREE)])
        }
        ("virtualRouterName", Shape::Text) => Some(&[("virtualRouterRef", REFERENCE), ("virtualRouterARN", FREE)]),
        ("virtualServiceName", Shape::Text) => Some(&[("virtualServiceRef", REFERENCE), ("virtualServiceARN", FREE)]),
        _ => None,
    }
}
