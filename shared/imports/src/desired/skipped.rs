//! Declarations that create no resource.

use serde::Serialize;

/// A declaration that creates no resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SkippedResource {
    /// The file.
    pub file: String,
    /// The resource in the file.
    pub id: String,
    /// The reason.
    pub reason: String,
}
