//! The nodes and ports that the calls of a virtual service reach.

use mesh::graph::{Links, Provider};
use mesh::name::VirtualNodeName;
use mesh::spec::{Port, VirtualNodeSpec};
use mesh::traffic::{Flow, Landing, landing_at};

/// A node behind a virtual service, with the called port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival<'m> {
    pub(super) node: &'m VirtualNodeName,
    /// The named port.
    named: Option<Port>,
    pub(super) landing: Landing<'m>,
    /// The numbers of the routes with this target.
    pub(super) routes: Vec<usize>,
    pub(super) carries_traffic: bool,
}

impl Arrival<'_> {
    /// The port of the listener, or the named port without a listener.
    pub(super) fn port(&self) -> Option<Port> {
        match self.landing {
            Landing::Listener(listener) => Some(listener.port_mapping.port),
            Landing::NoNode | Landing::NoListener(_) | Landing::Ambiguous(_) => self.named,
        }
    }
}

/// The nodes and ports that calls of a service reach, each once, in order.
pub(super) fn arrivals<'m>(links: &Links<'m>, flows: &[Vec<Flow<'m>>], service: usize) -> Vec<Arrival<'m>> {
    let mut all: Vec<Arrival<'m>> = Vec::new();
    match links.provider(service) {
        Some(Provider::Node(node)) => all = at_provider(links, node),
        Some(Provider::Router(router)) => {
            for route in links.routes_through(router) {
                for flow in flows.get(route.number).into_iter().flatten() {
                    add(&mut all, route.number, flow);
                }
            }
        }
        None => {}
    }
    all.sort_by_key(|arrival| (arrival.node, arrival.port()));
    all
}

/// A node that provides the service directly is called on each of its ports.
fn at_provider<'m>(links: &Links<'m>, node: usize) -> Vec<Arrival<'m>> {
    let (Some(name), spec) = (links.nodes.name(node), links.nodes.get(node)) else { return Vec::new() };
    let arrival = |named, landing| Arrival { node: name, named, landing, routes: Vec::new(), carries_traffic: true };
    let listeners = spec.map(VirtualNodeSpec::listeners).unwrap_or_default();
    if listeners.is_empty() {
        return vec![arrival(None, landing_at(spec, None))];
    }
    listeners.iter().map(|listener| arrival(Some(listener.port_mapping.port), Landing::Listener(listener))).collect()
}

fn add<'m>(all: &mut Vec<Arrival<'m>>, route: usize, flow: &Flow<'m>) {
    let new = Arrival {
        node: flow.virtual_node,
        named: flow.port,
        landing: flow.landing,
        routes: vec![route],
        carries_traffic: flow.weight > 0,
    };
    let same = |old: &&mut Arrival<'m>| old.node == new.node && old.port() == new.port() && old.landing == new.landing;
    match all.iter_mut().find(same) {
        Some(old) => {
            old.carries_traffic |= new.carries_traffic;
            if old.routes.last() != Some(&route) {
                old.routes.push(route);
            }
        }
        None => all.push(new),
    }
}
