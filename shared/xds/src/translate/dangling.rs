//! Checks that a translation contains every resource that it names.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::listener::v3::{Filter, filter};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};

use super::proto::unpacked;
use super::{SecretFrom, Translation};
use crate::secret::SecretRef;

/// The names that the resources of a translation refer to.
#[derive(Debug, Default)]
struct References {
    clusters: BTreeSet<String>,
    routes: BTreeSet<String>,
    endpoints: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl Translation {
    /// The inconsistencies of a translation; empty for a sound one. They are: named resources that are missing, secrets
    /// and endpoints that no resource names, and resources that are stored under another name than their own.
    ///
    /// A proxy that is sent the name of a missing resource waits for it, or returns errors, until it arrives.
    #[must_use]
    pub fn dangling(&self) -> Vec<String> {
        let references = References::from_translation(self);
        let secrets: BTreeSet<_> = self.secrets.iter().map(SecretRef::name).collect();
        let mut faults = Vec::new();
        let mut check = |is_met: bool, fault: String| {
            if !is_met {
                faults.push(fault);
            }
        };
        for name in &references.clusters {
            check(self.clusters.contains_key(name), format!("cluster {name} is referenced and missing"));
        }
        for name in &references.routes {
            check(self.routes.contains_key(name), format!("route configuration {name} is referenced and missing"));
        }
        for name in &references.endpoints {
            check(self.endpoints.contains_key(name), format!("the endpoints of cluster {name} are missing"));
        }
        for name in &references.secrets {
            check(secrets.contains(name), format!("secret {name} is referenced and missing"));
        }
        for name in &secrets {
            check(references.secrets.contains(name), format!("secret {name} is not referenced"));
        }
        for name in self.endpoints.keys() {
            check(references.endpoints.contains(name), format!("the endpoints of cluster {name} are not referenced"));
        }
        check(secrets.len() == self.secrets.len(), "two secrets have the same name".to_owned());
        for (name, own) in self.own_names() {
            check(name == own, format!("resource {own} is stored under the name {name}"));
        }
        faults
    }

    fn own_names(&self) -> impl Iterator<Item = (&String, &String)> {
        let listeners = self.listeners.iter().map(|(name, listener)| (name, &listener.name));
        let routes = self.routes.iter().map(|(name, routes)| (name, &routes.name));
        let clusters = self.clusters.iter().map(|(name, cluster)| (name, &cluster.name));
        let endpoints = self.endpoints.iter().map(|(name, endpoints)| (name, &endpoints.cluster_name));
        listeners.chain(routes).chain(clusters).chain(endpoints)
    }
}

impl References {
    fn from_translation(translation: &Translation) -> Self {
        let uses = translation.secret_uses().into_values().flatten();
        let secrets = uses.filter(|secret| secret.from == SecretFrom::Ads).map(|secret| secret.name).collect();
        let mut references = Self { secrets, ..Self::default() };
        for chain in translation.listeners.values().flat_map(|listener| &listener.filter_chains) {
            chain.filters.iter().for_each(|filter| references.filter(filter));
        }
        translation.routes.values().for_each(|routes| references.routes_to(routes));
        for cluster in translation.clusters.values() {
            if cluster.cluster_discovery_type == Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())) {
                references.endpoints.insert(cluster.name.clone());
            }
        }
        references
    }

    fn filter(&mut self, filter: &Filter) {
        let Some(filter::ConfigType::TypedConfig(config)) = &filter.config_type else { return };
        if let Some(HttpConnectionManager { route_specifier: Some(RouteSpecifier::Rds(rds)), .. }) = unpacked(config) {
            self.routes.insert(rds.route_config_name);
        } else if let Some(proxy) = unpacked::<TcpProxy>(config) {
            match proxy.cluster_specifier {
                Some(tcp_proxy::ClusterSpecifier::Cluster(cluster)) => {
                    self.clusters.insert(cluster);
                }
                Some(tcp_proxy::ClusterSpecifier::WeightedClusters(weighted)) => {
                    self.clusters.extend(weighted.clusters.into_iter().map(|cluster| cluster.name));
                }
                None => {}
            }
        }
    }

    fn routes_to(&mut self, routes: &RouteConfiguration) {
        let routes = routes.virtual_hosts.iter().flat_map(|host| &host.routes);
        for action in routes.filter_map(|route| route.action.as_ref()) {
            let Action::Route(action) = action else { continue };
            match &action.cluster_specifier {
                Some(route_action::ClusterSpecifier::Cluster(cluster)) => {
                    self.clusters.insert(cluster.clone());
                }
                Some(route_action::ClusterSpecifier::WeightedClusters(weighted)) => {
                    self.clusters.extend(weighted.clusters.iter().map(|cluster| cluster.name.clone()));
                }
                _ => {}
            }
        }
    }
}
