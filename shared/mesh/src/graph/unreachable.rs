//! Routes that no request can reach.

use serde::Serialize;

use super::{Links, Mesh, Router};
use crate::name::RouteId;
use crate::spec::Port;

/// A route that no request can reach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unreachable {
    /// The route.
    pub route: RouteId,
    /// The reason.
    pub reason: UnreachableReason,
}

/// The reason why no request reaches a route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum UnreachableReason {
    /// Its router provides no virtual service.
    NoService,
    /// Its router provides virtual services, but no virtual node or gateway calls them.
    NoCaller,
    /// Its port is not a listener port of its router.
    NoListener {
        /// The port.
        port: Port,
    },
}

/// Every route that no request reaches, each with its first reason, in the order of the ids.
#[must_use]
pub fn unreachable_routes(mesh: &Mesh) -> Vec<Unreachable> {
    unreachable_routes_along(&Links::new(mesh))
}

/// Every unreachable route, with prepared links.
#[must_use]
pub fn unreachable_routes_along(links: &Links<'_>) -> Vec<Unreachable> {
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
