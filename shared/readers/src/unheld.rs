//! Members of a file that no member of the API corresponds to.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::spots::Spot;

/// A valid member of a form that the API does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnheldMember {
    /// The member as the file spells it.
    pub member: String,
    /// The line of the file, from 1.
    pub line: usize,
    /// The reason.
    pub reason: UnheldReason,
}

/// The reason why the API does not have a member of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnheldReason {
    /// It selects Kubernetes objects: the reader used it, and the API has no selectors.
    Selector,
    /// It describes a Kubernetes object, and the controller sets no tags.
    ObjectMetadata,
    /// It belongs to a stack and not to the resource.
    OfStack,
    /// The service sets it: every server sets its own value.
    SetByService,
}

impl UnheldReason {
    /// The reason as a sentence without a full stop.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Selector => "it selects Kubernetes objects, and the API has no selectors",
            Self::ObjectMetadata => "it describes a Kubernetes object, and the controller sets no tags",
            Self::OfStack => "it belongs to the stack, not to the resource",
            Self::SetByService => "every server sets its own value",
        }
    }
}

/// Adds those of the named members that an object has, with their lines. `path` is the path of the object.
pub(super) fn add(
    object: &Map<String, Value>,
    names: &[&str],
    spot: &Spot,
    path: &str,
    reason: UnheldReason,
    found: &mut Vec<UnheldMember>,
) {
    for name in names {
        if object.get(*name).is_some_and(|value| !value.is_null()) {
            let member = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
            found.push(UnheldMember { member, line: spot.member(name).line(), reason });
        }
    }
}
