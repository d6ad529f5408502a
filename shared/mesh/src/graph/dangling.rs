//! Dangling references.

use serde::Serialize;

use super::Mesh;
use super::links::{Links, Provider};
use crate::name::{ResourcePath, VirtualGatewayName, VirtualNodeName, VirtualRouterName, VirtualServiceName};

/// A reference to a missing resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dangling {
    /// The resource with the reference.
    pub from: ResourcePath,
    /// The missing resource.
    pub to: ResourcePath,
}

/// Every dangling reference: backends (which the API allows), providers, weighted targets, targets of gateway routes,
/// and routes and gateway routes without their parent. Each pair once, in the order of the paths.
#[must_use]
pub fn dangling(mesh: &Mesh) -> Vec<Dangling> {
    dangling_along(mesh, &Links::new(mesh))
}

/// Every dangling reference, with prepared links.
#[must_use]
pub fn dangling_along(mesh: &Mesh, links: &Links<'_>) -> Vec<Dangling> {
    let node = |name: &VirtualNodeName| ResourcePath::VirtualNode(mesh.name.clone(), name.clone());
    let service = |name: &VirtualServiceName| ResourcePath::VirtualService(mesh.name.clone(), name.clone());
    let router = |name: &VirtualRouterName| ResourcePath::VirtualRouter(mesh.name.clone(), name.clone());
    let gateway = |name: &VirtualGatewayName| ResourcePath::VirtualGateway(mesh.name.clone(), name.clone());
    let missing_node = |number: usize| links.nodes.get(number).is_none().then(|| links.nodes.name(number)).flatten();
    let missing_service =
        |number: usize| links.services.get(number).is_none().then(|| links.services.name(number)).flatten();

    let mut found = Vec::new();
    for (number, (name, _)) in links.nodes.iter().enumerate() {
        let missing = links.backends(number).iter().filter_map(|backend| missing_service(*backend));
        found.extend(missing.map(|backend| Dangling { from: node(name), to: service(backend) }));
    }
    for (number, (name, _)) in links.services.iter().enumerate() {
        let missing = match links.provider(number) {
            Some(Provider::Node(provider)) => missing_node(provider).map(node),
            Some(Provider::Router(provider)) => {
                let exists = links.routers.get(provider).is_some_and(|router| router.spec.is_some());
                (!exists).then(|| links.routers.name(provider)).flatten().map(router)
            }
            None => None,
        };
        found.extend(missing.map(|to| Dangling { from: service(name), to }));
    }
    for route in &links.routes {
        let from = || ResourcePath::Route(route.id.clone());
        if links.routers.get(route.router).is_some_and(|router| router.spec.is_none()) {
            found.push(Dangling { from: from(), to: router(&route.id.router) });
        }
        let missing = route.targets.iter().filter_map(|target| missing_node(*target));
        found.extend(missing.map(|target| Dangling { from: from(), to: node(target) }));
    }
    for route in &links.gateway_routes {
        let Some(parent) = links.gateways.name(route.gateway) else { continue };
        let from = || ResourcePath::GatewayRoute(mesh.name.clone(), parent.clone(), route.name.clone());
        if links.gateways.get(route.gateway).is_some_and(|gateway| gateway.spec.is_none()) {
            found.push(Dangling { from: from(), to: gateway(parent) });
        }
        let missing = route.service.and_then(missing_service);
        found.extend(missing.map(|target| Dangling { from: from(), to: service(target) }));
    }
    found.sort();
    found.dedup();
    found
}
