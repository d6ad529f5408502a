//! All resources that one proxy should have.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::resource::{Resource, ResourceType};

/// The resources of one proxy, by type and name. Immutable; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    resources: Arc<BTreeMap<ResourceType, BTreeMap<String, Resource>>>,
}

impl Snapshot {
    /// Creates a snapshot. Of two resources with the same type and name, the last one is used.
    pub fn new(resources: impl IntoIterator<Item = (ResourceType, String, Resource)>) -> Self {
        let mut by_type: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (kind, name, resource) in resources {
            by_type.entry(kind).or_default().insert(name, resource);
        }
        Self { resources: Arc::new(by_type) }
    }

    /// The resources of a type, with their names.
    pub fn of(&self, kind: ResourceType) -> impl Iterator<Item = (&String, &Resource)> {
        self.resources.get(&kind).into_iter().flatten()
    }

    /// The resource with a type and name, if there is one.
    #[must_use]
    pub fn find(&self, kind: ResourceType, name: &str) -> Option<&Resource> {
        self.resources.get(&kind)?.get(name)
    }

    /// This snapshot with other route configurations.
    pub(crate) fn with_routes(&self, routes: BTreeMap<String, Resource>) -> Self {
        let mut resources = BTreeMap::clone(&self.resources);
        resources.insert(ResourceType::Route, routes);
        Self { resources: Arc::new(resources) }
    }

    /// This snapshot, with the endpoints and secrets of `former` that it lacks. Clusters of `former` need those to
    /// become warm.
    pub(crate) fn with_support_of(&self, former: &Self) -> Self {
        if Arc::ptr_eq(&self.resources, &former.resources) {
            return self.clone();
        }
        let kinds = [ResourceType::Endpoint, ResourceType::Secret].into_iter();
        let support = kinds.flat_map(|kind| former.of(kind).map(move |(name, resource)| (kind, name, resource)));
        let missing = support.filter(|(kind, name, _)| self.find(*kind, name).is_none());
        let mut missing = missing.map(|(kind, name, resource)| (kind, name.clone(), resource.clone())).peekable();
        if missing.peek().is_none() {
            return self.clone();
        }
        let own = self
            .resources
            .iter()
            .flat_map(|(kind, of)| of.iter().map(move |(name, resource)| (*kind, name.clone(), resource.clone())));
        Self::new(own.chain(missing))
    }
}
