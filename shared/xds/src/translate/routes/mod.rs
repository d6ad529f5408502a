//! The routes of a proxy's requests.

mod limits;
mod matches;
mod retries;
mod tcp;

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, RetryPolicy, Route, RouteAction as Forward, RouteConfiguration, RouteMatch, VirtualHost,
    WeightedCluster,
};
use mesh::name::{ResourcePath, RouteName, VirtualNodeName, VirtualRouterName, VirtualServiceName};
use mesh::spec::{ClientPolicy, Listener, Port, RouteAction, RouteRule, RouteSpec};

use super::backends::{Offer, Provider, offers, provider};
use super::draft::{Draft, member_names};
use super::finding;
use super::proto::uint;
use super::statistics::extension_metadata;
use retries::retry_policy;

pub(super) use limits::Limits;
pub(super) use matches::{grpc_service, method};

/// A backend of a proxy, on one of the backend's ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called<'a, 'm> {
    pub(super) service: &'m VirtualServiceName,
    pub(super) offer: &'a Offer,
    pub(super) policy: Option<&'m ClientPolicy>,
}

impl<'m> Draft<'m> {
    /// The routes of a listener: all its requests go to the application.
    pub(super) fn ingress_routes(&mut self, listener: &'m Listener, name: &str, cluster: &str) -> RouteConfiguration {
        let limits = self.listener_limits(listener);
        let route = forward(anything(), ClusterSpecifier::Cluster(cluster.to_owned()), limits, None);
        RouteConfiguration {
            name: name.to_owned(),
            virtual_hosts: vec![virtual_host(name, vec!["*".to_owned()], vec![route])],
            ..RouteConfiguration::default()
        }
    }

    /// The routes of a backend, in the order in which they are tried; empty if it has no provider.
    pub(super) fn service_routes(&mut self, called: Called<'_, 'm>) -> Vec<Route> {
        match provider(self.mesh, called.service) {
            Provider::Router(router) => self
                .routes_for(router, called)
                .into_iter()
                .filter_map(|(name, spec)| {
                    let path = ResourcePath::Route(self.mesh.route_id(router, name));
                    self.route(spec, called, &path)
                })
                .map(|route| counted_for(called.service, route))
                .collect(),
            Provider::Node(node) => vec![counted_for(called.service, self.route_to_provider(node, called))],
            Provider::None => Vec::new(),
        }
    }

    /// The routes of a router for the called port, in the order in which they are tried.
    fn routes_for(
        &mut self,
        router: &'m VirtualRouterName,
        called: Called<'_, 'm>,
    ) -> Vec<(&'m RouteName, &'m RouteSpec)> {
        let Some(router_entry) = self.mesh.routers.get(router) else { return Vec::new() };
        let offers = offers(self.mesh, called.service);
        let mut ordered = router_entry.routes_in_order();
        for (name, spec) in &ordered {
            if let Some(port) = spec.rule.match_port()
                && !offers.iter().any(|offer| offer.port == port)
            {
                let path = ResourcePath::Route(self.mesh.route_id(router, name));
                let message =
                    format!("virtual router {router} has no listener on port {port}, so the route matches no request");
                self.find(finding::UNMATCHED_PORT, path, message);
            }
        }
        ordered.retain(|(_, spec)| spec.rule.match_port().is_none_or(|port| port == called.offer.port));
        ordered
    }

    /// The route to a node that provides a service: it matches all requests. The mesh has no route for it, so the
    /// defaults apply.
    fn route_to_provider(&mut self, node: &'m VirtualNodeName, called: Called<'_, 'm>) -> Route {
        let by = self.service_path(called.service);
        let to = self.provided(node, called.offer.port, &by);
        match to.and_then(|to| self.egress_cluster(called, to)) {
            Some(cluster) => {
                let to = ClusterSpecifier::Cluster(cluster);
                forward(anything(), to, Limits::default(), Some(retries::default_policy()))
            }
            None => unavailable(anything()),
        }
    }

