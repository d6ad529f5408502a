//! Which request of a proxy goes where.

mod matches;
mod retries;

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteAction as Forward, RouteConfiguration, RouteMatch, VirtualHost, WeightedCluster,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy;
use envoy_types::pb::google::protobuf::Duration;
use mesh::name::{ResourcePath, VirtualServiceName};
use mesh::spec::{ClientPolicy, HttpPathMatch, Listener, ListenerTimeout, Port, RouteAction, RouteRule, RouteSpec};

use super::backends::{Offer, Provider, provider};
use super::draft::Draft;
use super::finding;
use super::proto::uint;
use retries::retry_policy;

pub(super) use matches::{header_matchers, metadata_matchers, method, query_matchers};

/// How long a request may take when nothing says otherwise (App Mesh User Guide).
const PER_REQUEST: Duration = Duration { seconds: 15, nanos: 0 };
/// How long nothing may happen when nothing says otherwise (App Mesh User Guide).
pub(super) const IDLE: Duration = Duration { seconds: 300, nanos: 0 };

/// The time limits of a route.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    pub(super) per_request: Duration,
    pub(super) idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_request: PER_REQUEST, idle: IDLE }
    }
}

/// A backend of a proxy, on one of its ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called<'a, 'm> {
    pub(super) service: &'m VirtualServiceName,
    pub(super) offer: &'a Offer,
    pub(super) policy: Option<&'m ClientPolicy>,
}

impl<'m> Draft<'m> {
    /// All that comes in on a listener goes to the application.
    pub(super) fn ingress_routes(&mut self, listener: &'m Listener, name: &str, cluster: &str) -> RouteConfiguration {
        let limits = self.listener_limits(listener);
        let route = forward(anything(), ClusterSpecifier::Cluster(cluster.to_owned()), limits, None);
        RouteConfiguration {
            name: name.to_owned(),
            virtual_hosts: vec![virtual_host(name, vec!["*".to_owned()], vec![route])],
            ..RouteConfiguration::default()
        }
    }

    fn listener_limits(&mut self, listener: &'m Listener) -> Limits {
        let path = self.path();
        let (per_request, idle) = match listener.timeout.as_ref() {
            Some(ListenerTimeout::Http(timeout) | ListenerTimeout::Http2(timeout)) => {
                (timeout.per_request.as_ref(), timeout.idle.as_ref())
            }
            Some(ListenerTimeout::Grpc(timeout)) => (timeout.per_request.as_ref(), timeout.idle.as_ref()),
            Some(ListenerTimeout::Tcp(timeout)) => (None, timeout.idle.as_ref()),
            Some(ListenerTimeout::Unrecognised(_)) | None => (None, None),
        };
        self.limits(per_request, idle, &path, "listener")
    }

    /// How long a TCP listener may be idle.
    pub(super) fn listener_idle(&mut self, listener: &'m Listener) -> Duration {
        self.listener_limits(listener).idle
    }

    fn limits(
        &mut self,
        per_request: Option<&mesh::spec::Duration>,
        idle: Option<&mesh::spec::Duration>,
        at: &ResourcePath,
        of: &str,
    ) -> Limits {
        let per_request = self.duration(per_request, at, &format!("{of} timeout.perRequest"));
        let idle = self.duration(idle, at, &format!("{of} timeout.idle"));
        let default = Limits::default();
        Limits { per_request: per_request.unwrap_or(default.per_request), idle: idle.unwrap_or(default.idle) }
    }

