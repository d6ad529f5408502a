//! Routes that no request reaches.

use serde::Serialize;

use super::{Links, Mesh, Router};
use crate::name::RouteId;
use crate::spec::Port;

/// A route that no request reaches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unreachable {
    /// The route.
    pub route: RouteId,
    /// Why.
    pub reason: UnreachableReason,
}

/// Why no request reaches a route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum UnreachableReason {
    /// Its router provides no virtual service.
    NoService,
    /// Virtual services lead to it, but no virtual node or gateway calls one of them.
    NoCaller,
    /// It is for a port that its router doesn't listen on.
    NoListener {
        /// The port.
        port: Port,
    },
}

/// Every route that no request reaches, for the first reason that holds, in the order of the ids.
#[must_use]
pub fn unreachable_routes(mesh: &Mesh) -> Vec<Unreachable> {
    unreachable_routes_along(mesh, &Links::of(mesh))
}

/// The same, with links that were made before.
#[must_use]
pub fn unreachable_routes_along(mesh: &Mesh, links: &Links<'_>) -> Vec<Unreachable> {
    let mut found = Vec::new();
    for (name, router) in &mesh.routers {
        let mut services = links.services_of_router(name).peekable();
        let of_router = if services.peek().is_none() {
            Some(UnreachableReason::NoService)
        } else if services.all(|service| links.callers_of_service(service).next().is_none()) {
            Some(UnreachableReason::NoCaller)
        } else {
            None
        };
        for (route, spec) in &router.routes {
            let reason = of_router.clone().or_else(|| no_listener(router, spec.rule.match_port()?));
            found.extend(reason.map(|reason| Unreachable { route: mesh.route_id(name, route), reason }));
        }
    }
    found
}

fn no_listener(router: &Router, port: Port) -> Option<UnreachableReason> {
    let mut ports = router.spec.as_ref()?.listeners().iter().map(|listener| listener.port_mapping.port);
    (!ports.any(|listened| listened == port)).then_some(UnreachableReason::NoListener { port })
}
