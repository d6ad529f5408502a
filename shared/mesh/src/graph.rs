//! A mesh as a graph of its resources.
//!
//! ```text
//!   virtual node ──backend──▶ virtual service ──provider──▶ virtual router ──route──▶ virtual node
//!   virtual gateway ──gateway route──▲      └──────────provider──────────────────────────▲
//! ```
//!
//! [`Mesh`] holds the resources in any state: a reference may be dangling. The conclusions are separate functions:
//! callers and callees ([`Links`]), dangling references ([`dangling()`]), unreachable routes
//! ([`unreachable_routes()`]), and routes that another route hides ([`shadowed_routes()`]).

mod dangling;
mod drill_fact;
mod links;
mod numbered;
mod order;
mod shadow;
mod unreachable;

use std::collections::BTreeMap;

use thiserror::Error;

use crate::alarm::DeclaredAlarm;
use crate::name::{
    GatewayRouteName, MeshName, ResourceKind, ResourcePath, RouteId, RouteName, VirtualGatewayName, VirtualNodeName,
    VirtualRouterName, VirtualServiceName,
};
use crate::resource::{Resource, Tags};
use crate::spec::{
    GatewayRouteSpec, MeshSpec, RouteSpec, Spec, VirtualGatewaySpec, VirtualNodeSpec, VirtualRouterSpec,
    VirtualServiceSpec,
};

pub use dangling::dangling_along;
pub use dangling::{Dangling, dangling};
pub use drill_fact::{DrillFact, DrillFactState};
pub use links::{CallerNumber, LinkedGatewayRoute, LinkedRoute, Provider};
pub use links::{Links, ServiceCaller};
pub use numbered::Numbered;
pub use shadow::{Shadowed, shadowed_routes, shadowed_routes_of};
pub use unreachable::unreachable_routes_along;
pub use unreachable::{Unreachable, UnreachableReason, unreachable_routes};

/// The resources of a mesh. Absent resources count as missing, so it must be filled from all pages of all lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mesh {
    /// The mesh's name.
    pub name: MeshName,
    /// The mesh's own spec; `None` until it was inserted.
    pub spec: Option<MeshSpec>,
    /// The virtual nodes.
    pub nodes: BTreeMap<VirtualNodeName, VirtualNodeSpec>,
    /// The virtual services.
    pub services: BTreeMap<VirtualServiceName, VirtualServiceSpec>,
    /// The virtual routers with their routes.
    pub routers: BTreeMap<VirtualRouterName, Router>,
    /// The virtual gateways with their gateway routes.
    pub gateways: BTreeMap<VirtualGatewayName, Gateway>,
    /// The tags of the resources. A resource without an entry has unread tags, which differ from no tags.
    pub tags: BTreeMap<ResourcePath, Tags>,
    /// The alarms that the same files declare; empty if the mesh was not read from files.
    pub alarms: Vec<DeclaredAlarm>,
    /// The plans of drills that prove nothing, as the sweep knows them; empty if they were not read.
    pub drills: Vec<DrillFact>,
}

/// A virtual router with its routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Router {
    /// Its spec; `None` while only routes of it were inserted.
    pub spec: Option<VirtualRouterSpec>,
    /// Its routes.
    pub routes: BTreeMap<RouteName, RouteSpec>,
}

/// A virtual gateway with its gateway routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gateway {
    /// Its spec; `None` while only gateway routes of it were inserted.
    pub spec: Option<VirtualGatewaySpec>,
    /// Its gateway routes.
    pub routes: BTreeMap<GatewayRouteName, GatewayRouteSpec>,
}

impl Mesh {
    /// A mesh without resources.
    #[must_use]
    pub const fn new(name: MeshName) -> Self {
        Self {
            name,
            spec: None,
            nodes: BTreeMap::new(),
            services: BTreeMap::new(),
            routers: BTreeMap::new(),
            gateways: BTreeMap::new(),
            tags: BTreeMap::new(),
            alarms: Vec::new(),
            drills: Vec::new(),
        }
    }

