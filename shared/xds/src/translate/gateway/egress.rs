//! The egress side of a virtual gateway: the requests that it sends into the mesh.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::FilterChainMatch;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, Route, RouteConfiguration};
use mesh::spec::{ClientPolicy, VirtualGatewaySpec};

use super::super::draft::Draft;
use super::super::listeners::{chains, http_manager, listener, original_dst, to_port};
use super::super::proto::{LOOPBACK, exact};
use super::super::routes::{Called, anything, unavailable, virtual_host};
use super::super::tls::Served;
use super::super::{finding, names};
use super::target::{Target, TargetPort, Targets};
use super::{ANY_HOST, SERVICE_HEADER};

impl<'m> Draft<'m> {
    /// Adds the egress side: a virtual host for each target, and one for requests that kept their host. Those requests
    /// name their target in a header. Each virtual host matches the header first, because the host that a client chose
    /// may be the name of another service.
    pub(super) fn gateway_egress(&mut self, spec: &'m VirtualGatewaySpec, loop_port: u16, targets: &Targets<'m>) {
        let policy = spec.backend_defaults.as_ref().and_then(|defaults| defaults.client_policy.as_ref());
        let mut by_host = Vec::new();
        let mut by_header: Vec<(&String, Route)> = Vec::new();
        // Envoy compares hosts without letter case, and accepts each host once.
        let mut taken = BTreeSet::from([ANY_HOST.to_owned()]);
        for (host, target) in targets {
            let domains = egress_domains(host, target, loop_port);
            if domains.iter().any(|domain| taken.contains(&domain.to_ascii_lowercase())) {
                let path = self.service_path(target.service);
                let message = format!("another target of the gateway is reached as {host} already; it is left out");
                self.find(finding::DUPLICATE_DOMAIN, path, message);
                continue;
            }
            taken.extend(domains.iter().map(|domain| domain.to_ascii_lowercase()));
            let routes = self.target_routes(target, policy);
            if target.keeps_host {
                by_header.extend(routes.iter().cloned().map(|route| (host, asked_for(route, host))));
            }
            by_host.push((host, domains, routes));
        }
        let for_others = |host: &String| {
            let others = by_header.iter().filter(move |(other, _)| *other != host);
            others.map(|(_, route)| route.clone()).collect::<Vec<_>>()
        };
        let mut virtual_hosts: Vec<_> = by_host
            .into_iter()
            .map(|(host, domains, own)| virtual_host(host, domains, [for_others(host), own].concat()))
            .collect();
        let all = by_header.iter().map(|(_, route)| route.clone()).collect();
        virtual_hosts.push(virtual_host("default_backend", vec![ANY_HOST.to_owned()], all));
        let routes = names::egress_routes(loop_port);
        let configuration = RouteConfiguration { name: routes.clone(), virtual_hosts, ..RouteConfiguration::default() };
        self.out.routes.insert(routes.clone(), configuration);
        self.out.inner_routes.insert(routes.clone());
        self.gateway_egress_listener(loop_port, routes);
    }

    /// Adds the listener of the egress side. Only the gateway's ingress side may connect to it, so it binds the
    /// loopback address. Any other client would bypass the TLS settings and the routes of the gateway's listeners.
    fn gateway_egress_listener(&mut self, loop_port: u16, routes: String) {
        let filter = http_manager(format!("egress.http.{loop_port}"), routes, Vec::new());
        let explicit = self.is_explicit();
        let shown = if explicit { LOOPBACK } else { "0.0.0.0" };
        let name = names::egress_listener(shown, loop_port);
        let mut egress = listener(name, LOOPBACK, loop_port, TrafficDirection::Outbound);
        if explicit {
            egress.filter_chains = chains(&FilterChainMatch::default(), &filter, Served::Plaintext);
        } else {
            egress.listener_filters = vec![original_dst()];
            egress.filter_chains = chains(&to_port(loop_port), &filter, Served::Plaintext);
        }
        self.out.listeners.insert(egress.name.clone(), egress);
    }

    fn target_routes(&mut self, target: &Target<'m>, policy: Option<&'m ClientPolicy>) -> Vec<Route> {
        match &target.port {
            TargetPort::Offered(offer) => self.service_routes(Called { service: target.service, offer, policy }),
            TargetPort::Unusable => vec![unavailable(anything())],
            TargetPort::None => Vec::new(),
        }
    }
}

/// The domains of a target: the host that names it, and for the service's own name also that name with the loop port.
fn egress_domains(host: &str, target: &Target<'_>, loop_port: u16) -> Vec<String> {
    if host == target.service.as_str() {
        vec![host.to_owned(), format!("{host}:{loop_port}")]
    } else {
        vec![host.to_owned()]
    }
}

/// Restricts a route to requests that name the target in the header.
fn asked_for(mut route: Route, host: &str) -> Route {
    if let Some(matching) = route.r#match.as_mut() {
        matching.headers.push(HeaderMatcher {
            name: SERVICE_HEADER.to_owned(),
            header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(exact(host))),
            ..HeaderMatcher::default()
        });
    }
    route
}
