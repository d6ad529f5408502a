//! One write of a plan.

use std::collections::BTreeMap;

use mesh::change::Difference;
use mesh::name::{ResourceKind, ResourcePath};
use mesh::spec::Spec;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// One write of a plan, with the version that it is based on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Step {
    /// Creates a resource with its tags.
    Create {
        /// The resource.
        path: ResourcePath,
        /// The spec.
        spec: Spec,
        /// The tags.
        tags: BTreeMap<String, String>,
    },
    /// Replaces the spec of a resource.
    Update {
        /// The resource.
        path: ResourcePath,
        /// The new spec.
        spec: Spec,
        /// The version that the plan was made for.
        if_version: u64,
        /// The changed members.
        changes: Vec<Difference>,
    },
    /// Changes the tags of a resource.
    Tag {
        /// The resource.
        path: ResourcePath,
        /// The ARN of the resource.
        arn: String,
        /// The tags to add or replace.
        set: BTreeMap<String, String>,
        /// The keys to remove.
        remove: Vec<String>,
    },
    /// Deletes a resource.
    Delete {
        /// The resource.
        path: ResourcePath,
        /// The version that the plan was made for.
        if_version: u64,
    },
}

impl Step {
    /// The written resource.
    #[must_use]
    pub const fn path(&self) -> &ResourcePath {
        match self {
            Self::Create { path, .. }
            | Self::Update { path, .. }
            | Self::Tag { path, .. }
            | Self::Delete { path, .. } => path,
        }
    }

    /// The verb for operators.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Tag { .. } => "tag",
            Self::Delete { .. } => "delete",
        }
    }

    /// The idempotency token, which depends only on the content: the same write in a second run has the same token.
    #[must_use]
    pub fn client_token(&self) -> String {
        let content = match self {
            Self::Create { path, spec, tags } => json!(["create", path, spec, tags]),
            Self::Update { path, spec, if_version, .. } => json!(["update", path, spec, if_version]),
            Self::Tag { path, set, remove, .. } => json!(["tag", path, set, remove]),
            Self::Delete { path, if_version } => json!(["delete", path, if_version]),
        };
        let digest = Sha256::digest(content.to_string());
        // The API accepts at most 36 characters.
        digest.iter().take(16).fold("mw-".to_owned(), |token, byte| format!("{token}{byte:02x}"))
    }
}

/// The position of a kind in the order of creation; deletions use the reverse order.
pub(crate) const fn rank(kind: ResourceKind) -> u8 {
    match kind {
        ResourceKind::Mesh => 0,
        ResourceKind::VirtualNode => 1,
        ResourceKind::VirtualRouter => 2,
        ResourceKind::VirtualService => 3,
        ResourceKind::Route => 4,
        ResourceKind::VirtualGateway => 5,
        ResourceKind::GatewayRoute => 6,
    }
}
