//! Rules between resources: does every listener fit the routes and gateway routes that reach it?
//!
//! ```text
//!   gateway route ──▶ listener of its gateway       route ──▶ listener of its router
//!        └──────────▶ listener of the provider        └─────▶ listener of each target
//!                     of its virtual service
//! ```
//!
//! Each arrow is a [`ListenerUse`]. In addition, no two gateway routes of a gateway may lead to virtual services with
//! names that are the same host. A file or a mesh is checked by all of these rules ([`between()`]). A write is checked
//! by the rules that concern the written resource, at either end ([`broken_by()`]). For example, a second listener of a
//! node breaks existing routes that name no port. A violation from before a write does not refuse the write, so that a
//! mesh of an earlier server can still be changed.

use super::listener_use::{ListenerUse, Role, of_gateway, of_node, of_router};
use super::mesh_view::{GatewayRouteEntry, MeshView, RouteEntry};
use super::same_host::{newly_same_host, same_hosts};
use super::{Refusal, Violation, of_envoy};
use crate::name::{
    GatewayRouteName, MeshName, ResourcePath, RouteName, VirtualGatewayName, VirtualNodeName, VirtualRouterName,
    VirtualServiceName,
};
use crate::spec::{
    GatewayRouteSpec, RouteSpec, Spec, VirtualGatewaySpec, VirtualNodeSpec, VirtualRouterSpec, VirtualServiceProvider,
    VirtualServiceSpec,
};

/// A rule between resources that the resources of a mesh break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenUse {
    /// The route or gateway route that breaks it.
    pub by: ResourcePath,
    /// The resource with the listeners that do not fit; `None` for a rule that concerns no listener.
    pub owner: Option<ResourcePath>,
    /// The member of the route or gateway route, and the rule.
    pub violation: Violation,
}

/// Every rule between resources that the resources of a mesh break.
#[must_use]
pub fn broken_uses(mesh: &impl MeshView) -> Vec<BrokenUse> {
    let of_routes = mesh.routes(None).flat_map(|(router, name, spec)| route_uses(mesh, router, name, spec));
    let of_gateway_routes =
        mesh.gateway_routes(None).flat_map(|(gateway, name, spec)| gateway_route_uses(mesh, gateway, name, spec));
    let broken = of_routes.chain(of_gateway_routes).filter_map(|used| Some((used.refusal()?, used)));
    let broken = broken.map(|(refusal, used)| {
        let violation = Violation::new(used.member(), refusal);
        BrokenUse { by: used.by, owner: Some(used.owner), violation }
    });
    let same_hosts = same_hosts(mesh).into_iter().map(|(by, violation)| BrokenUse { by, owner: None, violation });
    broken.chain(same_hosts).collect()
}

/// Every rule between resources that the resources of a mesh break, with the route or gateway route that breaks it.
#[must_use]
pub fn between(mesh: &impl MeshView) -> Vec<(ResourcePath, Violation)> {
    broken_uses(mesh).into_iter().map(|broken| (broken.by, broken.violation)).collect()
}

/// The violations that a write would add to the mesh `before` it. These are values that Envoy refuses in the written
/// resource, and broken rules between resources. A rule counts if the written resource breaks it, or a resource that
/// reaches the written one.
#[must_use]
pub fn broken_by(before: &impl MeshView, path: &ResourcePath, spec: &Spec) -> Vec<Violation> {
    let after = After { before, path, spec };
    let was = uses_around(before, path, None);
    let mut found = newly_refused_by_envoy(before, path, spec);
    found.extend(newly_same_host(before, path, spec));
    for will in uses_around(&after, path, Some(spec)) {
        let old = was.iter().find(|old| old.is_same_use(&will));
        let is_own = will.by == *path;
        let was_broken = old.is_some_and(|old| old.owner == will.owner && old.refusal().is_some());
        let refusal = match (will.refusal(), old) {
            (Some(_), _) if was_broken => continue,
            (Some(refusal), _) => refusal,
            // App Mesh accepted a route of another kind than its router's listener, so its own write may create one.
            (None, Some(old)) if !is_own => match will.loss(old) {
                Some(refusal) => refusal,
                None => continue,
            },
            (None, _) => continue,
        };
        found.push(if is_own {
            Violation::new(will.member(), refusal)
        } else {
            let remedy = will.remedy(old, &refusal);
            let member = will.broken_member(&refusal);
            let refusal =
                Refusal::BreaksReference { by: Box::new(will.by), member, problem: Box::new(refusal), remedy };
            Violation::new(written_member(path), refusal)
        });
    }
    found
}

