//! What a proxy has, as far as it has told.

use std::collections::BTreeMap;

use crate::resource::{ResourceType, Version};

/// What a stream has sent, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// By type; only those that the proxy asked for.
    pub types: BTreeMap<ResourceType, TypeStatus>,
}

/// What was sent of one type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeStatus {
    /// The version sent last.
    pub sent: Option<Version>,
    /// The version acknowledged last.
    pub acknowledged: Option<Version>,
    /// What is acknowledged, by name.
    pub resources: BTreeMap<String, Version>,
    /// The last refusal; gone once a later version is acknowledged.
    pub nack: Option<Nack>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// Of this version.
    pub version: Version,
    /// In Envoy's words.
    pub message: String,
}

impl Status {
    pub(super) fn of(&mut self, kind: ResourceType) -> &mut TypeStatus {
        self.types.entry(kind).or_default()
    }
}

/// The version of a set of resources.
pub(super) fn version_of<'a>(resources: impl IntoIterator<Item = (&'a String, &'a Version)>) -> Version {
    Version::of(resources.into_iter().flat_map(|(name, version)| [name.as_bytes(), version.as_str().as_bytes()]))
}
