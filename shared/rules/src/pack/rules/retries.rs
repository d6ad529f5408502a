//! Retries and time limits of single routes.

use jiff::SignedDuration;

use crate::pack::context::RuleContext;
use crate::pack::controls::AVAILABILITY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::paths::tries;
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::name::{ResourceKind, ResourcePath};
use mesh::spec::bounded::Text;
use mesh::spec::{Duration, HttpMethod, Listener, ListenerTimeout, RouteRule, RouteSpec};
use mesh::traffic::Landing;

const RETRY: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Retries,
    severity: Severity::Medium,
    on: &[ResourceKind::Route],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: AVAILABILITY,
    rests_on_certificates: false,
    check: no_room,
};

/// The default time limit of a request.
pub(super) const OWN_LIMIT: SignedDuration = SignedDuration::from_secs(15);

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "retries-without-room",
        title: "The time limit of a route ends its retries early",
        why: "Each attempt may take `perRetryTimeout`, and all of them together the route's limit (15 s by default). \
              If the attempts do not fit, the last ones are cut off or never made.",
        remedy: "Raise the route's `timeout.perRequest`, or allow fewer or shorter attempts.",
        check: no_room,
        ..RETRY
    },
    Rule {
        id: "retries-of-writes",
        severity: Severity::Medium,
        title: "Write requests may be executed twice",
        why: "The route matches only POST or PATCH and retries on server errors. The first attempt may have been \
              executed before the error: an order is placed twice.",
        remedy: "Retry on `connection-error`, `stream-error` and `client-error` only, or make the requests idempotent \
               and waive the finding.",
        check: writes,
        ..RETRY
    },
    Rule {
        id: "retries-on-nothing",
        severity: Severity::Low,
        title: "A retry policy names no event",
        why: "A policy without events replaces the default retries by none: callers notice the restart of a single \
              task.",
        remedy: "Name `gateway-error`, `stream-error` and `connection-error`, or set `maxRetries` to 0 if no retries are \
               intended.",
        check: no_event,
        ..RETRY
    },
    Rule {
        id: "time-limit-off",
        title: "A route has no time limit",
        why: "A limit of 0 disables it. Requests to a hanging target accumulate in its callers, one connection each, \
              until these hang too.",
        remedy: "Set the longest time that a request may reasonably take.",
        check: off,
        ..RETRY
    },
    Rule {
        id: "time-limit-cut-by-listener",
        title: "The listener of a target ends requests before their route does",
        why: "The route at the caller and the listener at the target each bound a request, at 15 s by default. Raising \
              only the route's limit has no effect beyond the listener's.",
        remedy: "Raise the listener's `timeout.perRequest` to that of the route.",
        check: cut_by_listener,
        ..RETRY
    },
];

/// The time limit of a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limit {
    At(SignedDuration),
    Never,
}

/// The limit from a duration of a spec, or the default. `None` if the duration cannot be read.
pub(super) fn limit(given: Option<&Duration>, default: SignedDuration) -> Option<Limit> {
    match given {
        None => Some(Limit::At(default)),
        Some(given) => given.length().map(|length| if length.is_zero() { Limit::Never } else { Limit::At(length) }),
    }
}

pub(super) fn per_request(route: &RouteSpec) -> Option<&Duration> {
    match &route.rule {
        RouteRule::Http(route) | RouteRule::Http2(route) => route.timeout.as_ref()?.per_request.as_ref(),
        RouteRule::Grpc(route) => route.timeout.as_ref()?.per_request.as_ref(),
        RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => None,
    }
}

/// The time limit of a route's requests. `None` for a route without requests, and for an unreadable limit.
pub(super) fn limit_of_route(route: &RouteSpec) -> Option<Limit> {
    match &route.rule {
        RouteRule::Http(_) | RouteRule::Http2(_) | RouteRule::Grpc(_) => limit(per_request(route), OWN_LIMIT),
        RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => None,
    }
}

fn limit_of_listener(listener: &Listener) -> Option<Limit> {
    match &listener.timeout {
        None => limit(None, OWN_LIMIT),
        Some(ListenerTimeout::Grpc(timeout)) => limit(timeout.per_request.as_ref(), OWN_LIMIT),
        Some(ListenerTimeout::Http(timeout) | ListenerTimeout::Http2(timeout)) => {
            limit(timeout.per_request.as_ref(), OWN_LIMIT)
        }
        Some(ListenerTimeout::Tcp(_) | ListenerTimeout::Unrecognised(_)) => None,
    }
}

