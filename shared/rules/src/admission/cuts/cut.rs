//! A call that a write would cut.

use mesh::name::ResourcePath;

/// The calls that a write would cut, at one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The id of the rule for the cause. A waiver of that rule permits the cut.
    pub rule: &'static str,
    /// The resource with calls that would fail, or with traffic that would have no destination.
    pub resource: ResourcePath,
    /// The calls that would fail, with the reasons.
    pub message: String,
}
