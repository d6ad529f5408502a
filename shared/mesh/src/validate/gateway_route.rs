//! Rules about gateway routes.

use super::Refusal;
use super::discovery::matched_hostname;
use super::found::FoundViolations;
use super::route::{headers, metadata, prefix_or_path};
use crate::name::MAX_RESOURCE_NAME;
use crate::spec::bounded::OutOfBounds;
use crate::spec::{
    GatewayRouteRule, GatewayRouteSpec, GatewayRouteTarget, GrpcGatewayRoute, HttpGatewayRoute, HttpPathMatch,
    HttpRewrite, PrefixRewrite,
};

/// The prefixes of paths that are reserved for App Mesh.
const RESERVED_PATHS: [&str; 2] = ["/aws-appmesh", "/aws-app-mesh"];

/// The prefixes of gRPC services that are reserved for App Mesh.
const RESERVED_SERVICES: [&str; 3] = ["aws.appmesh", "aws.app-mesh", "/aws.app-mesh"];

pub(super) fn rules(spec: &GatewayRouteSpec, found: &mut FoundViolations) {
    match &spec.rule {
        GatewayRouteRule::Http(route) => http("spec.httpRoute", route, found),
        GatewayRouteRule::Http2(route) => http("spec.http2Route", route, found),
        GatewayRouteRule::Grpc(route) => grpc("spec.grpcRoute", route, found),
        GatewayRouteRule::Unrecognised(_) => {}
    }
}

fn http(at: &str, route: &HttpGatewayRoute, found: &mut FoundViolations) {
    let matches = &route.matches;
    let at_match = format!("{at}.match");
    // App Mesh accepted a match by port alone at a gateway with several listeners.
    found.refuse_if(
        matches.prefix.is_none() && matches.path.is_none() && matches.hostname.is_none() && matches.port.is_none(),
        at_match.as_str(),
        || Refusal::MatchEmpty {
            members: "prefix, path, hostname, port",
            remedy: "add prefix `/` to take every request",
        },
    );
    prefix_or_path(&at_match, matches.prefix.as_deref(), matches.path.as_ref(), found);
    if let Some(prefix) = &matches.prefix {
        reserved(format!("{at_match}.prefix"), prefix, &RESERVED_PATHS, found);
    }
    if let Some(HttpPathMatch::Exact(path)) = &matches.path {
        reserved(format!("{at_match}.path.exact"), path.as_str(), &RESERVED_PATHS, found);
    }
    headers(&at_match, matches.headers.iter().flatten(), found);
    matched_hostname(&at_match, matches.hostname.as_ref(), found);
    if let Some(change) = &route.action.rewrite {
        rewrite(&format!("{at}.action.rewrite"), change, found);
    }
    target(at, &route.action.target, found);
}

fn grpc(at: &str, route: &GrpcGatewayRoute, found: &mut FoundViolations) {
    let matches = &route.matches;
    let at_match = format!("{at}.match");
    found.refuse_if(
        matches.service_name.is_none() && matches.hostname.is_none() && matches.port.is_none(),
        at_match.as_str(),
        || Refusal::MatchEmpty {
            members: "serviceName, hostname, port",
            remedy: "add the service that the route matches",
        },
    );
    if let Some(service) = &matches.service_name {
        reserved(format!("{at_match}.serviceName"), service, &RESERVED_SERVICES, found);
    }
    metadata(&at_match, matches.metadata.iter().flatten(), found);
    matched_hostname(&at_match, matches.hostname.as_ref(), found);
    target(at, &route.action.target, found);
}

fn rewrite(at: &str, rewrite: &HttpRewrite, found: &mut FoundViolations) {
    found.refuse_if(rewrite.prefix.is_some() && rewrite.path.is_some(), format_args!("{at}.path"), || {
        Refusal::PrefixAndPath
    });
    if let Some(PrefixRewrite::Value(value)) = &rewrite.prefix {
        let value = value.as_str();
        found.refuse_if(!(value.starts_with('/') && value.ends_with('/')), format_args!("{at}.prefix.value"), || {
            Refusal::RewriteWithoutSlashes { value: value.to_owned() }
        });
    }
}

/// Checks the name of the virtual service. The API limits its length only here.
fn target(at: &str, target: &GatewayRouteTarget, found: &mut FoundViolations) {
    let length = target.virtual_service.virtual_service_name.as_str().chars().count();
    found.refuse_if(
        length > MAX_RESOURCE_NAME,
        format_args!("{at}.action.target.virtualService.virtualServiceName"),
        || OutOfBounds::Length { length, min: 1, max: MAX_RESOURCE_NAME }.into(),
    );
}

fn reserved(at: String, given: &str, reserved: &[&'static str], found: &mut FoundViolations) {
    if let Some(reserved) = reserved.iter().find(|reserved| given.starts_with(**reserved)) {
        found.refuse(at, Refusal::Reserved { given: given.to_owned(), reserved });
    }
}
