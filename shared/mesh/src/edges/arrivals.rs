//! Where calls of a virtual service arrive.

use crate::graph::Mesh;
use crate::name::{RouteId, VirtualNodeName, VirtualServiceName};
use crate::spec::{Port, VirtualNodeSpec, VirtualServiceProvider};
use crate::traffic::{Landing, flows_of, landing};

/// A node behind a virtual service, and where it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival<'m> {
    pub(super) node: &'m VirtualNodeName,
    /// The port that is named.
    named: Option<Port>,
    pub(super) landing: Landing<'m>,
    pub(super) routes: Vec<RouteId>,
    pub(super) carries_traffic: bool,
}

impl Arrival<'_> {
    /// The port of the listener, or the one that is named where there is no listener.
    pub(super) fn port(&self) -> Option<Port> {
        match self.landing {
            Landing::Listener(listener) => Some(listener.port_mapping.port),
            Landing::NoNode | Landing::NoListener(_) | Landing::Ambiguous(_) => self.named,
        }
    }
}

/// Where calls of a service arrive, each node and port once, in their order.
pub(super) fn arrivals<'m>(mesh: &'m Mesh, service: &VirtualServiceName) -> Vec<Arrival<'m>> {
    let mut all: Vec<Arrival<'m>> = Vec::new();
    match mesh.services.get(service).and_then(|service| service.provider.as_ref()) {
        Some(VirtualServiceProvider::VirtualNode(provider)) => all = at_provider(mesh, &provider.virtual_node_name),
        Some(VirtualServiceProvider::VirtualRouter(provider)) => {
            if let Some((router, entry)) = mesh.routers.get_key_value(&provider.virtual_router_name) {
                for (name, spec) in &entry.routes {
                    let route = mesh.route_id(router, name);
                    for flow in flows_of(mesh, spec).into_iter().flatten() {
                        add(&mut all, &route, &flow);
                    }
                }
            }
        }
        Some(VirtualServiceProvider::Unrecognised(_)) | None => {}
    }
    all.sort_by_key(|arrival| (arrival.node, arrival.port()));
    all
}

/// A node that provides the service itself is called on each of its ports.
fn at_provider<'m>(mesh: &'m Mesh, node: &'m VirtualNodeName) -> Vec<Arrival<'m>> {
    let arrival = |named, landing| Arrival { node, named, landing, routes: Vec::new(), carries_traffic: true };
    let listeners = mesh.nodes.get(node).map(VirtualNodeSpec::listeners).unwrap_or_default();
    if listeners.is_empty() {
        return vec![arrival(None, landing(mesh, node, None))];
    }
    listeners.iter().map(|listener| arrival(Some(listener.port_mapping.port), Landing::Listener(listener))).collect()
}

fn add<'m>(all: &mut Vec<Arrival<'m>>, route: &RouteId, flow: &crate::traffic::Flow<'m>) {
    let new = Arrival {
        node: flow.virtual_node,
        named: flow.port,
        landing: flow.landing,
        routes: vec![route.clone()],
        carries_traffic: flow.weight > 0,
    };
    let same = |old: &&mut Arrival<'m>| old.node == new.node && old.port() == new.port() && old.landing == new.landing;
    match all.iter_mut().find(same) {
        Some(old) => {
            old.carries_traffic |= new.carries_traffic;
            if old.routes.last() != Some(route) {
                old.routes.push(route.clone());
            }
        }
        None => all.push(new),
    }
}
