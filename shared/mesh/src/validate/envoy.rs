//! The rules of Envoy: values in a spec for which a proxy rejects the whole listener, cluster or route configuration.
//! The proxy then keeps its last good version, and no later change reaches it.
//!
//! ```text
//!   spec ──▶ regular expressions, log formats, secrets, text in requests ──▶ violations ──▶ API, check, policy pack
//!                        the same functions ──▶ translation for a proxy: member left out, with a finding
//! ```
//!
//! The translation also needs these functions, because a stored mesh may be older than these rules. A value is accepted
//! if a proxy works without it, for example an outlier detection with an interval of 0. AWS accepted such values, and
//! no call fails because of them.

mod log_format;
mod regex;

use std::collections::BTreeMap;
use std::fmt;

use super::Refusal;
use super::found::FoundViolations;
use crate::spec::bounded::{OutOfBounds, Text};
use crate::spec::{
    AccessLog, Backend, BackendDefaults, ClientCertificate, ClientPolicy, ClientTrust, GatewayRouteRule,
    GatewayRouteSpec, GatewayRouteTarget, HeaderMatch, HostnameFault, HttpGatewayRoute, HttpPathMatch,
    ListenerCertificate, ListenerTls, ListenerTrust, Logging, LoggingFormat, MetadataMatch, PrefixRewrite,
    QueryParameterMatch, RouteRule, RouteSpec, ServiceDiscovery, TlsMode, ValueMatch, VirtualGatewaySpec,
    VirtualNodeSpec,
};

pub use regex::LARGEST_EXPRESSION;

/// The port on which the proxy of a virtual gateway accepts its own egress traffic, if traffic is redirected.
pub const PROXY_EGRESS_PORT: u16 = 15_001;

/// The maximum length of a query parameter's name, in bytes.
pub const LONGEST_PARAMETER: usize = 1024;

/// The known values of `httpRetryEvents`. The API model accepts any text.
pub const HTTP_RETRY_EVENTS: &[&str] = &["client-error", "gateway-error", "server-error", "stream-error"];

/// Why Envoy refuses a regular expression, as a clause; `None` for an expression that it accepts.
#[must_use]
pub fn regex_fault(expression: &str) -> Option<String> {
    regex::fault(expression)
}

/// Why Envoy refuses the format of an access log, or of one member of it, as a clause; `None` for a format
/// that it accepts.
#[must_use]
pub fn log_format_fault(format: &str) -> Option<String> {
    log_format::fault(format)
}

/// The first character of a text that Envoy refuses in the name or value of a header, and in a path.
#[must_use]
pub fn unsendable(text: &str) -> Option<char> {
    text.chars().find(|character| matches!(character, '\0' | '\n' | '\r'))
}

/// The first control character of a text.
#[must_use]
pub fn control_character(text: &str) -> Option<char> {
    text.chars().find(|character| character.is_control())
}

/// Whether Envoy accepts the name of a query parameter, by its length in bytes.
#[must_use]
pub fn is_parameter_name(name: &str) -> bool {
    (1..=LONGEST_PARAMETER).contains(&name.len())
}

pub(super) fn of_node(spec: &VirtualNodeSpec, found: &mut FoundViolations) {
    for (index, listener) in spec.listeners().iter().enumerate() {
        let path = listener.health_check.as_ref().and_then(|check| check.path.as_deref());
        health_check_path(index, path, found);
        listener_tls(format_args!("spec.listeners[{index}].tls"), listener.tls.as_ref(), found);
    }
    backend_defaults(spec.backend_defaults.as_ref(), found);
    backends(spec, found);
    logging(spec.logging.as_ref(), found);
    if let Some(ServiceDiscovery::AwsCloudMap(map)) = &spec.service_discovery {
        let at = "spec.serviceDiscovery.awsCloudMap";
        refuse_character(format_args!("{at}.namespaceName"), control_character(map.namespace_name.as_str()), found);
        refuse_character(format_args!("{at}.serviceName"), control_character(map.service_name.as_str()), found);
    }
}

