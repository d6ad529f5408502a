//! All that one proxy is to have.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::resource::{Resource, ResourceType};

/// The resources of one proxy, by type and name. Immutable; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    resources: Arc<BTreeMap<ResourceType, BTreeMap<String, Resource>>>,
}

impl Snapshot {
    /// Of these resources; of two with the same type and name, the last stays.
    pub fn new(resources: impl IntoIterator<Item = (ResourceType, String, Resource)>) -> Self {
        let mut by_type: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (kind, name, resource) in resources {
            by_type.entry(kind).or_default().insert(name, resource);
        }
        Self { resources: Arc::new(by_type) }
    }

    /// The resources of a type with their names.
    pub fn of(&self, kind: ResourceType) -> impl Iterator<Item = (&String, &Resource)> {
        self.resources.get(&kind).into_iter().flatten()
    }

    /// A resource.
    #[must_use]
    pub fn find(&self, kind: ResourceType, name: &str) -> Option<&Resource> {
        self.resources.get(&kind)?.get(name)
    }
}
