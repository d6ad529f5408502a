//! The providers of virtual services, their ports, and the listeners that receive their traffic.

use mesh::graph::Mesh;
use mesh::name::{VirtualNodeName, VirtualRouterName, VirtualServiceName};
use mesh::spec::{Listener, Port, PortMapping, Protocol, VirtualNodeSpec, VirtualRouterSpec, VirtualServiceProvider};
use mesh::traffic::{Landing, landing};

use super::draft::Draft;
use super::finding;

/// The provider of a virtual service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider<'m> {
    /// A virtual router with its routes.
    Router(&'m VirtualRouterName),
    /// A virtual node.
    Node(&'m VirtualNodeName),
    /// No provider, one of an unknown kind, or one that does not exist.
    None,
}

/// A port on which clients call a virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) port: Port,
    pub(crate) protocol: Protocol,
}

impl Offer {
    fn new(mapping: &PortMapping) -> Self {
        Self { port: mapping.port, protocol: mapping.protocol.clone() }
    }

    pub(super) const fn is_tcp(&self) -> bool {
        matches!(self.protocol, Protocol::Tcp)
    }
}

/// The listener of a virtual node that receives traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Destination<'m> {
    pub(super) node: &'m VirtualNodeName,
    pub(super) listener: &'m Listener,
}

pub(super) fn provider<'m>(mesh: &'m Mesh, service: &VirtualServiceName) -> Provider<'m> {
    match mesh.services.get(service).and_then(|service| service.provider.as_ref()) {
        Some(VirtualServiceProvider::VirtualRouter(router)) => {
            let found = mesh.routers.get_key_value(&router.virtual_router_name);
            found.map_or(Provider::None, |(name, _)| Provider::Router(name))
        }
        Some(VirtualServiceProvider::VirtualNode(node)) => {
            let found = mesh.nodes.get_key_value(&node.virtual_node_name);
            found.map_or(Provider::None, |(name, _)| Provider::Node(name))
        }
        Some(VirtualServiceProvider::Unrecognised(_)) | None => Provider::None,
    }
}

/// The ports of a virtual service: those of its router or of its node, each once. A router without listeners has the
/// ports of its routes' targets, because no other source exists.
pub(crate) fn offers(mesh: &Mesh, service: &VirtualServiceName) -> Vec<Offer> {
    let of_node = |node: &VirtualNodeName| {
        let listeners = mesh.nodes.get(node).map(VirtualNodeSpec::listeners).unwrap_or_default();
        listeners.iter().map(|listener| Offer::new(&listener.port_mapping)).collect::<Vec<_>>()
    };
    let all = match provider(mesh, service) {
        Provider::Router(name) => {
            let spec = mesh.routers.get(name).and_then(|router| router.spec.as_ref());
            let listeners = spec.map(VirtualRouterSpec::listeners).unwrap_or_default();
            if listeners.is_empty() {
                let actions = routes(mesh, name).filter_map(|route| route.rule.action());
                let targets = actions.flat_map(|action| action.weighted_targets.iter());
                targets.flat_map(|target| of_node(&target.virtual_node)).collect()
            } else {
                listeners.iter().map(|listener| Offer::new(&listener.port_mapping)).collect()
            }
        }
        Provider::Node(name) => of_node(name),
        Provider::None => Vec::new(),
    };
    let mut offers: Vec<Offer> = Vec::new();
    for offer in all {
        if !offers.iter().any(|other| other.port == offer.port) {
            offers.push(offer);
        }
    }
    offers
}

fn routes<'m>(mesh: &'m Mesh, router: &VirtualRouterName) -> impl Iterator<Item = &'m mesh::spec::RouteSpec> {
    mesh.routers.get(router).into_iter().flat_map(|router| router.routes.values())
}

impl<'m> Draft<'m> {
    /// The listener that receives traffic for a port of a node. `None`, with a finding, if there is none.
    pub(super) fn destination(
        &mut self,
        node: &'m VirtualNodeName,
        port: Option<Port>,
        by: &mesh::name::ResourcePath,
    ) -> Option<Destination<'m>> {
        let listener = match landing(self.mesh, node, port) {
            Landing::Listener(listener) => listener,
            Landing::NoNode => {
                let message = format!("virtual node {node} doesn't exist, so nothing is sent there; create it");
                self.find(finding::DANGLING_TARGET, by.clone(), message);
                return None;
            }
            Landing::NoListener(_) => {
                let on = port.map_or_else(String::new, |port| format!(" on port {port}"));
                let message =
                    format!("virtual node {node} doesn't listen{on}, so nothing is sent there; add a listener");
                self.find(finding::NO_LISTENER, by.clone(), message);
                return None;
            }
            Landing::Ambiguous(_) => {
                let message =
                    format!("virtual node {node} has several listeners and no port is named, so nothing is sent there");
                self.find(finding::AMBIGUOUS_PORT, by.clone(), message);
                return None;
            }
        };
        let (node, _) = self.mesh.nodes.get_key_value(node)?;
        Some(Destination { node, listener })
    }

    /// The listener that receives traffic for a port of a virtual service that a node provides.
    pub(super) fn provided(
        &mut self,
        node: &'m VirtualNodeName,
        port: Port,
        by: &mesh::name::ResourcePath,
    ) -> Option<Destination<'m>> {
        self.destination(node, Some(port), by)
    }
}