pub(super) fn of_gateway(spec: &VirtualGatewaySpec, found: &mut FoundViolations) {
    for (index, listener) in spec.listeners.iter().enumerate() {
        let port = listener.port_mapping.port;
        found.refuse_if(
            port.get() == PROXY_EGRESS_PORT,
            format_args!("spec.listeners[{index}].portMapping.port"),
            || Refusal::PortOfProxy { port },
        );
        let path = listener.health_check.as_ref().and_then(|check| check.path.as_deref());
        health_check_path(index, path, found);
        listener_tls(format_args!("spec.listeners[{index}].tls"), listener.tls.as_ref(), found);
    }
    backend_defaults(spec.backend_defaults.as_ref(), found);
    logging(spec.logging.as_ref(), found);
}

pub(super) fn of_route(spec: &RouteSpec, found: &mut FoundViolations) {
    let Some(kind) = spec.rule.member() else { return };
    let at = format_args!("spec.{kind}.match");
    let events = match &spec.rule {
        RouteRule::Http(route) | RouteRule::Http2(route) => {
            let matches = &route.matches;
            path_match(at, matches.path.as_ref(), found);
            headers(at, matches.headers.as_deref(), found);
            query_parameters(at, matches.query_parameters.as_deref(), found);
            route.retry_policy.as_ref().map(|policy| (policy.max_retries.get(), policy.http_retry_events.as_deref()))
        }
        RouteRule::Grpc(route) => {
            metadata(at, route.matches.metadata.as_deref(), found);
            route.retry_policy.as_ref().map(|policy| (policy.max_retries.get(), policy.http_retry_events.as_deref()))
        }
        RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => None,
    };
    if let Some((retries, events)) = events {
        retry_events(format_args!("spec.{kind}.retryPolicy.httpRetryEvents"), retries, events, found);
    }
}

pub(super) fn of_gateway_route(spec: &GatewayRouteSpec, found: &mut FoundViolations) {
    let Some(kind) = spec.rule.member() else { return };
    let at = format_args!("spec.{kind}.match");
    match &spec.rule {
        GatewayRouteRule::Http(route) | GatewayRouteRule::Http2(route) => {
            let matches = &route.matches;
            path_match(at, matches.path.as_ref(), found);
            headers(at, matches.headers.as_deref(), found);
            query_parameters(at, matches.query_parameters.as_deref(), found);
            rewrite(format_args!("spec.{kind}.action.rewrite"), route, found);
            target(format_args!("spec.{kind}.action.target"), &route.action.target, found);
        }
        GatewayRouteRule::Grpc(route) => {
            metadata(at, route.matches.metadata.as_deref(), found);
            target(format_args!("spec.{kind}.action.target"), &route.action.target, found);
        }
        GatewayRouteRule::Unrecognised(_) => {}
    }
}

fn refuse_character(at: impl fmt::Display, character: Option<char>, found: &mut FoundViolations) {
    if let Some(character) = character {
        found.refuse(at.to_string(), Refusal::ControlCharacter { character });
    }
}

fn health_check_path(index: usize, path: Option<&str>, found: &mut FoundViolations) {
    let character = path.and_then(control_character);
    refuse_character(format_args!("spec.listeners[{index}].healthCheck.path"), character, found);
}

/// Checks the TLS settings of a listener. Without the certificate or the trust of its spec, Envoy would refuse the
/// listener, or the listener would accept any client.
fn listener_tls(at: fmt::Arguments<'_>, tls: Option<&ListenerTls>, found: &mut FoundViolations) {
    // A listener with disabled TLS requests no secret.
    let Some(tls) = tls.filter(|tls| tls.mode != TlsMode::Disabled) else { return };
    match &tls.certificate {
        ListenerCertificate::Acm(acm) => {
            secret(format_args!("{at}.certificate.acm.certificateArn"), &acm.certificate_arn, found);
        }
        ListenerCertificate::Sds(sds) => {
            secret(format_args!("{at}.certificate.sds.secretName"), &sds.secret_name, found);
        }
        ListenerCertificate::File(_) | ListenerCertificate::Unrecognised(_) => {}
    }
    match tls.validation.as_ref().map(|validation| &validation.trust) {
        Some(ListenerTrust::Sds(sds)) => {
            secret(format_args!("{at}.validation.trust.sds.secretName"), &sds.secret_name, found);
        }
        Some(ListenerTrust::File(_) | ListenerTrust::Unrecognised(_)) | None => {}
    }
}

