//! The destinations of a route's traffic.
//!
//! ```text
//!   weighted target ──▶ virtual node? ──▶ which listener? ──▶ Landing
//! ```

use crate::graph::{Links, Mesh};
use crate::name::{RouteId, VirtualNodeName};
use crate::spec::{Listener, Port, RouteRule, RouteSpec, VirtualNodeSpec};

/// The traffic of a route to one node on one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow<'m> {
    /// The virtual node that the route names.
    pub virtual_node: &'m VirtualNodeName,
    /// The port that the route names, if any.
    pub port: Option<Port>,
    /// The weight, summed if the route names the same node and port more than once.
    pub weight: u16,
    /// The sum of all weights of the route; 0 if it is drained.
    pub total: u16,
    /// The destination.
    pub landing: Landing<'m>,
}

impl Flow<'_> {
    /// The share of the route's traffic as a number from 0 to 1; 0 if the route is drained.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.total == 0 { 0.0 } else { f64::from(self.weight) / f64::from(self.total) }
    }

    /// Whether both have the same node and port.
    #[must_use]
    pub fn same_target(&self, other: &Flow<'_>) -> bool {
        self.virtual_node == other.virtual_node && self.port == other.port
    }

    /// Whether this is a larger share of its route's traffic than `other` of `other`'s route, computed exactly.
    #[must_use]
    pub fn exceeds(&self, other: &Flow<'_>) -> bool {
        // A drained route counts as a share of 0 of 1.
        let (total, other_total) = (self.total.max(1), other.total.max(1));
        u32::from(self.weight) * u32::from(other_total) > u32::from(other.weight) * u32::from(total)
    }
}

/// The destination of traffic for a virtual node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landing<'m> {
    /// A listener.
    Listener(&'m Listener),
    /// None: the node does not exist in the mesh.
    NoNode,
    /// None: the node has no listener, or none on the route's port.
    NoListener(&'m VirtualNodeSpec),
    /// Ambiguous: the node has several listeners, and the route names no port.
    Ambiguous(&'m VirtualNodeSpec),
}

/// The flows of a route, in the order of the targets. `None` if the route does not exist in the mesh, or has
/// an unknown kind.
#[must_use]
pub fn flows<'m>(mesh: &'m Mesh, route: &RouteId) -> Option<Vec<Flow<'m>>> {
    mesh.route(route).and_then(|spec| flows_of(mesh, spec))
}

/// The flows of a route that may not be part of the mesh.
#[must_use]
pub fn flows_of<'m>(mesh: &'m Mesh, route: &'m RouteSpec) -> Option<Vec<Flow<'m>>> {
    let nodes = route.rule.action()?.weighted_targets.iter().map(|target| mesh.nodes.get(&target.virtual_node));
    flows_to(route, nodes)
}

/// The flows of a route, with the virtual nodes of its targets looked up before.
pub fn flows_to<'m>(
    route: &'m RouteSpec,
    nodes: impl Iterator<Item = Option<&'m VirtualNodeSpec>>,
) -> Option<Vec<Flow<'m>>> {
    let targets = &route.rule.action()?.weighted_targets;
    let total = targets.iter().map(|target| u16::from(target.weight.get())).sum();
    let mut flows: Vec<Flow<'m>> = Vec::with_capacity(targets.len());
    for (target, node) in targets.iter().zip(nodes) {
        let flow = Flow {
            virtual_node: &target.virtual_node,
            port: target.port,
            weight: u16::from(target.weight.get()),
            total,
            landing: landing_at(node, target.port),
        };
        match flows.iter_mut().find(|other| other.same_target(&flow)) {
            Some(other) => other.weight += flow.weight,
            None => flows.push(flow),
        }
    }
    Some(flows)
}

/// The flows of each route, by the number of the route.
#[must_use]
pub fn all_flows<'m>(links: &Links<'m>) -> Vec<Vec<Flow<'m>>> {
    let flows = links.routes.iter().map(|route| {
        let nodes = route.targets.iter().map(|node| links.nodes.get(*node));
        flows_to(route.spec, nodes).unwrap_or_default()
    });
    flows.collect()
}

/// The destination of traffic to a node with an optional port.
#[must_use]
pub fn landing<'m>(mesh: &'m Mesh, node: &VirtualNodeName, port: Option<Port>) -> Landing<'m> {
    landing_at(mesh.nodes.get(node), port)
}

/// The destination of traffic to a node that was looked up, with an optional port.
pub fn landing_at(node: Option<&VirtualNodeSpec>, port: Option<Port>) -> Landing<'_> {
    let Some(spec) = node else {
        return Landing::NoNode;
    };
    match (spec.listeners(), port) {
        (listeners, Some(port)) => {
            let listener = listeners.iter().find(|listener| listener.port_mapping.port == port);
            listener.map_or(Landing::NoListener(spec), Landing::Listener)
        }
        ([], None) => Landing::NoListener(spec),
        ([listener], None) => Landing::Listener(listener),
        (_, None) => Landing::Ambiguous(spec),
    }
}

/// Whether a listener understands the requests of a route. HTTP/1.1 and HTTP/2 are translated into each other; gRPC
/// needs HTTP/2, and TCP only matches TCP. Unknown protocols count as understood.
#[must_use]
pub fn understands(listener: &Listener, rule: &RouteRule) -> bool {
    protocol_suits(&listener.port_mapping.protocol, rule)
}

/// Whether a protocol understands the requests of a route; see [`understands()`].
#[must_use]
pub fn protocol_suits(protocol: &crate::spec::Protocol, rule: &RouteRule) -> bool {
    use crate::spec::Protocol::{Grpc, Http, Http2, Tcp, Unrecognised};
    match rule {
        RouteRule::Http(_) | RouteRule::Http2(_) => match protocol {
            Http | Http2 | Grpc | Unrecognised(_) => true,
            Tcp => false,
        },
        RouteRule::Grpc(_) => match protocol {
            Http2 | Grpc | Unrecognised(_) => true,
            Http | Tcp => false,
        },
        RouteRule::Tcp(_) => match protocol {
            Tcp | Unrecognised(_) => true,
            Http | Http2 | Grpc => false,
        },
        RouteRule::Unrecognised(_) => true,
    }
}
