//! The translation of a mesh into the Envoy resources of one proxy.

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
pub(crate) use gateway::bridge;
pub use statistics::StatNames;
pub use uses::{SecretFrom, SecretRole, SecretUse};

/// The inputs of a translation in addition to the mesh.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// How traffic reaches the proxies.
    pub listeners: Listeners<'a>,
    /// The source of secrets that the mesh names (`sds.secretName`).
    pub sds: SdsSource<'a>,
    /// The naming of statistics.
    pub stat_names: StatNames,
    /// How virtual gateways determine the address of a client.
    pub client_address: ClientAddress,
    /// The instances of Cloud Map services, by namespace and service name.
    pub instances: &'a BTreeMap<(String, String), Vec<Instance>>,
}

/// How traffic reaches the proxies.
#[derive(Debug, Clone, Copy)]
pub enum Listeners<'a> {
    /// Traffic is redirected to ports 15000 and 15001, as in the App Mesh images.
    Interception,
    /// Each listener has a separate loopback port, without redirection: all proxies and applications run on one
    /// machine.
    Explicit(&'a PortBook),
}

/// How virtual gateways determine the address of a client, and how they treat `X-Forwarded-For`. By default they
/// forward the header unchanged, as App Mesh gateways did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientAddress {
    /// Whether the address of the connection's peer is appended to `X-Forwarded-For`. A client can then no longer
    /// choose its own address.
    pub use_remote_address: bool,
    /// The number of trusted proxies before the gateway that append to the header.
    pub trusted_hops: u32,
}

/// The source of secrets that the mesh names.
#[derive(Debug, Clone, Copy)]
pub enum SdsSource<'a> {
    /// The secret discovery socket next to the proxy, cluster `static_cluster_sds_unix_socket`.
    Socket,
    /// The listed secrets are sent over ADS; all others come from the socket.
    Ads(&'a BTreeSet<String>),
}

/// An instance of a Cloud Map service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Its IPv4 address (`AWS_INSTANCE_IPV4`).
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address (`AWS_INSTANCE_IPV6`).
    pub ipv6: Option<Ipv6Addr>,
    /// Its attributes. A port attribute is ignored, because the virtual node's listener defines the port.
    pub attributes: BTreeMap<String, String>,
}

/// The translation of a mesh for one proxy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Translation {
    /// The listeners by name.
    pub listeners: BTreeMap<String, Listener>,
    /// The route configurations by name.
    pub routes: BTreeMap<String, RouteConfiguration>,
    /// The names of the route configurations through which other ones of the proxy send their requests: the egress side
    /// of a virtual gateway.
    pub inner_routes: BTreeSet<String>,
    /// The clusters by name.
    pub clusters: BTreeMap<String, Cluster>,
    /// The endpoints of the clusters that receive them over ADS, by cluster name.
    pub endpoints: BTreeMap<String, ClusterLoadAssignment>,
    /// The sources of those endpoints, by cluster name.
    pub discovered: BTreeMap<String, Discovered>,
    /// The secrets that listeners and clusters name, and that are sent over ADS.
    pub secrets: BTreeSet<SecretRef>,
    /// The parts of the mesh that could not be translated as written.
    pub findings: Vec<Finding>,
}

/// The Cloud Map service with the instances that are a cluster's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// The namespace and the name of the service.
    pub service: (String, String),
    /// The virtual node that names the service.
    pub node: ResourcePath,
}

/// A part of the mesh that is not sent as written, because Envoy would refuse it or it has no meaning in Envoy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// A stable id, such as `unsupported-regex`.
    pub id: &'static str,
    /// The resource that contains the part.
    pub resource: ResourcePath,
    /// The problem, the replacement that is sent, and how to fix the problem.
    pub message: String,
}

/// Translates a mesh for one proxy. The translation is empty if the mesh has no resource for the proxy.
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
    /// The encoded resources. Secrets are not included, because their material has another source.
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
            .chain(all(ResourceType::Route, &self.routes).map(|(kind, name, resource)| {
                let is_inner = self.inner_routes.contains(&name);
                (kind, name, if is_inner { resource.into_inner_routes() } else { resource })
            }))
            .collect()
    }
}