fn backend_defaults(defaults: Option<&BackendDefaults>, found: &mut FoundViolations) {
    let policy = defaults.and_then(|defaults| defaults.client_policy.as_ref());
    client_policy(format_args!("spec.backendDefaults.clientPolicy"), policy, found);
}

/// Checks the backends of a node. Hosts do not differ by letter case, and Envoy refuses a route configuration that has
/// a host twice. A backend that is repeated in the same spelling is sent once: its first client policy applies, and
/// rule `backend-twice` reports it.
fn backends(spec: &VirtualNodeSpec, found: &mut FoundViolations) {
    let mut hosts = BTreeMap::new();
    for (index, backend) in spec.backends.iter().flatten().enumerate() {
        let Backend::VirtualService(own) = backend else { continue };
        let at = format_args!("spec.backends[{index}].virtualService");
        client_policy(format_args!("{at}.clientPolicy"), own.client_policy.as_ref(), found);
        let name = own.virtual_service_name.as_str();
        let (first, other) = hosts.entry(name.to_ascii_lowercase()).or_insert((index, name));
        found.refuse_if(*other != name, format_args!("{at}.virtualServiceName"), || Refusal::SameHost {
            name: name.to_owned(),
            other: format!("backends[{first}]"),
        });
    }
}

fn client_policy(at: fmt::Arguments<'_>, policy: Option<&ClientPolicy>, found: &mut FoundViolations) {
    let Some(tls) = policy.and_then(|policy| policy.tls.as_ref()) else { return };
    match &tls.certificate {
        Some(ClientCertificate::Sds(sds)) => {
            secret(format_args!("{at}.tls.certificate.sds.secretName"), &sds.secret_name, found);
        }
        Some(ClientCertificate::File(_) | ClientCertificate::Unrecognised(_)) | None => {}
    }
    match &tls.validation.trust {
        ClientTrust::Sds(sds) => {
            secret(format_args!("{at}.tls.validation.trust.sds.secretName"), &sds.secret_name, found);
        }
        ClientTrust::Acm(_) | ClientTrust::File(_) | ClientTrust::Unrecognised(_) => {}
    }
}

fn secret(at: fmt::Arguments<'_>, name: &str, found: &mut FoundViolations) {
    found.refuse_if(name.is_empty(), at, || Refusal::SecretUnnamed);
}

fn logging(logging: Option<&Logging>, found: &mut FoundViolations) {
    let Some(AccessLog::File(file)) = logging.and_then(|logging| logging.access_log.as_ref()) else { return };
    let at = "spec.logging.accessLog.file";
    let path = file.path.as_str();
    found.refuse_if(path.ends_with('/'), format_args!("{at}.path"), || Refusal::LogPath { given: path.to_owned() });
    match &file.format {
        Some(LoggingFormat::Text(text)) => log_format(format_args!("{at}.format.text"), text.as_str(), found),
        Some(LoggingFormat::Json(members)) => {
            for (index, member) in members.iter().enumerate() {
                log_format(format_args!("{at}.format.json[{index}].value"), member.value.as_str(), found);
            }
        }
        Some(LoggingFormat::Unrecognised(_)) | None => {}
    }
}

fn log_format(at: fmt::Arguments<'_>, text: &str, found: &mut FoundViolations) {
    if let Some(why) = log_format_fault(text) {
        found.refuse(at.to_string(), Refusal::LogFormat { why });
    }
}

fn expression(at: fmt::Arguments<'_>, given: &str, found: &mut FoundViolations) {
    if let Some(why) = regex_fault(given) {
        found.refuse(at.to_string(), Refusal::Regex { given: given.to_owned(), why });
    }
}

