//! The precedence of routes that match the same request.
//!
//! App Mesh documents two rules: a lower priority comes first, and the longest prefix comes first. The other rules are
//! chosen so that of two routes with the same priority neither hides the narrower one:
//!
//! 1. the priority, 0 first; a route without a priority comes last;
//! 2. for gateway routes the host: exact, then suffixes, the longest first, then any;
//! 3. the path: exact, then expressions, then prefixes; of exact paths and prefixes the longest first. A gRPC method is
//!    an exact path, a gRPC service a prefix;
//! 4. the number of further conditions; a condition on a value counts two, a condition on presence counts one;
//! 5. the name.

use std::cmp::Reverse;

use super::{Gateway, Router};
use crate::name::{GatewayRouteName, RouteName};
use crate::spec::bounded::{Int, Text};
use crate::spec::{
    GatewayRouteRule, GatewayRouteSpec, HeaderMatch, HostnameMatch, HttpPathMatch, MetadataMatch, QueryParameterMatch,
    RouteRule, RouteSpec,
};

/// The precedence of a route within its router or gateway: the smaller value comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoutePrecedence<'m> {
    /// 0 to 1000, and 1001 without a priority.
    priority: i64,
    host: Host,
    path: Path,
    conditions: Reverse<usize>,
    name: &'m str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Exact,
    Suffix(Reverse<usize>),
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Path {
    Exact(Reverse<usize>),
    Expression,
    Prefix(Reverse<usize>),
}

impl Router {
    /// The routes in the order in which they are matched.
    #[must_use]
    pub fn routes_in_order(&self) -> Vec<(&RouteName, &RouteSpec)> {
        let mut routes: Vec<_> = self.routes.iter().collect();
        routes.sort_by_key(|(name, spec)| of_route(name, spec));
        routes
    }
}

impl Gateway {
    /// The gateway routes in the order in which they are matched.
    #[must_use]
    pub fn routes_in_order(&self) -> Vec<(&GatewayRouteName, &GatewayRouteSpec)> {
        let mut routes: Vec<_> = self.routes.iter().collect();
        routes.sort_by_key(|(name, spec)| of_gateway_route(name, spec));
        routes
    }
}

pub(super) fn of_route<'m>(name: &'m RouteName, spec: &RouteSpec) -> RoutePrecedence<'m> {
    let (path, conditions) = match &spec.rule {
        RouteRule::Http(route) | RouteRule::Http2(route) => {
            let wanted = &route.matches;
            let conditions = condition_weight(wanted.method.is_some())
                + condition_weight(wanted.scheme.is_some())
                + headers(wanted.headers.as_deref())
                + parameters(wanted.query_parameters.as_deref());
            (Path::of_http(wanted.path.as_ref(), wanted.prefix.as_deref()), conditions)
        }
        RouteRule::Grpc(route) => {
            let wanted = &route.matches;
            let method = wanted.method_name.as_ref().map(Text::as_str);
            (Path::of_grpc(wanted.service_name.as_deref(), method), metadata(wanted.metadata.as_deref()))
        }
        RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => (Path::Prefix(Reverse(0)), 0),
    };
    let conditions = Reverse(conditions + condition_weight(spec.rule.match_port().is_some()));
    RoutePrecedence { priority: priority(spec.priority), host: Host::Any, path, conditions, name: name.as_str() }
}

fn of_gateway_route<'m>(name: &'m GatewayRouteName, spec: &GatewayRouteSpec) -> RoutePrecedence<'m> {
    let (host, path, conditions) = match &spec.rule {
        GatewayRouteRule::Http(route) | GatewayRouteRule::Http2(route) => {
            let wanted = &route.matches;
            let conditions = condition_weight(wanted.method.is_some())
                + headers(wanted.headers.as_deref())
                + parameters(wanted.query_parameters.as_deref());
            let path = Path::of_http(wanted.path.as_ref(), wanted.prefix.as_deref());
            (Host::from_match(wanted.hostname.as_ref()), path, conditions)
        }
        GatewayRouteRule::Grpc(route) => {
            let wanted = &route.matches;
            let path = Path::of_grpc(wanted.service_name.as_deref(), None);
            (Host::from_match(wanted.hostname.as_ref()), path, metadata(wanted.metadata.as_deref()))
        }
        GatewayRouteRule::Unrecognised(_) => (Host::Any, Path::Prefix(Reverse(0)), 0),
    };
    let conditions = Reverse(conditions + condition_weight(spec.rule.match_port().is_some()));
    RoutePrecedence { priority: priority(spec.priority), host, path, conditions, name: name.as_str() }
}

fn priority(priority: Option<Int<0, 1000>>) -> i64 {
    priority.map_or(1001, Int::get)
}

impl Host {
    fn from_match(matching: Option<&HostnameMatch>) -> Self {
        match matching {
            Some(HostnameMatch::Exact(_)) => Self::Exact,
            Some(HostnameMatch::Suffix(suffix)) => Self::Suffix(Reverse(suffix.as_str().len())),
            Some(HostnameMatch::Unrecognised(_)) | None => Self::Any,
        }
    }
}

impl Path {
    fn of_http(path: Option<&HttpPathMatch>, prefix: Option<&str>) -> Self {
        match path {
            Some(HttpPathMatch::Exact(path)) => Self::Exact(Reverse(path.as_str().len())),
            Some(HttpPathMatch::Regex(_) | HttpPathMatch::Unrecognised(_)) => Self::Expression,
            None => Self::Prefix(Reverse(prefix.unwrap_or("/").len())),
        }
    }

    fn of_grpc(service: Option<&str>, method: Option<&str>) -> Self {
        match (service, method) {
            (Some(service), Some(method)) => Self::Exact(Reverse(format!("/{service}/{method}").len())),
            (Some(service), None) => Self::Prefix(Reverse(format!("/{service}/").len())),
            (None, _) => Self::Prefix(Reverse("/".len())),
        }
    }
}

fn condition_weight(wants_value: bool) -> usize {
    if wants_value { 2 } else { 0 }
}

fn headers(headers: Option<&[HeaderMatch]>) -> usize {
    headers.unwrap_or_default().iter().map(|header| weight(header.value.is_some())).sum()
}

fn metadata(entries: Option<&[MetadataMatch]>) -> usize {
    entries.unwrap_or_default().iter().map(|entry| weight(entry.value.is_some())).sum()
}

fn parameters(parameters: Option<&[QueryParameterMatch]>) -> usize {
    parameters.unwrap_or_default().iter().map(|parameter| weight(parameter.value.is_some())).sum()
}

fn weight(wants_value: bool) -> usize {
    if wants_value { 2 } else { 1 }
}
