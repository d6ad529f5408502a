//! A virtual gateway's proxy: requests come in, are rewritten, and go once through the proxy's own egress side, as those
//! of an application would.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption, TrafficDirection};
use envoy_types::pb::envoy::config::listener::v3::FilterChainMatch;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, HostRewriteSpecifier};
use envoy_types::pb::envoy::config::route::v3::route_match::{GrpcRouteMatchOptions, PathSpecifier};
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, Route, RouteConfiguration, RouteMatch};
use mesh::name::{GatewayRouteName, ResourcePath, VirtualGatewayName, VirtualServiceName};
use mesh::spec::{
    ClientPolicy, DefaultRewrite, GatewayListener, GatewayRouteRule, GatewayRouteSpec, GrpcGatewayRoute, HostnameMatch,
    HostnameRewrite, HttpGatewayRoute, HttpPathMatch, Port, PrefixRewrite, Protocol, VirtualGatewaySpec,
};

use super::backends::{Offer, offers};
use super::draft::Draft;
use super::finding;
use super::listeners::{chains, http_manager, listener, original_dst, tls_inspector, to_port};
use super::names::{self, EGRESS_PORT};
use super::proto::{LOOPBACK, exact};
use super::routes::{
    Called, Limits, domains, forward, header_matchers, metadata_matchers, method, query_matchers, virtual_host,
};
use super::tls::Served;
use crate::ports::PortUse;
use crate::proxy::Proxy;

/// By this header the egress side knows the virtual service of a request that kept its host.
const SERVICE_HEADER: &str = "x-app-mesh-virtual-service";

/// A gateway route, ready to be put in order.
struct Ready {
    /// Priority, then the longest path first, then the name.
    order: (i64, Reverse<usize>, GatewayRouteName),
    /// The hosts it is for.
    domain: String,
    routes: Vec<Route>,
}

impl<'m> Draft<'m> {
    pub(super) fn gateway(&mut self, name: &'m VirtualGatewayName, spec: &'m VirtualGatewaySpec) {
        let Some(loop_port) = self.loop_port(name, spec) else { return };
        let logs = self.access_logs(spec.logging.as_ref());
        let several = spec.listeners.len() > 1;
        let mut seen = Vec::new();
        for inner in &spec.listeners {
            let at = inner.port_mapping.port;
            if seen.contains(&at) {
                let path = self.path();
                self.find(
                    finding::DUPLICATE_LISTENER,
                    path,
                    format!("another listener has port {at} already; this one is left out"),
                );
                continue;
            }
            seen.push(at);
            let protocol = Protocol::from(&inner.port_mapping.protocol);
            let cluster =
                names::self_redirect(&self.mesh.name, name, several.then_some(at), protocol.as_str(), loop_port);
            self.self_redirect(&cluster, loop_port, &protocol, inner.connection_pool.as_ref());
            let routes = names::ingress_routes(at.get());
            let configuration = self.gateway_routes(name, inner, &routes, &cluster);
            self.out.routes.insert(routes.clone(), configuration);
            let Some(served) = self.served(inner.tls.as_ref(), &protocol) else { continue };
            let both = matches!(served, Served::Both(_));
            let filter = http_manager(format!("ingress.{protocol}.{at}"), routes, logs.clone());
            let Some((host, bound)) = self.gateway_address(name, at) else { continue };
            let shown = if self.is_explicit() { LOOPBACK } else { "0.0.0.0" };
            let mut ingress = listener(names::ingress_listener(shown, bound), host, bound, TrafficDirection::Inbound);
            ingress.filter_chains = chains(&FilterChainMatch::default(), &filter, served);
            if both {
                ingress.listener_filters = vec![tls_inspector()];
            }
            self.out.listeners.insert(ingress.name.clone(), ingress);
        }
        self.gateway_egress(name, spec, loop_port);
    }

    fn loop_port(&mut self, name: &VirtualGatewayName, spec: &VirtualGatewaySpec) -> Option<u16> {
        if !self.is_explicit() {
            return Some(EGRESS_PORT);
        }
        let port = spec.listeners.first()?.port_mapping.port;
        let of = PortUse::Loop { mesh: self.mesh.name.clone(), proxy: Proxy::Gateway(name.clone()), port };
        self.assigned(&of)
    }

    fn gateway_address(&mut self, name: &VirtualGatewayName, port: Port) -> Option<(&'static str, u16)> {
        if !self.is_explicit() {
            return Some((Self::any_address(self.ip_preference(None)), port.get()));
        }
        let of = PortUse::Ingress { mesh: self.mesh.name.clone(), proxy: Proxy::Gateway(name.clone()), port };
        Some((LOOPBACK, self.assigned(&of)?))
    }

