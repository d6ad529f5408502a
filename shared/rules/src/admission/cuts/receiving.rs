//! The routes that receive requests or connections.

use mesh::graph::Mesh;
use mesh::name::RouteId;
use mesh::spec::{Protocol, RouteRule, RouteSpec};

/// Whether the listeners of a route receive requests or connections. `None` if that is unknown.
pub(super) fn takes_something(mesh: &Mesh, id: &RouteId, route: &RouteSpec) -> Option<bool> {
    let by_tcp = match &route.rule {
        RouteRule::Tcp(_) => true,
        RouteRule::Http(_) | RouteRule::Http2(_) | RouteRule::Grpc(_) => false,
        RouteRule::Unrecognised(_) => return None,
    };
    let router = mesh.routers.get(&id.router)?.spec.as_ref()?;
    let port = route.rule.match_port();
    let mut meant =
        router.listeners().iter().map(|one| &one.port_mapping).filter(|one| port.is_none_or(|port| port == one.port));
    Some(router.listeners().is_empty() || meant.any(|one| (one.protocol == Protocol::Tcp) == by_tcp))
}
