//! The kinds of objects in manifests.

use crate::name::ResourceKind;

/// What an object is to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Resource(ResourceKind),
    /// Backends that several virtual nodes share.
    BackendGroup,
    /// Its labels decide the mesh of what is in it.
    Namespace,
}
