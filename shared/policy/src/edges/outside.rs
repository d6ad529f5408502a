//! The virtual nodes that represent hosts outside the mesh.
//!
//! Such a node has no proxy: no task runs as the node, and its listener only names the host's port. The TLS of the host
//! is not part of the model. The API does not distinguish such nodes, so the policy may name the hosts, and otherwise
//! the specs are the evidence.

use std::collections::BTreeSet;

use crate::EgressPolicy;
use mesh::graph::Mesh;
use mesh::name::VirtualNodeName;
use mesh::spec::{Listener, ServiceDiscovery, VirtualNodeSpec};

/// The virtual nodes of a mesh that represent hosts outside the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutsideNodes<'m> {
    nodes: BTreeSet<&'m VirtualNodeName>,
}

impl<'m> OutsideNodes<'m> {
    /// Finds these nodes: nodes with a host name that `egress.external` names; and nodes with the DNS name of an
    /// external host and without any configuration for a proxy, if no other node of the same domain has
    /// such a configuration.
    #[must_use]
    pub fn find(mesh: &'m Mesh, policy: &EgressPolicy) -> Self {
        let domains: BTreeSet<String> =
            mesh.nodes.values().filter(|node| has_proxy(node)).filter_map(|node| domain(hostname(node)?)).collect();
        let is_outside = |node: &VirtualNodeSpec| {
            let Some(host) = hostname(node) else { return false };
            if policy.external.iter().any(|pattern| pattern.matches(host.trim_end_matches('.'))) {
                return true;
            }
            let is_sibling = || domain(host).is_some_and(|domain| domains.contains(&domain));
            policy.is_external(host) && !has_proxy(node) && !is_sibling()
        };
        let nodes = mesh.nodes.iter().filter(|(_, node)| is_outside(node)).map(|(name, _)| name);
        Self { nodes: nodes.collect() }
    }

    /// Whether a virtual node represents an outside host.
    #[must_use]
    pub fn contains(&self, node: &VirtualNodeName) -> bool {
        self.nodes.contains(node)
    }
}

/// The DNS name of a node's service discovery.
pub(super) fn hostname(node: &VirtualNodeSpec) -> Option<&str> {
    match node.service_discovery.as_ref()? {
        ServiceDiscovery::Dns(dns) => Some(&dns.hostname),
        ServiceDiscovery::AwsCloudMap(_) | ServiceDiscovery::Unrecognised(_) => None,
    }
}

/// The part after the first label, unless that is a top-level domain: `shop.example.com` of `orders.shop.example.com`.
fn domain(host: &str) -> Option<String> {
    let (_, domain) = host.trim_end_matches('.').split_once('.')?;
    // An unresolved template expression counts as a complete domain.
    (domain.contains('.') || domain.contains('$')).then(|| domain.to_ascii_lowercase())
}

/// The ports of TLS servers.
const TLS_PORTS: [u16; 3] = [443, 8443, 9443];

/// Whether a spec configures a feature that needs a proxy of the node itself. On a port for TLS, the limits of a
/// listener without TLS are no evidence: they are copied from other nodes, and have no effect for an outside host.
fn has_proxy(node: &VirtualNodeSpec) -> bool {
    let listens = |listener: &Listener| {
        let has_limits = listener.timeout.is_some() || listener.connection_pool.is_some();
        listener.tls.is_some() || has_limits && !TLS_PORTS.contains(&listener.port_mapping.port.get())
    };
    node.backends.as_ref().is_some_and(|backends| !backends.is_empty())
        || node.backend_defaults.is_some()
        || node.logging.is_some()
        || node.listeners().is_empty()
        || node.listeners().iter().any(listens)
}
