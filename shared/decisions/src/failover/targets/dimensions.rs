//! The target that dimensions or labels name.

use std::collections::BTreeMap;

use super::{Caller, TargetRule, Unmapped};
use crate::failover::label;
use mesh::name::{MeshName, VirtualNodeName};
use policy::AlarmDiscovery;

/// The target that dimensions name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedTarget {
    pub(super) mesh: MeshName,
    pub(super) node: VirtualNodeName,
    pub(super) rule: TargetRule,
    pub(super) caller: Option<Caller>,
}

/// Whether the caller measures the metric. `VirtualNode` and `VirtualGateway` then name the caller.
fn is_outbound(metric: &str) -> bool {
    let name = label::plain(metric);
    ["target_", "_target", "upstream_", "client_"].iter().any(|part| name.contains(part))
}

/// The target that the dimensions of a metric name.
pub(super) fn named(
    metric: &str,
    dimensions: &BTreeMap<String, String>,
    discovery: &AlarmDiscovery,
) -> Result<NamedTarget, Unmapped> {
    let value = |dimension: &str| label::value(dimensions, dimension);
    let node = value(&discovery.virtual_node_dimension);
    let gateway = value(&discovery.virtual_gateway_dimension);
    let caller = || {
        let of_node = node.map(|node| Caller::VirtualNode(node.to_owned()));
        of_node.or_else(|| gateway.map(|gateway| Caller::VirtualGateway(gateway.to_owned())))
    };
    if let Some(node) = value(&discovery.target_virtual_node_dimension) {
        return target(node, dimensions, discovery, TargetRule::TargetDimensions, caller());
    }
    if let Some(service) = value(&discovery.target_virtual_service_dimension) {
        return Err(Unmapped::ServiceOnly { service: service.to_owned() });
    }
    match (node, gateway) {
        (Some(caller), _) | (None, Some(caller)) if is_outbound(metric) => {
            Err(Unmapped::CallerOnly { caller: caller.to_owned() })
        }
        (Some(node), _) => target(node, dimensions, discovery, TargetRule::NodeDimensions, None),
        (None, Some(gateway)) => Err(Unmapped::GatewayOnly { gateway: gateway.to_owned() }),
        (None, None) => Err(Unmapped::NamesNoTarget),
    }
}

fn target(
    node: &str,
    dimensions: &BTreeMap<String, String>,
    discovery: &AlarmDiscovery,
    rule: TargetRule,
    caller: Option<Caller>,
) -> Result<NamedTarget, Unmapped> {
    let invalid = |value: &str| Unmapped::InvalidName { value: value.to_owned() };
    let mesh = match label::value(dimensions, &discovery.mesh_dimension) {
        Some(mesh) => MeshName::parse(mesh).map_err(|_| invalid(mesh))?,
        None => discovery.mesh.clone().ok_or_else(|| Unmapped::LacksMesh { node: node.to_owned() })?,
    };
    let node = VirtualNodeName::parse(node).map_err(|_| invalid(node))?;
    Ok(NamedTarget { mesh, node, rule, caller })
}