/// The violations of Envoy's rules in the written spec that the spec before it does not have.
fn newly_refused_by_envoy(before: &impl MeshView, path: &ResourcePath, spec: &Spec) -> Vec<Violation> {
    let will = of_envoy(spec);
    if will.is_empty() {
        return will;
    }
    let was = spec_before(before, path).map(|spec| of_envoy(&spec)).unwrap_or_default();
    // List items may have moved, so a violation is identified by its member without indexes, and by its refusal.
    let mut was: Vec<_> = was.into_iter().map(|violation| (unindexed(&violation.path), violation.refusal)).collect();
    let is_new = |violation: &Violation| {
        let same = was
            .iter()
            .position(|(member, refusal)| *refusal == violation.refusal && *member == unindexed(&violation.path));
        same.map(|at| was.swap_remove(at)).is_none()
    };
    will.into_iter().filter(is_new).collect()
}

/// A path without the indexes of list items.
fn unindexed(path: &str) -> String {
    path.chars().filter(|character| !character.is_ascii_digit()).collect()
}

/// The spec of a resource before a write, if Envoy's rules cover its kind.
fn spec_before(mesh: &impl MeshView, path: &ResourcePath) -> Option<Spec> {
    match path {
        ResourcePath::Mesh(_) | ResourcePath::VirtualRouter(..) | ResourcePath::VirtualService(..) => None,
        ResourcePath::VirtualNode(_, name) => mesh.node(name).cloned().map(Spec::VirtualNode),
        ResourcePath::VirtualGateway(_, name) => mesh.gateway(name).cloned().map(Spec::VirtualGateway),
        ResourcePath::Route(id) => {
            let found = mesh.routes(Some(&id.router)).find(|(_, name, _)| **name == id.route);
            found.map(|(_, _, spec)| Spec::Route(spec.clone()))
        }
        ResourcePath::GatewayRoute(_, gateway, route) => {
            let found = mesh.gateway_routes(Some(gateway)).find(|(_, name, _)| *name == route);
            found.map(|(_, _, spec)| Spec::GatewayRoute(spec.clone()))
        }
    }
}

/// The resources that must exist before a spec is accepted. The backends of a virtual node are not included, because
/// App Mesh accepted a node that names virtual services before their creation.
#[must_use]
pub fn references(mesh: &MeshName, spec: &Spec) -> Vec<ResourcePath> {
    match spec {
        Spec::Mesh(_) | Spec::VirtualNode(_) | Spec::VirtualGateway(_) | Spec::VirtualRouter(_) => Vec::new(),
        Spec::Route(spec) => spec
            .rule
            .action()
            .into_iter()
            .flat_map(|action| action.weighted_targets.iter())
            .map(|target| ResourcePath::VirtualNode(mesh.clone(), target.virtual_node.clone()))
            .collect(),
        Spec::VirtualService(spec) => provider_path(mesh, spec).into_iter().collect(),
        Spec::GatewayRoute(spec) => spec
            .rule
            .target()
            .map(|target| target.virtual_service.virtual_service_name.clone())
            .map(|service| ResourcePath::VirtualService(mesh.clone(), service))
            .into_iter()
            .collect(),
    }
}

/// The member of a written resource that breaks other resources.
fn written_member(path: &ResourcePath) -> &'static str {
    match path {
        ResourcePath::VirtualService(..) => "spec.provider",
        ResourcePath::Mesh(_)
        | ResourcePath::VirtualNode(..)
        | ResourcePath::VirtualGateway(..)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::Route(_)
        | ResourcePath::GatewayRoute(..) => "spec.listeners",
    }
}

