//! Rules between two resources. Each is about specs that exist; whether they exist is for the caller to say.

use super::{Found, Violation};
use crate::name::VirtualNodeName;
use crate::spec::{GatewayRouteSpec, Port, RouteSpec, VirtualGatewaySpec, VirtualNodeSpec, VirtualRouterSpec};

/// Checks a route against the virtual router it is in: with several listeners it must name one of them. A route of
/// another protocol than its router was accepted and is a finding, not a violation.
pub fn route_against_router(route: &RouteSpec, router: &VirtualRouterSpec) -> Result<(), Vec<Violation>> {
    let Some(at) = route.rule.member() else {
        return Ok(());
    };
    let listeners: Vec<Port> = router.listeners().iter().map(|listener| listener.port_mapping.port).collect();
    let mut found = Found::default();
    names_listener(&format!("spec.{at}.match.port"), "router", route.rule.match_port(), &listeners, &mut found);
    found.into_result()
}

/// Checks the weighted targets of a route that are a virtual node against that node's listeners.
pub fn route_against_node(
    route: &RouteSpec,
    name: &VirtualNodeName,
    node: &VirtualNodeSpec,
) -> Result<(), Vec<Violation>> {
    let (Some(at), Some(action)) = (route.rule.member(), route.rule.action()) else {
        return Ok(());
    };
    let listeners: Vec<Port> = node.listeners().iter().map(|listener| listener.port_mapping.port).collect();
    let mut found = Found::default();
    for (index, target) in action.weighted_targets.iter().enumerate() {
        if target.virtual_node == *name {
            let at = format!("spec.{at}.action.weightedTargets[{index}].port");
            names_listener(&at, "virtual node", target.port, &listeners, &mut found);
        }
    }
    found.into_result()
}

/// Checks a gateway route against the virtual gateway it is in.
pub fn gateway_route_against_gateway(
    route: &GatewayRouteSpec,
    gateway: &VirtualGatewaySpec,
) -> Result<(), Vec<Violation>> {
    let Some(at) = route.rule.member() else {
        return Ok(());
    };
    let listeners: Vec<Port> = gateway.listeners.iter().map(|listener| listener.port_mapping.port).collect();
    let mut found = Found::default();
    names_listener(&format!("spec.{at}.match.port"), "gateway", route.rule.match_port(), &listeners, &mut found);
    found.into_result()
}

/// Checks the target of a gateway route against the listener ports of the node or router that provides the service.
pub fn gateway_route_against_provider(route: &GatewayRouteSpec, listeners: &[Port]) -> Result<(), Vec<Violation>> {
    let (Some(at), Some(target)) = (route.rule.member(), route.rule.target()) else {
        return Ok(());
    };
    let mut found = Found::default();
    names_listener(&format!("spec.{at}.action.target.port"), "provider", target.port, listeners, &mut found);
    found.into_result()
}

/// A port must be one of the listeners', and must be given when there are several. Without any listener nothing can
/// be said.
fn names_listener(at: &str, of: &str, port: Option<Port>, listeners: &[Port], found: &mut Found) {
    if listeners.is_empty() {
        return;
    }
    let ports: Vec<String> = listeners.iter().map(ToString::to_string).collect();
    let ports = ports.join(", ");
    match port {
        Some(port) => found.refuse_if(
            !listeners.contains(&port),
            at,
            format_args!("is {port}, must be the port of a listener of the {of}: {ports}"),
        ),
        None => found.refuse_if(
            listeners.len() > 1,
            at,
            format_args!("is required because the {of} has several listeners: add one of {ports}"),
        ),
    }
}

impl Found {
    fn into_result(self) -> Result<(), Vec<Violation>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
