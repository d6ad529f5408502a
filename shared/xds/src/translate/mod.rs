//! One proxy's share of a mesh, as Envoy resources.

mod backends;
mod breakers;
mod clusters;
mod dangling;
mod draft;
pub mod finding;
mod gateway;
mod health;
mod listeners;
mod logs;
mod names;
mod node;
pub(crate) mod proto;
mod routes;
mod statistics;
mod tls;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;

use crate::ports::PortBook;
use crate::proxy::Proxy;
use crate::resource::{Resource, ResourceType};
use crate::secret::SecretRef;
use draft::Draft;

pub(crate) use backends::offers;
pub use statistics::StatNames;
pub use uses::{SecretFrom, SecretRole, SecretUse};

/// What a translation depends on beside the mesh.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// How traffic reaches the proxies.
    pub listeners: Listeners<'a>,
    /// Where secrets that the mesh calls by name (`sds.secretName`) come from.
    pub sds: SdsSource<'a>,
    /// What statistics are named by.
    pub stat_names: StatNames,
    /// How virtual gateways find out the address of a client.
    pub client_address: ClientAddress,
    /// The instances of Cloud Map services, by namespace and service name.
    pub instances: &'a BTreeMap<(String, String), Vec<Instance>>,
}

/// How traffic reaches the proxies.
#[derive(Debug, Clone, Copy)]
pub enum Listeners<'a> {
    /// Redirected to 15000 and 15001, as App Mesh's images have it.
    Interception,
    /// On a loopback port each, without redirection: all proxies and applications are on one machine.
    Explicit(&'a PortBook),
}

/// How virtual gateways find out the address of a client, and what they do with `X-Forwarded-For`. By default they pass
/// the header on as it came, as App Mesh's gateways did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientAddress {
    /// Whether the address of the connection's other end is appended to `X-Forwarded-For`. A client can then no longer
    /// name itself.
    pub use_remote_address: bool,
    /// How many proxies that can be trusted to append to the header stand before the gateway.
    pub trusted_hops: u32,
}

/// Where secrets that the mesh calls by name come from.
#[derive(Debug, Clone, Copy)]
pub enum SdsSource<'a> {
    /// From the socket beside the proxy, cluster `static_cluster_sds_unix_socket`.
    Socket,
    /// Those named are sent over ADS; any other comes from the socket.
    Ads(&'a BTreeSet<String>),
}

/// An instance of a Cloud Map service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Its IPv4 address (`AWS_INSTANCE_IPV4`).
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address (`AWS_INSTANCE_IPV6`).
    pub ipv6: Option<Ipv6Addr>,
    /// Its attributes. A port among them has no meaning: the virtual node's listener says which one it is.
    pub attributes: BTreeMap<String, String>,
}

/// What became of one proxy's share of a mesh.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Translation {
    /// The listeners by name.
    pub listeners: BTreeMap<String, Listener>,
    /// The route configurations by name.
    pub routes: BTreeMap<String, RouteConfiguration>,
    /// The clusters by name.
    pub clusters: BTreeMap<String, Cluster>,
    /// The endpoints of the clusters that get them over ADS, by cluster name.
    pub endpoints: BTreeMap<String, ClusterLoadAssignment>,
    /// Whose instances those are, by cluster name.
    pub discovered: BTreeMap<String, Discovered>,
    /// The secrets that those name.
    pub secrets: BTreeSet<SecretRef>,
    /// What could not be translated as it stands.
    pub findings: Vec<Finding>,
}

/// The Cloud Map service that a cluster's endpoints are the instances of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Its namespace and its name.
    pub service: (String, String),
    /// The virtual node that names it.
    pub node: ResourcePath,
}

/// Something in the mesh that is not sent as it stands, since Envoy would refuse it or it has no meaning there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// A stable id, such as `unsupported-regex`.
    pub id: &'static str,
    /// Where it is.
    pub resource: ResourcePath,
    /// What it is, what is done instead, and how to mend it.
    pub message: String,
}

/// Translates one proxy's share of a mesh. A proxy whose resource is not in the mesh gets nothing.
#[must_use]
pub fn translate(mesh: &Mesh, proxy: &Proxy, surroundings: Surroundings<'_>) -> Translation {
    let mut draft = Draft::new(mesh, proxy, surroundings);
    match proxy {
        Proxy::Node(name) => {
            if let Some((name, spec)) = mesh.nodes.get_key_value(name) {
                draft.node(name, spec);
            }
        }
        Proxy::Gateway(name) => {
            if let Some((name, gateway)) = mesh.gateways.get_key_value(name)
                && let Some(spec) = &gateway.spec
            {
                draft.gateway(name, spec);
            }
        }
    }
    draft.out.findings.sort();
    draft.out
}

impl Translation {
    /// The resources, encoded. Secrets are not among them: their material comes from elsewhere.
    #[must_use]
    pub fn encode(&self) -> Vec<(ResourceType, String, Resource)> {
        fn all<'a, M: prost::Message + prost::Name + 'a>(
            kind: ResourceType,
            messages: impl IntoIterator<Item = (&'a String, &'a M)>,
        ) -> impl Iterator<Item = (ResourceType, String, Resource)> {
            messages.into_iter().map(move |(name, message)| (kind, name.clone(), Resource::encode(message)))
        }
        all(ResourceType::Cluster, &self.clusters)
            .chain(all(ResourceType::Endpoint, &self.endpoints))
            .chain(all(ResourceType::Listener, &self.listeners))
            .chain(all(ResourceType::Route, &self.routes))
            .collect()
    }
}