    /// The longest timeouts of a backend's routes. The ingress side of a gateway must not time out before the route
    /// that a request takes.
    pub(super) fn service_limits(&mut self, called: Called<'_, 'm>) -> Limits {
        let Provider::Router(router) = provider(self.mesh, called.service) else { return Limits::default() };
        let mut longest: Option<Limits> = None;
        for (name, spec) in self.routes_for(router, called) {
            let path = ResourcePath::Route(self.mesh.route_id(router, name));
            let limits = self.route_limits(&spec.rule, &path);
            longest = Some(longest.map_or(limits, |longest| longest.or_longer(limits)));
        }
        longest.unwrap_or_default()
    }

    fn route(&mut self, spec: &'m RouteSpec, called: Called<'_, 'm>, path: &ResourcePath) -> Option<Route> {
        let (matching, retries) = match &spec.rule {
            RouteRule::Http(route) | RouteRule::Http2(route) => {
                let matching = self.http_match(&route.matches, path)?;
                (matching, retry_policy(self, route.retry_policy.as_ref().map(Into::into), path))
            }
            RouteRule::Grpc(route) => {
                let matching = self.grpc_match(&route.matches, path)?;
                (matching, retry_policy(self, route.retry_policy.as_ref().map(Into::into), path))
            }
            RouteRule::Tcp(_) => {
                let message = format!(
                    "a tcpRoute can't match requests to virtual service {}: its port {} uses {}; the route is left out",
                    called.service, called.offer.port, called.offer.protocol
                );
                self.find(finding::ROUTE_PROTOCOL, path.clone(), message);
                return None;
            }
            RouteRule::Unrecognised(kind) => {
                let message = format!("route kind {:?} is unknown; the route is left out", member_names(kind));
                self.find(finding::UNRECOGNISED, path.clone(), message);
                return None;
            }
        };
        let limits = self.route_limits(&spec.rule, path);
        let weighted = self.weighted(spec.rule.action()?, called, path);
        if weighted.iter().all(|(_, weight)| *weight == 0) {
            return Some(unavailable(matching));
        }
        let clusters = weighted.into_iter().map(|(name, weight)| ClusterWeight {
            name,
            weight: uint(weight),
            ..ClusterWeight::default()
        });
        let to = WeightedCluster { clusters: clusters.collect(), ..WeightedCluster::default() };
        Some(forward(matching, ClusterSpecifier::WeightedClusters(to), limits, retries))
    }

    /// The reachable targets, with their weights.
    fn weighted(&mut self, action: &'m RouteAction, called: Called<'_, 'm>, path: &ResourcePath) -> Vec<(String, u32)> {
        let mut weighted = Vec::new();
        for target in &*action.weighted_targets {
            let to = self.destination(&target.virtual_node, target.port, path);
            let cluster = to.and_then(|to| self.egress_cluster(called, to));
            weighted.extend(cluster.map(|cluster| (cluster, u32::from(target.weight.get()))));
        }
        weighted
    }
}

/// Adds metadata to a route: the virtual service that the metrics extension of App Mesh's image counts its
/// requests for.
fn counted_for(service: &VirtualServiceName, route: Route) -> Route {
    Route { metadata: Some(extension_metadata(&[("TargetVirtualService", service.as_str())])), ..route }
}

/// Matches every path.
pub(super) fn anything() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..RouteMatch::default() }
}

/// A route without a usable target: it returns 503. If the route were left out, the next one would receive
/// its requests.
pub(super) fn unavailable(matching: RouteMatch) -> Route {
    let answer = DirectResponseAction { status: 503, ..DirectResponseAction::default() };
    Route { r#match: Some(matching), action: Some(Action::DirectResponse(answer)), ..Route::default() }
}

pub(super) fn forward(
    matching: RouteMatch,
    to: ClusterSpecifier,
    limits: Limits,
    retry_policy: Option<RetryPolicy>,
) -> Route {
    let action = Forward {
        cluster_specifier: Some(to),
        timeout: Some(limits.per_request),
        idle_timeout: Some(limits.idle),
        retry_policy,
        ..Forward::default()
    };
    Route { r#match: Some(matching), action: Some(Action::Route(action)), ..Route::default() }
}

pub(super) fn virtual_host(name: &str, domains: Vec<String>, routes: Vec<Route>) -> VirtualHost {
    VirtualHost { name: name.to_owned(), domains, routes, ..VirtualHost::default() }
}

/// The domains by which a client calls a virtual service on a port.
pub(super) fn domains(service: &VirtualServiceName, port: Port) -> Vec<String> {
    vec![service.to_string(), format!("{service}:{port}")]
}
