//! The resources of earlier streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::resource::{Resource, ResourceType, Version};

/// Resources of one type that a client was sent on a stream. A returning client reports only their versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerResources {
    /// The type of the resources.
    pub kind: ResourceType,
    /// The version of the resources together.
    pub version: Version,
    pub(super) resources: Arc<BTreeMap<String, Resource>>,
}

/// Whether the resources include the inner route configuration of a gateway. Only its contents are needed again.
pub(super) fn has_inner_routes(resources: &BTreeMap<String, Resource>) -> bool {
    resources.values().any(Resource::is_inner_routes)
}
