//! Snapshots that name each other, and what of them a client holds.
//!
//! A route `r` of the synthetic snapshots holds, as its timeout-free body, the names of the clusters that it leads to.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, LocalityLbEndpoints};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use prost::Message as _;
use xds::{Resource, ResourceType, Snapshot};

/// What a synthetic mesh has: clusters with a generation each, and listeners that each have a route to clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct World {
    /// Cluster by name, with what changes about it.
    pub(crate) clusters: BTreeMap<String, u32>,
    /// The clusters that each listener's route leads to, and what changes about the listener.
    pub(crate) routes: BTreeMap<String, (u32, BTreeSet<String>)>,
}

impl World {
    /// The snapshot; routes name only clusters that exist.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut resources = Vec::new();
        for (name, generation) in &self.clusters {
            let cluster = Cluster { name: name.clone(), alt_stat_name: generation.to_string(), ..Cluster::default() };
            resources.push((ResourceType::Cluster, name.clone(), Resource::encode(&cluster)));
            let locality = LocalityLbEndpoints { priority: *generation, ..LocalityLbEndpoints::default() };
            let endpoints = ClusterLoadAssignment {
                cluster_name: name.clone(),
                endpoints: vec![locality],
                ..ClusterLoadAssignment::default()
            };
            resources.push((ResourceType::Endpoint, name.clone(), Resource::encode(&endpoints)));
        }
        for (name, (generation, clusters)) in &self.routes {
            let listener = Listener { name: name.clone(), stat_prefix: generation.to_string(), ..Listener::default() };
            resources.push((ResourceType::Listener, name.clone(), Resource::encode(&listener)));
            let route = RouteConfiguration {
                name: name.clone(),
                internal_only_headers: clusters
                    .iter()
                    .filter(|name| self.clusters.contains_key(*name))
                    .cloned()
                    .collect(),
                ..RouteConfiguration::default()
            };
            resources.push((ResourceType::Route, name.clone(), Resource::encode(&route)));
        }
        Snapshot::new(resources)
    }
}

/// What a client holds, by type and name.
pub(crate) type Held = BTreeMap<ResourceType, BTreeMap<String, Vec<u8>>>;

/// The clusters that the routes held lead to, and that are not held, or without their endpoints: a cluster does nothing
/// before it has them.
pub(crate) fn dangling(held: &Held) -> Vec<String> {
    let of = |kind| held.get(&kind).cloned().unwrap_or_default();
    let (clusters, listeners) = (of(ResourceType::Cluster), of(ResourceType::Listener));
    let endpoints = of(ResourceType::Endpoint);
    let mut missing = Vec::new();
    // A route that no listener names any more is not used.
    for (_, body) in of(ResourceType::Route).into_iter().filter(|(name, _)| listeners.contains_key(name)) {
        let route = RouteConfiguration::decode(body.as_slice()).unwrap();
        let works = |name: &String| clusters.contains_key(name) && endpoints.contains_key(name);
        missing.extend(route.internal_only_headers.into_iter().filter(|name| !works(name)));
    }
    missing
}

/// What a client that is at rest should hold of a snapshot.
pub(crate) fn wanted(snapshot: &Snapshot) -> Held {
    let mut held = Held::new();
    for kind in [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route] {
        let of: BTreeMap<_, _> =
            snapshot.of(kind).map(|(name, resource)| (name.clone(), resource.body().to_vec())).collect();
        held.insert(kind, of);
    }
    held
}

pub(crate) fn name_of(kind: ResourceType, body: &[u8]) -> String {
    match kind {
        ResourceType::Cluster => Cluster::decode(body).unwrap().name,
        ResourceType::Endpoint => ClusterLoadAssignment::decode(body).unwrap().cluster_name,
        ResourceType::Listener => Listener::decode(body).unwrap().name,
        ResourceType::Route => RouteConfiguration::decode(body).unwrap().name,
        ResourceType::Secret => panic!("there are none here"),
    }
}
