//! The ingress side of a virtual gateway: the requests that its listeners accept, and their rewrites.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration, RouteMatch};
use mesh::name::{ResourcePath, VirtualGatewayName};
use mesh::spec::{
    GatewayRouteRule, GatewayRouteTarget, GrpcGatewayRouteMatch, HostnameMatch, HostnameRewrite, HttpGatewayRoute, Port,
};

use super::super::draft::{Draft, member_names};
use super::super::routes::{Called, Limits, forward, grpc_service, method, unavailable, virtual_host};
use super::super::{finding, names};
use super::hosts::Hosts;
use super::rewrite::{Rewrite, address_to, rewrite_path};
use super::target::{TargetPort, Targets};

/// The conditions, target and rewrite of a gateway route, in Envoy's terms.
struct Wanted<'m> {
    hostname: Option<&'m HostnameMatch>,
    matches: Vec<(RouteMatch, Rewrite)>,
    target: &'m GatewayRouteTarget,
    rewrite: Option<&'m HostnameRewrite>,
}

/// A translated gateway route.
struct Made {
    hosts: Hosts,
    routes: Vec<Route>,
}

impl<'m> Draft<'m> {
    /// The routes of a listener: a virtual host for each host that gateway routes name. A request for such a host may
    /// also match a route with less specific hosts, so each virtual host contains those routes too.
    pub(super) fn gateway_ingress(
        &mut self,
        gateway: &'m VirtualGatewayName,
        at: Port,
        cluster: &str,
        targets: &mut Targets<'m>,
    ) -> RouteConfiguration {
        let mut made = Vec::new();
        for (name, spec) in self.gateway_routes(gateway) {
            if spec.rule.match_port().is_none_or(|port| port == at) {
                let path = self.gateway_route_path(gateway, name);
                made.extend(self.gateway_route(&spec.rule, &path, cluster, targets));
            }
        }
        let distinct_hosts: BTreeSet<&Hosts> = made.iter().map(|route| &route.hosts).collect();
        let virtual_hosts = distinct_hosts.into_iter().map(|hosts| {
            let name = match hosts {
                Hosts::Any => "self_redirect".to_owned(),
                Hosts::Exact(_) | Hosts::Suffix(_) => format!("self_redirect_{}", hosts.domain()),
            };
            let own = made.iter().filter(|route| route.hosts.include(hosts));
            virtual_host(&name, vec![hosts.domain()], own.flat_map(|route| route.routes.iter().cloned()).collect())
        });
        RouteConfiguration {
            name: names::ingress_routes(at.get()),
            virtual_hosts: virtual_hosts.collect(),
            ignore_port_in_host_matching: true,
            ..RouteConfiguration::default()
        }
    }

    fn gateway_route(
        &mut self,
        rule: &'m GatewayRouteRule,
        path: &ResourcePath,
        cluster: &str,
        targets: &mut Targets<'m>,
    ) -> Option<Made> {
        let wanted = match rule {
            GatewayRouteRule::Http(route) | GatewayRouteRule::Http2(route) => Wanted {
                hostname: route.matches.hostname.as_ref(),
                matches: self.http_matches(route, path)?,
                target: &route.action.target,
                rewrite: route.action.rewrite.as_ref().and_then(|rewrite| rewrite.hostname.as_ref()),
            },
            GatewayRouteRule::Grpc(route) => Wanted {
                hostname: route.matches.hostname.as_ref(),
                matches: vec![(self.grpc_gateway_match(&route.matches, path)?, Rewrite::Keep)],
                target: &route.action.target,
                rewrite: route.action.rewrite.as_ref().and_then(|rewrite| rewrite.hostname.as_ref()),
            },
            GatewayRouteRule::Unrecognised(kind) => {
                let why = format!("gateway route kind {:?} is unknown", member_names(kind));
                return self.left_out(finding::UNRECOGNISED, &why, path);
            }
        };
        let hosts = self.hosts(wanted.hostname, path)?;
        let Some((host, target)) = self.target(wanted.target, wanted.rewrite, path) else {
            let routes = wanted.matches.into_iter().map(|(matching, _)| unavailable(matching)).collect();
            return Some(Made { hosts, routes });
        };
        let limits = match &target.port {
            TargetPort::Offered(offer) => self.service_limits(Called { service: target.service, offer, policy: None }),
            TargetPort::Unusable | TargetPort::None => Limits::default(),
        };
        let made = wanted.matches.into_iter().map(|(matching, rewrite)| {
            let mut route = forward(matching, ClusterSpecifier::Cluster(cluster.to_owned()), limits, None);
            address_to(&mut route, &host, target.keeps_host);
            if let Some(Action::Route(action)) = route.action.as_mut() {
                rewrite_path(action, rewrite);
            }
            route
        });
        let routes = made.collect();
        let known = targets.entry(host).or_insert_with(|| target.clone());
        known.keeps_host |= target.keeps_host;
        Some(Made { hosts, routes })
    }

    fn http_matches(&mut self, route: &HttpGatewayRoute, path: &ResourcePath) -> Option<Vec<(RouteMatch, Rewrite)>> {
        let wanted = &route.matches;
        self.knows_all_of("match", &wanted.extra, path)?;
        let mut headers = self.header_matchers(wanted.headers.as_deref(), path)?;
        headers.extend(wanted.method.as_ref().map(method));
        let query_parameters = self.query_matchers(wanted.query_parameters.as_deref(), path)?;
        let paths = self.paths(wanted, route.action.rewrite.as_ref(), path)?;
        let matching = |path_specifier| RouteMatch {
            path_specifier: Some(path_specifier),
            headers: headers.clone(),
            query_parameters: query_parameters.clone(),
            ..RouteMatch::default()
        };
        Some(paths.into_iter().map(|(specifier, rewrite)| (matching(specifier), rewrite)).collect())
    }

    fn grpc_gateway_match(&mut self, wanted: &GrpcGatewayRouteMatch, path: &ResourcePath) -> Option<RouteMatch> {
        self.knows_all_of("match", &wanted.extra, path)?;
        self.grpc_requests(grpc_service(wanted.service_name.as_deref()), wanted.metadata.as_deref(), path)
    }
}
