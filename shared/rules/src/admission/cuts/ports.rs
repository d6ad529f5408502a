//! The ports on which virtual services are called.

use std::collections::BTreeMap;

use mesh::graph::Mesh;
use mesh::name::{VirtualNodeName, VirtualServiceName};
use mesh::spec::{Port, Protocol, VirtualNodeSpec, VirtualRouterSpec, VirtualServiceProvider};

/// The ports on which a virtual service is called: those of its router, else of the targets of its routes; or those of
/// its node.
pub(super) fn ports(mesh: &Mesh, service: &VirtualServiceName) -> BTreeMap<Port, Protocol> {
    let of_node = |name: &VirtualNodeName| {
        let listeners = mesh.nodes.get(name).map(VirtualNodeSpec::listeners).unwrap_or_default();
        listeners.iter().map(|one| (one.port_mapping.port, one.port_mapping.protocol.clone())).collect::<Vec<_>>()
    };
    let provider = mesh.services.get(service).and_then(|service| service.provider.as_ref());
    match provider {
        Some(VirtualServiceProvider::VirtualNode(node)) => of_node(&node.virtual_node_name).into_iter().collect(),
        Some(VirtualServiceProvider::VirtualRouter(provider)) => {
            let Some(router) = mesh.routers.get(&provider.virtual_router_name) else { return BTreeMap::new() };
            let listeners = router.spec.as_ref().map(VirtualRouterSpec::listeners).unwrap_or_default();
            if listeners.is_empty() {
                let actions = router.routes.values().filter_map(|route| route.rule.action());
                let targets = actions.flat_map(|action| action.weighted_targets.iter());
                return targets.flat_map(|target| of_node(&target.virtual_node)).collect();
            }
            listeners.iter().map(|one| (one.port_mapping.port, one.port_mapping.protocol.clone())).collect()
        }
        Some(VirtualServiceProvider::Unrecognised(_)) | None => BTreeMap::new(),
    }
}
