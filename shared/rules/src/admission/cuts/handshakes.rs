//! Calls whose TLS handshake would fail.

use jiff::Timestamp;

use super::cut::Cut;
use super::moved::{Moved, Target, is_of_handshake};
use super::ports::ports;
use super::taken_over;
use super::tls_modes;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use policy::edges::{EdgeHarm, edge_harms, edges};

/// The calls with two ends that no longer fit, that move to an end that they do not fit, or that fail while a listener
/// changes its mode.
pub(super) fn cuts(before: &Mesh, after: &Mesh, written: &ResourcePath, now: Timestamp) -> Vec<Cut> {
    let readings = Readings::default();
    let (was, will) = (edges(before, &readings, now), edges(after, &readings, now));
    let mut found: Vec<Cut> = edge_harms(&was, &will).iter().filter_map(of_harm).collect();
    let moved = Moved { was: &was, will: &will, before, after };
    for (node, spec) in &before.nodes {
        let Some(now) = after.nodes.get(node) else { continue };
        let from = ResourcePath::VirtualNode(before.name.clone(), node.clone());
        for service in spec.backend_services().filter(|service| now.backend_services().any(|other| other == *service)) {
            let offered = ports(after, service);
            for port in ports(before, service).into_keys().filter(|port| offered.contains_key(port)) {
                let call = Target { service, port };
                found.extend(moved.cut(&from, &from, call, call));
            }
        }
    }
    for (gateway, entry) in &before.gateways {
        let from = ResourcePath::VirtualGateway(before.name.clone(), gateway.clone());
        for (name, route) in &entry.routes {
            let now = after.gateways.get(gateway).and_then(|now| now.routes.get(name));
            let (Some(target), Some(now)) = (route.rule.target(), now.and_then(|now| now.rule.target())) else {
                continue;
            };
            let (Some(was), Some(will)) = (Target::find(before, target), Target::find(after, now)) else { continue };
            let route = ResourcePath::GatewayRoute(before.name.clone(), gateway.clone(), name.clone());
            found.extend(moved.cut(&from, &route, was, will));
        }
    }
    found.extend(tls_modes::cuts(&moved));
    found.extend(taken_over::cuts(&moved, written));
    found
}

fn of_harm(harm: &EdgeHarm) -> Option<Cut> {
    let rule = match harm {
        EdgeHarm::SanMismatch { .. } => "edge-name-mismatch",
        EdgeHarm::Distrust { .. } => "edge-broken",
        EdgeHarm::EdgeBroken { broken, .. } if is_of_handshake(broken) => "edge-broken",
        // Routes and services say where their traffic arrives.
        EdgeHarm::EdgeBroken { .. }
        | EdgeHarm::TlsLost { .. }
        | EdgeHarm::MtlsLost { .. }
        | EdgeHarm::Unproven { .. } => return None,
    };
    Some(Cut { rule, resource: harm.edge().from.clone(), message: harm.to_string() })
}