/// The uses of listeners that concern a resource. The spec of a route or gateway route is `own`, or is looked up.
fn uses_around<'m>(mesh: &'m impl MeshView, path: &'m ResourcePath, own: Option<&'m Spec>) -> Vec<ListenerUse<'m>> {
    match path {
        ResourcePath::Mesh(_) => Vec::new(),
        ResourcePath::Route(id) => {
            let spec = match own {
                Some(Spec::Route(spec)) => Some(spec),
                _ => mesh.routes(Some(&id.router)).find(|(_, name, _)| **name == id.route).map(|(_, _, spec)| spec),
            };
            spec.into_iter().flat_map(|spec| route_uses(mesh, &id.router, &id.route, spec)).collect()
        }
        ResourcePath::GatewayRoute(_, gateway, name) => {
            let spec = match own {
                Some(Spec::GatewayRoute(spec)) => Some(spec),
                _ => mesh.gateway_routes(Some(gateway)).find(|(_, other, _)| *other == name).map(|(_, _, spec)| spec),
            };
            spec.into_iter().flat_map(|spec| gateway_route_uses(mesh, gateway, name, spec)).collect()
        }
        ResourcePath::VirtualGateway(_, gateway) => {
            let routes = mesh.gateway_routes(Some(gateway));
            let uses = routes.flat_map(|(gateway, name, spec)| gateway_route_uses(mesh, gateway, name, spec));
            uses.filter(|used| used.owner == *path).collect()
        }
        ResourcePath::VirtualRouter(_, router) => {
            let inside =
                mesh.routes(Some(router)).flat_map(|(router, name, spec)| route_uses(mesh, router, name, spec));
            let inside = inside.filter(|used| used.owner == *path);
            inside.chain(provider_uses(mesh, |used| used.owner == *path)).collect()
        }
        ResourcePath::VirtualNode(_, node) => {
            let routes = mesh.routes(None).filter(|(_, _, spec)| sends_to(spec, node));
            let targets = routes.flat_map(|(router, name, spec)| route_uses(mesh, router, name, spec));
            let targets = targets.filter(|used| used.owner == *path);
            targets.chain(provider_uses(mesh, |used| used.owner == *path)).collect()
        }
        ResourcePath::VirtualService(_, service) => {
            let routes = mesh.gateway_routes(None).filter(|(_, _, spec)| {
                spec.rule.target().is_some_and(|target| target.virtual_service.virtual_service_name == *service)
            });
            let uses = routes.flat_map(|(gateway, name, spec)| gateway_route_uses(mesh, gateway, name, spec));
            uses.filter(|used| matches!(used.role, Role::Provider)).collect()
        }
    }
}

fn sends_to(route: &RouteSpec, node: &VirtualNodeName) -> bool {
    let targets = route.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter());
    targets.into_iter().any(|target| target.virtual_node == *node)
}

/// The uses of providers' listeners by gateway routes.
fn provider_uses<'m>(
    mesh: &'m impl MeshView,
    wanted: impl Fn(&ListenerUse<'m>) -> bool,
) -> impl Iterator<Item = ListenerUse<'m>> {
    let uses =
        mesh.gateway_routes(None).flat_map(|(gateway, name, spec)| gateway_route_uses(mesh, gateway, name, spec));
    uses.filter(move |used| matches!(used.role, Role::Provider) && wanted(used))
}

/// The listeners that a route uses: one of its router, and one of each target. A missing resource has no listeners.
fn route_uses<'m>(
    mesh: &'m impl MeshView,
    router: &'m VirtualRouterName,
    name: &'m RouteName,
    spec: &'m RouteSpec,
) -> Vec<ListenerUse<'m>> {
    let (Some(kind), Some(action)) = (spec.rule.member(), spec.rule.action()) else {
        return Vec::new();
    };
    let of = mesh.mesh();
    let by = ResourcePath::Route(crate::name::RouteId::new(of.clone(), router.clone(), name.clone()));
    let mut uses = Vec::new();
    if let Some(listening) = mesh.router(router) {
        uses.push(ListenerUse {
            by: by.clone(),
            kind,
            port: spec.rule.match_port(),
            owner: ResourcePath::VirtualRouter(of.clone(), router.clone()),
            role: Role::Router(&spec.rule),
            listeners: of_router(listening),
        });
    }
    for (index, target) in action.weighted_targets.iter().enumerate() {
        if let Some(node) = mesh.node(&target.virtual_node) {
            uses.push(ListenerUse {
                by: by.clone(),
                kind,
                port: target.port,
                owner: ResourcePath::VirtualNode(of.clone(), target.virtual_node.clone()),
                role: Role::Target { rule: &spec.rule, node: &target.virtual_node, index },
                listeners: of_node(node),
            });
        }
    }
    uses
}

