//! Routes that never match because another route of the same router always comes first.

use serde::Serialize;

use super::order::of_route;
use super::{Mesh, Router};
use crate::name::{RouteId, VirtualRouterName};
use crate::spec::{
    GrpcRouteMatch, HeaderMatch, HttpPathMatch, HttpRouteMatch, MetadataMatch, Port, RouteRule, RouteSpec,
};

/// A route without traffic because another route matches all its requests first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shadowed {
    /// The route without traffic.
    pub route: RouteId,
    /// The route that matches first.
    pub by: RouteId,
}

/// Every route without traffic because a route with the same or a broader match comes first, in the order of the ids.
///
/// The order is the order of the control plane (see [`Router::routes_in_order`](super::Router::routes_in_order)): by
/// priority, and by the narrower match within a priority.
///
/// Compares the routes of a router pairwise (the service allows 50 of them).
#[must_use]
pub fn shadowed_routes(mesh: &Mesh) -> Vec<Shadowed> {
    mesh.routers.iter().flat_map(|(name, router)| shadowed_routes_of(mesh, name, router)).collect()
}

/// The routes of one router without traffic, in the order of their names.
#[must_use]
pub fn shadowed_routes_of(mesh: &Mesh, name: &VirtualRouterName, router: &Router) -> Vec<Shadowed> {
    let mut found = Vec::new();
    for (route, spec) in &router.routes {
        let place = of_route(route, spec);
        let shadow = router.routes.iter().find(|(other, first)| of_route(other, first) < place && covers(first, spec));
        found.extend(shadow.map(|(by, _)| Shadowed { route: mesh.route_id(name, route), by: mesh.route_id(name, by) }));
    }
    found
}

/// Whether `broad` matches every request that `narrow` matches; `false` if that is undecidable.
fn covers(broad: &RouteSpec, narrow: &RouteSpec) -> bool {
    match (&broad.rule, &narrow.rule) {
        (RouteRule::Http(broad), RouteRule::Http(narrow)) | (RouteRule::Http2(broad), RouteRule::Http2(narrow)) => {
            http_covers(&broad.matches, &narrow.matches)
        }
        (RouteRule::Grpc(broad), RouteRule::Grpc(narrow)) => grpc_covers(&broad.matches, &narrow.matches),
        (RouteRule::Tcp(_), RouteRule::Tcp(_)) => port_covers(broad.rule.match_port(), narrow.rule.match_port()),
        (
            RouteRule::Http(_)
            | RouteRule::Http2(_)
            | RouteRule::Grpc(_)
            | RouteRule::Tcp(_)
            | RouteRule::Unrecognised(_),
            _,
        ) => false,
    }
}

fn http_covers(broad: &HttpRouteMatch, narrow: &HttpRouteMatch) -> bool {
    // Unknown members may narrow a match.
    broad.extra.is_empty()
        && port_covers(broad.port, narrow.port)
        && path_covers(broad, narrow)
        && part_covers(broad.method.as_ref(), narrow.method.as_ref())
        && part_covers(broad.scheme.as_ref(), narrow.scheme.as_ref())
        && broad
            .headers
            .iter()
            .flatten()
            .all(|header| narrow.headers.iter().flatten().any(|other| header_covers(header, other)))
        && broad
            .query_parameters
            .iter()
            .flatten()
            .all(|parameter| narrow.query_parameters.iter().flatten().any(|other| other == parameter))
}

fn path_covers(broad: &HttpRouteMatch, narrow: &HttpRouteMatch) -> bool {
    let prefix = match broad.prefix.as_deref() {
        None | Some("/") => true,
        Some(prefix) => match (&narrow.prefix, &narrow.path) {
            (Some(narrow), _) => narrow.starts_with(prefix),
            (None, Some(HttpPathMatch::Exact(path))) => path.as_str().starts_with(prefix),
            (None, Some(HttpPathMatch::Regex(regex))) => {
                literal_start(regex.as_str()).is_some_and(|start| start.starts_with(prefix))
            }
            (None, Some(HttpPathMatch::Unrecognised(_)) | None) => false,
        },
    };
    let is_any = matches!(&broad.path, Some(HttpPathMatch::Regex(regex)) if is_any_path(regex.as_str()));
    prefix && (is_any || part_covers(broad.path.as_ref(), narrow.path.as_ref()))
}

/// Whether a regular expression matches every path. Envoy compares it with the whole path, which begins with a slash.
fn is_any_path(regex: &str) -> bool {
    let whole = regex.strip_prefix('^').unwrap_or(regex);
    let whole = whole.strip_suffix('$').unwrap_or(whole);
    let rest = whole.strip_prefix('/').unwrap_or(whole);
    matches!(rest, ".*" | "(.*)" | "(?:.*)") || matches!(whole, ".+" | "(.+)" | "(/.*)" | "(/.*)?")
}

/// The text with which every match of a regular expression begins; `None` if alternatives make it unknown.
fn literal_start(regex: &str) -> Option<&str> {
    let whole = regex.strip_prefix('^').unwrap_or(regex);
    if whole.contains('|') {
        return None;
    }
    let end = whole.find(['.', '*', '+', '?', '(', ')', '[', ']', '{', '}', '\\', '$', '^']).unwrap_or(whole.len());
    let (start, rest) = whole.split_at(end);
    // The last character is repeated, or may be absent.
    let is_repeated = rest.starts_with(['*', '+', '?', '{']);
    let last = start.chars().next_back().filter(|_| is_repeated).map_or(0, char::len_utf8);
    start.get(..start.len().saturating_sub(last))
}

fn grpc_covers(broad: &GrpcRouteMatch, narrow: &GrpcRouteMatch) -> bool {
    broad.extra.is_empty()
        && port_covers(broad.port, narrow.port)
        && part_covers(broad.service_name.as_ref(), narrow.service_name.as_ref())
        && part_covers(broad.method_name.as_ref(), narrow.method_name.as_ref())
        && broad
            .metadata
            .iter()
            .flatten()
            .all(|entry| narrow.metadata.iter().flatten().any(|other| metadata_covers(entry, other)))
}

/// A route without a port is for every listener of the router.
fn port_covers(broad: Option<Port>, narrow: Option<Port>) -> bool {
    part_covers(broad.as_ref(), narrow.as_ref())
}

/// An absent part matches every value; a present part matches only itself.
fn part_covers<T: PartialEq>(broad: Option<&T>, narrow: Option<&T>) -> bool {
    broad.is_none_or(|broad| narrow == Some(broad))
}

fn header_covers(broad: &HeaderMatch, narrow: &HeaderMatch) -> bool {
    let present = broad.value.is_none() && !inverted(broad.invert) && !inverted(narrow.invert);
    broad.extra.is_empty()
        && broad.name.as_str().eq_ignore_ascii_case(narrow.name.as_str())
        && (present || (broad.value == narrow.value && inverted(broad.invert) == inverted(narrow.invert)))
}

fn metadata_covers(broad: &MetadataMatch, narrow: &MetadataMatch) -> bool {
    let present = broad.value.is_none() && !inverted(broad.invert) && !inverted(narrow.invert);
    broad.extra.is_empty()
        && broad.name == narrow.name
        && (present || (broad.value == narrow.value && inverted(broad.invert) == inverted(narrow.invert)))
}

fn inverted(invert: Option<bool>) -> bool {
    invert.unwrap_or(false)
}
