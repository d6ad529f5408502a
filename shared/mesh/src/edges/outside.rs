//! Which virtual nodes stand for hosts outside the mesh.
//!
//! Such a node has no proxy: no task runs as it, and its listener only says on which port the host answers. What the host
//! does with TLS is not in the model. Nothing in the API tells such a node apart, so the policy may name the hosts, and
//! otherwise the specs are the evidence.

use std::collections::BTreeSet;

use crate::graph::Mesh;
use crate::name::VirtualNodeName;
use crate::policy::EgressPolicy;
use crate::spec::{Listener, ServiceDiscovery, VirtualNodeSpec};

/// The virtual nodes of a mesh that stand for hosts outside of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutsideNodes<'m> {
    nodes: BTreeSet<&'m VirtualNodeName>,
}

impl<'m> OutsideNodes<'m> {
    /// Finds them: nodes whose host name `egress.external` names; and nodes found by the DNS name of an external host
    /// that configure nothing a proxy of their own would need, while no node below the same domain does.
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

    /// Whether a virtual node stands for a host outside.
    #[must_use]
    pub fn contains(&self, node: &VirtualNodeName) -> bool {
        self.nodes.contains(node)
    }
}

/// The DNS name by which a node is found.
pub(super) fn hostname(node: &VirtualNodeSpec) -> Option<&str> {
    match node.service_discovery.as_ref()? {
        ServiceDiscovery::Dns(dns) => Some(&dns.hostname),
        ServiceDiscovery::AwsCloudMap(_) | ServiceDiscovery::Unrecognised(_) => None,
    }
}

/// What follows the first label, unless that is a top-level domain: `shop.example.com` of `orders.shop.example.com`.
fn domain(host: &str) -> Option<String> {
    let (_, domain) = host.trim_end_matches('.').split_once('.')?;
    // A domain that a template has yet to fill in is a whole one.
    (domain.contains('.') || domain.contains('$')).then(|| domain.to_ascii_lowercase())
}

/// Whether a spec configures something that only a proxy of the node itself could carry out.
fn has_proxy(node: &VirtualNodeSpec) -> bool {
    let listens = |listener: &Listener| {
        listener.tls.is_some() || listener.timeout.is_some() || listener.connection_pool.is_some()
    };
    node.backends.as_ref().is_some_and(|backends| !backends.is_empty())
        || node.backend_defaults.is_some()
        || node.logging.is_some()
        || node.listeners().is_empty()
        || node.listeners().iter().any(listens)
}
