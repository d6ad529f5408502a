//! Synthetic snapshots with resources that name each other, and the resources that a client holds.
//!
//! The body of a synthetic route contains only the names of the clusters that the route leads to.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, LocalityLbEndpoints};
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, Rds};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::util::pack_any;
use prost::Message as _;
use xds::{Resource, ResourceType, Snapshot};

/// A synthetic mesh: clusters with a generation each, and listeners with a route to clusters each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SyntheticMesh {
    /// The generation of each cluster, by name. A new generation changes the cluster.
    pub(crate) clusters: BTreeMap<String, u32>,
    /// The generation of each listener, and the clusters that its route leads to, by name.
    pub(crate) routes: BTreeMap<String, (u32, BTreeSet<String>)>,
}

impl SyntheticMesh {
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
            let listener = Listener { stat_prefix: generation.to_string(), ..listener(name, Some(name)) };
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

/// A listener that receives this route configuration over ADS; without one, it proxies connections.
pub(crate) fn listener(name: &str, routes: Option<&str>) -> Listener {
    let manager = |routes: &str| HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::Rds(Rds { route_config_name: routes.to_owned(), ..Rds::default() })),
        ..HttpConnectionManager::default()
    };
    let config = routes.map_or_else(|| pack_any(TcpProxy::default()), |routes| pack_any(manager(routes)));
    let filter = Filter { config_type: Some(ConfigType::TypedConfig(config)), ..Filter::default() };
    let chain = FilterChain { filters: vec![filter], ..FilterChain::default() };
    Listener { name: name.to_owned(), filter_chains: vec![chain], ..Listener::default() }
}

/// The resources that a client holds, by type and name.
pub(crate) type HeldResources = BTreeMap<ResourceType, BTreeMap<String, Vec<u8>>>;

/// The clusters of held routes that are missing, or that have no endpoints: a cluster cannot work without them.
pub(crate) fn dangling(held: &HeldResources) -> Vec<String> {
    let of = |kind| held.get(&kind).cloned().unwrap_or_default();
    let (clusters, listeners) = (of(ResourceType::Cluster), of(ResourceType::Listener));
    let endpoints = of(ResourceType::Endpoint);
    let mut missing = Vec::new();
    // A route is not used if no listener names it any more.
    for (_, body) in of(ResourceType::Route).into_iter().filter(|(name, _)| listeners.contains_key(name)) {
        let route = RouteConfiguration::decode(body.as_slice()).unwrap();
        let works = |name: &String| clusters.contains_key(name) && endpoints.contains_key(name);
        missing.extend(route.internal_only_headers.into_iter().filter(|name| !works(name)));
    }
    missing
}

/// The resources of a snapshot that a client at rest should hold.
pub(crate) fn expected_resources(snapshot: &Snapshot) -> HeldResources {
    let mut held = HeldResources::new();
    for kind in [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route] {
        let of: BTreeMap<_, _> =
            snapshot.of(kind).map(|(name, resource)| (name.clone(), resource.body().to_vec())).collect();
        held.insert(kind, of);
    }
    held
}

/// Whether a cluster receives its endpoints over ADS.
pub(crate) fn needs_endpoints(cluster: &[u8]) -> bool {
    Cluster::decode(cluster).unwrap().load_assignment.is_none()
}

/// The route configuration that a listener names.
pub(crate) fn routes_of(listener: &[u8]) -> String {
    let listener = Listener::decode(listener).unwrap();
    let filter = listener.filter_chains.first().and_then(|chain| chain.filters.first());
    let Some(ConfigType::TypedConfig(config)) = filter.and_then(|filter| filter.config_type.as_ref()) else {
        panic!("{listener:?}")
    };
    match HttpConnectionManager::decode(config.value.as_slice()).unwrap().route_specifier {
        Some(RouteSpecifier::Rds(routes)) => routes.route_config_name,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn name_of(kind: ResourceType, body: &[u8]) -> String {
    match kind {
        ResourceType::Cluster => Cluster::decode(body).unwrap().name,
        ResourceType::Endpoint => ClusterLoadAssignment::decode(body).unwrap().cluster_name,
        ResourceType::Listener => Listener::decode(body).unwrap().name,
        ResourceType::Route => RouteConfiguration::decode(body).unwrap().name,
        ResourceType::Secret => panic!("a synthetic mesh has no secrets"),
    }
}