    /// Adds or replaces a resource, in any order: a route may come before its router.
    pub fn insert(&mut self, path: ResourcePath, spec: impl Into<Spec>) -> Result<(), InsertError> {
        if *path.mesh() != self.name {
            return Err(InsertError::OtherMesh { mesh: self.name.clone(), path });
        }
        match (path, spec.into()) {
            (ResourcePath::Mesh(_), Spec::Mesh(spec)) => self.spec = Some(spec),
            (ResourcePath::VirtualNode(_, name), Spec::VirtualNode(spec)) => {
                self.nodes.insert(name, spec);
            }
            (ResourcePath::VirtualService(_, name), Spec::VirtualService(spec)) => {
                self.services.insert(name, spec);
            }
            (ResourcePath::VirtualRouter(_, name), Spec::VirtualRouter(spec)) => {
                self.routers.entry(name).or_default().spec = Some(spec);
            }
            (ResourcePath::VirtualGateway(_, name), Spec::VirtualGateway(spec)) => {
                self.gateways.entry(name).or_default().spec = Some(spec);
            }
            (ResourcePath::Route(id), Spec::Route(spec)) => {
                self.routers.entry(id.router).or_default().routes.insert(id.route, spec);
            }
            (ResourcePath::GatewayRoute(_, gateway, name), Spec::GatewayRoute(spec)) => {
                self.gateways.entry(gateway).or_default().routes.insert(name, spec);
            }
            (path, spec) => {
                return Err(InsertError::OtherKind { path, kind: spec.kind() });
            }
        }
        Ok(())
    }

    /// Adds or replaces a resource in the form of an API response.
    pub fn insert_resource(&mut self, resource: Resource) -> Result<(), InsertError> {
        self.insert(resource.path(), resource.into_spec())
    }

    /// Removes a resource, if it exists. References to it stay, and are dangling then.
    pub fn remove(&mut self, path: &ResourcePath) {
        if *path.mesh() != self.name {
            return;
        }
        self.tags.remove(path);
        match path {
            ResourcePath::Mesh(_) => self.spec = None,
            ResourcePath::VirtualNode(_, name) => {
                self.nodes.remove(name);
            }
            ResourcePath::VirtualService(_, name) => {
                self.services.remove(name);
            }
            ResourcePath::VirtualRouter(_, name) => {
                if let Some(router) = self.routers.get_mut(name) {
                    router.spec = None;
                }
            }
            ResourcePath::VirtualGateway(_, name) => {
                if let Some(gateway) = self.gateways.get_mut(name) {
                    gateway.spec = None;
                }
            }
            ResourcePath::Route(id) => {
                if let Some(router) = self.routers.get_mut(&id.router) {
                    router.routes.remove(&id.route);
                }
            }
            ResourcePath::GatewayRoute(_, gateway, name) => {
                if let Some(gateway) = self.gateways.get_mut(gateway) {
                    gateway.routes.remove(name);
                }
            }
        }
        self.routers.retain(|_, router| router.spec.is_some() || !router.routes.is_empty());
        self.gateways.retain(|_, gateway| gateway.spec.is_some() || !gateway.routes.is_empty());
    }

    /// Sets the tags of a resource, which may be inserted before or after.
    pub fn set_tags(&mut self, path: ResourcePath, tags: Tags) {
        // Tags are looked up often, and comparisons are faster if the mesh's name is the same allocation.
        self.tags.insert(path.sharing(&self.name), tags);
    }

    /// Whether a resource exists in the mesh.
    #[must_use]
    pub fn has(&self, path: &ResourcePath) -> bool {
        *path.mesh() == self.name
            && match path {
                ResourcePath::Mesh(_) => self.spec.is_some(),
                ResourcePath::VirtualNode(_, name) => self.nodes.contains_key(name),
                ResourcePath::VirtualService(_, name) => self.services.contains_key(name),
                ResourcePath::VirtualRouter(_, name) => {
                    self.routers.get(name).is_some_and(|router| router.spec.is_some())
                }
                ResourcePath::VirtualGateway(_, name) => {
                    self.gateways.get(name).is_some_and(|gateway| gateway.spec.is_some())
                }
                ResourcePath::Route(id) => self.route(id).is_some(),
                ResourcePath::GatewayRoute(_, gateway, name) => {
                    self.gateways.get(gateway).is_some_and(|gateway| gateway.routes.contains_key(name))
                }
            }
    }

    /// The route of an id.
    #[must_use]
    pub fn route(&self, id: &RouteId) -> Option<&RouteSpec> {
        if id.mesh != self.name {
            return None;
        }
        self.routers.get(&id.router)?.routes.get(&id.route)
    }

    /// The route of an id, for a change.
    pub fn route_mut(&mut self, id: &RouteId) -> Option<&mut RouteSpec> {
        if id.mesh != self.name {
            return None;
        }
        self.routers.get_mut(&id.router)?.routes.get_mut(&id.route)
    }

