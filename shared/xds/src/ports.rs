//! Loopback ports for proxies that share a machine, where traffic cannot be redirected to them.

use std::collections::BTreeSet;

use mesh::graph::Mesh;

use crate::proxy::Proxy;
use crate::translate::offers;

pub use crate::port_book::{PortBook, PortUse};

/// All purposes for which the proxies of a mesh need a port.
#[must_use]
pub fn uses(mesh: &Mesh) -> BTreeSet<PortUse> {
    let mut uses = BTreeSet::new();
    let name = || mesh.name.clone();
    for (node, spec) in &mesh.nodes {
        for port in spec.listeners().iter().map(|listener| listener.port_mapping.port) {
            uses.insert(PortUse::Ingress { mesh: name(), proxy: Proxy::Node(node.clone()), port });
            uses.insert(PortUse::Application { mesh: name(), node: node.clone(), port });
        }
        for service in spec.backend_services() {
            for offer in offers(mesh, service) {
                let (node, service) = (node.clone(), service.clone());
                uses.insert(PortUse::Egress { mesh: name(), node, service, port: offer.port });
            }
        }
    }
    for (gateway, entry) in &mesh.gateways {
        let listeners = entry.spec.iter().flat_map(|spec| &spec.listeners);
        let proxy = || Proxy::Gateway(gateway.clone());
        if entry.spec.is_some() {
            // All listeners of a gateway share one egress side. It stays when they change.
            uses.insert(PortUse::Loop { mesh: name(), proxy: proxy() });
        }
        for listener in listeners {
            let port = listener.port_mapping.port;
            uses.insert(PortUse::Ingress { mesh: name(), proxy: proxy(), port });
        }
    }
    uses
}