    /// The routes of a backend, in the order in which they are tried. None where it has no provider.
    pub(super) fn service_routes(&mut self, called: Called<'_, 'm>) -> Vec<Route> {
        match provider(self.mesh, called.service) {
            Provider::Router(router) => {
                let mut specs: Vec<_> = self
                    .mesh
                    .routers
                    .get(router)
                    .into_iter()
                    .flat_map(|router| &router.routes)
                    .filter(|(_, spec)| spec.rule.match_port().is_none_or(|port| port == called.offer.port))
                    .collect();
                specs.sort_by_key(|(name, spec)| (precedence(spec), (*name).clone()));
                specs
                    .into_iter()
                    .filter_map(|(name, spec)| {
                        let path = ResourcePath::Route(self.mesh.route_id(router, name));
                        self.route(spec, called, &path)
                    })
                    .collect()
            }
            Provider::Node(node) => {
                let by = self.service_path(called.service);
                let cluster = self
                    .provided(node, called.offer.port, &by)
                    .and_then(|to| self.egress_cluster(called.service, called.policy, to));
                let retries = Some(retries::default_policy());
                cluster
                    .map(|cluster| forward(anything(), ClusterSpecifier::Cluster(cluster), Limits::default(), retries))
                    .into_iter()
                    .collect()
            }
            Provider::None => Vec::new(),
        }
    }

    /// The time limits of the route that a request for a path of a backend would take.
    pub(super) fn service_limits(&mut self, called: Called<'_, 'm>) -> Limits {
        let Provider::Router(router) = provider(self.mesh, called.service) else { return Limits::default() };
        let mut longest: Option<Limits> = None;
        for (name, spec) in self.mesh.routers.get(router).into_iter().flat_map(|router| &router.routes) {
            let path = ResourcePath::Route(self.mesh.route_id(router, name));
            let limits = self.route_limits(&spec.rule, &path);
            longest = Some(longest.map_or(limits, |longest| longest.or_longer(limits)));
        }
        longest.unwrap_or_default()
    }

    fn route_limits(&mut self, rule: &RouteRule, path: &ResourcePath) -> Limits {
        match rule {
            RouteRule::Http(route) | RouteRule::Http2(route) => {
                let timeout = route.timeout.as_ref();
                self.limits(
                    timeout.and_then(|timeout| timeout.per_request.as_ref()),
                    timeout.and_then(|timeout| timeout.idle.as_ref()),
                    path,
                    "route",
                )
            }
            RouteRule::Grpc(route) => {
                let timeout = route.timeout.as_ref();
                self.limits(
                    timeout.and_then(|timeout| timeout.per_request.as_ref()),
                    timeout.and_then(|timeout| timeout.idle.as_ref()),
                    path,
                    "route",
                )
            }
            RouteRule::Tcp(route) => {
                let idle = route.timeout.as_ref().and_then(|timeout| timeout.idle.as_ref());
                self.limits(None, idle, path, "route")
            }
            RouteRule::Unrecognised(_) => Limits::default(),
        }
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
                    "a tcpRoute can't take requests of virtual service {}, whose port {} is for {}; it is left out",
                    called.service, called.offer.port, called.offer.protocol
                );
                self.find(finding::ROUTE_PROTOCOL, path.clone(), message);
                return None;
            }
            RouteRule::Unrecognised(kind) => {
                self.find(
                    finding::UNRECOGNISED,
                    path.clone(),
                    format!("route kind {kind:?} isn't known; it is left out"),
                );
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

    /// The targets that can be reached, with their weights.
    fn weighted(&mut self, action: &'m RouteAction, called: Called<'_, 'm>, path: &ResourcePath) -> Vec<(String, u32)> {
        let mut weighted = Vec::new();
        for target in &*action.weighted_targets {
            let to = self.destination(&target.virtual_node, target.port, path);
            let cluster = to.and_then(|to| self.egress_cluster(called.service, called.policy, to));
            weighted.extend(cluster.map(|cluster| (cluster, u32::from(target.weight.get()))));
        }
        weighted
    }

    /// Where the connections of a TCP backend go, and how long one may be idle; `None` is nowhere.
    pub(super) fn tcp_route(&mut self, called: Called<'_, 'm>) -> Option<(tcp_proxy::ClusterSpecifier, Duration)> {
        match provider(self.mesh, called.service) {
            Provider::Router(router) => {
                let mut specs: Vec<_> = self
                    .mesh
                    .routers
                    .get(router)
                    .into_iter()
                    .flat_map(|router| &router.routes)
                    .filter(|(_, spec)| spec.rule.match_port().is_none_or(|port| port == called.offer.port))
                    .collect();
                specs.sort_by_key(|(name, spec)| (precedence(spec), (*name).clone()));
                for (name, spec) in specs {
                    let path = ResourcePath::Route(self.mesh.route_id(router, name));
                    let RouteRule::Tcp(route) = &spec.rule else {
                        let message = format!(
                            "only a tcpRoute can take connections of virtual service {}, whose port {} is for tcp; it is left out",
                            called.service, called.offer.port
                        );
                        self.find(finding::ROUTE_PROTOCOL, path, message);
                        continue;
                    };
                    let idle = self.route_limits(&spec.rule, &path).idle;
                    let mut weighted = self.weighted(&route.action, called, &path);
                    // Envoy takes no weight of 0 here.
                    weighted.retain(|(_, weight)| *weight > 0);
                    let clusters =
                        weighted.into_iter().map(|(name, weight)| tcp_proxy::weighted_cluster::ClusterWeight {
                            name,
                            weight,
                            ..tcp_proxy::weighted_cluster::ClusterWeight::default()
                        });
                    let clusters: Vec<_> = clusters.collect();
                    if clusters.is_empty() {
                        return None;
                    }
                    let to = tcp_proxy::WeightedCluster { clusters };
                    return Some((tcp_proxy::ClusterSpecifier::WeightedClusters(to), idle));
                }
                None
            }
            Provider::Node(node) => {
                let by = self.service_path(called.service);
                let to = self.provided(node, called.offer.port, &by)?;
                let cluster = self.egress_cluster(called.service, called.policy, to)?;
                Some((tcp_proxy::ClusterSpecifier::Cluster(cluster), IDLE))
            }
            Provider::None => None,
        }
    }
}