    /// Every route with its id, in the order of the ids.
    pub fn routes(&self) -> impl Iterator<Item = (RouteId, &RouteSpec)> {
        self.routers.iter().flat_map(|(router, Router { routes, .. })| {
            routes.iter().map(|(name, spec)| (self.route_id(router, name), spec))
        })
    }

    /// The id of a route in this mesh.
    #[must_use]
    pub fn route_id(&self, router: &VirtualRouterName, route: &RouteName) -> RouteId {
        RouteId::new(self.name.clone(), router.clone(), route.clone())
    }

    /// The routes with a node as target, at any weight.
    pub fn routes_to(&self, node: &VirtualNodeName) -> impl Iterator<Item = (RouteId, &RouteSpec)> {
        self.routes().filter(move |(_, route)| {
            let targets = route.rule.action().into_iter().flat_map(|action| &action.weighted_targets);
            targets.into_iter().any(|target| target.virtual_node == *node)
        })
    }

    /// Every resource by its path, kind by kind.
    #[must_use]
    pub fn paths(&self) -> Vec<ResourcePath> {
        let mesh = || self.name.clone();
        let mut all: Vec<ResourcePath> = self.spec.iter().map(|_| ResourcePath::Mesh(mesh())).collect();
        all.extend(self.nodes.keys().map(|node| ResourcePath::VirtualNode(mesh(), node.clone())));
        all.extend(self.services.keys().map(|service| ResourcePath::VirtualService(mesh(), service.clone())));
        for (gateway, Gateway { spec, routes }) in &self.gateways {
            all.extend(spec.iter().map(|_| ResourcePath::VirtualGateway(mesh(), gateway.clone())));
            all.extend(routes.keys().map(|route| ResourcePath::GatewayRoute(mesh(), gateway.clone(), route.clone())));
        }
        for (router, Router { spec, routes }) in &self.routers {
            all.extend(spec.iter().map(|_| ResourcePath::VirtualRouter(mesh(), router.clone())));
            all.extend(routes.keys().map(|route| ResourcePath::Route(self.route_id(router, route))));
        }
        all
    }

    /// Every resource as path and spec, parents before their children.
    #[must_use]
    pub fn resources(&self) -> Vec<(ResourcePath, Spec)> {
        let mesh = || self.name.clone();
        let mut all = Vec::new();
        all.extend(self.spec.iter().map(|spec| (ResourcePath::Mesh(mesh()), Spec::from(spec.clone()))));
        all.extend(
            self.nodes
                .iter()
                .map(|(name, spec)| (ResourcePath::VirtualNode(mesh(), name.clone()), Spec::from(spec.clone()))),
        );
        for (gateway, Gateway { spec, routes }) in &self.gateways {
            all.extend(
                spec.iter()
                    .map(|spec| (ResourcePath::VirtualGateway(mesh(), gateway.clone()), Spec::from(spec.clone()))),
            );
            all.extend(routes.iter().map(|(name, spec)| {
                let path = ResourcePath::GatewayRoute(mesh(), gateway.clone(), name.clone());
                (path, Spec::from(spec.clone()))
            }));
        }
        for (router, Router { spec, routes }) in &self.routers {
            all.extend(
                spec.iter().map(|spec| (ResourcePath::VirtualRouter(mesh(), router.clone()), Spec::from(spec.clone()))),
            );
            all.extend(
                routes
                    .iter()
                    .map(|(name, spec)| (ResourcePath::Route(self.route_id(router, name)), Spec::from(spec.clone()))),
            );
        }
        all.extend(
            self.services
                .iter()
                .map(|(name, spec)| (ResourcePath::VirtualService(mesh(), name.clone()), Spec::from(spec.clone()))),
        );
        all
    }
}

/// The reason why a resource cannot be part of a mesh.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InsertError {
    /// It belongs to another mesh.
    #[error("`{path}` is not of mesh `{mesh}`")]
    OtherMesh {
        /// The mesh.
        mesh: MeshName,
        /// The resource.
        path: ResourcePath,
    },
    /// The kind of the spec differs from the kind in the path.
    #[error("the spec for `{path}` is that of a {kind}")]
    OtherKind {
        /// The resource.
        path: ResourcePath,
        /// The kind of the spec.
        kind: ResourceKind,
    },
}
