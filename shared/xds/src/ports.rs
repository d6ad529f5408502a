//! Loopback ports for proxies that share a machine, where traffic cannot be redirected to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use mesh::graph::Mesh;
use mesh::name::{MeshName, VirtualNodeName, VirtualServiceName};
use mesh::spec::Port;

use crate::proxy::Proxy;
use crate::translate::offers;

/// The purpose of a loopback port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortUse {
    /// The port where a proxy accepts the traffic of one of its listeners.
    Ingress {
        /// The mesh.
        mesh: MeshName,
        /// The proxy.
        proxy: Proxy,
        /// The listener's port in the mesh.
        port: Port,
    },
    /// The port where the application of a virtual node accepts traffic from its proxy.
    Application {
        /// The mesh.
        mesh: MeshName,
        /// The node.
        node: VirtualNodeName,
        /// The listener's port in the mesh.
        port: Port,
    },
    /// The port where the application of a virtual node calls a backend.
    Egress {
        /// The mesh.
        mesh: MeshName,
        /// The node.
        node: VirtualNodeName,
        /// The backend.
        service: VirtualServiceName,
        /// The port that the backend has in the mesh.
        port: Port,
    },
    /// The port to which a virtual gateway forwards requests for its own egress side.
    Loop {
        /// The mesh.
        mesh: MeshName,
        /// The gateway.
        proxy: Proxy,
    },
}

/// A stable key, under which an assignment can be stored.
impl fmt::Display for PortUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = |proxy: &Proxy| match proxy {
            Proxy::Node(name) => format!("virtualNode/{name}"),
            Proxy::Gateway(name) => format!("virtualGateway/{name}"),
        };
        match self {
            Self::Ingress { mesh, proxy: who, port } => write!(f, "ingress mesh/{mesh}/{} {port}", proxy(who)),
            Self::Application { mesh, node, port } => write!(f, "application mesh/{mesh}/virtualNode/{node} {port}"),
            Self::Egress { mesh, node, service, port } => {
                write!(f, "egress mesh/{mesh}/virtualNode/{node} {port} {service}")
            }
            Self::Loop { mesh, proxy: who } => write!(f, "loop mesh/{mesh}/{}", proxy(who)),
        }
    }
}

/// The assigned port of each purpose. An assignment must not change, because that would disconnect a running client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PortBook {
    ports: BTreeMap<PortUse, u16>,
}

impl PortBook {
    /// Records an assignment.
    pub fn assign(&mut self, to: PortUse, port: u16) {
        self.ports.insert(to, port);
    }

    /// The port that is assigned to a purpose, if there is one.
    #[must_use]
    pub fn port(&self, of: &PortUse) -> Option<u16> {
        self.ports.get(of).copied()
    }

    /// All assignments.
    pub fn iter(&self) -> impl Iterator<Item = (&PortUse, u16)> {
        self.ports.iter().map(|(of, port)| (of, *port))
    }
}

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
