//! Rules about the listeners of virtual nodes, gateways and routers.

use super::Refusal;
use super::discovery::service_discovery;
use super::found::FoundViolations;
use crate::spec::{
    ConnectionPool, GatewayConnectionPool, ListenerTimeout, Port, Protocol, VirtualGatewaySpec, VirtualNodeSpec,
    VirtualRouterSpec,
};

pub(super) fn of_node(spec: &VirtualNodeSpec, found: &mut FoundViolations) {
    let listeners = spec.listeners();
    found.refuse_if(!listeners.is_empty() && spec.service_discovery.is_none(), "spec.serviceDiscovery", || {
        Refusal::DiscoveryRequired
    });
    if let Some(discovery) = &spec.service_discovery {
        service_discovery(discovery, found);
    }
    for (index, listener) in listeners.iter().enumerate() {
        let at = IndexedListener { index, port: listener.port_mapping.port, protocol: &listener.port_mapping.protocol };
        at.member_is_protocol(
            "connectionPool",
            listener.connection_pool.as_ref().and_then(ConnectionPool::member),
            found,
        );
        at.member_is_protocol("timeout", listener.timeout.as_ref().and_then(ListenerTimeout::member), found);
        if let Some(check) = &listener.health_check {
            at.health_check(check.port, &check.protocol, check.path.as_deref(), found);
        }
    }
    distinct_ports(listeners.iter().map(|listener| listener.port_mapping.port), found);
}

pub(super) fn of_gateway(spec: &VirtualGatewaySpec, found: &mut FoundViolations) {
    for (index, listener) in spec.listeners.iter().enumerate() {
        let protocol = Protocol::from(&listener.port_mapping.protocol);
        let at = IndexedListener { index, port: listener.port_mapping.port, protocol: &protocol };
        at.member_is_protocol(
            "connectionPool",
            listener.connection_pool.as_ref().and_then(GatewayConnectionPool::member),
            found,
        );
        if let Some(check) = &listener.health_check {
            at.health_check(check.port, &Protocol::from(&check.protocol), check.path.as_deref(), found);
        }
    }
    distinct_ports(spec.listeners.iter().map(|listener| listener.port_mapping.port), found);
}

pub(super) fn of_router(spec: &VirtualRouterSpec, found: &mut FoundViolations) {
    distinct_ports(spec.listeners().iter().map(|listener| listener.port_mapping.port), found);
}

/// A listener of a resource, with its index.
struct IndexedListener<'a> {
    index: usize,
    port: Port,
    protocol: &'a Protocol,
}

impl IndexedListener<'_> {
    /// Refuses limits for another protocol than the protocol of the listener.
    fn member_is_protocol(&self, union: &str, member: Option<&str>, found: &mut FoundViolations) {
        let (index, protocol) = (self.index, self.protocol);
        if let Some(member) = member {
            found.refuse_if(
                member != protocol.as_str(),
                format_args!("spec.listeners[{index}].{union}.{member}"),
                || Refusal::LimitsOfOtherProtocol { protocol: protocol.clone() },
            );
        }
    }

    /// Refuses a health check on another port than the listener's, an HTTP check without a path, and a gRPC check of a
    /// listener without HTTP/2. Envoy also refuses the last one. Other differences between the protocols are allowed.
    fn health_check(&self, given: Option<Port>, protocol: &Protocol, path: Option<&str>, found: &mut FoundViolations) {
        let (index, port) = (self.index, self.port);
        if let Some(given) = given {
            found.refuse_if(given != port, format_args!("spec.listeners[{index}].healthCheck.port"), || {
                Refusal::HealthCheckPort { given, port }
            });
        }
        match protocol {
            Protocol::Http | Protocol::Http2 => found.refuse_if(
                path.is_none_or(str::is_empty),
                format_args!("spec.listeners[{index}].healthCheck.path"),
                || Refusal::HealthCheckPathRequired { protocol: protocol.clone() },
            ),
            Protocol::Grpc => {
                let speaks_http2 = match self.protocol {
                    Protocol::Http2 | Protocol::Grpc | Protocol::Unrecognised(_) => true,
                    Protocol::Http | Protocol::Tcp => false,
                };
                found.refuse_if(!speaks_http2, format_args!("spec.listeners[{index}].healthCheck.protocol"), || {
                    Refusal::HealthCheckWithoutHttp2 { listener: self.protocol.clone() }
                });
            }
            Protocol::Tcp | Protocol::Unrecognised(_) => {}
        }
    }
}

fn distinct_ports(ports: impl Iterator<Item = Port>, found: &mut FoundViolations) {
    let mut seen = std::collections::BTreeMap::new();
    for (index, port) in ports.enumerate() {
        if let Some(first) = seen.get(&port) {
            found.refuse(
                format!("spec.listeners[{index}].portMapping.port"),
                Refusal::PortTwice { port, first: *first },
            );
        } else {
            seen.insert(port, index);
        }
    }
}