    fn own_routes(&self, name: &VirtualGatewayName) -> Vec<(&'m GatewayRouteName, &'m GatewayRouteSpec)> {
        self.mesh.gateways.get(name).into_iter().flat_map(|gateway| &gateway.routes).collect()
    }

    /// What comes in on a listener: a virtual host for each host that gateway routes ask for. A request for such a host
    /// may still be for a route that asks for none, so those stand in each of them too.
    fn gateway_routes(
        &mut self,
        gateway: &'m VirtualGatewayName,
        inner: &'m GatewayListener,
        name: &str,
        cluster: &str,
    ) -> RouteConfiguration {
        let at = inner.port_mapping.port;
        let mut ready: Vec<Ready> = Vec::new();
        for (route_name, spec) in self.own_routes(gateway) {
            if spec.rule.match_port().is_none_or(|port| port == at) {
                let path = ResourcePath::GatewayRoute(self.mesh.name.clone(), gateway.clone(), route_name.clone());
                ready.extend(self.gateway_route(route_name, spec, &path, cluster));
            }
        }
        ready.sort_by(|one, other| one.order.cmp(&other.order));
        let mut by_domain: BTreeMap<&str, Vec<Route>> = BTreeMap::new();
        for domain in ready.iter().map(|ready| ready.domain.as_str()) {
            by_domain.entry(domain).or_default();
        }
        for (domain, routes) in &mut by_domain {
            let own = ready.iter().filter(|ready| is_for(&ready.domain, domain));
            routes.extend(own.flat_map(|ready| ready.routes.iter().cloned()));
        }
        let virtual_hosts = by_domain.into_iter().map(|(domain, routes)| {
            let host = if domain == "*" { "self_redirect".to_owned() } else { format!("self_redirect_{domain}") };
            let domains = match domain {
                "*" => vec!["*".to_owned()],
                // A client names the port where it isn't the usual one.
                domain if domain.starts_with('*') => vec![domain.to_owned(), format!("{domain}:{at}")],
                domain => vec![domain.to_owned(), format!("{domain}:{at}")],
            };
            virtual_host(&host, domains, routes)
        });
        RouteConfiguration {
            name: name.to_owned(),
            virtual_hosts: virtual_hosts.collect(),
            ..RouteConfiguration::default()
        }
    }

    fn gateway_route(
        &mut self,
        name: &GatewayRouteName,
        spec: &'m GatewayRouteSpec,
        path: &ResourcePath,
        cluster: &str,
    ) -> Option<Ready> {
        let target = spec.rule.target()?;
        let service = &target.virtual_service.virtual_service_name;
        if !self.mesh.services.contains_key(service) {
            let message = format!("virtual service {service} doesn't exist, so nothing is sent there; create it");
            self.find(finding::DANGLING_BACKEND, path.clone(), message);
            return None;
        }
        let limits = self.target_limits(service, target.port);
        let to = || ClusterSpecifier::Cluster(cluster.to_owned());
        let (hostname, length, routes) = match &spec.rule {
            GatewayRouteRule::Http(route) | GatewayRouteRule::Http2(route) => {
                let (length, matches) = self.http_gateway_matches(route, path)?;
                let hostname_rewrite = route.action.rewrite.as_ref().and_then(|rewrite| rewrite.hostname.as_ref());
                let routes = matches.into_iter().map(|(matching, rewrite)| {
                    let mut forwarded = forward(matching, to(), limits, None);
                    address_to(&mut forwarded, service, hostname_rewrite);
                    rewrite_path(&mut forwarded, rewrite);
                    forwarded
                });
                (route.matches.hostname.as_ref(), length, routes.collect())
            }
            GatewayRouteRule::Grpc(route) => {
                let (length, matching) = self.grpc_gateway_match(route, path)?;
                let mut forwarded = forward(matching, to(), limits, None);
                let hostname_rewrite = route.action.rewrite.as_ref().and_then(|rewrite| rewrite.hostname.as_ref());
                address_to(&mut forwarded, service, hostname_rewrite);
                (route.matches.hostname.as_ref(), length, vec![forwarded])
            }
            GatewayRouteRule::Unrecognised(kind) => {
                self.find(
                    finding::UNRECOGNISED,
                    path.clone(),
                    format!("gateway route kind {kind:?} isn't known; it is left out"),
                );
                return None;
            }
        };
        let domain = match hostname {
            Some(HostnameMatch::Exact(host)) => host.to_string(),
            Some(HostnameMatch::Suffix(suffix)) => format!("*{suffix}"),
            Some(HostnameMatch::Unrecognised(kind)) => {
                self.find(
                    finding::UNRECOGNISED,
                    path.clone(),
                    format!("hostname match {kind:?} isn't known; the route is left out"),
                );
                return None;
            }
            None => "*".to_owned(),
        };
        let priority = spec.priority.map_or(1001, mesh::spec::bounded::Int::get);
        Some(Ready { order: (priority, Reverse(length), name.clone()), domain: domain.to_ascii_lowercase(), routes })
    }

