//! The translation of a mesh for one proxy.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use mesh::name::ResourcePath;

use crate::resource::{Resource, ResourceType};
use crate::secret::SecretRef;

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
