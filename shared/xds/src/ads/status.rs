//! The resources that a proxy has, as far as it has reported them.

use std::collections::BTreeMap;

use crate::resource::{ResourceType, Version};

/// The versions that a stream has sent, and the replies to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The status by type; only types that the proxy has requested.
    pub types: BTreeMap<ResourceType, TypeStatus>,
}

/// The status of one resource type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeStatus {
    /// The version sent last.
    pub sent: Option<Version>,
    /// The version acknowledged last.
    pub acknowledged: Option<Version>,
    /// The acknowledged resources with their versions, by name.
    pub resources: BTreeMap<String, Version>,
    /// The last NACK. A later ACK clears it; on a delta stream, only once no refused resource remains.
    pub nack: Option<Nack>,
}

/// The refusal of a version by a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// The refused version.
    pub version: Version,
    /// The error message from Envoy.
    pub message: String,
}

impl Status {
    pub(super) fn of(&mut self, kind: ResourceType) -> &mut TypeStatus {
        self.types.entry(kind).or_default()
    }
}

/// The version of a set of resources.
pub(super) fn combined_version<'a>(resources: impl IntoIterator<Item = (&'a String, &'a Version)>) -> Version {
    Version::from_parts(
        resources.into_iter().flat_map(|(name, version)| [name.as_bytes(), version.as_str().as_bytes()]),
    )
}
