//! The kinds of objects in manifests.

use mesh::name::ResourceKind;

/// The kind of an object for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Resource(ResourceKind),
    /// Backends that several virtual nodes share.
    BackendGroup,
    /// A namespace. Its labels decide the mesh of the objects in it.
    Namespace,
}
