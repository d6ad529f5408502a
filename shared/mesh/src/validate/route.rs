//! Rules about routes, and about matches in general.

use std::fmt;

use super::Refusal;
use super::found::FoundViolations;
use crate::spec::{
    GrpcRouteMatch, HeaderMatch, HttpPathMatch, HttpRouteMatch, MatchRange, MetadataMatch, RouteRule, RouteSpec,
    ValueMatch,
};

pub(super) fn rules(spec: &RouteSpec, found: &mut FoundViolations) {
    match &spec.rule {
        RouteRule::Http(route) => http("spec.httpRoute.match", &route.matches, found),
        RouteRule::Http2(route) => http("spec.http2Route.match", &route.matches, found),
        RouteRule::Grpc(route) => grpc("spec.grpcRoute.match", &route.matches, found),
        RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => {}
    }
}

fn http(at: &str, matches: &HttpRouteMatch, found: &mut FoundViolations) {
    prefix_or_path(at, matches.prefix.as_deref(), matches.path.as_ref(), found);
    headers(at, matches.headers.iter().flatten(), found);
}

fn grpc(at: &str, matches: &GrpcRouteMatch, found: &mut FoundViolations) {
    found.refuse_if(
        matches.method_name.is_some() && matches.service_name.is_none(),
        format_args!("{at}.serviceName"),
        || Refusal::ServiceNameRequired,
    );
    metadata(at, matches.metadata.iter().flatten(), found);
}

/// Checks a prefix and a path. Neither is required: App Mesh accepted a match by port or headers alone.
pub(super) fn prefix_or_path(
    at: &str,
    prefix: Option<&str>,
    path: Option<&HttpPathMatch>,
    found: &mut FoundViolations,
) {
    if let Some(prefix) = prefix {
        found.refuse_if(!prefix.starts_with('/'), format_args!("{at}.prefix"), || Refusal::PrefixWithoutSlash {
            prefix: prefix.to_owned(),
        });
        found.refuse_if(path.is_some(), format_args!("{at}.path"), || Refusal::PrefixAndPath);
    }
}

pub(super) fn headers<'a>(at: &str, headers: impl Iterator<Item = &'a HeaderMatch>, found: &mut FoundViolations) {
    for (index, header) in headers.enumerate() {
        range(format_args!("{at}.headers[{index}]"), header.value.as_ref(), found);
    }
}

pub(super) fn metadata<'a>(at: &str, entries: impl Iterator<Item = &'a MetadataMatch>, found: &mut FoundViolations) {
    for (index, entry) in entries.enumerate() {
        range(format_args!("{at}.metadata[{index}]"), entry.value.as_ref(), found);
    }
}

fn range(at: fmt::Arguments<'_>, value: Option<&ValueMatch>, found: &mut FoundViolations) {
    if let Some(ValueMatch::Range(MatchRange { start, end, .. })) = value {
        let (start, end) = (start.get(), end.get());
        found.refuse_if(start >= end, format_args!("{at}.match.range.end"), || Refusal::RangeEmpty { start, end });
    }
}