/// A time limit as text.
pub(super) fn shown(limit: Limit) -> String {
    match limit {
        Limit::At(length) => format!("{length:#}"),
        Limit::Never => "no limit".to_owned(),
    }
}

fn no_room(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (router, name, route) in context.routes() {
        let each = match &route.rule {
            RouteRule::Http(route) | RouteRule::Http2(route) => {
                route.retry_policy.as_ref().map(|policy| &policy.per_retry_timeout)
            }
            RouteRule::Grpc(route) => route.retry_policy.as_ref().map(|policy| &policy.per_retry_timeout),
            RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => None,
        };
        let (Some(each), Some(Limit::At(limit))) = (each.and_then(Duration::length), limit_of_route(route)) else {
            continue;
        };
        let tries = tries(&route.rule);
        let needed = i32::try_from(tries).ok().and_then(|tries| each.checked_mul(tries));
        if tries > 1 && needed.is_none_or(|needed| needed > limit) {
            let message = format!("{tries} tries of {each:#} don't fit into its limit of {limit:#}");
            let facts = facts! {"tries": tries, "perTry": format!("{each:#}"), "limit": format!("{limit:#}")};
            found.on(context.route_path(router, name), message, facts);
        }
    }
}

fn writes(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (router, name, route) in context.routes() {
        let (RouteRule::Http(http) | RouteRule::Http2(http)) = &route.rule else { continue };
        let Some(method @ (HttpMethod::Post | HttpMethod::Patch)) = &http.matches.method else { continue };
        let Some(policy) = http.retry_policy.as_ref().filter(|policy| policy.max_retries.get() > 0) else { continue };
        let events = policy.http_retry_events.iter().flatten().map(Text::as_str);
        let harmful: Vec<&str> = events.filter(|event| matches!(*event, "server-error" | "gateway-error")).collect();
        if !harmful.is_empty() {
            let message = format!("{method} requests are tried again on {}", harmful.join(", "));
            found.on(context.route_path(router, name), message, facts! {"method": method, "events": harmful});
        }
    }
}

fn no_event(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (router, name, route) in context.routes() {
        let (retries, events) = match &route.rule {
            RouteRule::Http(route) | RouteRule::Http2(route) => match &route.retry_policy {
                Some(policy) => (
                    policy.max_retries.get(),
                    policy.http_retry_events.iter().flatten().count()
                        + policy.tcp_retry_events.iter().flatten().count(),
                ),
                None => continue,
            },
            RouteRule::Grpc(route) => match &route.retry_policy {
                Some(policy) => (
                    policy.max_retries.get(),
                    policy.http_retry_events.iter().flatten().count()
                        + policy.tcp_retry_events.iter().flatten().count()
                        + policy.grpc_retry_events.iter().flatten().count(),
                ),
                None => continue,
            },
            RouteRule::Tcp(_) | RouteRule::Unrecognised(_) => continue,
        };
        if retries > 0 && events == 0 {
            let message = format!("it allows {retries} retries and names no event to retry on");
            found.on(context.route_path(router, name), message, facts! {"maxRetries": retries});
        }
    }
}

fn off(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (router, name, route) in context.routes() {
        if limit_of_route(route) == Some(Limit::Never) {
            found.on(context.route_path(router, name), "its requests have no time limit", facts! {});
        }
    }
}

fn cut_by_listener(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (route, flows) in context.flows() {
        let Some(of_route) = limit_of_route(route.spec) else { continue };
        for flow in flows.iter().filter(|flow| !context.is_outside(flow.virtual_node)) {
            let Landing::Listener(listener) = flow.landing else { continue };
            let Some(of_listener) = limit_of_listener(listener).filter(|of_listener| *of_listener < of_route) else {
                continue;
            };
            let (node, port) = (flow.virtual_node, listener.port_mapping.port);
            let (limit, listener) = (shown(of_route), shown(of_listener));
            let message = format!("its limit is {limit}, and listener {port} of {node} ends requests after {listener}");
            let facts = facts! {"virtualNode": node, "port": port, "route": limit, "listener": listener};
            let path = ResourcePath::Route(route.id.clone());
            found.on_part(path, format!("target {node}@{port}"), message, facts);
        }
    }
}
