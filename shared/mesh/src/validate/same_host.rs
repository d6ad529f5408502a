//! Gateway routes that lead to the same host in different spellings.
//!
//! The proxy of a gateway calls virtual services by their host names. Hosts do not differ by letter case, and Envoy
//! refuses a route configuration that has a host twice. Requests for one of two such services would reach the other.

use std::collections::BTreeMap;

use super::mesh_view::MeshView;
use super::{Refusal, Violation};
use crate::name::{GatewayRouteName, ResourcePath, VirtualServiceName};
use crate::spec::{GatewayRouteSpec, Spec};

/// The virtual service of a gateway route, with the member that names it.
fn target_of(spec: &GatewayRouteSpec) -> Option<(&VirtualServiceName, String)> {
    let (kind, target) = (spec.rule.member()?, spec.rule.target()?);
    let member = format!("spec.{kind}.action.target.virtualService.virtualServiceName");
    Some((&target.virtual_service.virtual_service_name, member))
}

/// Whether a proxy would use the same host for two virtual services, so that Envoy refuses one of them.
fn is_same_host(one: &VirtualServiceName, other: &VirtualServiceName) -> bool {
    one != other && one.as_str().eq_ignore_ascii_case(other.as_str())
}

fn same_host(service: &VirtualServiceName, member: String, by: &GatewayRouteName) -> Violation {
    let refusal = Refusal::SameHost { name: service.to_string(), other: format!("the target of gateway route {by}") };
    Violation::new(member, refusal)
}

/// The gateway routes with a target that an earlier gateway route of the same gateway names in another spelling.
pub(super) fn same_hosts(mesh: &impl MeshView) -> Vec<(ResourcePath, Violation)> {
    let mut hosts = BTreeMap::new();
    let mut found = Vec::new();
    for (gateway, name, spec) in mesh.gateway_routes(None) {
        let Some((service, member)) = target_of(spec) else { continue };
        let host = (gateway, service.as_str().to_ascii_lowercase());
        let (first, by) = *hosts.entry(host).or_insert((service, name));
        if is_same_host(service, first) {
            let path = ResourcePath::GatewayRoute(mesh.mesh().clone(), gateway.clone(), name.clone());
            found.push((path, same_host(service, member, by)));
        }
    }
    found
}

/// The violation of a written gateway route, unless the route led to the same virtual service before.
pub(super) fn newly_same_host(before: &impl MeshView, path: &ResourcePath, spec: &Spec) -> Option<Violation> {
    let (ResourcePath::GatewayRoute(_, gateway, own), Spec::GatewayRoute(spec)) = (path, spec) else { return None };
    let (service, member) = target_of(spec)?;
    let mut by = None;
    for (_, name, other) in before.gateway_routes(Some(gateway)) {
        let Some((target, _)) = target_of(other) else { continue };
        if name == own && target == service {
            return None;
        }
        if name != own && is_same_host(service, target) {
            by.get_or_insert(name);
        }
    }
    Some(same_host(service, member, by?))
}
