//! The egress side of a gateway while its ingress side changes.
//!
//! The ingress side names a target by a host or a header, and the egress side has routes for each name. Envoy applies
//! the two route configurations one after the other. In between, the egress side must have the routes for the names of
//! both the former and the new ingress side.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use super::{ANY_HOST, SERVICE_HEADER};

/// The new egress configuration of a gateway, with the targets that only the former one has. A target of both has the
/// new routes. The result does not change if it is bridged to `new` again.
pub(crate) fn bridge(former: &RouteConfiguration, new: &RouteConfiguration) -> RouteConfiguration {
    let named: BTreeSet<&str> = by_header(new).iter().filter_map(named_target).collect();
    let kept: Vec<&Route> = by_header(former)
        .iter()
        .filter(|route| named_target(route).is_some_and(|name| !named.contains(name)))
        .collect();
    let mut bridged = new.clone();
    for host in &mut bridged.virtual_hosts {
        let others = for_others(kept.iter().copied(), host);
        host.routes.splice(0..0, others);
    }
    let mut taken: BTreeSet<String> = bridged.virtual_hosts.iter().flat_map(domains).collect();
    for host in &former.virtual_hosts {
        if is_for_any_host(host) || new.virtual_hosts.iter().any(|new| new.name == host.name) {
            continue;
        }
        let mut host = host.clone();
        host.domains.retain(|domain| taken.insert(domain.to_ascii_lowercase()));
        if host.domains.is_empty() {
            continue;
        }
        let own = host.routes.split_off(for_others(by_header(former), &host).len().min(host.routes.len()));
        host.routes = for_others(by_header(&bridged), &host);
        host.routes.extend(own);
        bridged.virtual_hosts.push(host);
    }
    bridged
}

/// The routes of requests that name their target in the header.
fn by_header(configuration: &RouteConfiguration) -> &[Route] {
    let host = configuration.virtual_hosts.iter().find(|host| is_for_any_host(host));
    host.map(|host| host.routes.as_slice()).unwrap_or_default()
}

/// Those for other targets than that of a virtual host. They are the first routes of the virtual host.
fn for_others<'a>(routes: impl IntoIterator<Item = &'a Route>, host: &VirtualHost) -> Vec<Route> {
    let others = routes.into_iter().filter(|route| is_for_any_host(host) || named_target(route) != Some(&host.name));
    others.cloned().collect()
}

fn is_for_any_host(host: &VirtualHost) -> bool {
    host.domains.iter().any(|domain| domain == ANY_HOST)
}

/// Envoy compares domains without letter case.
fn domains(host: &VirtualHost) -> impl Iterator<Item = String> {
    host.domains.iter().map(|domain| domain.to_ascii_lowercase())
}

/// The target that the requests of a route name in the header.
fn named_target(route: &Route) -> Option<&str> {
    let header = route.r#match.as_ref()?.headers.last().filter(|header| header.name == SERVICE_HEADER)?;
    let HeaderMatchSpecifier::StringMatch(matcher) = header.header_match_specifier.as_ref()? else { return None };
    let MatchPattern::Exact(target) = matcher.match_pattern.as_ref()? else { return None };
    Some(target)
}
