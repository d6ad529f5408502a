//! The mesh as the test has written it, and what it says about a call.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::edges::{Verdict, edges};
use mesh::graph::Mesh;
use mesh::name::{ResourcePath, VirtualNodeName, VirtualServiceName};
use mesh::spec::{
    Backend, GatewayRouteRule, Port, Protocol, RouteRule, Spec, VirtualGatewaySpec, VirtualNodeSpec, VirtualRouterSpec,
    VirtualServiceProvider,
};
use mesh::traffic::{Landing, flows_of, understands};
use serde_json::Value;

use super::specs::{CLIENT, GATEWAY};
use crate::stage::MESH;

/// Specs by path within the mesh, such as `virtualNode/a`; the mesh's own under the empty path.
pub(super) type Specs = BTreeMap<String, Value>;

/// What a request is sent to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Door {
    /// A port of a virtual service, through the client's proxy.
    Backend { service: String, port: u16 },
    /// A listener of the gateway.
    Gateway { port: u16 },
}

/// A request that can be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Call {
    pub(super) door: Door,
    pub(super) path: &'static str,
    pub(super) is_grpc: bool,
}

/// A write that was accepted, with the mesh before and after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'m> {
    pub(super) path: &'m str,
    pub(super) before: &'m Mesh,
    pub(super) after: &'m Mesh,
}

pub(super) fn mesh_of(specs: &Specs) -> Mesh {
    let mut mesh = Mesh::new(MESH.parse().unwrap());
    for (path, spec) in specs {
        let separator = if path.is_empty() { "" } else { "/" };
        let path = ResourcePath::parse(&format!("mesh/{MESH}{separator}{path}")).unwrap();
        let spec = Spec::read(path.kind(), spec).unwrap();
        mesh.insert(path, spec).unwrap();
    }
    mesh
}

impl Written<'_> {
    /// Whether the write says itself that a call is to lead nowhere: it deletes what the call uses, takes away the port
    /// or the backend that is called, or makes the first route one without weight, to nodes that don't listen at all, or
    /// to a service without a provider.
    ///
    /// A write of a node, a router or a gateway says that of its own ports alone. All else that it does to a call is
    /// damage: to a route that names no port, to a route of another kind, to a gateway route.
    pub(super) fn ends(&self, call: &Call) -> bool {
        !match &call.door {
            Door::Backend { service, port } => {
                let spec = self.after.nodes.get(CLIENT);
                let is_called = spec.into_iter().flat_map(|spec| spec.backends.iter().flatten()).any(|backend| {
                    matches!(backend, Backend::VirtualService(backend) if backend.virtual_service_name.as_str() == service)
                });
                is_called && self.service_leads_on(service, *port, call, self.after)
            }
            Door::Gateway { port } => self.gateway_leads_on(*port, call),
        }
    }

    /// Whether a virtual node has other ports or protocols after the write.
    pub(super) fn changes_ports_of_node(&self) -> bool {
        let ports = |mesh: &Mesh| {
            let listeners = mesh.nodes.iter().flat_map(|(name, spec)| {
                spec.listeners().iter().map(move |one| (name.clone(), one.port_mapping.clone()))
            });
            listeners.collect::<Vec<_>>()
        };
        ports(self.before) != ports(self.after)
    }

    /// Whether each request of a call was answered alike before the write. Where one of several targets does not understand
    /// the requests, or its TLS fails, the answer depends on the target that is chosen.
    pub(super) fn was_steady(&self, call: &Call) -> bool {
        is_steady(self.before, call)
    }

    /// The same after the write.
    pub(super) fn is_steady(&self, call: &Call) -> bool {
        is_steady(self.after, call)
    }

    /// Whether the write is of listeners, which are not what says where a call is to go.
    fn is_of_listeners(&self) -> bool {
        let written = ResourcePath::parse(&format!("mesh/{MESH}/{}", self.path));
        let is_update = |path: ResourcePath| match path {
            ResourcePath::VirtualNode(_, name) => self.after.nodes.contains_key(&name),
            ResourcePath::VirtualRouter(_, name) => self.after.routers.contains_key(&name),
            ResourcePath::VirtualGateway(_, name) => self.after.gateways.contains_key(&name),
            _ => false,
        };
        written.is_ok_and(is_update)
    }

    fn gateway_leads_on(&self, port: u16, call: &Call) -> bool {
        let Some(gateway) = self.after.gateways.get(GATEWAY) else { return false };
        let is_listening =
            |spec: &VirtualGatewaySpec| spec.listeners.iter().any(|one| one.port_mapping.port.get() == port);
        if !gateway.spec.as_ref().is_some_and(is_listening) {
            return false;
        }
        let first = gateway.routes_in_order().into_iter().find(|(_, spec)| {
            spec.rule.match_port().is_none_or(|at| at.get() == port)
                && match &spec.rule {
                    GatewayRouteRule::Http(route) | GatewayRouteRule::Http2(route) => {
                        call.path.starts_with(route.matches.prefix.as_deref().unwrap_or("/"))
                    }
                    GatewayRouteRule::Grpc(route) => {
                        let service = route.matches.service_name.as_deref().unwrap_or_default();
                        call.is_grpc && call.path.starts_with(&format!("/{service}/"))
                    }
                    GatewayRouteRule::Unrecognised(_) => false,
                }
        });
        let Some(target) = first.and_then(|(_, spec)| spec.rule.target()) else { return false };
        let service = target.virtual_service.virtual_service_name.as_str();
        let ports_in = if self.is_of_listeners() { self.before } else { self.after };
        let ports = offered(ports_in, service);
        let named = |(port, _): &(Port, Protocol)| target.port.is_none_or(|wanted| wanted == *port);
        ports
            .iter()
            .filter(|one| named(one))
            .any(|(port, _)| self.service_leads_on(service, port.get(), call, ports_in))
    }

    /// Whether a call of a service leads to a node that gets some of the requests.
    fn service_leads_on(&self, service: &str, port: u16, call: &Call, ports_in: &Mesh) -> bool {
        if !offered(ports_in, service).iter().any(|(at, _)| at.get() == port) {
            return false;
        }
        match self.after.services.get(service).and_then(|spec| spec.provider.as_ref()) {
            Some(VirtualServiceProvider::VirtualNode(_)) => true,
            Some(VirtualServiceProvider::VirtualRouter(router)) => {
                // A write of listeners doesn't say that other kinds of routes are to be used.
                let protocols_in = if self.is_of_listeners() { self.before } else { self.after };
                let protocol = offered(protocols_in, service).into_iter().find(|(at, _)| at.get() == port);
                let is_tcp = protocol.is_some_and(|(_, protocol)| protocol == Protocol::Tcp);
                let Some(router) = self.after.routers.get(&router.virtual_router_name) else { return false };
                let first = router.routes_in_order().into_iter().find(|(_, spec)| {
                    spec.rule.match_port().is_none_or(|at| at.get() == port) && takes(&spec.rule, call, is_tcp)
                });
                let action = first.and_then(|(_, spec)| spec.rule.action());
                let listens = |node: &VirtualNodeName| {
                    protocols_in.nodes.get(node).is_some_and(|spec| !spec.listeners().is_empty())
                };
                let mut targets = action.into_iter().flat_map(|action| action.weighted_targets.iter());
                targets.any(|target| target.weight.get() > 0 && listens(&target.virtual_node))
            }
            Some(VirtualServiceProvider::Unrecognised(_)) | None => false,
        }
    }
}