    fn target_limits(&mut self, service: &'m VirtualServiceName, port: Option<Port>) -> Limits {
        let offer = self.target_offer(service, port);
        offer.map_or_else(Limits::default, |offer| self.service_limits(Called { service, offer: &offer, policy: None }))
    }

    /// The port of a virtual service that a gateway route means: the one it names, else the first.
    fn target_offer(&self, service: &VirtualServiceName, port: Option<Port>) -> Option<Offer> {
        offers(self.mesh, service).into_iter().find(|offer| port.is_none_or(|port| port == offer.port))
    }

    /// The matches of a route with what is made of the path, and how long the path is that it asks for.
    fn http_gateway_matches(
        &mut self,
        route: &'m HttpGatewayRoute,
        path: &ResourcePath,
    ) -> Option<(usize, Vec<(RouteMatch, Rewrite)>)> {
        let wanted = &route.matches;
        let mut headers = header_matchers(self, wanted.headers.as_deref(), path)?;
        headers.extend(wanted.method.as_ref().map(method));
        let query_parameters = query_matchers(wanted.query_parameters.as_deref());
        let matching = |path_specifier| RouteMatch {
            path_specifier: Some(path_specifier),
            headers: headers.clone(),
            query_parameters: query_parameters.clone(),
            ..RouteMatch::default()
        };
        let rewrite = route.action.rewrite.as_ref();
        if let Some(path_match) = &wanted.path {
            let specifier = self.path_match(path_match, path)?;
            let to = rewrite.and_then(|rewrite| rewrite.path.as_ref()).and_then(|path| path.exact.as_ref());
            let to = to.map_or(Rewrite::Keep, |to| Rewrite::Path(to.to_string()));
            let length = match path_match {
                HttpPathMatch::Exact(exact) => exact.as_str().len(),
                HttpPathMatch::Regex(_) | HttpPathMatch::Unrecognised(_) => 0,
            };
            return Some((length, vec![(matching(specifier), to)]));
        }
        let Some(prefix) = wanted.prefix.as_deref() else {
            // By host alone: any path, which stays as it is.
            return Some((0, vec![(matching(PathSpecifier::Prefix("/".to_owned())), Rewrite::Keep)]));
        };
        let to = rewrite.and_then(|rewrite| rewrite.prefix.as_ref());
        let to = match to {
            Some(PrefixRewrite::DefaultPrefix(DefaultRewrite::Disabled)) => Rewrite::Keep,
            Some(PrefixRewrite::Value(value)) => Rewrite::Prefix(value.to_string()),
            Some(PrefixRewrite::DefaultPrefix(_) | PrefixRewrite::Unrecognised(_)) | None => {
                Rewrite::Prefix("/".to_owned())
            }
        };
        let bare = prefix.trim_end_matches('/');
        if bare.is_empty() {
            return Some((1, vec![(matching(PathSpecifier::Prefix("/".to_owned())), to)]));
        }
        // Two, so that `/x/y` becomes `/y` and not `//y`; the second takes `/x`, and `/xy` as well, as App Mesh did.
        let both = [format!("{bare}/"), bare.to_owned()];
        let whole = prefix.ends_with('/');
        let matches = both.into_iter().enumerate().filter(|(index, _)| !whole || *index == 0);
        let matches = matches.map(|(_, prefix)| (matching(PathSpecifier::Prefix(prefix)), to.clone()));
        Some((prefix.len(), matches.collect()))
    }

    fn grpc_gateway_match(&mut self, route: &'m GrpcGatewayRoute, path: &ResourcePath) -> Option<(usize, RouteMatch)> {
        let wanted = &route.matches;
        let prefix = wanted.service_name.as_ref().map_or_else(|| "/".to_owned(), |service| format!("/{service}/"));
        let matching = RouteMatch {
            headers: metadata_matchers(self, wanted.metadata.as_deref(), path)?,
            grpc: Some(GrpcRouteMatchOptions {}),
            path_specifier: Some(PathSpecifier::Prefix(prefix.clone())),
            ..RouteMatch::default()
        };
        Some((prefix.len(), matching))
    }

