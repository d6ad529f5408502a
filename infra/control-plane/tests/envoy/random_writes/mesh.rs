//! The mesh as the test has written it, and what it says about a call.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::{Gateway, Mesh, Router};
use mesh::name::{ResourcePath, VirtualNodeName};
use mesh::spec::{
    Backend, GatewayRouteRule, GatewayRouteSpec, Port, Protocol, RouteRule, RouteSpec, Spec, TlsMode,
    VirtualGatewaySpec, VirtualNodeSpec, VirtualRouterSpec, VirtualServiceProvider,
};
use mesh::traffic::{Flow, Landing, flows_of, understands};
use policy::edges::{Edge, TlsVerdict as Verdict, edges};
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
        self.gives_up(call)
            || !match &call.door {
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

    /// Whether the written route or gateway route took the call, and is deleted or for other calls now. Other routes then
    /// take it, to wherever they lead.
    fn gives_up(&self, call: &Call) -> bool {
        let Ok(path) = ResourcePath::parse(&format!("mesh/{MESH}/{}", self.path)) else { return false };
        let (before, after) = (self.before, self.after);
        match path {
            ResourcePath::Route(id) => {
                let (Some(former), Some((service, port))) = (before.route(&id), service_of(before, call)) else {
                    return false;
                };
                let router = before.services.get(service.as_str()).and_then(|spec| spec.provider.as_ref());
                let is_own = router.and_then(VirtualServiceProvider::router) == Some(&id.router);
                let protocol = offered(before, &service).into_iter().find(|(at, _)| at.get() == port);
                let is_tcp = protocol.is_some_and(|(_, protocol)| protocol == Protocol::Tcp);
                let router = before.routers.get(&id.router).filter(|_| is_own);
                router.and_then(|router| route_of(router, port, call, is_tcp)) == Some(former)
                    && !after.route(&id).is_some_and(|route| is_for(route, port, call, is_tcp))
            }
            ResourcePath::GatewayRoute(_, gateway, name) => {
                let Door::Gateway { port } = call.door else { return false };
                let of = |mesh: &Mesh| mesh.gateways.get(&gateway).and_then(|one| one.routes.get(&name)).cloned();
                let former = before.gateways.get(&gateway).and_then(|gateway| gateway_route(gateway, port, call));
                former.is_some()
                    && former == of(before).as_ref()
                    && !of(after).is_some_and(|route| is_for_gateway_call(&route, port, call))
            }
            _ => false,
        }
    }

    /// Whether a virtual node has other ports after the write.
    pub(super) fn changes_ports_of_node(&self) -> bool {
        let ports = |mesh: &Mesh| {
            let listeners = mesh
                .nodes
                .iter()
                .flat_map(|(name, spec)| spec.listeners().iter().map(move |one| (name.clone(), one.port_mapping.port)));
            listeners.collect::<BTreeSet<_>>()
        };
        ports(self.before) != ports(self.after)
    }

    /// Whether a listener goes from plain text to `PERMISSIVE`, or back. Callers without a client policy then change their
    /// mode, and the order of the two proxies matters for some milliseconds (decision 0030). Admission refuses the same
    /// between plain text and `STRICT`.
    pub(super) fn changes_mode_of_callers(&self) -> bool {
        let modes = |mesh: &Mesh| -> BTreeMap<(VirtualNodeName, Port), TlsMode> {
            let listeners = mesh.nodes.iter().flat_map(|(name, spec)| {
                spec.listeners().iter().map(move |listener| {
                    let mode = listener.tls.as_ref().map_or(TlsMode::Disabled, |tls| tls.mode.clone());
                    ((name.clone(), listener.port_mapping.port), mode)
                })
            });
            listeners.collect()
        };
        let after = modes(self.after);
        modes(self.before).into_iter().any(|(listener, before)| {
            matches!(
                (before, after.get(&listener)),
                (TlsMode::Disabled, Some(TlsMode::Permissive)) | (TlsMode::Permissive, Some(TlsMode::Disabled))
            )
        })
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
        let first = gateway_route(gateway, port, call);
        let Some(target) = first.and_then(|spec| spec.rule.target()) else { return false };
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
                let first = route_of(router, port, call, is_tcp);
                let action = first.and_then(|spec| spec.rule.action());
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

/// Whether all targets of the route that takes a call answer alike: all understand it and shake hands, or none does.
fn is_steady(mesh: &Mesh, call: &Call) -> bool {
    match &call.door {
        Door::Backend { service, port } => {
            let from = ResourcePath::VirtualNode(mesh.name.clone(), CLIENT.parse().unwrap());
            answers_alike(mesh, &from, service, *port, call)
        }
        Door::Gateway { .. } => {
            let Some((service, port)) = service_of(mesh, call) else { return true };
            let from = ResourcePath::VirtualGateway(mesh.name.clone(), GATEWAY.parse().unwrap());
            answers_alike(mesh, &from, &service, port, call)
        }
    }
}

/// The virtual service that a call is of, with its port.
fn service_of(mesh: &Mesh, call: &Call) -> Option<(String, u16)> {
    match &call.door {
        Door::Backend { service, port } => Some((service.clone(), *port)),
        Door::Gateway { port } => {
            let target = gateway_route(mesh.gateways.get(GATEWAY)?, *port, call)?.rule.target()?;
            let service = target.virtual_service.virtual_service_name.to_string();
            let only = || offered(mesh, &service).first().map(|(port, _)| *port);
            let port = target.port.or_else(only)?.get();
            Some((service, port))
        }
    }
}

fn answers_alike(mesh: &Mesh, from: &ResourcePath, service: &str, port: u16, call: &Call) -> bool {
    let provider = mesh.services.get(service).and_then(|spec| spec.provider.as_ref());
    // A node that provides the service itself is one target.
    let router = provider.and_then(VirtualServiceProvider::router).and_then(|router| mesh.routers.get(router));
    let protocol = offered(mesh, service).into_iter().find(|(at, _)| at.get() == port).map(|(_, protocol)| protocol);
    let Some(route) = router.and_then(|router| route_of(router, port, call, protocol == Some(Protocol::Tcp))) else {
        return true;
    };
    let edges = edges(mesh, &Readings::default(), Timestamp::UNIX_EPOCH);
    let answers = |flow: &Flow<'_>| match flow.landing {
        Landing::Listener(listener) => {
            let port = listener.port_mapping.port;
            let is_own = |edge: &&Edge| {
                edge.from == *from
                    && edge.service.as_str() == service
                    && edge.to.name() == flow.virtual_node.as_str()
                    && edge.port == Some(port)
            };
            let breaks = edges.iter().filter(is_own).any(|edge| matches!(edge.verdict, Verdict::Broken(_)));
            // What is in a connection is HTTP/1.1. Other listeners may or may not cope with what they are not for.
            let is_for = match (&route.rule, &listener.port_mapping.protocol) {
                (RouteRule::Tcp(_), Protocol::Http) => true,
                (rule, _) => understands(listener, rule),
            };
            Some((breaks, (!breaks && !is_for).then(|| (flow.virtual_node.to_string(), port.get()))))
        }
        // Nothing is sent there.
        Landing::NoNode | Landing::NoListener(_) | Landing::Ambiguous(_) => None,
    };
    let flows = flows_of(mesh, route).unwrap_or_default();
    let answers: BTreeSet<_> = flows.iter().filter(|flow| flow.weight > 0).filter_map(answers).collect();
    answers.len() <= 1
}

/// The gateway route that takes a call.
fn gateway_route<'m>(gateway: &'m Gateway, port: u16, call: &Call) -> Option<&'m GatewayRouteSpec> {
    gateway.routes_in_order().into_iter().map(|(_, spec)| spec).find(|spec| is_for_gateway_call(spec, port, call))
}

fn is_for_gateway_call(spec: &GatewayRouteSpec, port: u16, call: &Call) -> bool {
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
}

/// The route of a router that takes a call on a port.
fn route_of<'m>(router: &'m Router, port: u16, call: &Call, is_tcp: bool) -> Option<&'m RouteSpec> {
    router.routes_in_order().into_iter().map(|(_, spec)| spec).find(|spec| is_for(spec, port, call, is_tcp))
}

fn is_for(spec: &RouteSpec, port: u16, call: &Call, is_tcp: bool) -> bool {
    spec.rule.match_port().is_none_or(|at| at.get() == port) && takes(&spec.rule, call, is_tcp)
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
