//! Values that are handed down.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::graph::{Links, Mesh};
use crate::name::{ResourceKind, ResourcePath};
use crate::policy::TagPolicy;

/// What a resource that lacks a tag takes from those above it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "inherited", rename_all = "kebab-case")]
pub enum Inherited {
    /// This.
    Value {
        /// The value.
        value: String,
        /// One that has it itself.
        from: ResourcePath,
    },
    /// Nothing, because those above it differ.
    Conflict {
        /// Each value, with one that has it.
        values: BTreeMap<String, ResourcePath>,
    },
    /// Nothing, because none above it has the tag.
    Nothing,
}

/// The values of one tag, those handed down included.
#[derive(Debug)]
pub struct Inheritance<'a> {
    above: Above<'a>,
    values: HashMap<ResourcePath, Inherited>,
}

/// What stands above what.
#[derive(Debug)]
struct Above<'a> {
    mesh: &'a Mesh,
    links: &'a Links<'a>,
    policy: &'a TagPolicy,
}

impl<'a> Inheritance<'a> {
    /// Prepares to look at a mesh.
    #[must_use]
    pub fn of(mesh: &'a Mesh, links: &'a Links<'a>, policy: &'a TagPolicy) -> Self {
        Self { above: Above { mesh, links, policy }, values: HashMap::new() }
    }

    /// What a resource that lacks a tag would take. `allows` says which values the tag may have; others are not handed
    /// down. Call it for one tag at a time, and [`Self::forget`] before the next.
    pub fn inherited(&mut self, resource: &ResourcePath, key: &str, allows: &dyn Fn(&str) -> bool) -> Inherited {
        for kind in self.above.policy.sources(resource.kind()) {
            let mut values = BTreeMap::new();
            for above in self.above.resources(resource, *kind) {
                match self.value(&above, key, allows) {
                    Inherited::Value { value, from } => {
                        values.entry(value).or_insert(from);
                    }
                    Inherited::Conflict { values: others } => {
                        for (value, from) in others {
                            values.entry(value).or_insert(from);
                        }
                    }
                    Inherited::Nothing => {}
                }
            }
            match values.len() {
                0 => {}
                1 => {
                    return values
                        .pop_first()
                        .map_or(Inherited::Nothing, |(value, from)| Inherited::Value { value, from });
                }
                _ => return Inherited::Conflict { values },
            }
        }
        Inherited::Nothing
    }

    /// Makes room for another tag.
    pub fn forget(&mut self) {
        self.values.clear();
    }

    /// The value of a resource's own tag, or what it takes.
    fn value(&mut self, resource: &ResourcePath, key: &str, allows: &dyn Fn(&str) -> bool) -> Inherited {
        let own = self.above.mesh.tags.get(resource).and_then(|tags| tags.value(key));
        if let Some(value) = own.filter(|value| allows(value)) {
            return Inherited::Value { value: value.to_owned(), from: resource.clone() };
        }
        if let Some(known) = self.values.get(resource) {
            return known.clone();
        }
        // Sources come before what takes from them, so this ends.
        let taken = self.inherited(resource, key, allows);
        self.values.insert(resource.clone(), taken.clone());
        taken
    }
}

impl Above<'_> {
    /// The resources of a kind that stand above a resource, in the order of their names.
    fn resources(&self, resource: &ResourcePath, kind: ResourceKind) -> Vec<ResourcePath> {
        let mesh = || self.mesh.name.clone();
        match (kind, resource) {
            (ResourceKind::Mesh, _) => vec![ResourcePath::Mesh(mesh())],
            (ResourceKind::VirtualService, ResourcePath::VirtualRouter(_, router)) => self
                .links
                .services_of_router(router)
                .map(|service| ResourcePath::VirtualService(mesh(), service.clone()))
                .collect(),
            (ResourceKind::VirtualService, ResourcePath::VirtualNode(_, node)) => self
                .links
                .services_of_node(node)
                .map(|service| ResourcePath::VirtualService(mesh(), service.clone()))
                .collect(),
            (ResourceKind::VirtualService, ResourcePath::Route(id)) => self
                .links
                .services_of_router(&id.router)
                .map(|service| ResourcePath::VirtualService(mesh(), service.clone()))
                .collect(),
            (ResourceKind::VirtualRouter, ResourcePath::Route(id)) => {
                vec![ResourcePath::VirtualRouter(mesh(), id.router.clone())]
            }
            (ResourceKind::VirtualRouter, ResourcePath::VirtualNode(_, node)) => {
                let routers: BTreeSet<_> = self.links.routes_of_node(node).map(|id| id.router.clone()).collect();
                routers.into_iter().map(|router| ResourcePath::VirtualRouter(mesh(), router)).collect()
            }
            (ResourceKind::Route, ResourcePath::VirtualNode(_, node)) => {
                self.links.routes_of_node(node).map(|id| ResourcePath::Route(id.clone())).collect()
            }
            (ResourceKind::VirtualGateway, ResourcePath::GatewayRoute(_, gateway, _)) => {
                vec![ResourcePath::VirtualGateway(mesh(), gateway.clone())]
            }
            // Nothing else stands above anything.
            _ => Vec::new(),
        }
    }
}