    /// The egress side: a virtual host for each virtual service, and one for requests that kept their host, which a
    /// header tells apart.
    fn gateway_egress(&mut self, name: &'m VirtualGatewayName, spec: &'m VirtualGatewaySpec, loop_port: u16) {
        let policy = spec.backend_defaults.as_ref().and_then(|defaults| defaults.client_policy.as_ref());
        let mut targets: BTreeMap<&'m VirtualServiceName, Option<Port>> = BTreeMap::new();
        for (_, route) in self.own_routes(name) {
            if let Some(target) = route.rule.target()
                && self.mesh.services.contains_key(&target.virtual_service.virtual_service_name)
            {
                targets.entry(&target.virtual_service.virtual_service_name).or_insert(target.port);
            }
        }
        let mut virtual_hosts = Vec::new();
        let mut by_header = Vec::new();
        for (service, port) in targets {
            let routes = self.gateway_target(service, port, policy);
            by_header.extend(routes.iter().cloned().map(|route| asked_for(route, service)));
            virtual_hosts.push(virtual_host(service.as_str(), gateway_domains(service, loop_port), routes));
        }
        virtual_hosts.push(virtual_host("default_backend", vec!["*".to_owned()], by_header));
        let routes = names::egress_routes(loop_port);
        let configuration = RouteConfiguration { name: routes.clone(), virtual_hosts, ..RouteConfiguration::default() };
        self.out.routes.insert(routes.clone(), configuration);
        let filter = http_manager(format!("egress.http.{loop_port}"), routes, Vec::new());
        let explicit = self.is_explicit();
        let (shown, host) =
            if explicit { (LOOPBACK, LOOPBACK) } else { ("0.0.0.0", Self::any_address(self.ip_preference(None))) };
        let mut egress =
            listener(names::egress_listener(shown, loop_port), host, loop_port, TrafficDirection::Outbound);
        if explicit {
            egress.filter_chains = chains(&FilterChainMatch::default(), &filter, Served::Plaintext);
        } else {
            egress.listener_filters = vec![original_dst()];
            egress.filter_chains = chains(&to_port(loop_port), &filter, Served::Plaintext);
        }
        self.out.listeners.insert(egress.name.clone(), egress);
    }

    fn gateway_target(
        &mut self,
        service: &'m VirtualServiceName,
        port: Option<Port>,
        policy: Option<&'m ClientPolicy>,
    ) -> Vec<Route> {
        let Some(offer) = self.target_offer(service, port) else { return Vec::new() };
        if offer.is_tcp() {
            let path = self.service_path(service);
            let message =
                format!("a gateway takes requests, and virtual service {service} is for tcp; nothing is sent there");
            self.find(finding::ROUTE_PROTOCOL, path, message);
            return Vec::new();
        }
        self.service_routes(Called { service, offer: &offer, policy })
    }
}

/// What is made of a request's path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rewrite {
    Keep,
    Prefix(String),
    Path(String),
}

fn rewrite_path(route: &mut Route, rewrite: Rewrite) {
    let Some(Action::Route(action)) = route.action.as_mut() else { return };
    match rewrite {
        Rewrite::Keep => {}
        Rewrite::Prefix(prefix) => action.prefix_rewrite = prefix,
        Rewrite::Path(path) => action.path_rewrite = path,
    }
}

/// Names the virtual service to the egress side: by the host, or by a header where the client's host is to be kept.
fn address_to(route: &mut Route, service: &VirtualServiceName, rewrite: Option<&HostnameRewrite>) {
    let kept = rewrite.is_some_and(|rewrite| rewrite.default_target_hostname == Some(DefaultRewrite::Disabled));
    if kept {
        let header =
            HeaderValue { key: SERVICE_HEADER.to_owned(), value: service.to_string(), ..HeaderValue::default() };
        route.request_headers_to_add.push(HeaderValueOption {
            header: Some(header),
            // A client must not choose.
            append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
            ..HeaderValueOption::default()
        });
    } else if let Some(Action::Route(action)) = route.action.as_mut() {
        action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(service.to_string()));
    }
}

/// A route for requests that name the service by the header.
fn asked_for(mut route: Route, service: &VirtualServiceName) -> Route {
    if let Some(matching) = route.r#match.as_mut() {
        matching.headers.push(HeaderMatcher {
            name: SERVICE_HEADER.to_owned(),
            header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(exact(service.as_str()))),
            ..HeaderMatcher::default()
        });
    }
    route
}

fn gateway_domains(service: &VirtualServiceName, loop_port: u16) -> Vec<String> {
    match Port::new(loop_port) {
        Ok(port) => domains(service, port),
        Err(_) => vec![service.to_string()],
    }
}

/// Whether a request for the hosts of one domain may be for a route that asks for another.
fn is_for(asked: &str, domain: &str) -> bool {
    asked == "*" || asked == domain || asked.strip_prefix('*').is_some_and(|suffix| domain.ends_with(suffix))
}
