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
    unreachable_routes_along(&Links::of(mesh))
}

/// The same, with links that were made before.
pub(crate) fn unreachable_routes_along(links: &Links<'_>) -> Vec<Unreachable> {
    let mut found = Vec::new();
    for (number, (_, router)) in links.routers.iter().enumerate() {
        let Some(router) = router else { continue };
        let services = links.services_through(number);
        let of_router = if services.is_empty() {
            Some(UnreachableReason::NoService)
        } else if services.iter().all(|service| links.callers(*service).is_empty()) {
            Some(UnreachableReason::NoCaller)
        } else {
            None
        };
        for route in links.routes_through(number) {
            let reason = of_router.clone().or_else(|| no_listener(router, route.spec.rule.match_port()?));
            found.extend(reason.map(|reason| Unreachable { route: route.id.clone(), reason }));
        }
    }
    found
}

fn no_listener(router: &Router, port: Port) -> Option<UnreachableReason> {
    let mut ports = router.spec.as_ref()?.listeners().iter().map(|listener| listener.port_mapping.port);
    (!ports.any(|listened| listened == port)).then_some(UnreachableReason::NoListener { port })
}