impl Limits {
    /// The longer of each; 0 is no limit, and so the longest.
    fn or_longer(self, other: Self) -> Self {
        let longer = |one: Duration, other: Duration| {
            let length =
                |d: Duration| if d.seconds == 0 && d.nanos == 0 { (i64::MAX, 0) } else { (d.seconds, d.nanos) };
            if length(other) > length(one) { other } else { one }
        };
        Self { per_request: longer(self.per_request, other.per_request), idle: longer(self.idle, other.idle) }
    }
}

/// The order in which routes are tried: by priority; of those with the same or none, exact paths, then expressions, then
/// prefixes, the longest first. Names decide the rest.
fn precedence(spec: &RouteSpec) -> (i64, u8, std::cmp::Reverse<usize>) {
    let priority = spec.priority.map_or(1001, mesh::spec::bounded::Int::get);
    let (kind, length) = match &spec.rule {
        RouteRule::Http(route) | RouteRule::Http2(route) => match (&route.matches.path, &route.matches.prefix) {
            (Some(HttpPathMatch::Exact(path)), _) => (0, path.as_str().len()),
            (Some(HttpPathMatch::Regex(_) | HttpPathMatch::Unrecognised(_)), _) => (1, 0),
            (None, prefix) => (2, prefix.as_ref().map_or(0, String::len)),
        },
        RouteRule::Grpc(route) => match (&route.matches.service_name, &route.matches.method_name) {
            (Some(service), Some(method)) => (0, service.len() + method.as_str().len()),
            (service, _) => (2, service.as_ref().map_or(0, String::len)),
        },
        RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => (2, 0),
    };
    (priority, kind, std::cmp::Reverse(length))
}

/// Matches every path.
pub(super) fn anything() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..RouteMatch::default() }
}

/// Nobody is there who could answer.
fn unavailable(matching: RouteMatch) -> Route {
    let answer = DirectResponseAction { status: 503, ..DirectResponseAction::default() };
    Route { r#match: Some(matching), action: Some(Action::DirectResponse(answer)), ..Route::default() }
}

pub(super) fn forward(
    matching: RouteMatch,
    to: ClusterSpecifier,
    limits: Limits,
    retry_policy: Option<envoy_types::pb::envoy::config::route::v3::RetryPolicy>,
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

/// The domains by which a client names a virtual service on a port.
pub(super) fn domains(service: &VirtualServiceName, port: Port) -> Vec<String> {
    vec![service.to_string(), format!("{service}:{port}")]
}