fn is_steady(mesh: &Mesh, call: &Call) -> bool {
    let edges = edges(mesh, &Readings::default(), Timestamp::UNIX_EPOCH);
    services_of(mesh, call).iter().all(|service| {
        let mut own = edges.iter().filter(|edge| edge.service == **service && edge.carries_traffic);
        // A node that provides the service itself is one target, on whichever port it is called.
        own.all(|edge| edge.routes.is_empty() || !matches!(edge.verdict, Verdict::Broken(_)))
            && all_targets_understand(mesh, service)
    })
}

/// The virtual services that a call may lead to.
fn services_of<'m>(mesh: &'m Mesh, call: &Call) -> Vec<&'m VirtualServiceName> {
    match &call.door {
        Door::Backend { service, .. } => mesh.services.keys().filter(|name| name.as_str() == service).collect(),
        Door::Gateway { .. } => {
            let routes = mesh.gateways.get(GATEWAY).into_iter().flat_map(|gateway| gateway.routes.values());
            let targets = routes.filter_map(|route| route.rule.target());
            targets.map(|target| &target.virtual_service.virtual_service_name).collect()
        }
    }
}

fn all_targets_understand(mesh: &Mesh, service: &VirtualServiceName) -> bool {
    let provider = mesh.services.get(service).and_then(|spec| spec.provider.as_ref());
    let router = provider.and_then(VirtualServiceProvider::router).and_then(|router| mesh.routers.get(router));
    router.into_iter().flat_map(|router| router.routes.values()).all(|route| {
        let flows = flows_of(mesh, route).unwrap_or_default();
        flows.iter().filter(|flow| flow.weight > 0).all(|flow| match flow.landing {
            Landing::Listener(listener) => understands(listener, &route.rule),
            // Nothing is sent there.
            Landing::NoNode | Landing::NoListener(_) | Landing::Ambiguous(_) => true,
        })
    })
}

fn takes(rule: &RouteRule, call: &Call, is_tcp: bool) -> bool {
    match rule {
        RouteRule::Http(route) | RouteRule::Http2(route) => {
            !is_tcp && call.path.starts_with(route.matches.prefix.as_deref().unwrap_or("/"))
        }
        RouteRule::Grpc(_) => !is_tcp && call.is_grpc,
        RouteRule::Tcp(_) => is_tcp,
        RouteRule::Unrecognised(_) => false,
    }
}

/// The ports of what provides a service.
fn offered(mesh: &Mesh, service: &str) -> Vec<(Port, Protocol)> {
    match mesh.services.get(service).and_then(|spec| spec.provider.as_ref()) {
        Some(VirtualServiceProvider::VirtualNode(node)) => {
            let listeners = mesh.nodes.get(&node.virtual_node_name).map(VirtualNodeSpec::listeners).unwrap_or_default();
            listeners.iter().map(|one| (one.port_mapping.port, one.port_mapping.protocol.clone())).collect()
        }
        Some(VirtualServiceProvider::VirtualRouter(router)) => {
            let spec = mesh.routers.get(&router.virtual_router_name).and_then(|router| router.spec.as_ref());
            let listeners = spec.map(VirtualRouterSpec::listeners).unwrap_or_default();
            listeners.iter().map(|one| (one.port_mapping.port, one.port_mapping.protocol.clone())).collect()
        }
        Some(VirtualServiceProvider::Unrecognised(_)) | None => Vec::new(),
    }
}
