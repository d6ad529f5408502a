//! Calls that work in a mesh and would fail after a write.

mod cut;
mod handshakes;
mod moved;
mod ports;
mod receiving;
mod taken_over;
mod tls_modes;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

pub use cut::Cut;
use mesh::graph::Mesh;
use mesh::harm::{Harm, harms};
use mesh::name::{ResourcePath, RouteId, VirtualNodeName, VirtualServiceName};
use mesh::spec::{Port, Protocol};
use ports::ports;
use receiving::takes_something;

/// The calls that work before a write and fail after it, in a stable order. Calls to a deleted resource, and to a
/// service that the caller no longer names, are given up on purpose and do not count.
#[must_use]
pub fn cuts(before: &Mesh, after: &Mesh, written: &ResourcePath, now: Timestamp) -> Vec<Cut> {
    let mut found = of_routes(before, after);
    found.extend(handshakes::cuts(before, after, written, now));
    found.extend(of_services(before, after));
    found.extend(of_shared_ports(before, after));
    if let ResourcePath::Route(id) = written {
        found.extend(of_kind(before, after, id));
    }
    found.sort_by(|a, b| (&a.resource, a.rule, &a.message).cmp(&(&b.resource, b.rule, &b.message)));
    found.dedup();
    found
}

/// Routes with traffic that has no destination.
fn of_routes(before: &Mesh, after: &Mesh) -> Vec<Cut> {
    let routes: Vec<RouteId> = after.routes().map(|(id, _)| id).filter(|id| before.route(id).is_some()).collect();
    let cut = |harm: Harm| {
        let rule = match &harm {
            Harm::RouteDrained { .. } => "route-drained",
            Harm::DanglingReference { .. } => "reference-dangling",
            Harm::MissingListenerPort { .. } => "route-target-not-listening",
            Harm::ProtocolMismatch { .. } => "route-target-other-protocol",
            // Plain text has a destination; another finding reports that it is plain text.
            Harm::TlsLost { .. } => return None,
        };
        Some(Cut { rule, resource: ResourcePath::Route(harm.route().clone()), message: harm.to_string() })
    };
    harms(before, after, &routes).into_iter().filter_map(cut).collect()
}

/// Callers of virtual services that would lose all ports on which they were called.
fn of_services(before: &Mesh, after: &Mesh) -> Vec<Cut> {
    let mut found = Vec::new();
    for (node, spec) in &before.nodes {
        let Some(now) = after.nodes.get(node) else { continue };
        let named: BTreeSet<&VirtualServiceName> = now.backend_services().collect();
        for service in spec.backend_services().filter(|service| named.contains(service)) {
            if after.services.contains_key(service) {
                let from = ResourcePath::VirtualNode(before.name.clone(), node.clone());
                found.extend(lost_ports(&ports(before, service), &ports(after, service), from, service));
            }
        }
    }
    for (gateway, entry) in &before.gateways {
        let Some(now) = after.gateways.get(gateway) else { continue };
        for (name, route) in &entry.routes {
            let (Some(was), Some(will)) =
                (route.rule.target(), now.routes.get(name).and_then(|route| route.rule.target()))
            else {
                continue;
            };
            let (was, will) = (&was.virtual_service.virtual_service_name, &will.virtual_service.virtual_service_name);
            let takes_requests = |mesh: &Mesh, service: &VirtualServiceName| {
                ports(mesh, service).values().any(|protocol| *protocol != Protocol::Tcp)
            };
            if after.services.contains_key(will) && takes_requests(before, was) && !takes_requests(after, will) {
                let resource = ResourcePath::GatewayRoute(before.name.clone(), gateway.clone(), name.clone());
                let message = format!(
                    "requests of gateway route {name} would fail: virtual service {will} would have no listener that \
                     takes requests"
                );
                found.push(Cut { rule: "service-without-provider", resource, message });
            }
        }
    }
    found
}

fn lost_ports(
    was: &BTreeMap<Port, Protocol>,
    will: &BTreeMap<Port, Protocol>,
    from: ResourcePath,
    service: &VirtualServiceName,
) -> Option<Cut> {
    // With several ports, some may be given up: callers move to another port before.
    let keeps_one = was.is_empty() || was.keys().any(|port| will.contains_key(port));
    if keeps_one {
        return None;
    }
    let list = |ports: &BTreeMap<Port, Protocol>| {
        let ports: Vec<String> = ports.keys().map(ToString::to_string).collect();
        if ports.is_empty() { "none".to_owned() } else { ports.join(", ") }
    };
    let message = format!(
        "calls of {} to virtual service {service} would fail: it is called on {}, and would be on {}",
        from.name(),
        list(was),
        list(will)
    );
    Some(Cut { rule: "service-without-provider", resource: from, message })
}

/// Backends of a node that would share a port with a TCP backend: the proxy cannot distinguish them, and ignores one.
fn of_shared_ports(before: &Mesh, after: &Mesh) -> Vec<Cut> {
    let (was, will) = (shared_ports(before), shared_ports(after));
    let new = will.into_iter().filter(|((node, port), _)| {
        !was.contains_key(&(*node, *port))
            && before
                .nodes
                .get(*node)
                .is_some_and(|spec| spec.backend_services().any(|service| ports(before, service).contains_key(port)))
    });
    let cut = |((node, port), services): ((&VirtualNodeName, Port), Vec<&VirtualServiceName>)| {
        let services: Vec<&str> = services.into_iter().map(VirtualServiceName::as_str).collect();
        Cut {
            rule: "backend-port-conflict",
            resource: ResourcePath::VirtualNode(before.name.clone(), node.clone()),
            message: format!(
                "calls of {node} on port {port} would fail: {} share it, and one of them speaks tcp",
                services.join(", ")
            ),
        }
    };
    new.map(cut).collect()
}

fn shared_ports(mesh: &Mesh) -> BTreeMap<(&VirtualNodeName, Port), Vec<&VirtualServiceName>> {
    let mut shared = BTreeMap::new();
    for (node, spec) in &mesh.nodes {
        let mut users: BTreeMap<Port, Vec<(&VirtualServiceName, Protocol)>> = BTreeMap::new();
        for service in spec.backend_services().collect::<BTreeSet<_>>() {
            for (port, protocol) in ports(mesh, service) {
                users.entry(port).or_default().push((service, protocol));
            }
        }
        for (port, users) in users {
            if users.len() > 1 && users.iter().any(|(_, protocol)| *protocol == Protocol::Tcp) {
                shared.insert((node, port), users.into_iter().map(|(service, _)| service).collect());
            }
        }
    }
    shared
}

/// A route with a kind that its router does not serve, if the write makes it so.
fn of_kind(before: &Mesh, after: &Mesh, id: &RouteId) -> Option<Cut> {
    let (was, will) = (before.route(id)?, after.route(id)?);
    let is_cut = takes_something(before, id, was)? && !takes_something(after, id, will)?;
    is_cut.then(|| Cut {
        rule: "route-kind-other-than-router",
        resource: ResourcePath::Route(id.clone()),
        message: format!(
            "nothing would get through route {id}: it would be a {}, which its router has no listener for",
            will.rule.member().unwrap_or_default()
        ),
    })
}
