//! Rules about the listeners of virtual nodes, gateways and routers.

use super::Found;
use crate::spec::{
    ConnectionPool, GatewayConnectionPool, ListenerTimeout, Port, Protocol, VirtualGatewaySpec, VirtualNodeSpec,
    VirtualRouterSpec,
};

pub(super) fn of_node(spec: &VirtualNodeSpec, found: &mut Found) {
    let listeners = spec.listeners();
    found.refuse_if(
        !listeners.is_empty() && spec.service_discovery.is_none(),
        "spec.serviceDiscovery",
        "is required because the node has a listener: add it, or remove the listeners",
    );
    for (index, listener) in listeners.iter().enumerate() {
        let at = Place { index, port: listener.port_mapping.port, protocol: &listener.port_mapping.protocol };
        at.member_is_protocol(
            "connectionPool",
            listener.connection_pool.as_ref().and_then(ConnectionPool::member),
            found,
        );
        at.member_is_protocol("timeout", listener.timeout.as_ref().and_then(ListenerTimeout::member), found);
        at.health_check_port(listener.health_check.as_ref().and_then(|check| check.port), found);
    }
    distinct_ports(listeners.iter().map(|listener| listener.port_mapping.port), found);
}

pub(super) fn of_gateway(spec: &VirtualGatewaySpec, found: &mut Found) {
    for (index, listener) in spec.listeners.iter().enumerate() {
        let protocol = Protocol::from(&listener.port_mapping.protocol);
        let at = Place { index, port: listener.port_mapping.port, protocol: &protocol };
        at.member_is_protocol(
            "connectionPool",
            listener.connection_pool.as_ref().and_then(GatewayConnectionPool::member),
            found,
        );
        at.health_check_port(listener.health_check.as_ref().and_then(|check| check.port), found);
    }
    distinct_ports(spec.listeners.iter().map(|listener| listener.port_mapping.port), found);
}

pub(super) fn of_router(spec: &VirtualRouterSpec, found: &mut Found) {
    distinct_ports(spec.listeners().iter().map(|listener| listener.port_mapping.port), found);
}

/// A listener among its siblings.
struct Place<'a> {
    index: usize,
    port: Port,
    protocol: &'a Protocol,
}

impl Place<'_> {
    /// Refuses limits that are for another protocol than the listener's.
    fn member_is_protocol(&self, union: &str, member: Option<&str>, found: &mut Found) {
        let (index, protocol) = (self.index, self.protocol);
        if let Some(member) = member {
            found.refuse_if(
                member != protocol.as_str(),
                format_args!("spec.listeners[{index}].{union}.{member}"),
                format_args!("must be `{protocol}`, the protocol of the listener"),
            );
        }
    }

    /// Refuses a health check on another port than the listener's. Its protocol may be another.
    fn health_check_port(&self, given: Option<Port>, found: &mut Found) {
        let (index, port) = (self.index, self.port);
        if let Some(given) = given {
            found.refuse_if(
                given != port,
                format_args!("spec.listeners[{index}].healthCheck.port"),
                format_args!("is {given}, must be {port}, the port of the listener; remove it to get that"),
            );
        }
    }
}

fn distinct_ports(ports: impl Iterator<Item = Port>, found: &mut Found) {
    let mut seen = std::collections::BTreeMap::new();
    for (index, port) in ports.enumerate() {
        if let Some(first) = seen.get(&port) {
            found.refuse(
                format!("spec.listeners[{index}].portMapping.port"),
                format!("is {port}, as is that of listener {first}: give each listener a port of its own"),
            );
        } else {
            seen.insert(port, index);
        }
    }
}