fn path_match(at: fmt::Arguments<'_>, path: Option<&HttpPathMatch>, found: &mut FoundViolations) {
    match path {
        Some(HttpPathMatch::Regex(regex)) => expression(format_args!("{at}.path.regex"), regex.as_str(), found),
        Some(HttpPathMatch::Exact(_) | HttpPathMatch::Unrecognised(_)) | None => {}
    }
}

fn headers(at: fmt::Arguments<'_>, headers: Option<&[HeaderMatch]>, found: &mut FoundViolations) {
    for (index, header) in headers.unwrap_or_default().iter().enumerate() {
        value_match(format_args!("{at}.headers[{index}]"), header.value.as_ref(), found);
    }
}

fn metadata(at: fmt::Arguments<'_>, entries: Option<&[MetadataMatch]>, found: &mut FoundViolations) {
    for (index, entry) in entries.unwrap_or_default().iter().enumerate() {
        refuse_character(format_args!("{at}.metadata[{index}].name"), unsendable(entry.name.as_str()), found);
        value_match(format_args!("{at}.metadata[{index}]"), entry.value.as_ref(), found);
    }
}

fn value_match(at: fmt::Arguments<'_>, value: Option<&ValueMatch>, found: &mut FoundViolations) {
    match value {
        Some(ValueMatch::Regex(regex)) => expression(format_args!("{at}.match.regex"), regex.as_str(), found),
        Some(
            ValueMatch::Exact(_)
            | ValueMatch::Prefix(_)
            | ValueMatch::Suffix(_)
            | ValueMatch::Range(_)
            | ValueMatch::Unrecognised(_),
        )
        | None => {}
    }
}

fn query_parameters(at: fmt::Arguments<'_>, parameters: Option<&[QueryParameterMatch]>, found: &mut FoundViolations) {
    for (index, parameter) in parameters.unwrap_or_default().iter().enumerate() {
        let name = &parameter.name;
        found.refuse_if(!is_parameter_name(name), format_args!("{at}.queryParameters[{index}].name"), || {
            OutOfBounds::Bytes { length: name.len(), min: 1, max: LONGEST_PARAMETER }.into()
        });
    }
}

/// Checks the HTTP retry events. A proxy ignores an unknown event: requests are then not retried for it, and the
/// default policy does not apply either. Without retries the events have no meaning.
fn retry_events(at: fmt::Arguments<'_>, retries: i64, events: Option<&[Text<1, 25>]>, found: &mut FoundViolations) {
    if retries == 0 {
        return;
    }
    for (index, event) in events.unwrap_or_default().iter().enumerate() {
        let event = event.as_str();
        found.refuse_if(!HTTP_RETRY_EVENTS.contains(&event), format_args!("{at}[{index}]"), || Refusal::ValueUnknown {
            given: event.to_owned(),
            allowed: HTTP_RETRY_EVENTS,
        });
    }
}

fn rewrite(at: fmt::Arguments<'_>, route: &HttpGatewayRoute, found: &mut FoundViolations) {
    let Some(rewrite) = &route.action.rewrite else { return };
    if let Some(PrefixRewrite::Value(value)) = &rewrite.prefix {
        refuse_character(format_args!("{at}.prefix.value"), unsendable(value.as_str()), found);
        let is_whole_path = route.matches.path.is_some();
        found.refuse_if(is_whole_path, format_args!("{at}.prefix.value"), || Refusal::RewriteWithoutPrefix);
    }
    let exact = rewrite.path.as_ref().and_then(|path| path.exact.as_ref());
    refuse_character(format_args!("{at}.path.exact"), exact.and_then(|exact| unsendable(exact.as_str())), found);
}

/// Checks the target of a gateway route. A proxy uses `*` for all hosts, so a virtual service behind a gateway cannot
/// have this name as its host.
fn target(at: fmt::Arguments<'_>, target: &GatewayRouteTarget, found: &mut FoundViolations) {
    let name = target.virtual_service.virtual_service_name.as_str();
    found.refuse_if(name == "*", format_args!("{at}.virtualService.virtualServiceName"), || Refusal::Hostname {
        given: name.to_owned(),
        fault: HostnameFault::Wildcard,
    });
}
