//! References that lead nowhere.

use serde::Serialize;

use super::Mesh;
use crate::name::{ResourcePath, VirtualGatewayName, VirtualNodeName, VirtualRouterName, VirtualServiceName};
use crate::spec::VirtualServiceProvider;

/// A reference to a resource that isn't there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dangling {
    /// The resource that refers.
    pub from: ResourcePath,
    /// The resource that isn't there.
    pub to: ResourcePath,
}

/// Every reference that leads nowhere: backends (which the API allows), providers, weighted targets, targets of gateway
/// routes, and routes and gateway routes without their parent. Each pair once, in the order of the paths.
#[must_use]
pub fn dangling(mesh: &Mesh) -> Vec<Dangling> {
    let node = |name: &VirtualNodeName| ResourcePath::VirtualNode(mesh.name.clone(), name.clone());
    let service = |name: &VirtualServiceName| ResourcePath::VirtualService(mesh.name.clone(), name.clone());
    let router = |name: &VirtualRouterName| ResourcePath::VirtualRouter(mesh.name.clone(), name.clone());
    let gateway = |name: &VirtualGatewayName| ResourcePath::VirtualGateway(mesh.name.clone(), name.clone());

    let mut found = Vec::new();
    for (name, spec) in &mesh.nodes {
        for backend in spec.backend_services().filter(|backend| !mesh.services.contains_key(*backend)) {
            found.push(Dangling { from: node(name), to: service(backend) });
        }
    }
    for (name, spec) in &mesh.services {
        let provider = match &spec.provider {
            Some(VirtualServiceProvider::VirtualNode(provider)) => {
                let provider = &provider.virtual_node_name;
                (!mesh.nodes.contains_key(provider)).then(|| node(provider))
            }
            Some(VirtualServiceProvider::VirtualRouter(provider)) => {
                let provider = &provider.virtual_router_name;
                let exists = mesh.routers.get(provider).is_some_and(|router| router.spec.is_some());
                (!exists).then(|| router(provider))
            }
            Some(VirtualServiceProvider::Unrecognised(_)) | None => None,
        };
        found.extend(provider.map(|to| Dangling { from: service(name), to }));
    }
    for (parent, entry) in &mesh.routers {
        for (name, route) in &entry.routes {
            let from = || ResourcePath::Route(mesh.route_id(parent, name));
            if entry.spec.is_none() {
                found.push(Dangling { from: from(), to: router(parent) });
            }
            let targets = route.rule.action().into_iter().flat_map(|action| action.weighted_targets.iter());
            let missing = targets.filter(|target| !mesh.nodes.contains_key(&target.virtual_node));
            found.extend(missing.map(|target| Dangling { from: from(), to: node(&target.virtual_node) }));
        }
    }
    for (parent, entry) in &mesh.gateways {
        for (name, route) in &entry.routes {
            let from = || ResourcePath::GatewayRoute(mesh.name.clone(), parent.clone(), name.clone());
            if entry.spec.is_none() {
                found.push(Dangling { from: from(), to: gateway(parent) });
            }
            let target = route.rule.target().map(|target| &target.virtual_service.virtual_service_name);
            let missing = target.filter(|target| !mesh.services.contains_key(*target));
            found.extend(missing.map(|target| Dangling { from: from(), to: service(target) }));
        }
    }
    found.sort();
    found.dedup();
    found
}