/// The listeners that a gateway route uses: one of its gateway, and one of the provider of its virtual service.
fn gateway_route_uses<'m>(
    mesh: &'m impl MeshView,
    gateway: &'m VirtualGatewayName,
    name: &'m GatewayRouteName,
    spec: &'m GatewayRouteSpec,
) -> Vec<ListenerUse<'m>> {
    let (Some(kind), Some(target)) = (spec.rule.member(), spec.rule.target()) else {
        return Vec::new();
    };
    let of = mesh.mesh();
    let by = ResourcePath::GatewayRoute(of.clone(), gateway.clone(), name.clone());
    let mut uses = Vec::new();
    if let Some(listening) = mesh.gateway(gateway) {
        uses.push(ListenerUse {
            by: by.clone(),
            kind,
            port: spec.rule.match_port(),
            owner: ResourcePath::VirtualGateway(of.clone(), gateway.clone()),
            role: Role::Gateway,
            listeners: of_gateway(listening),
        });
    }
    let service = mesh.service(&target.virtual_service.virtual_service_name);
    if let Some(owner) = service.and_then(|service| provider_path(of, service)) {
        let listeners = match &owner {
            ResourcePath::VirtualNode(_, node) => mesh.node(node).map(of_node),
            ResourcePath::VirtualRouter(_, router) => mesh.router(router).map(of_router),
            ResourcePath::Mesh(_)
            | ResourcePath::VirtualGateway(..)
            | ResourcePath::Route(_)
            | ResourcePath::VirtualService(..)
            | ResourcePath::GatewayRoute(..) => None,
        };
        uses.extend(listeners.map(|listeners| ListenerUse {
            by,
            kind,
            port: target.port,
            owner,
            role: Role::Provider,
            listeners,
        }));
    }
    uses
}

fn provider_path(mesh: &MeshName, service: &VirtualServiceSpec) -> Option<ResourcePath> {
    match service.provider.as_ref()? {
        VirtualServiceProvider::VirtualNode(node) => {
            Some(ResourcePath::VirtualNode(mesh.clone(), node.virtual_node_name.clone()))
        }
        VirtualServiceProvider::VirtualRouter(router) => {
            Some(ResourcePath::VirtualRouter(mesh.clone(), router.virtual_router_name.clone()))
        }
        VirtualServiceProvider::Unrecognised(_) => None,
    }
}

/// A mesh as it would be after a write.
struct After<'a, V> {
    before: &'a V,
    path: &'a ResourcePath,
    spec: &'a Spec,
}

/// Looks a resource up in the write, then in the mesh before it.
macro_rules! written_or_before {
    ($($method:ident($name:ty) -> $spec:ty = $kind:ident;)*) => {$(
        fn $method(&self, name: &$name) -> Option<&$spec> {
            match (self.path, self.spec) {
                (ResourcePath::$kind(_, written), Spec::$kind(spec)) if written == name => Some(spec),
                _ => self.before.$method(name),
            }
        }
    )*};
}

/// The routes and gateway routes are those before the write, because a written one is checked separately.
impl<V: MeshView> MeshView for After<'_, V> {
    fn mesh(&self) -> &MeshName {
        self.before.mesh()
    }

    written_or_before! {
        node(VirtualNodeName) -> VirtualNodeSpec = VirtualNode;
        router(VirtualRouterName) -> VirtualRouterSpec = VirtualRouter;
        gateway(VirtualGatewayName) -> VirtualGatewaySpec = VirtualGateway;
        service(VirtualServiceName) -> VirtualServiceSpec = VirtualService;
    }

    fn routes<'v>(&'v self, router: Option<&'v VirtualRouterName>) -> impl Iterator<Item = RouteEntry<'v>> {
        self.before.routes(router)
    }

    fn gateway_routes<'v>(
        &'v self,
        gateway: Option<&'v VirtualGatewayName>,
    ) -> impl Iterator<Item = GatewayRouteEntry<'v>> {
        self.before.gateway_routes(gateway)
    }
}
