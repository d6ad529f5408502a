//! The proxy of a virtual gateway. It accepts requests, rewrites them, and sends them through its own egress side, like
//! the requests of an application.
//!
//! ```text
//!   client ──▶ listener: host, path ──rewritten──▶ self_redirect ──▶ egress listener: virtual service ──▶ virtual nodes
//! ```

mod bridge;
mod egress;
mod hosts;
mod ingress;
mod rewrite;
mod target;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::FilterChainMatch;
use mesh::name::{GatewayRouteName, ResourcePath, VirtualGatewayName};
use mesh::spec::{GatewayListener, GatewayRouteSpec, Port, Protocol, VirtualGatewaySpec};

use super::draft::Draft;
use super::finding;
use super::listeners::{chains, http_manager_at_edge, listener, tls_inspector};
use super::names::{self, EGRESS_PORT};
use super::proto::LOOPBACK;
use super::tls::Served;
use crate::ports::PortUse;
use crate::proxy::Proxy;
use target::Targets;

pub(crate) use bridge::bridge;

/// The header that names the virtual service of a request that kept its host. The egress side reads it.
const SERVICE_HEADER: &str = "x-app-mesh-virtual-service";

/// The domain of the egress side's virtual host for requests that kept their host.
const ANY_HOST: &str = "*";

/// The name of a gateway, and the connection between its ingress side and its egress side.
#[derive(Debug, Clone, Copy)]
struct Door<'m> {
    name: &'m VirtualGatewayName,
    loop_port: u16,
    /// Whether the gateway has several listeners. Each listener then needs its own self-redirect cluster, because their
    /// connection pools differ.
    several: bool,
}

impl<'m> Draft<'m> {
    pub(super) fn gateway(&mut self, name: &'m VirtualGatewayName, spec: &'m VirtualGatewaySpec) {
        let Some(loop_port) = self.loop_port(name) else { return };
        let door = Door { name, loop_port, several: spec.listeners.len() > 1 };
        self.unmatched_ports(name, spec);
        let mut targets = Targets::default();
        let mut taken = Vec::new();
        for inner in &spec.listeners {
            let at = inner.port_mapping.port;
            let protocol = Protocol::from(&inner.port_mapping.protocol);
            if self.is_taken(at, &taken) || !self.is_known(&protocol, at) {
                continue;
            }
            taken.push(at);
            self.gateway_listener(door, spec, inner, &protocol, &mut targets);
        }
        self.gateway_egress(spec, loop_port, &targets);
    }

    fn loop_port(&mut self, name: &VirtualGatewayName) -> Option<u16> {
        if !self.is_explicit() {
            return Some(EGRESS_PORT);
        }
        self.assigned(&PortUse::Loop { mesh: self.mesh.name.clone(), proxy: Proxy::Gateway(name.clone()) })
    }

    fn is_taken(&mut self, at: Port, taken: &[Port]) -> bool {
        let by = if taken.contains(&at) {
            "another listener"
        } else if !self.is_explicit() && at.get() == EGRESS_PORT {
            "the proxy's own egress side"
        } else {
            return false;
        };
        let path = self.path();
        self.find(finding::DUPLICATE_LISTENER, path, format!("{by} has port {at} already; the listener is left out"));
        true
    }

    /// Reports gateway routes for ports that the gateway does not listen on.
    fn unmatched_ports(&mut self, name: &'m VirtualGatewayName, spec: &VirtualGatewaySpec) {
        for (route, rule) in self.gateway_routes(name) {
            if let Some(port) = rule.rule.match_port()
                && !spec.listeners.iter().any(|listener| listener.port_mapping.port == port)
            {
                let path = self.gateway_route_path(name, route);
                let message = format!("virtual gateway {name} has no listener on port {port}, so no request is for it");
                self.find(finding::UNMATCHED_PORT, path, message);
            }
        }
    }

    fn gateway_listener(
        &mut self,
        door: Door<'m>,
        spec: &'m VirtualGatewaySpec,
        inner: &'m GatewayListener,
        protocol: &Protocol,
        targets: &mut Targets<'m>,
    ) {
        let at = inner.port_mapping.port;
        let Some((host, bound)) = self.gateway_address(door.name, at) else { return };
        let Some(served) = self.served(inner.tls.as_ref(), protocol) else { return };
        let both = matches!(served, Served::Both(_));
        let ingress = door.several.then_some(at);
        let cluster = names::self_redirect(&self.mesh.name, door.name, ingress, protocol.as_str(), door.loop_port);
        self.self_redirect(&cluster, door.loop_port, protocol, inner.connection_pool.as_ref());
        let routes = names::ingress_routes(at.get());
        let configuration = self.gateway_ingress(door.name, at, &cluster, targets);
        self.out.routes.insert(routes.clone(), configuration);
        let logs = self.access_logs(spec.logging.as_ref());
        let filter =
            http_manager_at_edge(format!("ingress.{protocol}.{at}"), routes, logs, self.surroundings.client_address);
        let shown = if self.is_explicit() { LOOPBACK } else { "0.0.0.0" };
        let mut ingress = listener(names::ingress_listener(shown, bound), host, bound, TrafficDirection::Inbound);
        ingress.filter_chains = chains(&FilterChainMatch::default(), &filter, served);
        if both {
            ingress.listener_filters = vec![tls_inspector()];
        }
        self.out.listeners.insert(ingress.name.clone(), ingress);
    }

    fn gateway_address(&mut self, name: &VirtualGatewayName, port: Port) -> Option<(&'static str, u16)> {
        if !self.is_explicit() {
            return Some((Self::any_address(self.ip_preference(None)), port.get()));
        }
        let of = PortUse::Ingress { mesh: self.mesh.name.clone(), proxy: Proxy::Gateway(name.clone()), port };
        Some((LOOPBACK, self.assigned(&of)?))
    }

    /// The routes of a gateway, in the order in which they are tried.
    fn gateway_routes(&self, name: &VirtualGatewayName) -> Vec<(&'m GatewayRouteName, &'m GatewayRouteSpec)> {
        let mesh: &'m mesh::graph::Mesh = self.mesh;
        mesh.gateways.get(name).map(mesh::graph::Gateway::routes_in_order).unwrap_or_default()
    }

    fn gateway_route_path(&self, gateway: &VirtualGatewayName, route: &GatewayRouteName) -> ResourcePath {
        ResourcePath::GatewayRoute(self.mesh.name.clone(), gateway.clone(), route.clone())
    }
}
